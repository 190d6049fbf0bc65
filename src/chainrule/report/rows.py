"""Rows of a report's tables: columns, their distributions, nodes and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chainrule.display.format import number
from chainrule.display.svg import drawable

BINS = 24
"""The intervals of a column's small histogram."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of numbers in equal intervals from low to high; the ends as text, and their unit."""

    low: str
    high: str
    counts: tuple[int, ...]
    unit: str = ""

    @classmethod
    def of(
        cls, values: npt.ArrayLike, unit: str = "", bins: int = BINS,
        ends: tuple[float, float] | None = None,
    ) -> Histogram | None:  # fmt: skip
        """The histogram of numbers (n,), gaps and infinities left out; None without any.

        ends: the extremes of all numbers, where these are a sample.
        """
        numbers = np.asarray(values, dtype=np.float64)
        numbers = numbers[drawable(numbers)]
        if not len(numbers):
            return None
        low, high = float(numbers.min()), float(numbers.max())
        if ends is not None and drawable(np.array(ends)).all():
            low, high = min(low, ends[0]), max(high, ends[1])
        if 0 < high - low < bins and (numbers == np.floor(numbers)).all():  # a bar for each integer
            bins, room = int(high - low) + 1, (low - 0.5, high + 0.5)
        else:
            room = (low, high) if low < high else (low - 0.5, low + 0.5)
        place = ((numbers - room[0]) / (room[1] - room[0]) * bins).astype(np.int64)
        counts = np.bincount(np.minimum(place, bins - 1), minlength=bins)
        return cls(number(low), number(high), tuple(int(c) for c in counts), unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRow:
    """A column and its treatment.

    Attributes:
        name, kind: as in "number", "category".
        reason: for that kind.
        treatment: as nodes of the graph: "standardised, gaps filled by the median".
        gaps, distinct: the numbers of missing cells and of different values.
        histogram: the distribution of numbers or dates.
        levels: the most frequent values and their numbers of rows, out of `rows`.
        rows: the number of cells that have a value.
        examples: cells of a column of which nothing else is shown.
    """

    name: str
    kind: str
    reason: str = ""
    treatment: str = ""
    gaps: int = 0
    distinct: int = 0
    histogram: Histogram | None = None
    levels: Sequence[tuple[str, int]] = ()
    rows: int = 0
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node of the network: its name, op, shape as text, and number of parameters."""

    name: str
    op: str
    shape: str
    parameters: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with what was predicted of it.

    Attributes:
        uri: the address of its <img>, which holds the pixels.
        actual, predicted: as text.
        name: of its file, or its row.
    """

    uri: str
    actual: str
    predicted: str
    name: str
