"""The share of a target that the order of another column tells, such as that of an id."""

from __future__ import annotations

import numpy as np

from chainrule.data.column import Column, Floats

PARTS = 20
"""The parts of equal size that a column's order is cut into."""
MIN_ROWS_A_PART = 10
MIN_F = 5.0
"""The F statistic from which the parts differ more than by chance."""


def order_share(column: Column, label: Column) -> float:
    """The share of the target's variance between parts of a column's order, chance deducted.

    0 where the parts differ no more than by chance, where there are few rows, or where the column
    has no order, as texts. Neither has a gap in the rows that count.
    """
    rows = np.flatnonzero(~column.missing & ~label.missing)
    if column.storage not in ("integer", "number") or len(rows) < PARTS * MIN_ROWS_A_PART:
        return 0.0
    order = np.argsort(column.values[rows], kind="stable")
    y = _numbers(label)[rows[order]]
    parts = np.array_split(np.arange(len(rows)), PARTS)
    total = float(np.square(y - y.mean(axis=0)).sum())
    within = sum(float(np.square(y[part] - y[part].mean(axis=0)).sum()) for part in parts)
    n, between = len(rows), total - within
    if total <= 0 or between / (PARTS - 1) < MIN_F * within / (n - PARTS):
        return 0.0
    return 1 - (within / (n - PARTS)) / (total / (n - 1))


def _numbers(label: Column) -> Floats:
    """The target as columns of numbers (n, k): the ranks of numbers, a flag for each class."""
    if label.storage in ("integer", "number"):
        ranks: Floats = np.unique(label.values, return_inverse=True)[1].astype(np.float64)
        return ranks[:, None]
    codes, _ = label.labels()
    flags: Floats = (codes[:, None] == np.unique(codes[codes >= 0])[:100]).astype(np.float64)
    return flags
