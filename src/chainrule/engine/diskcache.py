"""Machine code in a folder: each file is found by all that it was made from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from chainrule.version import __version__

FILES = 200
"""The most files that are kept; the least recently used go first."""

DAY = 86_400
"""Seconds after which a file that was never finished is removed."""

_DIGEST = 32


def cached(folder: Path | None, text: str, target: str, make: Callable[[], bytes]) -> bytes:
    """The result of `make` for a text and a target, from the folder if it is there.

    A file that is cut off or changed is made anew. Processes may share a folder. A folder that
    cannot be read or written, or that others may write to, is the same as none.
    """
    if folder is None or not _own(folder):
        return make()
    path = folder / f"{_key(text, target)}.o"
    with contextlib.suppress(OSError):
        held = path.read_bytes()
        if hashlib.sha256(held[_DIGEST:]).digest() == held[:_DIGEST]:
            os.utime(path)
            return held[_DIGEST:]
    made = make()
    with contextlib.suppress(OSError):
        _keep(path, hashlib.sha256(made).digest() + made)
    return made


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
    broken = [x for x in path.parent.glob("*.partial") if _age(x) < time.time() - DAY]
    for file in (*old[FILES:], *broken):
        file.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """When the file was last used; one that another process has just removed is the oldest."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
