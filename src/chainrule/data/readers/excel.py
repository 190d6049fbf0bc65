"""Tables from spreadsheets: one sheet, whose cells keep their types."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from chainrule.data.columns.texts import Notes
from chainrule.data.readers.header import (
    begins_table,
    is_remark,
    padded_titles,
    read_header,
)
from chainrule.data.readers.memory import from_mapping
from chainrule.data.table import Table
from chainrule.data.written import label_of
from chainrule.display.format import clip, counted, listed
from chainrule.errors import DataError, MissingExtra, did_you_mean

KNOWN = 200  # rows that tell which columns hold numbers
MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""The first bytes of .xlsx, .xlsb and .ods, and of .xls."""


def read_workbook(path: Path, source: str, *, header: bool | None, sheet: str | None) -> Table:
    """The table of a sheet; None: of the first, and a note names the others.

    Raises DataError for a file or sheet that cannot be read, MissingExtra without the library.
    """
    notes = Notes()
    rows = _rows(path, source, sheet, notes)
    texts = [[label_of(cell).strip() for cell in row] for row in rows]
    first = padded_titles(texts)
    while first < len(texts) and not any(texts[first]):
        first += 1
    if first:
        notes.add(f"{counted(first, 'row')} above the header skipped")
    rows, texts = rows[first:], texts[first:]
    _cut_end(rows, texts, notes)
    if not texts:
        raise DataError(source, "the sheet holds no rows", fix="name another: sheet='...'")
    names, has_header, below = read_header(texts[:200], header, source, notes)
    top = 1 + below if has_header else 0
    _refuse_second(texts, top, first, source)
    body = _held(rows[top:], texts[top:], notes)
    columns = {name: _values([row[k] for row in body]) for k, name in enumerate(names)}
    table = from_mapping(columns)
    if not len(table):
        raise DataError(source, "has no rows", got=f"columns {listed(names)}")
    return Table(table, source=source, notes=[*notes.lines(), *table.notes])


def _cut_end(rows: list[list[Any]], texts: list[list[str]], notes: Notes) -> None:
    """Takes empty rows and remarks from the end; a remark is one cell below full rows."""
    remarks = []
    while texts and (not any(texts[-1]) or _is_last_remark(texts)):
        if any(texts[-1]):
            remarks.append(texts[-1][0])
        del rows[-1], texts[-1]
    if remarks:
        notes.add(f"{counted(len(remarks), 'row')} below the table left out: "
                  f"{clip(remarks[-1], 60)!r}")  # fmt: skip


def _is_last_remark(texts: Sequence[Sequence[str]]) -> bool:
    """Whether the last row has one cell alone, a remark, where rows have several."""
    last = texts[-1]
    apart = len(texts) > 1 and not any(texts[-2])
    wide = len(last) > 2 or (len(last) == 2 and apart)
    return wide and bool(last[0]) and not any(last[1:]) and is_remark(last[0])


def _refuse_second(texts: Sequence[Sequence[str]], top: int, first: int, source: str) -> None:
    """Raises DataError if another table begins below an empty row.

    top: the row of the sheet's table at which its cells begin; first: the rows above the table.
    """
    for k in range(top + 1, len(texts)):
        if any(texts[k]) and not any(texts[k - 1]) and texts[k] != texts[0]:
            above = [row for row in texts[top:k][:KNOWN] if any(row)]
            if begins_table(above, texts[k : k + 2]):
                raise DataError(
                    source, "a second table stands below the first",
                    expected="numbers in the columns that hold numbers above the empty row",
                    got=f"words: {clip(', '.join(filter(None, texts[k])), 60)}",
                    at=f"{source}, row {first + k + 1}",
                    fix="move it to a sheet of its own, or delete that row if it is a remark",
                )  # fmt: skip


def _held(
    rows: Sequence[list[Any]], texts: Sequence[Sequence[str]], notes: Notes
) -> list[list[Any]]:
    """The rows of several cells that are not empty."""
    held = [row for row, cells in zip(rows, texts, strict=True) if any(cells) or len(cells) == 1]
    if len(held) < len(rows):
        notes.add(f"{counted(len(rows) - len(held), 'empty row')} between the rows left out")
    return held


def _rows(path: Path, source: str, sheet: str | None, notes: Notes) -> list[list[Any]]:
    """The cells of the sheet, an empty one ""."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415  (optional)
    except ImportError:
        raise MissingExtra(
            source, "spreadsheets are read by python-calamine, which is not installed",
            fix="pip install 'chainrule[excel]', or save the sheet as CSV",
        ) from None  # fmt: skip
    try:
        with CalamineWorkbook.from_path(path) as book:
            names = book.sheet_names
            if sheet is not None and sheet not in names:
                raise DataError(source, f"has no sheet {sheet!r}", got=listed(names),
                                fix=did_you_mean(sheet, names))  # fmt: skip
            chosen = sheet if sheet is not None else names[0]
            if sheet is None and len(names) > 1:
                others = ", ".join(map(repr, names[1:9]))
                notes.add(f"sheet {chosen!r} is read, the first of {len(names)}; "
                          f"others: {others}: sheet={names[1]!r}")  # fmt: skip
            return book.get_sheet_by_name(chosen).to_python()
    except (CalamineError, OSError, IndexError) as error:
        raise DataError(
            source, "cannot be read as a spreadsheet", got=str(error)[:200],
            fix="open it and save it again, or save the sheet as CSV",
        ) from None  # fmt: skip


def _values(cells: Sequence[Any]) -> list[Any]:
    """The cells of a column with None for gaps; integers where all numbers are."""
    held = [None if isinstance(cell, str) and not cell.strip() else cell for cell in cells]
    held = [_since_midnight(cell) if isinstance(cell, time) else cell for cell in held]
    numbers = [cell for cell in held if isinstance(cell, float)]
    if numbers and all(cell.is_integer() for cell in numbers):
        held = [int(cell) if isinstance(cell, float) else cell for cell in held]
    return held


def _since_midnight(cell: time) -> timedelta:
    return datetime.combine(datetime.min, cell) - datetime.min
