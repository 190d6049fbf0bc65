"""The statistics of columns of numbers, and moments that do not depend on how rows come."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Floats

KNOTS = 33
MIN_SHARED_ROWS, MAX_SHARED_VALUES = 10, 200
"""Rows from which a number counts as frequent, and the most of those that are learned."""
PIECE = 4096
"""Numbers that are summed at a time, so that the last digits do not depend on the blocks."""


class Stats(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The statistics of one column of numbers in the training data.

    quantiles: KNOTS evenly spaced quantiles, from the minimum to the maximum. Without any
    number all values are 0.
    """

    count: int
    gaps: int
    mean: float
    std: float
    median: float
    quantiles: tuple[float, ...]

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper quartile."""
        return self.quantiles[KNOTS // 4], self.quantiles[-1 - KNOTS // 4]

    @property
    def extremes(self) -> tuple[float, float]:
        """The least and the largest number."""
        return self.quantiles[0], self.quantiles[-1]

    def __post_init__(self) -> None:
        values = (self.mean, self.std, self.median, *self.quantiles)
        if not all(map(math.isfinite, values)) or self.std < 0:
            raise ValueError("statistics must be finite")
        if len(self.quantiles) != KNOTS or list(self.quantiles) != sorted(self.quantiles):
            raise ValueError(f"quantiles must be {KNOTS} ascending numbers")
        if self.count < 0 or self.gaps < 0:
            raise ValueError("counts must not be negative")


@dataclass
class Moment:
    """The count, gaps, mean, sum of squared distances to it, and extremes of some numbers.

    `gaps` and the extremes are those of all numbers that came, the rest that of those whose
    pieces are complete; all of them after `finish`.

    Attributes:
        scale: by which numbers are divided; it keeps squares and sums of huge numbers finite.
        mean, squares: of the numbers divided by it.
    """

    scale: float
    count: int = 0
    gaps: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    _rest: Floats = field(default_factory=lambda: np.empty(0))

    def add(self, values: Floats) -> None:
        """Take more numbers (n,), NaN for a gap, in blocks of any size."""
        present = values[~np.isnan(values)]
        self.gaps += len(values) - len(present)
        if not len(present):
            return
        self.low, self.high = min(self.low, present.min()), max(self.high, present.max())
        numbers = np.concatenate([self._rest, present / self.scale])
        whole = len(numbers) // PIECE * PIECE
        for first in range(0, whole, PIECE):
            self._join(numbers[first : first + PIECE])
        self._rest = numbers[whole:].copy()

    def finish(self) -> None:
        """Take the numbers that are left of a piece."""
        if len(self._rest):
            self._join(self._rest)
            self._rest = np.empty(0)

    def _join(self, present: Floats) -> None:
        """Take numbers without gaps.

        Source: T. F. Chan, G. H. Golub and R. J. LeVeque, Updating formulae and a pairwise
        algorithm for computing sample variances, 1982.
        """
        n, mean = len(present), float(present.mean())
        apart, total = mean - self.mean, self.count + n
        self.squares += float(np.square(present - mean).sum())
        self.squares += apart * apart * self.count * n / total
        self.mean += apart * (n / total)
        self.count = total

    def stats(self, knots: Floats) -> Stats:
        """The statistics of all numbers, at least one, whose quantiles are these."""
        mean, std = self.mean * self.scale, math.sqrt(self.squares / self.count) * self.scale
        quantiles = np.maximum.accumulate(np.clip(knots, self.low, self.high))
        quantiles[0], quantiles[-1] = self.low, self.high
        median = float(quantiles[KNOTS // 2])
        return Stats(self.count, self.gaps, mean, std, median, tuple(quantiles.tolist()))


def scale_of(low: float, high: float) -> float:
    """The scale of numbers between these."""
    return max(abs(low), abs(high)) or 1.0


def stats_of(values: Floats, weights: NDArray[np.int64] | None = None) -> Stats:
    """The statistics of finite numbers with NaN gaps, (n,); weights: the rows of each."""
    if weights is not None:
        return _weighted_stats(values, weights)
    present = values[~np.isnan(values)]
    gaps = len(values) - len(present)
    if not len(present):
        return Stats(0, gaps, 0.0, 0.0, 0.0, (0.0,) * KNOTS)
    scale = scale_of(float(present.min()), float(present.max()))
    moment = Moment(scale)
    moment.add(values)
    moment.finish()
    return moment.stats(np.quantile(present / scale, np.linspace(0, 1, KNOTS)) * scale)


def _weighted_stats(values: Floats, weights: NDArray[np.int64]) -> Stats:
    """The same of numbers that stand for several rows each, to the last digits of the moments."""
    known = ~np.isnan(values)
    gaps = int(weights[~known].sum())
    present, rows = values[known], weights[known]
    n = int(rows.sum())
    if not n:
        return Stats(0, gaps, 0.0, 0.0, 0.0, (0.0,) * KNOTS)
    scale = scale_of(float(present.min()), float(present.max()))
    mean = float((present / scale) @ rows / n)
    std = math.sqrt(np.square(present / scale - mean) @ rows / n)
    knots = weighted_quantiles(present / scale, rows, np.linspace(0, 1, KNOTS)) * scale
    knots = np.maximum.accumulate(np.clip(knots, present.min(), present.max()))
    knots[0], knots[-1] = present.min(), present.max()
    median = float(knots[KNOTS // 2])
    return Stats(n, gaps, mean * scale, std * scale, median, tuple(knots.tolist()))


def weighted_quantiles(values: Floats, weights: NDArray[np.int64], shares: Floats) -> Floats:
    """The quantiles of numbers (n,), each of which `weights` rows have; as `np.quantile`."""
    order = np.argsort(values, kind="stable")
    values, ends = values[order], np.cumsum(weights[order])
    places = shares * (ends[-1] - 1)
    below = np.floor(places)
    low = values[np.searchsorted(ends, below, "right")]
    high = values[np.searchsorted(ends, np.minimum(below + 1, ends[-1] - 1), "right")]
    t = places - below
    return np.asarray(np.where(t < 0.5, low + (high - low) * t, high - (high - low) * (1 - t)))


def tail_share(values: Floats, weights: NDArray[np.int64] | None = None) -> float:
    """The share of the 5 % farthest numbers in the sum of squared distances to the median.

    0.28 for normally distributed numbers, 0.5 for exponentially distributed ones; near 1 where a
    few outliers hide all others. (n,), NaN for a gap; weights: the rows of each.
    """
    known = ~np.isnan(values)
    present = values[known]
    if not len(present):
        return 0.0
    if weights is not None:
        return _weighted_tail_share(present, weights[known])
    far = np.abs(present / 4 - np.median(present) / 4)  # huge numbers stay finite
    squares = np.sort(np.square(far / (far.max() or 1.0)))
    return float(squares[-math.ceil(len(far) / 20) :].sum() / (squares.sum() or 1.0))


def _weighted_tail_share(present: Floats, weights: NDArray[np.int64]) -> float:
    median = weighted_quantiles(present / 4, weights, np.array([0.5]))[0]
    far = np.abs(present / 4 - median)
    squares = np.square(far / (far.max() or 1.0))
    order = np.argsort(-squares, kind="stable")
    squares, rows = squares[order], weights[order]
    most = math.ceil(rows.sum() / 20)
    taken = np.clip(most - (np.cumsum(rows) - rows), 0, rows)  # of each, the farthest first
    return float(squares @ taken / (squares @ rows or 1.0))


def spread_of(stats: Stats) -> float:
    """The interquartile range; where it is 0, the range of the next quantiles that differ."""
    knots = stats.quantiles
    last = len(knots) - 1
    for k in range(last // 4, -1, -1):
        if (width := knots[last - k] - knots[k]) > 0 and math.isfinite(width):
            return width if k else width / 2
    return stats.std or 1.0


def shared_values(
    values: Floats, stats: Stats, weights: NDArray[np.int64] | None = None
) -> tuple[float, ...]:
    """The frequent numbers, ascending, where both quartiles are equal; else none.

    Distances carry little information there, as in a column of amounts that are mostly 0.
    weights: the rows of each.
    """
    low, high = stats.quartiles
    if low != high:
        return ()
    known = ~np.isnan(values)
    numbers, codes, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    if weights is not None:
        counts = np.bincount(codes, weights[known])
    order = np.argsort(-counts, kind="stable")[:MAX_SHARED_VALUES]
    chosen = numbers[order[counts[order] >= MIN_SHARED_ROWS]]
    return tuple(np.sort(chosen).tolist()) if len(chosen) > 2 else ()
