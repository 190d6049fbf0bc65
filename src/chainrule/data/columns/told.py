"""Notes on what was guessed when texts became numbers and dates, and on the cells that did not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column
from chainrule.data.columns.cells import THOUSANDS, NumberForm, form_of, is_code, level_numbers
from chainrule.data.columns.columns import NumberColumn
from chainrule.data.columns.dates import DateColumn
from chainrule.data.columns.datetexts import clock_kind, either_order, form_words
from chainrule.data.columns.encoder import Encoder
from chainrule.data.columns.kinds import CHOSEN, CODE_NAME
from chainrule.data.columns.target import NumberTarget, Target
from chainrule.display.format import clip, counted

SHOWN = 3
MIN_NUMBERS = 100
"""Distinct numbers among texts from which the column may have been meant as one of numbers."""
ZONES = ("Z", "UTC", "+00:00")
"""The ends of patterns of times with their offset."""
CURRENCIES = "$€£¥"


def reading_notes(column: Column, encoder: Encoder | Target) -> list[str]:
    """The notes on a column of texts that training reads as numbers or dates."""
    if isinstance(encoder, DateColumn) and column.storage == "date":
        return _typed_zone_notes(column)
    if column.storage != "text":
        return []
    if isinstance(encoder, DateColumn):
        return _date_notes(column, encoder) + _zone_notes(column)
    if isinstance(encoder, (NumberColumn, NumberTarget)):
        return _number_notes(column, encoder.form)
    return [] if encoder.reason == CHOSEN else _mixed_notes(column)


def _mixed_notes(column: Column) -> list[str]:
    """The note on a column that turns from numbers to texts, so that all are learned as texts."""
    if CODE_NAME.fullmatch(column.name) or not column.count:
        return []
    read = ~np.isnan(np.append(level_numbers(column, form_of(column)), np.nan))
    numbers = read[column.values]
    cells = column.tally(numbers)
    if np.count_nonzero(read) < MIN_NUMBERS or cells <= column.count / 2 or cells == column.count:
        return []
    others = _cells(column, ~numbers & ~column.missing)
    return [f"column {column.name!r}: {cells:,} of {column.count:,} cells are numbers, and it is "
            f"read as texts for the others: {others}"]  # fmt: skip


def _date_notes(column: Column, encoder: DateColumn) -> list[str]:
    notes = []
    lost = np.isnat(encoder.stamps(column)) & ~column.missing
    texts = column.texts
    if either_order(texts, encoder.form):
        words = form_words(encoder.form)
        known = ~column.missing & ~lost
        notes.append(f"column {encoder.name!r}: read as {words}, but day and month may be exchanged"
                     f": every day is 12 or less ({_cells(column, known)})")  # fmt: skip
    if lost.any():
        notes.append(f"column {encoder.name!r}: not a date as {encoder.words}, read as gaps: "
                     f"{_cells(column, lost)}")  # fmt: skip
    return notes


def _zone_notes(column: Column) -> list[str]:
    """The note on times without an offset beside times that have one."""
    zoned = _rows(column, lambda text: clock_kind(text) == "zoned")
    bare = _rows(column, lambda text: clock_kind(text) == "bare")
    if not zoned.any() or not bare.any():
        return []
    return [f"column {column.name!r}: times without an offset are taken as UTC, since others have "
            f"one: {_cells(column, bare)}"]  # fmt: skip


def _typed_zone_notes(column: Column) -> list[str]:
    """The same note, of a column whose cells were read as times."""
    plain = column.written
    if plain is None or plain.codes is None:
        return []
    kinds = np.array([*(str(clock_kind(text)) for text in plain.texts), "regular"])[plain.codes]
    bare = (kinds == "bare") & ~column.missing
    if "%H" in plain.form and not plain.form.endswith(ZONES):
        bare |= (kinds == "regular") & ~column.missing
    zoned = kinds == "zoned"
    if plain.form.endswith(ZONES):
        zoned |= (kinds == "regular") & ~column.missing
    if not zoned.any() or not bare.any():
        return []
    first = int(bare.argmax())
    return [f"column {column.name!r}: times without an offset are taken as UTC, since others have "
            f"one: {counted(column.tally(bare), 'cell')}, the first {column.cells()[first]!r} in "
            f"row {column.row(first) + 1}"]  # fmt: skip


def _number_notes(column: Column, form: NumberForm) -> list[str]:
    values = np.append(level_numbers(column, form), np.nan)[column.values]
    notes = []
    lost = np.isnan(values) & ~column.missing
    if lost.any():
        notes.append(f"column {column.name!r}: not numbers, read as gaps: "
                     f"{_cells(column, lost)}")  # fmt: skip
    coded = _rows(column, is_code)
    if coded.any():
        notes.append(f"column {column.name!r}: digits with leading zeros read as numbers: "
                     f"{_cells(column, coded)}")  # fmt: skip
    return notes + _sign_notes(column, values) + _mark_notes(column, form, values)


def _sign_notes(column: Column, values: NDArray[np.float64]) -> list[str]:
    """The notes on currencies that differ, and on percentages beside other numbers."""
    notes, read = [], np.isfinite(values)
    percent = _rows(column, lambda text: "%" in text) & read
    if percent.any() and not percent[read].all():
        first = int(percent.argmax())
        notes.append(f"column {column.name!r}: '%' stands behind some of the numbers, and is left "
                     f"out: {_text(column, first)!r} is {values[first]:.15g} "
                     f"({_cells(column, percent)})")  # fmt: skip
    signs = [sign for sign in CURRENCIES if any(sign in text for text in column.texts)]
    if len(signs) > 1:
        others = _rows(column, lambda text: any(sign in text for sign in signs[1:])) & read
        notes.append(f"column {column.name!r}: {' and '.join(signs)} are left out, so that all "
                     f"amounts count alike ({_cells(column, others)})")  # fmt: skip
    return notes


def _mark_notes(column: Column, form: NumberForm, values: NDArray[np.float64]) -> list[str]:
    """The note on commas that were taken for marks of thousands, or points, without proof."""
    other = NumberForm("," if form.decimal == "." else ".", form.unit)
    mark = other.decimal
    grouped = _rows(column, lambda text: mark in text)
    if not grouped.any() or np.isnan(values[grouped]).any():
        return []
    texts = [text for text in column.texts if mark in text or form.decimal in text]
    both = all(THOUSANDS[form.decimal].search(text) and text.count(mark) == 1
               and form.decimal not in text for text in texts)  # fmt: skip
    if not both:
        return []
    first = int(grouped.argmax())
    why = "as another column has decimal commas" if column.comma else "not for decimals"
    return [f"column {column.name!r}: {mark!r} taken for thousands, {why}: "
            f"{_text(column, first)!r} is {values[first]:.15g} "
            f"({_cells(column, grouped)})"]  # fmt: skip


def _rows(column: Column, test: Callable[[str], object]) -> NDArray[np.bool_]:
    """True at the cells whose text passes a test, (n,)."""
    assert column.levels is not None
    passed = np.array([*(bool(test(text)) for text in column.levels), False], bool)
    found: NDArray[np.bool_] = passed[column.values]
    return found


def _text(column: Column, row: int) -> str:
    return _level(column, column.values[row])


def _level(column: Column, code: int) -> str:
    assert column.levels is not None
    return clip(str(column.levels[code]))


def _cells(column: Column, rows: NDArray[np.bool_]) -> str:
    """'3 cells, the first "x" in row 7': the number of cells, their texts, and a row."""
    places = np.flatnonzero(rows)
    kinds = np.unique(column.values[places])
    first = _text(column, places[0])
    more = [text for k in kinds[: SHOWN + 1] if (text := _level(column, k)) != first][: SHOWN - 1]
    also = f", also {', '.join(map(repr, more))}" if more else ""
    dots = ", ..." if more and len(kinds) > 1 + len(more) else ""
    row = column.row(int(places[0])) + 1
    return f"{counted(column.tally(rows), 'cell')}, the first {first!r} in row {row}{also}{dots}"
