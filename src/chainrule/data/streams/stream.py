"""A stream: rows of several arrays that may be larger than memory, to train on and to predict."""

from __future__ import annotations

import hashlib
import shutil
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from chainrule.data.schema import Schema
from chainrule.data.streams.fields import NONE, Array, Extremes, Field, FileRows, extremes_of
from chainrule.display.tables import Section, as_html, bytes_text
from chainrule.errors import DataError, did_you_mean

SCHEMA = "schema"
"""The name of the schema of a table among the facts of a stream."""
COLUMNS = "columns"
"""The name of the digests of its columns."""
READ_BYTES = 1 << 23
"""Bytes that are read at a time where all rows are read in their order."""


class Stream:
    """Rows of several arrays, on disk or in memory, that are read block by block.

    `cr.data.stream` makes one. `model.fit`, `model.evaluate` and `model.predict` take it in the
    place of arrays, and hold only a part of it in memory. It is a context manager, which closes
    its files; a stream that nothing refers to is closed too.

    Args:
        fields: the arrays, of equally many rows.
        rows: their number.
        source: where the data is from, in words.
        facts: plain values that belong to it, such as a schema.
        digest: of all arrays; None: computed when it is asked for.
        folder: of the files; None where they are in none, or in one without a name.
        notes: what is to be told of the data.

    Attributes:
        waiting: the share of the time that the last `fit` waited for data; None before.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        rows: int,
        *,
        source: str = "",
        facts: Mapping[str, Any] | None = None,
        digest: str | None = None,
        folder: Path | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        if rows < 1:
            raise DataError("stream", "there are no rows", at=source or None)
        self.fields = {x.name: x for x in fields}
        self.rows, self.source, self.facts = rows, source, dict(facts or {})
        self.folder, self.notes = folder, tuple(notes)
        self.waiting: float | None = None
        self._digest = digest
        files = [x.source for x in fields if isinstance(x.source, FileRows)]
        self._finalizer = weakref.finalize(self, _close, files, None)

    @property
    def names(self) -> list[str]:
        """The names of the arrays: those of the inputs that they feed."""
        return list(self.fields)

    @cached_property
    def schema(self) -> Schema:
        """The schema of a table, by which its rows are encoded. Raises DataError for arrays."""
        if SCHEMA not in self.facts:
            raise DataError("stream", "arrays have no schema, tables have one",
                            at=self.source or None)  # fmt: skip
        return Schema.from_dict(self.facts[SCHEMA])

    @property
    def row_bytes(self) -> int:
        """The size of a row of all arrays."""
        return sum(x.row_bytes for x in self.fields.values())

    @property
    def bytes(self) -> int:
        """The size of all rows."""
        return self.rows * self.row_bytes

    def __len__(self) -> int:
        return self.rows

    def __repr__(self) -> str:
        arrays = ", ".join(f"{x.name} {x.dtype}{list(x.shape)}" for x in self.fields.values())
        return f"<Stream: {self.rows:,} rows, {bytes_text(self.bytes)}; {arrays}>"

    def _repr_html_(self) -> str:
        arrays = tuple((x.name, f"{x.dtype}{list(x.shape)}") for x in self.fields.values())
        size = ("size", bytes_text(self.bytes))
        return as_html([Section(f"A stream of {self.rows:,} rows", (*arrays, size))])

    def read(self, first: int, count: int, names: Sequence[str] | None = None) -> dict[str, Array]:
        """So many rows from this number on: arrays by name, rows first.

        names: of the arrays; None: all.

        Raises:
            DataError: there is no such array, or rows cannot be read.
        """
        if not self._finalizer.alive:
            raise DataError("stream", "the stream is closed", at=self.source or None)
        return {name: self._field(name).read(first, count) for name in names or self.fields}

    def take(
        self, rows: npt.NDArray[np.int64], names: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Some rows by their numbers, in that order: arrays by name.

        names: of the arrays; None: all.

        Raises:
            DataError: there is no such array, or rows cannot be read.
        """
        fields = [self._field(name) for name in names or self.fields]
        found = {x.name: np.empty((len(rows), *x.shape), x.dtype) for x in fields}
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        each = self._block_rows
        ends = np.append(np.flatnonzero(np.diff(ascending // each)) + 1, len(rows))
        for start, stop in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            if start == stop:
                continue
            first, last = int(ascending[start]), int(ascending[stop - 1])
            block = self.read(first, last - first + 1, [x.name for x in fields])
            for name, x in block.items():
                found[name][order[start:stop]] = x[ascending[start:stop] - first]
        return found

    @property
    def _block_rows(self) -> int:
        """Rows of a few megabytes."""
        return max(1, READ_BYTES // max(self.row_bytes, 1))

    def _field(self, name: str) -> Field:
        if name not in self.fields:
            raise DataError(
                "stream", f"no array is named {name!r}", fix=did_you_mean(name, self.fields)
            )
        return self.fields[name]

    def blocks(self, rows: int | None = None) -> Iterator[dict[str, Array]]:
        """All rows in their order, as dicts of arrays of `rows` rows; the last may have fewer.

        rows: None: as many as take a few megabytes.
        """
        each = rows or self._block_rows
        self.check()
        for first in range(0, self.rows, each):
            yield self.read(first, min(each, self.rows - first))

    __iter__ = blocks

    def check(self) -> None:
        """Raises DataError where a file was changed or cut short since it was opened."""
        for x in self.fields.values():
            x.source.check()

    @property
    def digest(self) -> str:
        """A digest of all arrays: two streams of the same rows have the same."""
        if self._digest is None:
            digests = Digests(list(self.fields.values()))
            for block in self.blocks():
                digests.add(block)
            self._digest = digests.done(self.rows)
        return self._digest

    def extremes(self, name: str) -> Extremes:
        """The least and the largest number of an array."""
        field = self._field(name)
        if field.extremes is None:
            found, first = dict.fromkeys(self.fields, NONE), 0
            for block in self.blocks():
                found = {x: y.joined(extremes_of(block[x], first)) for x, y in found.items()}
                first += len(block[name])
            for x in self.fields.values():
                x.extremes = found[x.name]
        assert field.extremes is not None
        return field.extremes

    def close(self) -> None:
        """Close the files; those of a stream without a folder are gone then."""
        self._finalizer()

    def keep_until_closed(self, folder: Path) -> None:
        """Remove a folder when the stream is closed, or with the process."""
        files = [x.source for x in self.fields.values() if isinstance(x.source, FileRows)]
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, _close, files, folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _close(files: list[FileRows], folder: Path | None) -> None:
    for file in files:
        file.close()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


class Typed(Protocol):
    """An array by its name, the dtype of its elements and the shape of a row."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Digests:
    """The digest of arrays that come in blocks, whatever the blocks."""

    def __init__(self, fields: Sequence[Typed]) -> None:
        self._each = {x.name: hashlib.blake2b(digest_size=16) for x in fields}
        self._types = {x.name: f"{x.dtype.str} {x.shape}" for x in fields}

    def add(self, block: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take the next rows, C-contiguous."""
        for name, x in block.items():
            self._each[name].update(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data)

    def done(self, rows: int) -> str:
        """The digest, for so many rows."""
        whole = hashlib.blake2b(digest_size=16)
        for name in sorted(self._each):
            whole.update(f"{name} {self._types[name]} {rows} ".encode())
            whole.update(self._each[name].digest())
        return whole.hexdigest()
