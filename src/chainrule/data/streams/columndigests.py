"""Digests of the columns of a table whose rows are encoded block by block."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.blocks import Block, Encoded
from chainrule.data.columns.columns import CategoryColumn
from chainrule.data.columns.target import ClassTarget
from chainrule.data.digest import BYTES
from chainrule.data.schema import Schema


class ColumnDigests:
    """A digest of each column of a schema, of the cells as they are encoded.

    It does not depend on the blocks in which they come.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._parts: dict[tuple[str, str, int], Any] = {}

    def add(self, encoded: Encoded) -> None:
        """Take the next rows."""
        for block in self._schema.blocks:
            for k, (name, cells) in enumerate(_columns(block, encoded.arrays[block.name])):
                self._take((name, block.kind, k), cells)
        if self._schema.target is not None and encoded.target is not None:
            self._take((self._schema.target.name, "target", 0), encoded.target)

    def _take(self, part: tuple[str, str, int], cells: NDArray[Any]) -> None:
        if part not in self._parts:
            form = f"{part[1]} {cells.dtype} {cells.shape[1:]}"
            self._parts[part] = hashlib.blake2b(form.encode(), digest_size=BYTES)
        self._parts[part].update(np.ascontiguousarray(cells).reshape(-1).view(np.uint8).data)

    def done(self) -> dict[str, str]:
        """The digests by column, the target last; that of one that is left out is of no cells."""
        schema = self._schema
        labels = {x.name: x.levels for x in schema.used if isinstance(x, CategoryColumn)}
        if isinstance(schema.target, ClassTarget):
            labels[schema.target.name] = schema.target.labels
        names = [x.name for x in schema.columns]
        names += [] if schema.target is None else [schema.target.name]
        whole = {
            name: hashlib.blake2b(repr(tuple(labels.get(name, ()))).encode(), digest_size=BYTES)
            for name in names
        }
        for (name, *_), part in self._parts.items():
            whole[name].update(part.digest())
        return {name: x.hexdigest() for name, x in whole.items()}


def _columns(block: Block, array: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each column of a block as encoded, by its name."""
    if block.kind == "numbers":
        yield from ((x.column, array[:, k]) for k, x in enumerate(block.members))
    elif block.kind == "categories":
        yield from ((name, array[:, k]) for k, name in enumerate(block.columns))
    else:
        yield block.columns[0], array
