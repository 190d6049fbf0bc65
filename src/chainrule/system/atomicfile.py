"""Writes a file whole or not at all, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_SUFFIX = ".partial"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a path to write to; when the block ends, that file takes the place of `path`.

    The new file is made in a hidden folder beside `path`, brought to the disk and renamed, so
    that at any time `path` is the old file or the new one. An error leaves nothing behind. What a
    killed process has left is not locked, and removed by the next call for the same `path`.
    A link is followed: the file it points to is replaced. The file keeps its permissions.

    Raises:
        OSError: the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    _remove_leftovers(target)
    folder, lock = _work_folder(target)
    try:
        new = folder / "new"
        yield new
        os.chmod(new, _mode(target, folder))
        with open(new, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(new, target)
        _sync_folder(target.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def write_whole(path: str | os.PathLike[str], text: str) -> Path:
    """Write text as UTF-8; a kill leaves the old file or the new one.

    Raises:
        OSError: the folder does not exist or cannot be written.
    """
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8", newline="")
    return Path(path)


def _prefix(target: Path) -> str:
    """How the hidden folders for `target` begin; short, for names have a greatest length."""
    name = os.fsencode(target.name)
    return f".{target.name[:40]}-{zlib.crc32(name):08x}-"


def _work_folder(target: Path) -> tuple[Path, int | None]:
    """A new hidden folder beside `target`, and the file descriptor that holds its lock."""
    while True:
        folder = target.parent / (_prefix(target) + secrets.token_hex(4) + _SUFFIX)
        folder.mkdir()
        lock = _locked(folder)
        if lock is None or os.path.exists(folder):  # not removed between mkdir and lock
            return folder, lock
        os.close(lock)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None where another has it, or none exist."""
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_leftovers(target: Path) -> None:
    """Remove the hidden folders for `target` whose processes are gone."""
    prefix = _prefix(target)
    try:
        names = os.listdir(target.parent)
    except OSError:  # unreadable; whether it can be written will show
        return
    for name in names:
        if name.startswith(prefix) and name.endswith(_SUFFIX):
            lock = _locked(target.parent / name)
            if lock is not None:
                shutil.rmtree(target.parent / name, ignore_errors=True)
                os.close(lock)


def _mode(target: Path, folder: Path) -> int:
    """The permissions of the old file; for a new one, those that the system gives."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(os.stat(target).st_mode)
    return stat.S_IMODE(os.stat(folder).st_mode) & 0o666


def _sync_folder(folder: Path) -> None:
    """Bring the rename to the disk, where the system can."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
