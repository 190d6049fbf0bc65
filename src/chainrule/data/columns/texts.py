"""Columns made of texts: their levels, their gaps, and numbers where a source has no types."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence, Set
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Codes, Column, Condensed, code_counts
from chainrule.data.columns.cells import PLAIN_NUMBER, is_code, number_storage
from chainrule.data.columns.gaps import QUOTED, QUOTED_GAPS, WORDS, default_gaps, gap_among_numbers
from chainrule.data.table import Table
from chainrule.data.written import GENERAL, Written
from chainrule.display.format import counted, listed


class GapNote(str):
    """A note on texts read as gaps, or as values; another choice of gaps replaces it."""

    __slots__ = ()


def list_note(name: str) -> str:
    """The note on lists of numbers; `with_signal` takes it back where they are signals."""
    return f"column {name!r}: lists of numbers read as text; as signals by signal={name!r}"


class Notes:
    """Collects notes while reading; texts read as gaps are reported once for all columns."""

    def __init__(self, lines: Sequence[str] = ()) -> None:
        self._lines = list(lines)
        self._gaps: dict[str, dict[str, int]] = {}

    def add(self, line: str) -> None:
        """Add a line."""
        self._lines.append(line)

    def gap(self, column: str, text: str, cells: int) -> None:
        """Count `cells` of a column in which `text` was read as a gap."""
        self._gaps.setdefault(text, {})[column] = cells

    def gaps(self, column: Column) -> None:
        """Count the cells of a column whose texts were read as gaps."""
        for text, cells in column.gap_texts.items():
            self.gap(column.name, text, cells)

    def lines(self) -> list[str]:
        """All notes."""
        return self._lines + [
            GapNote(
                f"{text!r} read as a gap: {counted(sum(found.values()), 'cell')} in "
                f"{'column' if len(found) == 1 else 'columns'} {listed(list(map(repr, found)), 6)}"
            )
            for text, found in self._gaps.items()
        ]


def coded(texts: Sequence[str]) -> tuple[Codes, list[str]]:
    """Codes (n,) int32 of texts, and the distinct texts in the order of their first row."""
    code_of: defaultdict[str, int] = defaultdict(count().__next__)
    codes = np.fromiter(map(code_of.__getitem__, texts), np.int32, len(texts))
    return codes, list(code_of)


def text_column(
    name: str,
    codes: Codes,
    levels: Sequence[Any] | NDArray[Any],
    notes: Notes,
    *,
    typed: bool,
    gaps: Collection[str] | None = None,
    condensed: Condensed | None = None,
) -> Column:
    """A text column with trimmed, sorted levels; an empty text is a gap.

    condensed: the rows that each cell stands for.

    gaps: the texts that are gaps besides. None: none where the source has types; else those of
    `default_gaps`, and then a column whose texts are all plain numbers becomes numbers.
    """
    texts = list(map(str, levels))
    weights = None if condensed is None else condensed.counts
    marked = [text.strip() for text in texts]
    cells = code_counts(codes, len(marked), weights).tolist()
    counts = dict(zip(marked, cells, strict=True))
    if len(counts) < len(marked):
        counts = dict.fromkeys(marked, 0)
        for text, number in zip(marked, cells, strict=True):
            counts[text] += number
    if not QUOTED_GAPS.isdisjoint(counts):
        texts = [text.removeprefix(QUOTED) for text in texts]
    if not typed:
        column = _numbers(name, codes, texts, counts, gaps)
        if column is not None:
            column = replace(column, condensed=condensed)
            notes.gaps(column)
            return column
    lost = counts.keys() & (
        {"", *gaps} if gaps is not None else {""} if typed else default_gaps(counts)
    )
    for text in sorted(lost - {""}):
        if counts[text]:
            notes.gap(name, text, counts[text])
    if gaps is None and not typed:
        for text in sorted(x for x in WORDS & counts.keys() - lost if counts[x]):
            notes.add(GapNote(
                f"column {name!r}: {text!r} is frequent, and read as a value: "
                f"{counts[text]:,} of "
                + counted(len(codes) if weights is None else int(weights.sum()), "cell")
            ))  # fmt: skip
    written = None if typed else Written(codes=codes, texts=np.array(texts, object))
    codes, kept = _sorted(codes, marked, lost)
    return Column(name, "text", codes, np.array(kept, object), written=written, condensed=condensed)


def _sorted(codes: Codes, marked: list[str], lost: Set[str]) -> tuple[Codes, list[str]]:
    """The codes of sorted, distinct texts without those that are `lost`, and these texts."""
    if lost or not QUOTED_GAPS.isdisjoint(marked):
        kept = sorted({text.removeprefix(QUOTED) for text in marked if text not in lost})
        place = {text: code for code, text in enumerate(kept)}
        new = [-1 if text in lost else place[text.removeprefix(QUOTED)] for text in marked]
        return np.array([*new, -1], np.int32)[codes], kept
    kept = sorted(set(marked))
    if kept == marked:
        return codes, kept
    place = dict(zip(kept, range(len(kept)), strict=True))
    return np.array([*map(place.__getitem__, marked), -1], np.int32)[codes], kept


def _numbers(
    name: str, codes: Codes, texts: Sequence[str], counts: dict[str, int],
    gaps: Collection[str] | None,
) -> Column | None:  # fmt: skip
    """The column as numbers, where all texts but gaps are plain ones; else None."""
    numbers: dict[str, int] = {}
    for marked, cells in counts.items():
        text = marked.removeprefix(QUOTED)
        if cells and not _is_gap(text, gaps):
            if not PLAIN_NUMBER.fullmatch(text):
                return None
            numbers[text] = numbers.get(text, 0) + cells
    storage = number_storage(numbers)
    if storage is None:
        return None
    kind, gap = (int, 0) if storage == "integer" else (float, np.nan)
    read = {text: kind(text) for text in numbers}
    values = [read.get(text.strip(), gap) for text in texts]
    missing = np.array([*(text.strip() not in read for text in texts), True])[codes]
    mask = missing if storage == "integer" and missing.any() else None
    array = np.array([*values, gap], np.int64 if storage == "integer" else np.float64)[codes]
    written = Written(GENERAL, codes, np.array(texts, object))
    return Column(name, storage, array, mask=mask, written=written)


def _is_gap(text: str, gaps: Collection[str] | None) -> bool:
    if gaps is not None:
        return not text or text in gaps
    return not text or gap_among_numbers(text)


def zero_note(column: Column) -> list[str]:
    """The note on digits with leading zeros that became numbers."""
    written = column.written
    if written is None or written.codes is None:
        return []
    rows = written.rows({text for text in written.stripped if is_code(text)}) & ~column.missing
    if not rows.any():
        return []
    first = int(rows.argmax())
    text = str(written.texts[written.codes[first]]).strip()
    return [f"column {column.name!r}: {text!r} read as the number {float(text):g}, as the column "
            f"has decimals: {counted(column.tally(rows), 'cell')}, the first in row "
            f"{column.row(first) + 1}"]  # fmt: skip


# ---------------------------------------------------------------- gaps by choice


def with_gaps(table: Table, gaps: Collection[str] | None) -> Table:
    """The table in which these texts are gaps, and no others but empty cells.

    None leaves the table as it was read. Numbers and dates are gaps where they are written so:
    -999 also where it is stored as a number.
    """
    if gaps is None or table.gaps == tuple(gaps):
        return table
    texts = frozenset(text.strip() for text in gaps)
    notes = Notes([note for note in table.notes if not isinstance(note, GapNote)])
    columns = [column_with_gaps(column, texts, notes) for column in table]
    return table.replaced(columns, notes.lines(), tuple(gaps))


def column_with_gaps(column: Column, gaps: frozenset[str], notes: Notes) -> Column:
    """The same of one column."""
    restored = any(text not in gaps for text in column.gap_texts)
    if column.storage == "text" or restored:
        codes, labels = column.labels(known=column.gap_texts)
        new = text_column(column.name, codes, labels, notes, typed=column.written is None,
                          gaps=gaps, condensed=column.condensed)  # fmt: skip
        if new.storage != "text":
            return new
        return replace(new, written=column.written, comma=column.comma, folder=column.folder,
                       classes=column.classes, ending=column.ending)  # fmt: skip
    notes.gaps(column)
    codes, labels = _plain_labels(column, gaps)
    lost = np.array([*(label in gaps for label in labels), False])[codes]
    if not lost.any():
        return column
    for text, cells in zip(labels, column.counts(codes, len(labels)), strict=True):
        if text in gaps and cells:
            notes.gap(column.name, text, int(cells))
    return column.without(lost)


def _plain_labels(column: Column, gaps: frozenset[str]) -> tuple[Codes, list[str]]:
    """The labels of the cells that may be gaps; of numbers, those that are equal to one."""
    if column.storage not in ("number", "integer"):
        return column.labels()
    numbers = {float(text): text for text in gaps if PLAIN_NUMBER.fullmatch(text)}
    codes = np.full(len(column), -1, np.int32)
    for code, number in enumerate(numbers):
        codes[column.values == number] = code
    codes[column.missing] = -1
    return codes, list(numbers.values())
