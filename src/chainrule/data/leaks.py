"""The share of the target that one column alone tells, by which leaks are found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column, Floats
from chainrule.data.columns.encoder import number_form, numbers_of
from chainrule.data.columns.kinds import Kind, Task
from chainrule.data.shuffle import shuffled

MIN_CLASS_ROWS = 5
"""Held-out rows of a class that are enough to score it."""


def is_copy(column: Column, label: Column) -> bool:
    """Whether both columns hold the same labels in every row."""
    if column.gaps or column.distinct != label.distinct:
        return False
    if column.storage != "text" and label.storage != "text":
        return bool((column.values == label.values).all())
    codes, labels = column.labels()
    others, names = label.labels()
    place = {name: i for i, name in enumerate(names)}
    return bool((np.array([place.get(name, -1) for name in labels] or [-1])[codes] == others).all())


def told_share(column: Column, kind: Kind, label: Column, task: Task) -> float:
    """The share of the target that a column alone tells: of the rarest class, or of variance."""
    values = _values(column, kind)
    if task.name == "classification":
        return _accuracy_of_classes(values, label.labels()[0].astype(np.int64))
    return _explained_variance(values, numbers_of(label, number_form(label))[0])


def _values(column: Column, kind: Kind) -> NDArray[Any]:
    """Numbers and dates as floats with NaN for a gap; all else as codes, 0 for a gap."""
    if kind.name in ("category", "boolean") or column.storage == "text":
        return column.labels()[0].astype(np.int64) + 1
    if column.storage == "date":
        return np.where(column.missing, np.nan, column.values.astype(np.float64))
    return column.floats()


def _halves(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = shuffled(n, 0)
    return order[: n // 2], order[n // 2 :]


def _accuracy_of_classes(values: NDArray[Any], classes: NDArray[np.int64]) -> float:
    """The lowest recall of a class when the column alone predicts the class.

    One half of the rows trains (nearest number, or majority of the level), the other half is
    scored. The lowest recall counts, so that a frequent class cannot hide a useless column.
    """
    learn, held = _halves(len(classes))
    width = int(classes.max()) + 1
    if values.dtype.kind == "f":
        guess = classes[learn][_nearest(values[learn], values[held])]
    else:
        pairs = values[learn].astype(np.int64) * width + classes[learn]
        table = np.bincount(pairs, minlength=(int(values.max()) + 1) * width).reshape(-1, width)
        guess = table.argmax(axis=1)[values[held].astype(np.int64)]
    right = guess == classes[held]
    seen = np.bincount(classes[held], minlength=width)
    hits = np.bincount(classes[held], weights=right, minlength=width)
    scored = seen >= MIN_CLASS_ROWS
    if np.count_nonzero(scored) < 2:
        return 0.0
    return float((hits[scored] / seen[scored]).min())


def _nearest(values: Floats, queries: Floats) -> NDArray[np.int64]:
    """The position in `values` of the number nearest to each query; a gap is below all."""
    values, queries = (np.nan_to_num(np.where(np.isnan(v), -np.inf, v)) for v in (values, queries))
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    right = np.clip(np.searchsorted(ranked, queries), 1, len(ranked) - 1)
    with np.errstate(over="ignore"):
        below = queries - ranked[right - 1] < ranked[right] - queries
    return order[right - below]


def _explained_variance(values: NDArray[Any], target: Floats) -> float:
    """The share of the target's variance that the column alone explains, by rank or level."""
    finite = np.isfinite(target)
    if values.dtype.kind == "f":
        finite &= np.isfinite(values)
        if finite.sum() < 50:
            return 0.0
        a, b = values[finite].astype(np.float64), target[finite]
        score = max(abs(correlation(a, b)), abs(correlation(_ranks(a), _ranks(b))))
        return score if score > 0.999 else 0.0
    levels = values.astype(np.int64)
    learn, held = (rows[finite[rows]] for rows in _halves(len(target)))
    width = int(levels.max()) + 1
    count = np.bincount(levels[learn], minlength=width)
    total = np.bincount(levels[learn], weights=target[learn], minlength=width)
    means = np.where(count > 0, total / np.maximum(count, 1), target[learn].mean())
    residual = np.square(target[held] - means[levels[held]]).sum()
    spread = np.square(target[held] - target[held].mean()).sum()
    return float(1 - residual / spread) if spread > 0 else 0.0


def correlation(a: Floats, b: Floats) -> float:
    """The correlation of numbers, (n,) each; 0 where one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    a, b = a / (np.abs(a).max() or 1), b / (np.abs(b).max() or 1)
    size = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum() / size) if size > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    """Ranks, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return np.asarray((ends - (counts - 1) / 2)[inverse], np.float64)
