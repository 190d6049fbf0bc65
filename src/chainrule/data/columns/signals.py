"""Signals: numbers in the order of time, from many columns or from lists in one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column, shape_words
from chainrule.data.columns.encoder import GridEncoder, not_all, register
from chainrule.data.columns.texts import list_note
from chainrule.data.table import Table
from chainrule.display.format import counted, listed
from chainrule.errors import DataError, SettingError, did_you_mean

SPAN = ".."
"""Between the first and the last of the columns of a signal."""
NUMBERS = ("number", "integer", "boolean")
"""The storages of the columns of a signal; those without any cell may be texts."""


@register
class SignalColumn(GridEncoder, frozen=True, kw_only=True, tag="signal"):
    """Signals of one length: (length, channels) numbers; a gap within one is the channel's mean.

    Attributes:
        length: the number of moments.
        columns: of the table, a moment each; empty: lists in one column.
    """

    length: int
    columns: tuple[str, ...] = ()

    kind = "signal"

    @classmethod
    def fit(cls, column: Column, reason: str = "", columns: Sequence[str] = ()) -> Self:
        """Learn the length, and mean and deviation of each channel.

        Raises:
            DataError: lists of several lengths, texts, an infinity.
        """
        cells = _cells(column)
        if cells.shape[1] < 2:
            raise not_all(column, "signals", "they have a single moment")
        present = cells[~np.isnan(cells).all(axis=(1, 2))]
        if not len(present):
            raise DataError(f"column {column.name!r}", "has no signal, only gaps")
        flat = present.reshape(-1, cells.shape[-1]).astype(np.float64)
        mean = np.nanmean(flat, axis=0)
        std = np.nanstd(flat, axis=0)
        return cls(
            name=column.name, reason=reason, gaps=len(cells) - len(present),
            distinct=column.distinct, length=cells.shape[1], columns=tuple(columns),
            mean=tuple(mean.tolist()), std=tuple(np.where(std > 0, std, 1.0).tolist()),
        )  # fmt: skip

    @property
    def shape(self) -> tuple[int, ...]:
        """Length and channels."""
        return self.length, len(self.mean)

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns of a table that it is made of."""
        return self.columns or (self.name,)

    @property
    def treatment(self) -> str:
        """The treatment of the column in words, for display."""
        channels = f", {len(self.mean)} channels" if len(self.mean) > 1 else ""
        return f"a signal of {self.length:,} moments{channels}, standardised"

    def absent(self, column: Column) -> NDArray[np.bool_]:
        """The cells without a signal, (n,)."""
        return np.asarray(np.isnan(_cells(column, self.length)).all(axis=(1, 2)))

    def encode(self, column: Column) -> tuple[NDArray[Any], list[str]]:
        """(n, length, channels) float32, and notes."""
        cells = _cells(column, self.length)
        if cells.shape[1:] != self.shape:
            raise DataError(
                f"column {column.name!r}", "the signals have another length",
                expected=shape_words(self.shape), got=shape_words(cells.shape[1:]),
            )  # fmt: skip
        gaps = np.isnan(cells)
        whole = gaps.all(axis=(1, 2))
        notes = self.new_gaps(int(whole.sum()))
        if lost := int(gaps[~whole].any(axis=(1, 2)).sum()):
            notes.append(f"column {self.name!r}: {counted(lost, 'signal')} with gaps within, "
                         "filled with the mean")  # fmt: skip
        filled = np.where(gaps, np.array(self.mean), cells)
        return filled.astype(np.float32), notes


def _cells(column: Column, length: int | None = None) -> NDArray[Any]:
    """The signals (n, length, channels), NaN for gaps; `length`: in training. Raises DataError."""
    if column.storage == "array" and column.values.ndim in (2, 3):
        cells = column.values.astype(np.float64)
        cells[column.missing] = np.nan
    elif column.storage == "text":
        cells = _of_lists(column, length)
    else:
        raise not_all(column, "signals", "it holds neither lists nor arrays of numbers")
    if np.isinf(cells).any():
        row = int(np.isinf(cells).reshape(len(cells), -1).any(axis=1).argmax())
        raise DataError(f"column {column.name!r}", "holds an infinity", at=f"row {row + 1}",
                        expected="finite numbers, or gaps")  # fmt: skip
    return cells[..., None] if cells.ndim == 2 else cells


def _of_lists(column: Column, length: int | None) -> NDArray[Any]:
    """Lists that are written as texts, as [0.5, 1, null] or 0.5 1 0.25, (n, length)."""
    assert column.levels is not None
    known = column.parsed.get("signals")
    if known is None:
        known = column.parsed["signals"] = list(map(_list, column.levels))
    unread = [row for row, k in enumerate(column.values) if k >= 0 and known[k] is None]
    if unread:
        text = str(column.levels[column.values[unread[0]]])
        raise DataError(f"column {column.name!r}", "a cell is not a list of numbers",
                        expected="such as [0.5, 1, 0.25]", got=text[:60],
                        at=f"row {unread[0] + 1}")  # fmt: skip
    lengths = np.array([len(known[k]) if k >= 0 else 0 for k in column.values], np.int64)
    counts = np.bincount(lengths[lengths > 0])  # an empty list is a gap
    usual = length or (int(counts.argmax()) if len(counts) else 0)
    odd = np.flatnonzero((lengths > 0) & (lengths != usual))
    if len(odd):
        shortest, longest = f"{lengths[odd].min():,}", f"{lengths[odd].max():,}"
        raise DataError(
            f"column {column.name!r}",
            "the signals have another length" if length else "the signals differ in length",
            expected=f"{usual:,} numbers, as " + ("in training" if length else "is most frequent"),
            got=(shortest if shortest == longest else f"{shortest} to {longest}")
            + f" numbers in {counted(len(odd), 'row')} of {len(column.values):,}",
            at=f"row {odd[0] + 1}",
            fix="cut or pad them to one length, or leave these rows out",
        )  # fmt: skip
    empty = np.full(usual, np.nan)
    rows = zip(column.values, lengths, strict=True)
    return np.array([known[k] if n else empty for k, n in rows], np.float64)


def _list(text: str) -> NDArray[Any] | None:
    """The numbers in a text; None where it holds anything else."""
    inside = text.strip()
    try:
        if inside.startswith("["):
            values = json.loads(inside.replace("NULL", "null").replace("nan", "NaN"))
        else:
            values = [float(x) for x in inside.replace(",", " ").split()]
        return np.array([np.nan if x is None else x for x in values], np.float64)
    except (ValueError, TypeError):
        return None


def signal_columns(table: Table, name: str) -> list[str]:
    """The columns of a signal by its name: x1..x500 are those from x1 to x500 in their order.

    Raises:
        SettingError: there are no such columns, or not in this order.
    """
    if name in table:
        return [name]
    first, span, last = name.partition(SPAN)
    for end in (first, last) if span else (name,):
        if end not in table:
            raise SettingError(
                "signal", f"there is no column {end!r}", at=table.source,
                expected="a column of lists, or the first and the last column: signal='x1..x500'",
                fix=_span_meant(name, table) or did_you_mean(end, table.columns),
            )  # fmt: skip
    names = table.columns
    places = names.index(first), names.index(last)
    if places[0] >= places[1]:
        raise SettingError("signal", f"column {last!r} does not come after {first!r}",
                           at=table.source, got=name,
                           fix=f"signal='{last}{SPAN}{first}'")  # fmt: skip
    return names[places[0] : places[1] + 1]


def _span_meant(name: str, table: Table) -> str | None:
    """The span of columns that another notation means, as x1-x500 or x1:x500; None: no such."""
    for mark in ("...", "-", ":"):
        first, found, last = name.partition(mark)
        if found and first in table and last in table:
            return f"signal='{first}{SPAN}{last}'"
    return None


def with_signal(table: Table, name: str, sources: Sequence[str]) -> Table:
    """The table with one column, of arrays, in the place of those that are its moments.

    Raises:
        DataError: a column is missing, or does not hold numbers.
    """
    if name in table:
        notes = [note for note in table.notes if note != list_note(name)]
        return table.replaced(list(table), notes, table.gaps)
    missing = [source for source in sources if source not in table]
    if missing:
        raise DataError(
            table.source, f"lacks {counted(len(missing), 'column')} of the signal {name!r}: "
            + listed(list(map(repr, missing)), 6),
            expected=f"{len(sources):,} columns from {sources[0]!r} to {sources[-1]!r}",
            got=listed(table.columns, 12), fix="add them, empty where a moment is not known",
        )  # fmt: skip
    for source in sources:
        if table[source].storage not in NUMBERS and table[source].distinct:
            raise DataError(
                table.source, f"column {source!r} of signal {name!r} does not hold numbers",
                expected="numbers, or gaps", got=table[source].storage,
                fix="name another span of columns",
            )  # fmt: skip
    moments = [table[source] for source in sources]
    gaps = np.full(len(table), np.nan)
    values = np.stack([x.floats() if x.storage in NUMBERS else gaps for x in moments], axis=1)
    merged = Column(name, "array", values, mask=np.asarray(np.isnan(values).all(axis=1)))
    within = set(sources)
    columns = [merged if x.name == sources[0] else x for x in table
               if x.name not in within or x.name == sources[0]]  # fmt: skip
    return table.replaced(columns, table.notes, table.gaps)
