"""Machine code in a folder: each file is found by all that it was made from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from chainrule.version import __version__

if sys.platform != "win32":
    import fcntl

FILES = 200
"""The most files that are kept; the least recently used go first."""

DAY = 86_400
"""Seconds after which what a process that died has left is removed."""

_DIGEST = 32


def cached(folder: Path | None, text: str, target: str, make: Callable[[], bytes]) -> bytes:
    """The result of `make` for a text and a target, from the folder if it is there.

    A file that is cut off or changed is made anew. Processes may share a folder: one of them makes
    a file, and the others wait for it. A folder that cannot be read or written, or that others may
    write to, is the same as none.
    """
    if folder is None or not _own(folder):
        return make()
    path = folder / f"{_key(text, target)}.o"
    if (held := _held(path)) is not None:
        return held
    with _alone(path):
        if (held := _held(path)) is not None:  # another process has made it meanwhile
            return held
        made = make()
        with contextlib.suppress(OSError):
            _keep(path, hashlib.sha256(made).digest() + made)
        return made


def _held(path: Path) -> bytes | None:
    """The content of a file; None where there is none, or it is damaged."""
    with contextlib.suppress(OSError):
        held = path.read_bytes()
        if hashlib.sha256(held[_DIGEST:]).digest() == held[:_DIGEST]:
            os.utime(path)
            return held[_DIGEST:]
    return None


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds other processes off that make the same file, where the system has locks."""
    lock, own = path.with_suffix(".lock"), None
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            own = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(own, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if own is not None:
            with contextlib.suppress(OSError):
                lock.unlink()
            os.close(own)


def _own(folder: Path) -> bool:
    """Whether no other user could have put code there for us to run; a new folder is ours."""
    if not hasattr(os, "getuid"):
        return True
    try:
        found = folder.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return found.st_uid == os.getuid() and not found.st_mode & 0o002


def _key(text: str, target: str) -> str:
    """The digest of all that a file depends on."""
    return hashlib.sha256("\0".join((text, target, __version__)).encode()).hexdigest()


def _keep(path: Path, held: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        new.write_bytes(held)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
    old = sorted(path.parent.glob("*.o"), key=_age, reverse=True)
    left = (*path.parent.glob("*.partial"), *path.parent.glob("*.lock"))
    broken = [x for x in left if _age(x) < time.time() - DAY]
    for file in (*old[FILES:], *broken):
        file.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """When the file was last used; one that another process has just removed is the oldest."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


@cache
def sources() -> str:
    """A digest of the dates of Chainrule's files: it differs between builds of one version."""
    folders, files = [os.path.dirname(os.path.dirname(__file__))], []
    for folder in folders:  # which grows
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                elif entry.name.endswith(".py"):
                    status = entry.stat()
                    files.append((entry.path, status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(sorted(files)).encode()).hexdigest()
