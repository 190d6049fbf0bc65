"""The arrays of a stream: each a file of rows, or an array in memory, read piece by piece."""

from __future__ import annotations

import io
import mmap
import os
import threading
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from chainrule.errors import DataError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Extremes:
    """The least and the largest number of an array; None where all are NaN.

    Attributes:
        least, most: the numbers.
        rows: where they stand.
    """

    least: float | None
    most: float | None
    rows: tuple[int, int] = (0, 0)

    def joined(self, other: Extremes) -> Extremes:
        """Those of both."""
        if self.least is None or self.most is None:
            return other
        if other.least is None or other.most is None:
            return self
        low = other if other.least < self.least else self
        high = other if other.most > self.most else self
        return Extremes(low.least, high.most, (low.rows[0], high.rows[1]))


NONE = Extremes(None, None)


def extremes_of(array: Array, first: int) -> Extremes:
    """Those of some rows, of which the first has this number."""
    if not array.size:
        return NONE
    low, high = array.argmin(), array.argmax()
    if array.dtype.kind == "f" and np.isnan(array.flat[low]):  # argmin finds a NaN first
        if np.isnan(array).all():
            return NONE
        low, high = np.nanargmin(array), np.nanargmax(array)
    width = max(prod(array.shape[1:]), 1)
    rows = first + int(low) // width, first + int(high) // width
    return Extremes(array.flat[low].item(), array.flat[high].item(), rows)


class Reads(Protocol):
    """A source of consecutive rows."""

    def read(self, first: int, into: Array) -> None:
        """Fill an array with the rows from this number on.

        Raises:
            DataError: they cannot be read, or are others than when the stream was opened.
        """

    def soon(self, first: int, count: int) -> None:
        """Tell the system that these rows are read next."""

    def check(self) -> None:
        """Raises DataError where the rows are others than when the stream was opened."""


@dataclass
class FileRows:
    """The rows of a file, one after the other, which stays open.

    Args:
        path: of the file.
        offset: bytes before the first row.
        rows: their number.
        row_bytes: the size of one.
        private: whether other processes cannot reach the file.

    Raises:
        DataError: the file is not there, or shorter.
    """

    path: Path
    offset: int
    rows: int
    row_bytes: int
    private: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        try:
            self._file = io.FileIO(self.path)
        except OSError as error:
            raise DataError("stream", "a file cannot be opened", got=error.strerror,
                            at=os.fspath(self.path)) from None  # fmt: skip
        self._opened = self._seen()
        if self._opened[0] < self._end:
            self.close()
            raise self._short(self._opened[0])

    @property
    def _end(self) -> int:
        return self.offset + self.rows * self.row_bytes

    def _seen(self) -> tuple[int, int]:
        now = os.fstat(self._file.fileno())
        return now.st_size, now.st_mtime_ns

    def _short(self, size: int) -> DataError:
        whole = max(size - self.offset, 0) // max(self.row_bytes, 1)
        return DataError(
            "stream", "the file ends too early", got=f"{size:,} bytes",
            expected=f"{self._end:,} bytes, {self.rows:,} rows", at=f"{self.path}, row {whole:,}",
            fix="write the data again: it was cut short",
        )  # fmt: skip

    def check(self) -> None:
        """See Reads."""
        if self.private:
            return
        size, changed = self._seen()
        if size < self._end:
            raise self._short(size)
        if (size, changed) != self._opened:
            raise DataError(
                "stream", "the file was changed while it was read",
                expected=f"{self._opened[0]:,} bytes", got=f"{size:,} bytes, written to since",
                at=os.fspath(self.path), fix="leave it as it is until the run has ended",
            )  # fmt: skip

    def read(self, first: int, into: Array) -> None:
        """See Reads."""
        left = into.data.cast("B") if into.nbytes else memoryview(b"")
        place = self.offset + first * self.row_bytes
        with self._lock:
            try:
                self._file.seek(place)
                while left:
                    count = self._file.readinto(left)
                    if not count:
                        raise self._short(self._seen()[0])
                    left = left[count:]
            except OSError as error:
                raise DataError("stream", "rows cannot be read", got=error.strerror,
                                at=f"{self.path}, row {first:,}") from None  # fmt: skip

    def soon(self, first: int, count: int) -> None:
        """See Reads."""
        if hasattr(os, "posix_fadvise"):
            start, size = self.offset + first * self.row_bytes, count * self.row_bytes
            os.posix_fadvise(self._file.fileno(), start, size, os.POSIX_FADV_WILLNEED)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass
class ArrayRows:
    """The rows of an array in memory."""

    array: Array

    def read(self, first: int, into: Array) -> None:
        """See Reads."""
        into[...] = self.array[first : first + len(into)]

    def soon(self, first: int, count: int) -> None:
        """See Reads."""

    def check(self) -> None:
        """See Reads."""


@dataclass
class Field:
    """One array of a stream.

    Attributes:
        name: of the input that it feeds.
        dtype, shape: of its elements, and of a row.
        source: of its rows.
        extremes: the least and largest of all; None where they are not known yet.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    source: Reads
    extremes: Extremes | None = None

    @property
    def row_bytes(self) -> int:
        """The size of a row."""
        return self.dtype.itemsize * prod(self.shape)

    def read(self, first: int, count: int) -> Array:
        """So many rows from this number on, (count, *shape)."""
        found = np.empty((count, *self.shape), self.dtype)
        self.source.read(first, found)
        return found


def field_of(name: str, array: Array) -> Field:
    """The field of an array; a memory-mapped one is read from its file, not through the map."""
    base = getattr(array, "base", None)
    source: Reads = ArrayRows(array)
    row_bytes = array.dtype.itemsize * prod(array.shape[1:])
    if isinstance(array, np.memmap) and isinstance(base, mmap.mmap) and array.filename is not None:
        whole = array.flags.c_contiguous and array.dtype.isnative
        source = (
            FileRows(Path(array.filename), int(array.offset), len(array), row_bytes)
            if whole
            else source
        )
    return Field(name, array.dtype, array.shape[1:], source)
