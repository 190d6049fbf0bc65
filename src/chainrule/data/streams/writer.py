"""Writes the store of a stream: one file of rows for each array, and an index, or nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase, BufferedWriter, FileIO
from math import prod
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from chainrule.data.streams.fields import (
    NONE,
    Array,
    Extremes,
    Field,
    FileRows,
    extremes_of,
)
from chainrule.data.streams.stream import Digests, Stream
from chainrule.display.tables import bytes_text
from chainrule.errors import DataError, SettingError
from chainrule.system.atomicfile import remove_leftovers, work_folder
from chainrule.system.cachedir import cache_folder

FORMAT = 1
"""The version of the format."""
INDEX = "stream.json"
"""The file of the index."""
RESERVE = 1 << 28
"""Bytes of the disk that are left free."""


class _Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One array in the index: its file, and the least and largest number in it."""

    name: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    least: float | int | bool | None
    most: float | int | bool | None
    rows: tuple[int, int]


class _Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a store has besides its rows."""

    format: int
    rows: int
    columns: tuple[_Column, ...]
    source: str
    fingerprint: str
    digest: str
    facts: dict[str, Any]
    notes: tuple[str, ...]


@dataclass
class _Written:
    """An array that is being written.

    Attributes:
        name, dtype, shape: of its input, its elements, a row.
        path: the name of its file.
        file: of its rows.
        extremes: of the rows so far.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    path: str
    file: BufferedIOBase
    extremes: Extremes = NONE

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * prod(self.shape)

    def add(self, rows: Array, first: int) -> None:
        if rows.nbytes:
            self.file.write(rows.data.cast("B"))
        self.extremes = self.extremes.joined(extremes_of(rows, first))

    def indexed(self) -> _Column:
        found = self.extremes
        return _Column(
            self.name, self.path, self.dtype.str, self.shape,
            _plain(found.least), _plain(found.most), found.rows,
        )  # fmt: skip


class StoreWriter:
    """Writes arrays block by block; a context manager that leaves a complete store, or nothing.

    Args:
        folder: of the store, replaced when it is complete. None: a private one in the folder for
            caches, whose files have no name once they are written: nothing is left of them when
            the stream is closed, or the process ends in any way.
        source: where the data is from, in words.
        fingerprint: of the sources; a later call reads a store whose fingerprint is the same.
        facts: plain values to keep with it.
        rows: their number, if it is known: the free disk is checked before the first block.
        notes: what is to be told of the data.

    Attributes:
        facts, notes: as given; they may be changed until `finish`.
        rows: written so far.

    Raises:
        SettingError: the folder has other files.
        DataError: blocks that differ, or that do not fit the disk.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        source: str = "",
        fingerprint: str = "",
        facts: Mapping[str, Any] | None = None,
        rows: int | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._target, self._source, self._fingerprint = folder, source, fingerprint
        self.facts, self._expected, self.notes = dict(facts or {}), rows, notes
        self.rows, self._blocks = 0, 0
        self._written: list[_Written] = []
        if folder is not None:
            _refuse_others(folder)

    def __enter__(self) -> Self:
        target = self._target
        if target is None:
            target = cache_folder("streams") / "private"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(target)
            self._folder, self._lock = work_folder(target.absolute())
        except OSError as error:
            raise DataError(
                "stream", "the folder cannot be written", got=error.strerror,
                at=os.fspath(target.parent), fix="give another: folder=",
            ) from None  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        for x in self._written:
            with contextlib.suppress(OSError):  # what is not on disk yet is thrown away
                x.file.close()
        shutil.rmtree(self._folder, ignore_errors=True)  # what `finish` has not moved away
        if self._lock is not None:
            os.close(self._lock)

    @property
    def place(self) -> str:
        """The next block and row, in words: for messages."""
        return f"block {self._blocks + 1:,} of the stream, after row {self.rows:,}"

    def write(self, block: Mapping[str, npt.ArrayLike]) -> None:
        """Add rows: for each input by name its array, rows first.

        Raises:
            DataError: names, dtypes or the shape of a row are others than before, the arrays have
                different numbers of rows, or the disk is full.
        """
        arrays = self._checked(block)
        if not self._written:
            self._begin(arrays)
        count = len(next(iter(arrays.values())))
        self._require_disk(sum(x.nbytes for x in arrays.values()))
        try:
            for x in self._written:
                x.add(arrays[x.name], self.rows)
        except OSError as error:
            raise self._full(error.strerror) from None
        self._digests.add(arrays)
        self.rows += count
        self._blocks += 1

    def _checked(self, block: Any) -> dict[str, Array]:
        """The arrays of a block, in the order of the fields. Raises DataError."""
        if not isinstance(block, Mapping) or not block:
            raise DataError(
                "stream", "a block is not a dict of arrays", expected='{"x": array, "t": array}',
                got=type(block).__name__, at=self.place,
            )  # fmt: skip
        arrays = {str(name): self._array(name, x) for name, x in block.items()}
        counts = {name: len(x) for name, x in arrays.items()}
        if len(set(counts.values())) > 1:
            raise DataError(
                "stream", "the arrays of a block differ in their number of rows",
                got=", ".join(f"{name}: {n:,}" for name, n in counts.items()), at=self.place,
            )  # fmt: skip
        if not self._written:
            return arrays
        want = {x.name: f"{x.dtype}{list(x.shape)}" for x in self._written}
        have = {name: f"{x.dtype}{list(x.shape[1:])}" for name, x in arrays.items()}
        if want != have:
            differ = [x for x in {**want, **have} if want.get(x) != have.get(x)]
            raise DataError(
                "stream", "a block has other arrays than the first one",
                expected="\n".join(f"{x}: {want.get(x, 'not there')}" for x in differ),
                got="\n".join(f"{x}: {have.get(x, 'not there')}" for x in differ), at=self.place,
                fix="give all blocks the same names, dtypes and shapes of a row",
            )  # fmt: skip
        return arrays

    def _array(self, name: object, value: npt.ArrayLike) -> Array:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise DataError("stream", f"{name!r}: rows differ in length", got=error,
                            at=self.place) from None  # fmt: skip
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise DataError(
                "stream", f"{name!r}: not numbers", got=str(array.dtype), at=self.place,
                fix="encode text and categories first, or stream a table",
            )  # fmt: skip
        if not array.ndim:
            raise DataError("stream", f"{name!r}: an array has no axis for its rows", at=self.place)
        return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))

    def _begin(self, arrays: Mapping[str, Array]) -> None:
        for k, (name, x) in enumerate(arrays.items()):
            path = self._folder / f"{k}.rows"
            file = BufferedWriter(FileIO(path, "wb"))
            self._written.append(_Written(name, x.dtype, x.shape[1:], path.name, file))
        self._digests = Digests(self._written)
        if self._expected is not None:
            self._require_disk(self._expected * sum(x.row_bytes for x in self._written))

    def _require_disk(self, size: int) -> None:
        if size + RESERVE > shutil.disk_usage(self._folder).free:
            raise self._full(f"{bytes_text(size)} more are to be written")

    def _full(self, got: str | None) -> DataError:
        free, stays = shutil.disk_usage(self._folder).free, RESERVE
        return DataError(
            "stream", "the disk is full: nothing was kept", got=got,
            expected=f"{bytes_text(free)} are free, of which {bytes_text(stays)} stay free",
            at=f"{self._folder.parent}, {self.place}",
            fix="make room, or name a folder on another disk: "
                + ("CHAINRULE_CACHE=/path/to/folder" if self._target is None else "folder="),
        )  # fmt: skip

    def finish(self) -> Stream:
        """Complete the store, and return its rows as a stream.

        Raises:
            DataError: there are no rows, or it cannot be written.
        """
        if not self.rows:
            raise DataError("stream", "there are no rows", at=self._source or None)
        try:
            for x in self._written:
                x.file.close()
            digest = self._digests.done(self.rows)
            folder = self._placed(digest)
        except OSError as error:
            raise self._full(error.strerror) from None
        private = self._target is None
        fields = []
        for x in self._written:
            path = folder / x.path
            source = FileRows(path, 0, self.rows, x.row_bytes, private)
            fields.append(Field(x.name, x.dtype, x.shape, source, x.extremes))
        stream = Stream(
            fields, self.rows, source=self._source, facts=self.facts, digest=digest,
            folder=None if private else folder, notes=self.notes,
        )  # fmt: skip
        if private and sys.platform == "win32":  # where open files cannot be removed
            stream.keep_until_closed(folder)
            self._folder = folder / "kept"
        return stream

    def _placed(self, digest: str) -> Path:
        """The folder of the complete files."""
        if self._target is None:
            return self._folder
        index = _Index(
            FORMAT, self.rows, tuple(x.indexed() for x in self._written), self._source,
            self._fingerprint, digest, self.facts, tuple(self.notes),
        )  # fmt: skip
        (self._folder / INDEX).write_bytes(msgspec.json.encode(index))
        folder = self._target.absolute()
        _replace(self._folder, folder)
        return folder


def _plain(value: float | None) -> float | None:
    """A number that JSON has; infinities are the largest numbers there are."""
    if isinstance(value, float) and not np.isfinite(value):
        return float(np.copysign(np.finfo(np.float64).max, value))
    return value


def _refuse_others(folder: Path) -> None:
    """Raises SettingError for a folder whose files are not those of a store."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingError("stream.folder", "this is not a folder that can be read",
                           got=error.strerror, at=os.fspath(folder)) from None  # fmt: skip
    if names and INDEX not in names:
        raise SettingError(
            "stream.folder", "the folder has files that are not of a stream", at=os.fspath(folder),
            got=", ".join(names[:3]), fix="give the path of a new folder",
        )  # fmt: skip


def _replace(new: Path, folder: Path) -> None:
    """Put a complete folder in the place of an old one, or of none."""
    try:
        if folder.exists():
            old, lock = work_folder(folder)
            os.rename(folder, old / "old")
            os.rename(new, folder)
            shutil.rmtree(old, ignore_errors=True)
            if lock is not None:
                os.close(lock)
        else:
            os.rename(new, folder)
    except OSError as error:
        raise DataError("stream", "the folder cannot be written", got=error.strerror,
                        at=os.fspath(folder)) from None  # fmt: skip


def opened(folder: Path) -> tuple[Stream, str]:
    """The stream of a folder that `StoreWriter` wrote, and its fingerprint.

    Raises:
        DataError: the folder is not there, or is damaged.
    """
    try:
        index = msgspec.json.decode((folder / INDEX).read_bytes(), type=_Index)
        if index.format > FORMAT:
            raise DataError(
                "stream", "a newer version of chainrule wrote the folder", at=os.fspath(folder),
                fix="pip install --upgrade chainrule",
            )  # fmt: skip
        fields = [_field(folder, x, index.rows) for x in index.columns]
    except OSError as error:
        raise DataError("stream", "the folder is not one of a stream", got=error.strerror,
                        at=os.fspath(folder / INDEX)) from None  # fmt: skip
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            "stream", "the index of the folder is damaged", got=error,
            at=os.fspath(folder / INDEX), fix="remove the folder",
        ) from None  # fmt: skip
    stream = Stream(
        fields, index.rows, source=index.source, facts=index.facts, digest=index.digest,
        folder=folder, notes=index.notes,
    )  # fmt: skip
    return stream, index.fingerprint


def _field(folder: Path, column: _Column, rows: int) -> Field:
    dtype = np.dtype(column.dtype)
    if dtype.kind not in "fiub" or Path(column.file).name != column.file or rows < 1:
        raise ValueError(f"{column.name}: {column.dtype}, {column.file}")
    if any(n < 0 for n in column.shape):
        raise ValueError(f"{column.name}: {column.shape}")
    row_bytes = dtype.itemsize * int(np.prod(column.shape, dtype=np.int64))
    source = FileRows(folder / column.file, 0, rows, row_bytes)
    extremes = Extremes(column.least, column.most, column.rows)
    return Field(column.name, dtype, column.shape, source, extremes)


def kept(folder: Path, fingerprint: str) -> Stream | None:
    """The stream of a folder, if it was made of sources with this fingerprint; else None.

    Raises:
        DataError: the folder has a stream that is damaged.
    """
    if not (folder / INDEX).exists():
        return None
    stream, found = opened(folder)
    if fingerprint and found == fingerprint:
        return stream
    stream.close()
    return None
