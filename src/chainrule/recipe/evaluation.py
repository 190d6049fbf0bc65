"""Evaluates a model on some rows: scores, those of a constant guess, mistakes, importance."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.blocks import Encoded
from chainrule.data.columns.target import ClassTarget, NumberTarget
from chainrule.data.schema import Schema
from chainrule.data.split import shuffled
from chainrule.data.table import Table
from chainrule.model.model import Model
from chainrule.report.results import Evaluation, Outcome
from chainrule.train import metrics
from chainrule.train.metrics import Scores

IMPORTANCE_ROWS = 1000  # in the sample for the importance
IMPORTANCE_SECONDS = 3.0  # expected time above which importance is left out
MISTAKES = 10


def subset(encoded: Encoded, rows: npt.NDArray[np.int64]) -> Encoded:
    """Some rows of an encoded table."""
    target = None if encoded.target is None else encoded.target[rows]
    arrays = {name: array[rows] for name, array in encoded.arrays.items()}
    return Encoded(arrays, target, encoded.rows[rows], encoded.notes)


def evaluate(model: Model, encoded: Encoded, name: str) -> Evaluation:
    """Score a model on rows that have a target."""
    assert model.schema is not None
    assert encoded.target is not None
    prediction = model.predict(encoded).values
    level, guess = constant_guess(model.schema, encoded.target)
    names = tuple(map(str, model.schema.classes)) if model.schema.classes is not None else ()
    outcome = Outcome(name, encoded.target, prediction, names, level)
    return Evaluation(name, encoded, model.evaluate(encoded), guess, outcome)


def constant_guess(schema: Schema, target: npt.NDArray[Any]) -> tuple[float, Scores]:
    """The scores of the best constant guess: class shares, or the mean of training."""
    encoder = schema.target
    if isinstance(encoder, ClassTarget):
        counts = np.array(encoder.counts, float)
        shares = np.tile(counts / counts.sum(), (len(target), 1))
        return float(counts.argmax()), metrics.classification(target, shares)
    assert isinstance(encoder, NumberTarget)
    mean = encoder.stats.mean
    return mean, metrics.regression(target, np.full(len(target), mean))


def importance(model: Model, evaluation: Evaluation) -> tuple[str, list[tuple[str, float]]]:
    """The drop of a score when one column's values are shuffled among the rows.

    Returns the score's name and the drop for each column; no drops where it would take long.
    """
    assert model.schema is not None
    name = "accuracy" if model.schema.classes is not None else "r2"
    rows = np.sort(shuffled(evaluation.rows, model.seed)[:IMPORTANCE_ROWS])
    if len(rows) < 2:
        return name, []
    sample = subset(evaluation.encoded, rows)
    begun = time.perf_counter()
    unshuffled = model.evaluate(sample, [name])[name]
    columns = [encoder.name for encoder in model.schema.used]
    if (time.perf_counter() - begun) * len(columns) > IMPORTANCE_SECONDS:
        return name, []
    order = shuffled(len(rows), model.seed + 1)
    drops = [
        unshuffled - model.evaluate(_mixed(model.schema, sample, column, order), [name])[name]
        for column in columns
    ]
    return name, list(zip(columns, drops, strict=True))


def _mixed(schema: Schema, encoded: Encoded, column: str, order: npt.NDArray[np.int64]) -> Encoded:
    """The rows with one column's values in another order."""
    arrays = dict(encoded.arrays)
    for block in schema.blocks:
        if column not in block.columns:
            continue
        if block.kind not in ("numbers", "categories"):
            arrays[block.name] = arrays[block.name][order]
            continue
        array = arrays[block.name].copy()
        held = [member.column for member in block.members] or block.columns
        places = [k for k, name in enumerate(held) if name == column]
        array[:, places] = array[order][:, places]
        arrays[block.name] = array
    return Encoded(arrays, encoded.target, encoded.rows, encoded.notes)


def mistakes(evaluation: Evaluation, table: Table) -> list[dict[str, Any]]:
    """The rows with the largest errors, the worst first, with their values."""
    outcome = evaluation.outcome
    target, prediction = np.asarray(outcome.target), np.asarray(outcome.prediction)
    if outcome.classes:
        sure = prediction[np.arange(len(target)), target]
        wrong = np.flatnonzero(prediction.argmax(axis=1) != target)
        worst = wrong[np.argsort(sure[wrong], kind="stable")][:MISTAKES]
    else:
        worst = np.argsort(-np.abs(prediction - target), kind="stable")[:MISTAKES]
    shown_rows: list[dict[str, Any]] = []
    shown = table.take(evaluation.encoded.rows[worst])
    cells = {column.name: texts(column.labels()) for column in shown}
    for place, k in enumerate(worst):
        row = {"row": int(evaluation.encoded.rows[k]) + 1} | _answer(
            outcome, target[k], prediction[k]
        )
        shown_rows.append(row | {n: v[place] for n, v in cells.items() if n not in row})
    return shown_rows


def _answer(outcome: Outcome, actual: Any, predicted: npt.NDArray[Any]) -> dict[str, Any]:
    if not outcome.classes:
        return {"actual": float(actual), "predicted": float(predicted)}
    guess = int(predicted.argmax())
    return {
        "actual": outcome.classes[int(actual)],
        "predicted": outcome.classes[guess],
        "probability": float(predicted[guess]),
    }


def texts(labelled: tuple[npt.NDArray[Any], Sequence[str]]) -> list[str | None]:
    """The label of each row, None for a gap."""
    codes, labels = labelled
    return [None if code < 0 else labels[code] for code in codes]
