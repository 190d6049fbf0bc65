"""Digests of tables, by which it is known whether data are the same as before."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column
from chainrule.data.table import Table
from chainrule.display.format import counted, listed

BYTES = 8
"""The size of a digest: an accident makes equal ones of different data once in 10^19 times."""


class TableDigest(msgspec.Struct, frozen=True):
    """The rows of a table, and a digest of each column, by name, in order.

    encoded: whether the digests are of cells as they are encoded, where they were read in parts.
    """

    rows: int
    columns: dict[str, str]
    encoded: bool = False

    @classmethod
    def of(cls, table: Table, grids: Mapping[str, NDArray[Any]]) -> Self:
        """The digest of a table.

        Args:
            grids: by column what stands for its cells, such as the pixels of files of pictures.
        """
        return cls(len(table), {x.name: _digest(_parts(x, grids.get(x.name))) for x in table})

    def differences(self, now: TableDigest, ignored: Collection[str] = ()) -> list[str]:
        """The differences to a table now, in words; empty where nothing is.

        Args:
            now: of the table.
            ignored: columns that do not matter.
        """
        if self.encoded != now.encoded:
            ways = "read in parts", "read as a whole"
            then, here = ways if self.encoded else ways[::-1]
            return [f"they were {then}, and are now {here}"]
        old, new = ({n: x for n, x in t.columns.items() if n not in ignored} for t in (self, now))
        found = []
        if self.rows != now.rows:
            found.append(f"{counted(now.rows, 'row')}, which were {self.rows:,}")
        found += _named("column", "is not there", [n for n in old if n not in new])
        found += _named("column", "is new", [n for n in new if n not in old])
        if self.rows == now.rows:
            changed = [n for n, x in new.items() if old.get(n, x) != x]
            found += _named("column", "has other cells", changed)
        both = [n for n in old if n in new]
        if both != [n for n in new if n in old]:
            found.append("the columns are in another order")
        return found


def _named(noun: str, what: str, names: list[str]) -> Iterator[str]:
    """'column a is new', 'columns a, b are new'."""
    if len(names) == 1:
        yield f"{noun} {names[0]!r} {what}"
    elif names:
        several = what.replace("is ", "are ", 1).replace("has ", "have ", 1)
        yield f"{counted(len(names), noun)} {several}: {listed([repr(x) for x in names], 6)}"


def _parts(column: Column, grid: NDArray[Any] | None) -> Iterator[bytes | NDArray[Any]]:
    """All that a column is encoded from."""
    if grid is not None:
        yield f"grid {grid.dtype} {grid.shape}".encode()
        yield grid
        return
    values, texts = column.values, [] if column.levels is None else list(column.levels)
    yield f"{column.storage} {values.dtype} {values.shape} {column.classes} {texts}".encode()
    yield values
    if column.mask is not None:
        yield column.mask
    if column.written is not None:
        written = column.written
        yield f"{written.form} {written.decimal} {list(written.texts)}".encode()
        if written.codes is not None:
            yield written.codes
    if column.condensed is not None:
        yield f"{column.condensed.others} more".encode()
        yield column.condensed.counts
        yield column.condensed.first


def _digest(parts: Iterator[bytes | NDArray[Any]]) -> str:
    digest = hashlib.blake2b(digest_size=BYTES)
    for part in parts:
        data = part if isinstance(part, bytes) else np.ascontiguousarray(part).reshape(-1)
        digest.update(data if isinstance(data, bytes) else data.view(np.uint8).data)
    return digest.hexdigest()
