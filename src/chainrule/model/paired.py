"""Scores of two models on the same rows, with the error of their difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chainrule.errors import SettingError
from chainrule.train.metrics import direction

Floats = npt.NDArray[np.float64]

RESAMPLES, MOST_RESAMPLED = 2000, 5000
"""The resamples of a bootstrap, and the rows up to which it is made; of more, the normal interval
is as good."""

Z95 = 1.959964


@dataclass(frozen=True)
class PairedScore:
    """A score of two models on the same rows.

    Attributes:
        name: of the metric.
        a, b: the scores.
        better: "higher", "lower", or empty where that is unknown.
        error: the standard error of `b - a`; None where the score is more than a mean over rows.
        interval: the 95 % interval of `b - a`; None likewise.
    """

    name: str
    a: float
    b: float
    better: str
    error: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def difference(self) -> float:
        """`b - a`."""
        return self.b - self.a

    @property
    def noise(self) -> bool | None:
        """Whether the difference is within noise: the interval holds 0; None without interval."""
        return None if self.interval is None else self.interval[0] <= 0 <= self.interval[1]

    @property
    def winner(self) -> str:
        """ "A" or "B" where the difference is beyond noise, else empty."""
        if self.noise is not False or not self.better:
            return ""
        return "B" if (self.difference > 0) == (self.better == "higher") else "A"


def paired_scores(
    a: Mapping[str, float],
    b: Mapping[str, float],
    rows_a: Mapping[str, Floats],
    rows_b: Mapping[str, Floats],
    seed: int = 0,
) -> list[PairedScore]:
    """The scores that both have, with intervals where they are means over rows, or roots of means.

    Args:
        a, b: the scores over all rows.
        rows_a, rows_b: the terms of the means, (n,); "rmse" those of the mean under the root.
        seed: of the bootstrap.
    """
    found = []
    for name in a:
        if name not in b:
            continue
        score = PairedScore(name, a[name], b[name], _better(name))
        if name in rows_a and name in rows_b and len(rows_a[name]) > 1:
            error, interval = _spread(rows_a[name], rows_b[name], name == "rmse", seed)
            score = PairedScore(name, a[name], b[name], score.better, error, interval)
        found.append(score)
    return found


def _better(name: str) -> str:
    try:
        return "higher" if direction(name) == "max" else "lower"
    except SettingError:  # a metric of the user's own
        return ""


def _spread(a: Floats, b: Floats, root: bool, seed: int) -> tuple[float, tuple[float, float]]:
    """The standard error of the difference of two means, or of their roots, and its interval."""
    d = b - a
    mean_a, mean_b = float(a.mean()), float(b.mean())
    scale = (np.sqrt(mean_a) + np.sqrt(mean_b) or 1.0) if root else 1.0  # sqrt(b) - sqrt(a)
    error = float(d.std(ddof=1) / np.sqrt(len(d)) / scale)
    if len(d) > MOST_RESAMPLED:
        middle = float(d.mean() / scale)
        return error, (middle - Z95 * error, middle + Z95 * error)
    generator, drawn = np.random.default_rng(seed), []
    for _ in range(RESAMPLES // 100):
        rows = generator.integers(0, len(d), (100, len(d)))
        first, second = a[rows].mean(1), b[rows].mean(1)
        drawn.append(np.sqrt(second) - np.sqrt(first) if root else second - first)
    low, high = np.quantile(np.concatenate(drawn), (0.025, 0.975))
    return error, (float(low), float(high))
