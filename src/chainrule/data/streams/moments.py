"""Exact counts, means, deviations and extremes of numbers that are encoded in blocks."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from chainrule.data.blocks import Encoded
from chainrule.data.columns.columns import NumberColumn
from chainrule.data.columns.dates import DateColumn
from chainrule.data.columns.encoder import Encoder, Stats
from chainrule.data.columns.target import NumberTarget
from chainrule.data.schema import Schema
from chainrule.data.table import Floats

PIECE = 4096
"""Numbers that are summed at a time, so that the last digits do not depend on the blocks."""


@dataclass
class Moment:
    """The count, gaps, mean, sum of squared distances to it, and extremes of some numbers.

    `gaps` is that of all numbers that came, the rest that of those whose pieces are complete; all
    of them after `finish`.
    """

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
        numbers = np.concatenate([self._rest, present])
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
        with np.errstate(over="ignore"):
            self.squares += float(np.square(present - mean).sum())
        self.squares += apart * apart * self.count * n / total
        self.mean += apart * n / total
        self.count = total
        self.low, self.high = min(self.low, present.min()), max(self.high, present.max())

    def exact(self, stats: Stats) -> Stats:
        """Statistics whose quantiles are kept, within the extremes."""
        if not self.count:
            return stats
        std = math.sqrt(self.squares / self.count)
        if not math.isfinite(std):
            std = stats.std
        inner = np.clip(stats.quantiles, self.low, self.high)
        quantiles = (float(self.low), *inner[1:-1].tolist(), float(self.high))
        return Stats(self.count, self.gaps, self.mean, std, stats.median, quantiles)


class Moments:
    """The moments of the columns of numbers of a schema, and of its target.

    Args:
        sampled: the columns whose statistics are those of a sample.
    """

    def __init__(self, schema: Schema, sampled: Collection[str]) -> None:
        self._members = [
            (block.name, k, member.name)
            for block in schema.blocks
            for k, member in enumerate(block.members)
            if member.column in sampled
        ]
        self._found = {name: Moment() for *_, name in self._members}
        target = schema.target
        number = isinstance(target, NumberTarget) and target.name in sampled
        self._target = Moment() if number else None

    def add(self, encoded: Encoded) -> None:
        """Take the next rows."""
        for block, k, name in self._members:
            self._found[name].add(encoded.arrays[block][:, k])
        if self._target is not None and encoded.target is not None:
            self._target.add(encoded.target)

    def exact(self, schema: Schema) -> Schema:
        """The schema with exact moments of all rows."""
        for moment in (*self._found.values(), *([self._target] if self._target else [])):
            moment.finish()
        target: Any = schema.target
        if self._target is not None:
            self._target.gaps = target.stats.gaps  # rows without a target are not encoded
            target = msgspec.structs.replace(target, stats=self._target.exact(target.stats))
        columns = tuple(map(self._column, schema.columns))
        return msgspec.structs.replace(schema, columns=columns, target=target)

    def _column(self, encoder: Encoder) -> Encoder:
        if isinstance(encoder, NumberColumn) and encoder.name in self._found:
            stats = self._found[encoder.name].exact(encoder.stats)
            return msgspec.structs.replace(encoder, stats=stats, gaps=stats.gaps)
        if isinstance(encoder, DateColumn):
            parts = tuple(
                (name, self._found[name].exact(stats) if name in self._found else stats)
                for name, stats in encoder.parts
            )
            return msgspec.structs.replace(encoder, parts=parts, gaps=parts[0][1].gaps)
        return encoder
