"""Minibatches: rows of a data set, cut into pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.int64]
"""Indices of rows of a data set, (n,)."""


@dataclass(frozen=True)
class Minibatches(Sequence[Rows]):
    """`rows` cut into pieces of `size`, in order; the last may be smaller. No piece is copied.

    Attributes:
        rows: of one epoch, or of several with equally many, one after the other.
        size: of a piece.
        epochs: their number; each is cut by itself.
    """

    rows: Rows
    size: int
    epochs: int = 1

    def __len__(self) -> int:
        return self.epochs * -(-len(self.rows) // self.epochs // self.size)

    @overload
    def __getitem__(self, index: int) -> Rows: ...
    @overload
    def __getitem__(self, index: slice) -> Minibatches: ...
    def __getitem__(self, index: int | slice) -> Rows | Minibatches:
        if isinstance(index, slice):
            assert self.epochs == 1, "several epochs are run at once"
            start, stop, _ = index.indices(len(self))
            return Minibatches(
                self.rows[start * self.size : max(start, stop) * self.size], self.size
            )
        epoch, place = divmod(range(len(self))[index], len(self) // self.epochs)
        rows = self.epoch(epoch).rows
        return rows[place * self.size : (place + 1) * self.size]

    def epoch(self, index: int) -> Minibatches:
        """Those of one of the epochs."""
        each = len(self.rows) // self.epochs
        return Minibatches(self.rows[index * each : (index + 1) * each], self.size)

    @property
    def ends(self) -> Rows:
        """The start of each in `rows`, and the end of the last."""
        each = len(self.rows) // self.epochs
        starts = np.arange(0, each, self.size)
        ends = np.empty(len(starts) * self.epochs + 1, np.int64)
        if self.epochs > 1:
            starts = np.add.outer(np.arange(self.epochs) * each, starts).ravel()
        ends[:-1], ends[-1] = starts, len(self.rows)
        return ends

    def mean(self, values: npt.NDArray[np.float64]) -> float:
        """The mean over all rows, from the means of the minibatches."""
        short = len(self) * self.size - len(self.rows)  # rows that the last one lacks
        return float(values.sum() * self.size - values[-1] * short) / len(self.rows)


class Chunk(dict[str, npt.NDArray[Any]]):
    """Some rows of a data set that is not in memory as a whole: for each input its array.

    Attributes:
        numbers: of the rows in the data set, (n,): messages name rows by them.
        encoded: what `Program.encode` made of it; None: nothing yet.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], numbers: Rows) -> None:
        super().__init__(arrays)
        self.numbers = numbers
        self.encoded: Mapping[str, npt.NDArray[Any]] | None = None


def numbers_of(data: Mapping[str, npt.NDArray[Any]], rows: Rows) -> Rows:
    """The numbers, as a user counts them, of some rows of a data set or of a chunk of one."""
    return data.numbers[rows] if isinstance(data, Chunk) else rows


_FIRST: Rows = np.arange(4096)


def all_rows(rows: int) -> Rows:
    """The indices 0 to `rows - 1`; not to be written to."""
    return _FIRST[:rows] if rows <= len(_FIRST) else np.arange(rows)
