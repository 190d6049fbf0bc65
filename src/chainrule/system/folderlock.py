"""A lock on a folder that says whose it is, and outlives nothing: the system frees it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

if sys.platform != "win32":
    import fcntl

NAME = "lock"
"""The file in the folder that is locked, and has the owner."""

PATIENCE = 5.0
"""Seconds to wait for a lock whose owner has ended: processes that it forked are ending too."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lock."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class Held(OSError):
    """The lock is held.

    Attributes:
        owner: who holds it; None where the file does not say so yet.
    """

    def __init__(self, owner: Owner | None) -> None:
        super().__init__("the folder is in use")
        self.owner = owner


class FolderLock:
    """The lock of a folder; a context manager that frees it.

    The system frees it too when the process ends, however it ends. Where a file system has no
    locks, as on Windows, nothing is locked. Processes that are forked meanwhile have it too.

    Args:
        folder: which exists.

    Attributes:
        left: the owner that ended without freeing it; None where there is none.

    Raises:
        Held: another process, or another part of this one, has it.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o666)
        self.left: Owner | None = None
        until = time.monotonic() + PATIENCE
        while not _locked(self._file):
            owner = _read(self._file)
            if owner is None or not _ended(owner) or time.monotonic() > until:
                os.close(self._file)
                raise Held(owner)
            time.sleep(0.02)
        self.left = _read(self._file)
        self._write(Owner(os.getpid(), socket.gethostname(), _now()))

    def _write(self, owner: Owner | None) -> None:
        """Write who holds it; a full disk does not matter."""
        text = b"" if owner is None else json.dumps(asdict(owner)).encode()
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write(None)
        os.close(self._file)


def _locked(file: int) -> bool:
    """Lock a file; returns whether no other has it."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # this file system has no locks
            return True
    return True


def _ended(owner: Owner) -> bool:
    """Whether the process is known to have ended."""
    if owner.host != socket.gethostname() or owner.pid == os.getpid():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _read(file: int) -> Owner | None:
    try:
        os.lseek(file, 0, os.SEEK_SET)
        found = json.loads(os.read(file, 4096))
        return Owner(int(found["pid"]), str(found["host"]), str(found["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
