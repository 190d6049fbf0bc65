"""Minibatches: rows of a data set, cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.int64]
"""Indices of rows of a data set, (n,)."""


@dataclass(frozen=True)
class Minibatches(Sequence[Rows]):
    """`rows` cut into pieces of `size`, in order; the last may be smaller. No piece is copied."""

    rows: Rows
    size: int

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    @overload
    def __getitem__(self, index: int) -> Rows: ...
    @overload
    def __getitem__(self, index: slice) -> Minibatches: ...
    def __getitem__(self, index: int | slice) -> Rows | Minibatches:
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            return Minibatches(
                self.rows[start * self.size : max(start, stop) * self.size], self.size
            )
        start = range(len(self))[index] * self.size
        return self.rows[start : start + self.size]

    @property
    def ends(self) -> Rows:
        """The start of each in `rows`, and the end of the last."""
        ends = np.arange(0, (len(self) + 1) * self.size, self.size)
        ends[-1] = len(self.rows)
        return ends

    def mean(self, values: npt.NDArray[np.float64]) -> float:
        """The mean over all rows, from the means of the minibatches."""
        short = len(self) * self.size - len(self.rows)  # rows that the last one lacks
        return float(values.sum() * self.size - values[-1] * short) / len(self.rows)


_FIRST: Rows = np.arange(4096)


def all_rows(rows: int) -> Rows:
    """The indices 0 to `rows - 1`; not to be written to."""
    return _FIRST[:rows] if rows <= len(_FIRST) else np.arange(rows)
