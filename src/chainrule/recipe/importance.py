"""The importance of columns: how much worse a score is when their values are shuffled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.blocks import Encoded, subset
from chainrule.data.columns.encoder import GridEncoder
from chainrule.data.schema import Schema
from chainrule.data.shuffle import shuffled
from chainrule.model.model import Model
from chainrule.report.results import Evaluation, Importance
from chainrule.train.metrics import log_loss

SHUFFLES, MIN_SHUFFLES = 8, 5
MAX_ROWS, MIN_ROWS = 1000, 100
"""Rows of the sample; importance is left out where fewer would have to do."""
MAX_WORK = 1e11
"""Bound of the multiplications for all columns, roughly: some seconds."""


def importance(model: Model, evaluation: Evaluation) -> Importance:
    """The rise of the log loss, or the fall of R2, when one column's values are shuffled.

    Each column is shuffled several times among a sample of the rows; where there is one, of
    pictures or signals, there is nothing to compare. Source: L. Breiman, Random
    forests, 2001.
    """
    schema = model.schema
    assert schema is not None
    columns = [encoder.name for encoder in schema.used]
    if len(columns) == 1 and isinstance(schema.used[0], GridEncoder):
        return Importance()  # there is nothing to compare it with
    of, rows = "log_loss" if schema.classes is not None else "r2", evaluation.rows
    for shuffles in (SHUFFLES, MIN_SHUFFLES):
        size = min(rows, MAX_ROWS, int(MAX_WORK / (shuffles * len(columns) * max(model.size, 1))))
        if size >= min(rows, MIN_ROWS):
            break
    else:
        why = f"{len(columns):,} columns of so large a network would take long"
        return Importance(of, evaluation.name, why=why)
    sample = subset(evaluation.encoded, np.sort(shuffled(rows, model.seed)[:size]))
    assert sample.target is not None
    if size < 2 or not np.ptp(sample.target):
        return Importance(of, evaluation.name, why="the rows have one target")
    orders = [shuffled(size, model.seed + 1, k) for k in range(shuffles)]
    before = _loss(schema, sample.target, model.predict(sample).values)
    found = []
    for column in columns:
        values = model.predict(_mixed(schema, sample, column, orders)).values
        parts = np.split(values, shuffles)
        after = np.array([_loss(schema, sample.target, part) for part in parts])
        found.append((column, float(after.mean() - before), float(2 * after.std(ddof=1))))
    return Importance(of, evaluation.name, size, shuffles, tuple(found))


def _loss(schema: Schema, target: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
    """The log loss, or the squared error as a share of the target's variance."""
    if schema.classes is None:
        return float(np.square(prediction - target).mean() / np.var(target))
    return log_loss(target, prediction)


def _mixed(
    schema: Schema, encoded: Encoded, column: str, orders: list[npt.NDArray[np.int64]]
) -> Encoded:
    """The rows once for each order, with one column's values in that order."""
    usual, mixed = np.tile(np.arange(len(encoded)), len(orders)), np.concatenate(orders)
    arrays = {}
    for block in schema.blocks:
        array = encoded.arrays[block.name]
        arrays[block.name] = array[usual]
        if column not in block.columns:
            continue
        if block.kind not in ("numbers", "categories"):
            arrays[block.name] = array[mixed]
            continue
        held = [member.column for member in block.members] or block.columns
        places = [k for k, name in enumerate(held) if name == column]
        arrays[block.name][:, places] = array[mixed][:, places]
    return Encoded(arrays, None, encoded.rows[usual], encoded.notes)
