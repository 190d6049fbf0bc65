"""A table as arrays: the blocks that become inputs of the graph, and their columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.data.columns.stats import Stats
from chainrule.display.tables import Section, as_html, facts_html


class Member(NamedTuple):
    """One column of the block of numbers: a number, a boolean, or a part of a date."""

    name: str
    column: str
    kind: str
    stats: Stats


class Block(NamedTuple):
    """One array of `Encoded.arrays`, to be one input of the graph.

    | kind       | array                   | width             |
    |------------|-------------------------|-------------------|
    | numbers    | (n, width) float64, NaN | number of members |
    | category   | (n,) int32              | number of codes   |
    | categories | (n, width) int32        | number of columns |
    | array      | (n, width) float32      | number of features |
    | grid       | (n, *shape) numbers     | number of elements |
    """

    name: str
    kind: Literal["numbers", "category", "categories", "array", "grid"]
    columns: tuple[str, ...]
    width: int
    members: tuple[Member, ...] = ()
    shape: tuple[int, ...] = ()


class Described(NamedTuple):
    """A row of `Schema.describe`, for a terminal or a report."""

    column: str
    kind: str
    reason: str
    treatment: str
    gaps: int
    distinct: int

    def _repr_html_(self) -> str:
        return facts_html(self.column, ("kind", self.kind), ("because", self.reason),
                          ("treatment", self.treatment), ("gaps", f"{self.gaps:,}"),
                          ("different values", f"{self.distinct:,}"))  # fmt: skip


@dataclass(frozen=True)
class Encoded:
    """A table as arrays: one for each block, the target if requested, the rows, and notes.

    rows: the positions in the encoded table of the rows that the arrays hold, ascending.
    absent: the rows whose picture cannot be read, (n,), all 0 in the arrays; None: there are none.
    names: columns that tell which row is which, such as the files of pictures.
    """

    arrays: dict[str, NDArray[Any]]
    target: NDArray[Any] | None
    rows: NDArray[np.int64]
    notes: list[str]
    absent: NDArray[np.bool_] | None = None
    names: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def _repr_html_(self) -> str:
        arrays = {**self.arrays, **({} if self.target is None else {"the target": self.target})}
        rows = tuple((name, f"{x.dtype}{x.shape}") for name, x in arrays.items())
        notes = tuple(("note", note) for note in self.notes)
        return as_html([Section(f"{len(self):,} rows as arrays", rows + notes)])


def subset(encoded: Encoded, rows: NDArray[np.int64]) -> Encoded:
    """Some rows of an encoded table."""
    target = None if encoded.target is None else encoded.target[rows]
    arrays = {name: array[rows] for name, array in encoded.arrays.items()}
    absent = None if encoded.absent is None else encoded.absent[rows]
    names = {name: cells[rows] for name, cells in encoded.names.items()}
    return Encoded(arrays, target, encoded.rows[rows], encoded.notes, absent, names)
