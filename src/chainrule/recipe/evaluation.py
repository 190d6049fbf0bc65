"""Evaluates a model on some rows: scores, those of a constant guess, mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.blocks import Encoded, subset
from chainrule.data.columns.target import ClassTarget, NumberTarget
from chainrule.data.repeats import Keys, repeated, sentence
from chainrule.data.schema import Schema
from chainrule.data.table import Table
from chainrule.engine.minibatch import all_rows
from chainrule.model.model import Model
from chainrule.ops.softmax import SOFTMAX
from chainrule.report.results import Evaluation, Outcome
from chainrule.train import metrics
from chainrule.train.metrics import Scores

MISTAKES = 10


def evaluate(
    model: Model, encoded: Encoded, name: str, prediction: npt.NDArray[Any] | None = None
) -> Evaluation:
    """Score a model on rows that have a target, in one pass over them.

    Args:
        prediction: of the rows, where it is not that of the model.
    """
    schema = model.schema
    assert schema is not None
    assert encoded.target is not None
    arrays, rows = model.arrays(encoded)
    found = model.scoring_outputs(arrays, all_rows(rows))
    scores = model.scores_of(found)
    if prediction is None:  # logits, or the numbers themselves
        prediction = (
            SOFTMAX.forward(found[1], axis=(-1,)) if schema.task == "classification" else found[1]
        )
    else:
        scores |= _scores(schema, encoded.target, prediction)
    outcome = Outcome(name, encoded.target, prediction, **_known(schema))
    guess = _scores(schema, encoded.target, _constant(outcome, len(encoded)), decided=False)
    return Evaluation(name, encoded, scores, guess, outcome)


def without_repeats(model: Model, found: Evaluation, trained: Keys) -> list[Evaluation]:
    """An evaluation and, where some of its rows repeat training rows, one of the others."""
    assert model.schema is not None
    again = repeated(model.schema, trained, found.encoded)
    told, rows = sentence(again, f"{found.name} row"), np.flatnonzero(~again)
    if not told:
        return [found]
    if not len(rows):
        said = f"{told}: the scores tell nothing of new rows."
        return [replace(found, remarks=(*found.remarks, said))]
    said = f"{told}; the scores without them are beside."
    prediction = np.asarray(found.outcome.prediction)[rows]
    others = evaluate(model, subset(found.encoded, rows), f"unrepeated {found.name}", prediction)
    return [replace(found, remarks=(*found.remarks, said)), others]


def _scores(
    schema: Schema, truth: npt.NDArray[Any], prediction: npt.NDArray[Any], decided: bool = True
) -> Scores:
    target = schema.target
    if not isinstance(target, ClassTarget):
        return metrics.regression(truth, prediction)
    chosen = target.decided(prediction) if decided and target.weights else None
    return metrics.classification(truth, prediction, decided=chosen)


def _constant(outcome: Outcome, rows: int) -> npt.NDArray[Any]:
    """The best constant guess for rows: the class shares, or the mean, of the training data."""
    return np.tile(outcome.shares, (rows, 1)) if outcome.classes else np.full(rows, outcome.guess)


def _known(schema: Schema) -> dict[str, Any]:
    """The fields of an Outcome that the schema has."""
    target = schema.target
    if not isinstance(target, ClassTarget):
        assert isinstance(target, NumberTarget)
        return {"guess": target.stats.mean}
    counts = np.array(target.counts, float)
    return {
        "classes": tuple(map(str, target.classes)), "guess": float(counts.argmax()),
        "shares": tuple((counts / counts.sum()).tolist()), "weights": target.weights,
    }  # fmt: skip


def mistakes(
    evaluation: Evaluation, table: Table, number: Callable[[int], int]
) -> list[dict[str, Any]]:
    """The rows with the largest errors, the worst first, with their values.

    number: of a row of the table in its source, from 1.
    """
    outcome = evaluation.outcome
    worst = worst_rows(outcome, MISTAKES)
    shown_rows: list[dict[str, Any]] = []
    rows = evaluation.encoded.rows[worst]
    cells = {column.name: texts(column.labels()) for column in table.take(rows)}
    for place, answer in enumerate(answers(outcome, worst)):
        row = {"row": number(int(rows[place]))} | answer
        shown_rows.append(row | {n: v[place] for n, v in cells.items() if n not in row})
    return shown_rows


def worst_rows(outcome: Outcome, most: int) -> npt.NDArray[np.int64]:
    """The rows with the largest errors, the worst first; of classes, only those mistaken."""
    target, prediction = np.asarray(outcome.target), np.asarray(outcome.prediction)
    if outcome.classes:
        sure = prediction[np.arange(len(target)), target]
        wrong = np.flatnonzero(outcome.predicted != target)
        return wrong[np.argsort(sure[wrong], kind="stable")][:most]
    return np.argsort(-np.abs(prediction - target), kind="stable")[:most]


def answers(outcome: Outcome, rows: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    """The target and the prediction of some rows, by the names of their columns."""
    actual, predicted = np.asarray(outcome.target)[rows], np.asarray(outcome.prediction)[rows]
    if not outcome.classes:
        return [{"actual": float(y), "predicted": float(x)}
                for y, x in zip(actual, predicted, strict=True)]  # fmt: skip
    return [
        {
            "actual": outcome.classes[y],
            "predicted": outcome.classes[guess],
            "probability": float(p[guess]),
        }
        for y, p, guess in zip(actual, predicted, outcome.predicted[rows], strict=True)
    ]


def texts(labelled: tuple[npt.NDArray[Any], Sequence[str]]) -> list[str | None]:
    """The label of each row, None for a gap."""
    codes, labels = labelled
    return [None if code < 0 else labels[code] for code in codes]
