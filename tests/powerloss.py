"""Records what is written below a folder, and makes of it what a loss of power may leave.

What a disk keeps is what POSIX promises: the content of a file as of its last fsync, and the
entries of a folder as of its own. All else may be there or not: of the content written since, any
part from its beginning; of the entries changed since, any of them.
"""

from __future__ import annotations

import builtins
import os
import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Inode:
    """A file or folder: what is on the disk for certain, and what came since.

    Attributes:
        synced: of a file, its content; of a folder, its entries.
        content: of a file, as a program reads it.
        changes: of a folder, in order: a name with its inode, or None where it is removed.
    """

    folder: bool
    synced: Any
    content: bytes = b""
    changes: list[tuple[str, Inode | None]] = field(default_factory=list)

    def entries(self) -> dict[str, Inode]:
        """The entries of a folder as a program sees them."""
        return _changed(dict(self.synced), self.changes)


def _changed(entries: dict[str, Inode], changes: list[tuple[str, Inode | None]]) -> dict[str, Any]:
    for name, inode in changes:
        if inode is None:
            entries.pop(name, None)
        else:
            entries[name] = inode
    return entries


class Disk:
    """The operations on files below a folder, which is there when the recording begins.

    Attributes:
        at_each: called after each operation; it may call `after_power_loss`.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._lock = root, threading.RLock()
        self.tree = Inode(True, {})
        self.operations: list[str] = []
        self.at_each: Any = lambda: None

    # ------------------------------------------------------------ recording

    def inode(self, path: Any) -> Inode | None:
        """What is at a path, below the root; None where that is elsewhere, or is nothing."""
        place = self._place(path)
        found: Inode | None = self.tree
        for part in () if place is None else place.parts:
            found = found.entries().get(part) if found is not None and found.folder else None
        return None if place is None else found

    def _place(self, path: Any) -> Path | None:
        whole = Path(os.path.realpath(os.path.dirname(os.path.abspath(path))), Path(path).name)
        return whole.relative_to(self._root) if whole.is_relative_to(self._root) else None

    def change(self, what: str, path: Any, inode: Inode | None) -> None:
        """Set, or remove, an entry of the folder that a path is in."""
        place = self._place(path)
        if place is None or not place.parts:
            return
        with self._lock:
            parent = self.inode(self._root / place.parent)
            assert parent is not None, path
            parent.changes.append((place.name, inode))
            self.told(f"{what} {place}")

    def told(self, operation: str) -> None:
        """Note an operation that is done."""
        self.operations.append(operation)
        self.at_each()

    def sync(self, inode: Inode) -> None:
        """Bring a file, or a folder's entries, to the disk."""
        with self._lock:
            if inode.folder:
                inode.synced, inode.changes = inode.entries(), []
            else:
                inode.synced = inode.content
            self.told("fsync")

    # ------------------------------------------------------------ what is left

    def after_power_loss(self, to: Path, chance: random.Random) -> Path:
        """Write what a loss of power now may leave, to a new folder."""
        with self._lock:
            _write(self.tree, to, chance)
        return to


def _write(inode: Inode, to: Path, chance: random.Random) -> None:
    if not inode.folder:
        new = inode.content
        lost = chance.random() < 0.7 and new != inode.synced
        to.write_bytes((inode.synced or new[: chance.randrange(len(new) + 1)]) if lost else new)
        return
    to.mkdir()
    kept = [x for x in inode.changes if chance.random() < 0.5]
    for name, entry in _changed(dict(inode.synced), kept).items():
        _write(entry, to / name, chance)


class _Written:
    """A file that is written, with its content noted."""

    def __init__(self, file: Any, disk: Disk, inode: Inode) -> None:
        self._file, self._disk, self._inode = file, disk, inode

    def write(self, data: Any) -> int:
        raw = data.encode() if isinstance(data, str) else bytes(data)
        self._inode.content += raw
        self._disk.told(f"write {len(raw)}")
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Written:
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.__exit__(*error)


@contextmanager
def recorded(disk: Disk) -> Iterator[Disk]:
    """Records what this process does to files below the disk's folder."""
    with pytest.MonkeyPatch.context() as patch:
        _patch_files(disk, patch)
        _patch_folders(disk, patch)
        yield disk


def _patch_files(disk: Disk, patch: pytest.MonkeyPatch) -> None:
    opened: dict[int, Inode] = {}
    real_open, real_os_open, real_sync = builtins.open, os.open, os.fsync

    def new_open(file: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
        found = real_open(file, mode, *more, **named)
        if isinstance(file, int) or disk._place(file) is None:
            return found
        if "w" in mode:
            inode = disk.inode(file)
            if inode is None:
                inode = Inode(False, b"")
                disk.change("create", file, inode)
            inode.content = b""
            opened[found.fileno()] = inode
            return _Written(found, disk, inode)
        inode = disk.inode(file)
        if inode is not None:
            opened[found.fileno()] = inode
        return found

    def new_os_open(path: Any, flags: int, *more: Any, **named: Any) -> int:
        found = real_os_open(path, flags, *more, **named)
        if (inode := disk.inode(path)) is not None:
            opened[found] = inode
        elif flags & os.O_CREAT:
            disk.change("create", path, Inode(False, b""))
        return found

    def new_sync(file: int) -> None:
        real_sync(file)
        disk.sync(opened[file])

    patch.setattr(builtins, "open", new_open)
    patch.setattr(os, "open", new_os_open)
    patch.setattr(os, "fsync", new_sync)


def _patch_folders(disk: Disk, patch: pytest.MonkeyPatch) -> None:
    real_mkdir, real_replace, real_unlink = os.mkdir, os.replace, os.unlink
    real_tree, real_write = shutil.rmtree, Path.write_text

    def new_mkdir(path: Any, *more: Any, **named: Any) -> None:
        real_mkdir(path, *more, **named)
        disk.change("mkdir", path, Inode(True, {}))

    def new_replace(old: Any, new: Any, **named: Any) -> None:
        real_replace(old, new, **named)
        inode = disk.inode(old)
        disk.change("rename to", new, inode)
        disk.change("rename from", old, None)

    def new_unlink(path: Any, **named: Any) -> None:
        real_unlink(path, **named)
        if "dir_fd" not in named or named["dir_fd"] is None:
            disk.change("unlink", path, None)

    def new_tree(path: Any, *more: Any, **named: Any) -> None:
        real_tree(path, *more, **named)
        disk.change("rmtree", path, None)

    def new_text(path: Path, text: str, encoding: Any = None, *more: Any, **named: Any) -> int:
        with open(path, "w", encoding=encoding) as file:
            return int(file.write(text))

    assert real_write is not None
    patch.setattr(os, "mkdir", new_mkdir)
    patch.setattr(os, "replace", new_replace)
    patch.setattr(os, "unlink", new_unlink)
    patch.setattr(shutil, "rmtree", new_tree)
    patch.setattr(Path, "write_text", new_text)
