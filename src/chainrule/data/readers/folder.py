"""Tables from folders of pictures: a sub-folder for each class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from chainrule.data.column import Column
from chainrule.data.columns.picturefiles import is_picture
from chainrule.data.table import Table
from chainrule.display.format import counted, listed
from chainrule.errors import DataError

PICTURE, CLASS = "picture", "class"
"""The columns of a table of pictures."""
PARTS = frozenset((
    "train", "training", "test", "testing", "val", "valid", "validation", "eval", "dev", "holdout",
))  # fmt: skip
"""Names of folders that hold a part of the data, and are not classes."""
LITTER = frozenset(("thumbs.db", "desktop.ini", "__macosx"))
"""Files and folders that systems leave behind."""
TABLES = frozenset((".csv", ".tsv", ".parquet", ".json", ".jsonl", ".xlsx"))
"""Endings of files that may name pictures and their classes."""


def holds_pictures(folder: Path) -> bool:
    """Whether there is a picture in a folder or below it."""
    return any(map(is_picture, (name for _, _, names in _walk(folder) for name in names)))


def read_folder(folder: Path, source: str) -> Table:
    """Returns a table of the pictures in a folder: their files, and their classes.

    The class of a picture is the first folder on the way to it; one that is in no sub-folder has
    none. Hidden files and those with other endings are left out, which is noted.

    Raises:
        DataError: there are parts of the data in place of classes, or no pictures.
    """
    files, notes = _files(folder)
    tops = Counter(PurePosixPath(name).parts[0] for name in files if "/" in name)
    alone = len(tops) == 1 and len(files) == sum(tops.values())
    deep, inner = any(name.count("/") > 1 for name in files), folder / next(iter(tops), "")
    if alone and deep and not _names_a_part(tops):
        table = read_folder(inner, source)
        note = f"the classes are the folders in {inner.name!r}, the only one there"
        return Table(table, source=source, notes=(*table.notes, note))
    if deep and _names_a_part(tops):
        raise _parts(folder, sorted(tops))
    if not files:
        raise DataError(source, "holds no pictures", expected="files such as cats/1.jpg",
                        got="; ".join(notes) or "an empty folder")  # fmt: skip
    columns = [_texts(PICTURE, files, str(folder))]
    if tops:
        classes = [PurePosixPath(name).parts[0] if "/" in name else None for name in files]
        if len(tops) == 1 and (beside := _tables(folder)):
            notes.append(f"{listed(beside, 3)} may say more of the pictures than the one folder "
                         f"does: read {str(folder / beside[0])!r} then")  # fmt: skip
        columns.append(replace(_texts(CLASS, classes), classes=True))
        notes += _on_classes(folder, files, tops)
    return Table(columns, source=source, notes=notes)


def _tables(folder: Path) -> list[str]:
    """The tables that lie in a folder."""
    return sorted(x.name for x in folder.iterdir() if x.suffix.lower() in TABLES and x.is_file())


def one_picture(path: Path, source: str) -> Table:
    """Returns a table of one picture, without a class."""
    return Table([_texts(PICTURE, [path.name], str(path.parent))], source=source)


def _files(folder: Path) -> tuple[list[str], list[str]]:
    """The pictures in and below a folder, by names relative to it, and notes on all else."""
    found: list[str] = []
    hidden = 0
    others: list[str] = []
    unnamed: list[str] = []
    closed: list[str] = []
    walk = _walk(folder, onerror=lambda error: closed.append(str(error.filename)))
    for place, folders, names in walk:
        hidden += sum(map(_is_hidden, folders))
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in sorted(names):
            path = Path(place, name).relative_to(folder).as_posix()
            if _is_hidden(name):
                hidden += 1
            elif not is_picture(name):
                others.append(path)
            elif not _is_unicode(path):
                unnamed.append(ascii(path))
            else:
                found.append(path)
    notes = []
    if hidden:
        notes.append(f"{counted(hidden, 'hidden file')} left out")
    gone = [os.path.relpath(x, folder) for x in closed]
    notes += _left_out(
        others, "file", "whose ending is not that of a picture",
        "whose endings are not those of pictures",
    )  # fmt: skip
    notes += _left_out(unnamed, "file", "whose name is not Unicode", "whose names are not Unicode")
    notes += _left_out(gone, "folder", "that cannot be opened", "that cannot be opened")
    return found, notes


def _walk(
    folder: Path, onerror: Callable[[OSError], object] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` that follows links to folders, but none that leads back to where it comes from."""
    for place, folders, names in os.walk(folder, onerror=onerror, followlinks=True):
        yield place, folders, names
        folders[:] = [name for name in folders if not _leads_back(folder, Path(place, name))]


def _leads_back(top: Path, path: Path) -> bool:
    """Whether a folder is a link to one of those on the way to it, or to one above them."""
    if not path.is_symlink():
        return False
    way = [path.parent, *path.parent.parents]
    way = way[: way.index(top) + 1]
    return any(x.resolve().is_relative_to(path.resolve()) for x in way)


def _left_out(names: Sequence[str], noun: str, one: str, several: str) -> list[str]:
    """A note on what is left out and why, in words for one and for several; none of nothing."""
    if not names:
        return []
    shown, why = listed(list(map(repr, names)), 3), one if len(names) == 1 else several
    return [f"{counted(len(names), noun)} left out {why}: {shown}"]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _texts(name: str, texts: Sequence[str | None], folder: str = "") -> Column:
    """A column of texts, None for a gap."""
    levels = sorted({text for text in texts if text is not None})
    place = {text: code for code, text in enumerate(levels)}
    codes = np.array([-1 if text is None else place[text] for text in texts], np.int32)
    return Column(name, "text", codes, np.array(levels, object), folder=folder)


def _names_a_part(tops: Counter[str]) -> bool:
    return bool(tops) and {name.lower() for name in tops} <= PARTS


def _parts(folder: Path, names: Sequence[str]) -> DataError:
    """The error for a folder whose sub-folders hold parts of the data."""
    train = next((x for x in names if x.lower().startswith("train")), names[0])
    test = next((x for x in names if x.lower().startswith("test")), None)
    more = f", --test {folder / test}" if test is not None and test != train else ""
    return DataError(
        str(folder), "its folders are parts of the data, not classes", got=listed(names),
        expected="a folder for each class", fix=f"name the part: {folder / train}{more}",
    )  # fmt: skip


def _on_classes(folder: Path, files: Sequence[str], tops: Counter[str]) -> list[str]:
    """Notes on folders without pictures, pictures in no folder, and folders within folders."""
    notes = []
    there = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    empty = sorted(name for name in there if name not in tops and not _is_hidden(name))
    if empty:
        shown = listed(list(map(repr, empty)), 6)
        verb = "has" if len(empty) == 1 else "have"
        notes.append(f"{counted(len(empty), 'folder')} without pictures: {shown} {verb} no rows")
    if deep := sum(name.count("/") > 1 for name in files):
        notes.append(f"{counted(deep, 'picture')} in folders within folders: the first folder is "
                     "the class")  # fmt: skip
    return notes
