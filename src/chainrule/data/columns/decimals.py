"""The decimal mark of a table: one column that has decimal commas decides for the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from chainrule.data.column import Column
from chainrule.data.columns.cells import THOUSANDS, parse_numbers
from chainrule.data.columns.gaps import gap_among_numbers
from chainrule.data.table import Table
from chainrule.data.written import GENERAL, Written
from chainrule.display.format import counted

SAMPLE = 200
PLAIN_INTEGER = re.compile(r"[+-]?\d+")


def with_one_decimal_mark(table: Table) -> Table:
    """The table in which 1.163 is 1163 where another column has decimal commas.

    It concerns texts, and numbers of a file without types whose points are all followed by three
    digits; these are noted.
    """
    columns, notes = one_decimal_mark(list(table))
    if columns == list(table):
        return table
    return table.replaced(columns, [*table.notes, *notes], table.gaps)


def one_decimal_mark(given: Sequence[Column]) -> tuple[list[Column], list[str]]:
    """The same of the columns of a table, and the notes."""
    by = next((column for column in given if _has_commas(column)), None)
    if by is None:
        return list(given), []
    columns, notes = list[Column](), list[str]()
    for column in given:
        if column.storage == "text":
            columns.append(replace(column, comma=True))
        elif _grouped(column):
            columns.append(_by_comma(column))
            notes.append(_note(columns[-1], by))
        else:
            columns.append(column)
    return columns, notes


def _has_commas(column: Column) -> bool:
    """Whether texts are numbers with decimal commas, and at least one can be nothing else."""
    if column.storage != "text" or not column.distinct:
        return False
    assert column.levels is not None
    levels = column.levels[:: max(1, len(column.levels) // SAMPLE)]
    texts = [text for text in levels if not gap_among_numbers(text)]
    if not any("," in text for text in texts):
        return False
    commas = np.isfinite(parse_numbers(texts, ","))
    points = np.isfinite(parse_numbers(texts, "."))
    return bool(commas.mean() >= 0.9 and (commas & ~points).any())


def _grouped(column: Column) -> bool:
    """Whether the texts of numbers may all be written with a point before each three digits."""
    written = column.written
    if column.storage != "number" or written is None or written.decimal == ",":
        return False
    head = _not_integers(column.take(np.arange(min(len(column), SAMPLE))))
    if not all(map(THOUSANDS[","].fullmatch, head)):
        return False
    texts = _not_integers(column)
    return bool(texts) and all(map(THOUSANDS[","].fullmatch, texts))


def _not_integers(column: Column) -> list[str]:
    return [text for text in column.labels()[1] if not PLAIN_INTEGER.fullmatch(text)]


def _by_comma(column: Column) -> Column:
    """The numbers of a column, with points for thousands; its gaps stay gaps."""
    codes, labels = column.labels(known=column.gap_texts)
    numbers = np.append(parse_numbers(labels, ","), np.nan)[codes]
    values = np.where(column.missing, np.nan, numbers)
    written = Written(GENERAL, codes, np.array(labels, object), ",")
    return Column(column.name, "number", values, written=written, condensed=column.condensed)


def _note(column: Column, by: Column) -> str:
    written = column.written
    assert written is not None
    assert written.codes is not None
    rows = written.rows({text for text in written.stripped if "." in text}) & ~column.missing
    first = int(rows.argmax())
    text = written.texts[written.codes[first]]
    return (f"column {column.name!r}: '.' taken for thousands, as column {by.name!r} has decimal "
            f"commas: {text!r} is {column.values[first]:.15g} "
            f"({counted(column.tally(rows), 'cell')}, the first in row {column.row(first) + 1})"
            )  # fmt: skip
