"""Finds the columns of a table's file that name pictures, and the folder that these lie in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from chainrule.data.column import Column
from chainrule.data.columns.picturefiles import SUFFIXES, is_picture
from chainrule.data.table import Table

FEW = 20
"""Texts of a column of which one may be the name of a picture."""
MOST_FOLDERS = 20
"""Folders beside a table in which the pictures that it names are looked for."""
TRIED = 50
"""Cells of a column of ids that are looked for as files; nine tenths of them are to be there."""
LONGEST = 200
"""Characters of a name of a file."""


def with_files(table: Table, path: Path) -> Table:
    """The table of a file, whose names of pictures are relative to the folder of that file.

    A column of ids, such as `id` in `labels.csv`, names pictures where files of these names with
    an ending lie beside the table, or in one of the folders there; that is noted.
    """
    named = {
        x.name: x for x in table if x.storage == "text" and any(map(is_picture, x.texts[:FEW]))
    }
    if named:
        found = {name: replace(x, folder=str(path.parent)) for name, x in named.items()}
        notes = table.notes
    elif (column := _of_ids(table, path)) is not None:
        found = {column.name: column}
        place = os.path.relpath(column.folder, path.parent)
        example = Path(place, f"{column.texts[0]}{column.ending}").as_posix()
        notes = (*table.notes, f"column {column.name!r} names pictures, such as {example!r}")
    else:
        return table
    return table.replaced([found.get(x.name, x) for x in table], notes, table.gaps)


def _of_ids(table: Table, path: Path) -> Column | None:
    """The first column of ids as texts, with folder and ending of its files, if there is one."""
    folders = _folders(path)
    for column in table:
        cells = _ids(column)
        for folder, ending in _places(cells[0], folders) if cells else ():
            there = sum((folder / (cell + ending)).is_file() for cell in cells)
            if there >= 0.9 * len(cells):
                return replace(_as_texts(column), folder=str(folder), ending=ending)
    return None


def _ids(column: Column) -> list[str]:
    """Some cells of a column that may be names, nearly all different; none of another column."""
    if column.storage not in ("text", "integer") or not len(column):
        return []
    rows = np.linspace(0, len(column) - 1, min(TRIED, len(column))).astype(int)
    cells = [cell for cell in column.take(rows).cells() if cell]
    names = all(len(cell) <= LONGEST and "\0" not in cell for cell in cells)
    return cells if names and len(set(cells)) >= 0.9 * len(rows) else []


def _folders(path: Path) -> list[Path]:
    """The folder of a table and those in it: first the ones that are called as the table."""
    own, beside = path.parent, []
    with suppress(OSError):  # a folder may be closed whose files can be read
        beside = [x.name for x in os.scandir(own) if x.is_dir() and not x.name.startswith(".")]
    beside.sort(key=lambda name: (not name.startswith(path.stem), name))
    return [own, *(own / name for name in beside[:MOST_FOLDERS])]


def _places(cell: str, folders: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """The folders with a picture of that name, and its ending."""
    endings = [x for ending in sorted(SUFFIXES) for x in (ending, ending.upper())]
    for folder in folders:
        for ending in endings:
            if (folder / (cell + ending)).is_file():
                yield folder, ending


def _as_texts(column: Column) -> Column:
    """Ids as texts, written as in their source."""
    if column.storage == "text":
        return column
    cells = column.cells()
    levels = sorted({cell for cell in cells if cell is not None})
    place = {text: code for code, text in enumerate(levels)}
    codes = np.array([-1 if cell is None else place[cell] for cell in cells], np.int32)
    return Column(column.name, "text", codes, np.array(levels, object))
