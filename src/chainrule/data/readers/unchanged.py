"""Notices files that change, or go, while they are read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from chainrule.errors import DataError


@contextlib.contextmanager
def unchanged(path: Path | None, name: str) -> Iterator[None]:
    """Raises DataError where a file becomes another, or goes, while the block reads it.

    path: None: of a query, whose files are not known.
    """
    if path is None:
        yield
        return
    before = _state(path)
    try:
        yield
    except (DataError, OSError):
        _compare_states(path, name, before)
        raise
    _compare_states(path, name, before)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _compare_states(path: Path, name: str, before: tuple[int, int, int] | None) -> None:
    after = _state(path)
    if after == before:
        return
    what = "changed" if after is not None and before is not None else "disappeared"
    sizes = [f"{x[0]:,} bytes" if x else "no file" for x in (before, after)]
    if sizes[0] == sizes[1]:
        sizes[1] += ", written again"
    raise DataError(
        name, f"{what} while it was read", expected=sizes[0], got=sizes[1],
        at=str(path), fix="start again when it is complete",
    )  # fmt: skip
