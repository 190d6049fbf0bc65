"""Atomic file writes: a file is replaced completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""Errors of a disk that takes no more."""
_SUFFIX = ".partial"
_WORK_FOLDER = re.compile(r"\..{1,40}-[0-9a-f]{8}-[0-9a-f]{8}\.partial", re.DOTALL)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path to write to; when the block ends, that file replaces `path`.

    The new file is written in a hidden folder beside `path`, synced to disk and renamed, so `path`
    is the old file or the new one at any time. An error leaves nothing behind. The folder of a
    killed process is no longer locked; `remove_leftovers`, which this calls first, removes it.
    A link is followed: the file it points to is replaced. The file keeps its permissions.

    Raises:
        OSError: the file cannot be written; that of a full disk names `path`.
    """
    target = Path(os.path.realpath(path))
    remove_leftovers(target)
    folder, lock = work_folder(target)
    try:
        new = folder / "new"
        yield new
        os.chmod(new, _mode(target, folder))
        with open(new, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(new, target)
        _sync_folder(target.parent)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def make_folder(folder: Path) -> None:
    """Makes a folder with its parents, which a loss of power does not take away.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def write_whole(path: str | os.PathLike[str], text: str) -> Path:
    """Writes text as UTF-8, atomically: a kill leaves the old file or the new one.

    Raises:
        OSError: the folder does not exist or cannot be written.
    """
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8", newline="")
    return Path(path)


def _prefix(target: Path) -> str:
    """The prefix of the hidden folders for `target`; short, as file names have a limit."""
    name = os.fsencode(target.name)
    return f".{target.name[:40]}-{zlib.crc32(name):08x}-"


def work_folder(target: Path) -> tuple[Path, int | None]:
    """Creates a hidden folder beside `target`; returns it and the descriptor that locks it.

    `remove_leftovers(target)` removes those of killed processes.
    """
    while True:
        folder = target.parent / (_prefix(target) + secrets.token_hex(4) + _SUFFIX)
        try:
            folder.mkdir()
        except OSError as error:  # of the file that was asked for, not of the hidden folder
            raise OSError(error.errno, error.strerror, str(target)) from None
        lock = _locked(folder, wait=True)
        if os.path.exists(folder):  # not removed between mkdir and lock
            return folder, lock
        if lock is not None:
            os.close(lock)


def _locked(folder: Path, *, wait: bool = False) -> int | None:
    """A descriptor that locks the folder; None if it is locked already, or cannot be locked."""
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Removes from the folder of `path` what writers left that were killed.

    The folder of a writer that is at work is locked, and stays.
    """
    folder = Path(os.path.realpath(path)).parent
    try:
        names = [name for name in os.listdir(folder) if _WORK_FOLDER.fullmatch(name)]
    except OSError:  # unreadable; the read or write itself reports any error
        return
    for name in names:
        lock = _locked(folder / name)
        if lock is not None:
            shutil.rmtree(folder / name, ignore_errors=True)
            os.close(lock)


def _mode(target: Path, folder: Path) -> int:
    """The permissions of the old file; for a new file, the system's defaults."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(os.stat(target).st_mode)
    return stat.S_IMODE(os.stat(folder).st_mode) & 0o666


def _sync_folder(folder: Path) -> None:
    """Syncs the rename to disk, where the system supports it."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
