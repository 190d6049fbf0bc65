"""The files of a source: one, those that a pattern or a list names, or those of a folder."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chainrule.data.columns.picturefiles import is_picture
from chainrule.data.readers.folder import holds_pictures
from chainrule.display.format import listed
from chainrule.errors import DataError

PATTERN = frozenset("*?[")


def several(source: Any) -> list[Path] | None:
    """The files of a pattern, a folder of tables or a list of paths, sorted; None: it is neither.

    Raises DataError where no file is found, or where a folder has files of several kinds.
    """
    if isinstance(source, (list, tuple)):
        if not source or not all(isinstance(x, (str, os.PathLike)) for x in source):
            return None
        paths = [Path(x).expanduser() for x in source]
        named = all(x.suffix and not is_picture(x.name) for x in paths)
        return _all_there(paths) if named else None
    if not isinstance(source, (str, os.PathLike)):
        return None
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            return None if holds_pictures(path) else _of_folder(path)
        if path.exists() or PATTERN.isdisjoint(str(source)):
            return None
    except OSError:  # too long for a name, or a loop of links: told where it is read
        return None
    found = sorted(Path(x) for x in glob.glob(str(path), recursive=True) if os.path.isfile(x))
    if not found:
        raise DataError("read", "no file matches the pattern", got=str(source),
                        fix=_nearby(path))  # fmt: skip
    return [x for x in found if not _is_empty_mark(x)]


def _is_empty_mark(path: Path) -> bool:
    """Whether a file is one by which writers of folders say that they are done: _SUCCESS."""
    return path.name.startswith("_") and path.stat().st_size == 0


def _nearby(pattern: Path) -> str:
    """The files that are there in place of those of a pattern."""
    folder = pattern.parent
    while not PATTERN.isdisjoint(str(folder)):
        folder = folder.parent
    if not folder.is_dir():
        return f"there is no folder {str(folder)!r}"
    names = sorted(x.name for x in folder.iterdir())
    return f"in {str(folder)!r} there is " + (listed(names, 6) or "nothing")


def _all_there(paths: list[Path]) -> list[Path]:
    for path in paths:
        if not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "there is no such file"
            raise DataError("read", what, got=str(path))
    return paths


def _of_folder(folder: Path) -> list[Path]:
    """The files in and below a folder but hidden ones. Raises DataError for several kinds."""
    found = sorted(
        path for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith((".", "_"))
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )  # fmt: skip
    if not found:
        raise DataError(str(folder), "is a folder without files", got="an empty folder",
                        fix="name a file")  # fmt: skip
    kinds = {_ending(path) for path in found}
    if len(kinds) > 1:
        ending = min(kinds, key=lambda x: -sum(_ending(path) == x for path in found))
        names = [str(path.relative_to(folder)) for path in found]
        raise DataError(
            str(folder), "is a folder with files of several kinds", got=listed(names, 8),
            fix=f"name those to read: '{folder}/*{ending}'",
        )  # fmt: skip
    return found


def _ending(path: Path) -> str:
    return path.name.removesuffix(".gz").removeprefix(path.name.split(".")[0])[-12:].lower()


def name_of(files: Sequence[Path]) -> str:
    """A name for the table in several files."""
    folder = os.path.commonpath([str(path.parent) for path in files])
    return f"{len(files):,} files in {folder or '.'!r}"
