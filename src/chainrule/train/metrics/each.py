"""Metrics of many predictions of the same rows at once, to the bit those of each alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from chainrule.graph.node import Array
from chainrule.train.metrics.checks import Rows, class_rows, number_rows
from chainrule.train.metrics.classes import accuracy
from chainrule.train.metrics.numeric import rmse


def _accuracy(target: Array, predictions: Array) -> tuple[Rows, Array]:
    count, n = predictions.shape[:2]
    rows = class_rows("accuracy", *_flat(target, predictions), None)
    hits = rows.prediction.argmax(axis=1) == rows.target
    return rows, hits.reshape(count, n).mean(axis=1, dtype=np.float64)


@np.errstate(over="ignore", invalid="ignore")
def _rmse(target: Array, predictions: Array) -> tuple[Rows, Array]:
    count, n = predictions.shape[:2]
    rows = number_rows("rmse", *_flat(target, predictions), None)
    errors = (rows.target - rows.prediction) ** 2
    means = errors.reshape(count, n, -1).mean(axis=1, dtype=np.float64)
    return rows, np.sqrt(means).mean(axis=-1)


def _flat(target: Array, predictions: Array) -> tuple[Array, Array]:
    """The target once for each prediction, and the predictions one after the other."""
    count, n = predictions.shape[:2]
    repeated = np.tile(target, (count, *[1] * (target.ndim - 1)))
    return repeated, predictions.reshape(count * n, *predictions.shape[2:])


Each: TypeAlias = Callable[[Array, Array], tuple[Rows, Array]]
"""Target (n, ...) and predictions (count, n, ...) to the rows and the values (count,)."""

EACH: dict[Any, Each] = {accuracy: _accuracy, rmse: _rmse}
"""By metric."""
