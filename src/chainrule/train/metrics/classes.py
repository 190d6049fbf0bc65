"""Metrics of classification: class indices (n,) against probabilities (n, k).

Conventions, as in scikit-learn where it has one:

- `prediction` may be (n,): the probability of class 1. The predicted class is the most probable
  (ties: the lowest index); so class 1 of two needs more than 0.5.
- A ratio without cases (0 / 0) counts as 0: the precision of a class that is never predicted, the
  recall of one that never occurs. Macro averages include the classes that occur in the target or
  are predicted.
- A metric is NaN, without a warning, if a prediction is NaN or if it is not defined (AUC of a
  single class).
- A row of weight 0 counts as absent, a row of weight 2 as given twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from chainrule.errors import SettingError, did_you_mean
from chainrule.graph.node import Array
from chainrule.train.metrics.checks import Floats, Rows, check_distribution, class_rows

Average = Literal["auto", "binary", "macro", "weighted", "micro"]
AVERAGES = ("auto", "binary", "macro", "weighted", "micro")
Weights = npt.ArrayLike | None

SMALLEST = float(np.finfo(np.float64).eps)  # log loss clips probabilities to at least this


def accuracy(target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None) -> float:
    """The fraction of rows whose most probable class is the target."""
    rows = class_rows("accuracy", target, prediction, weights)
    return float(rows.mean(_predicted(rows) == rows.target))


def top_k_accuracy(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, k: int = 5, weights: Weights = None
) -> float:
    """The fraction of rows whose target is among the k most probable classes.

    Ties: the lowest index. With k = 1 it is the accuracy; with k >= the number of classes it is 1.
    """
    if k < 1:
        raise SettingError("top_k_accuracy", "k is too small", expected="k >= 1", got=k)
    rows = class_rows("top_k_accuracy", target, prediction, weights)
    target_score = _of_target(rows)[:, None]  # (n, 1)
    earlier = np.arange(rows.prediction.shape[1]) < rows.target[:, None]  # (n, k)
    ahead = (rows.prediction > target_score) | ((rows.prediction == target_score) & earlier)
    return float(rows.mean(ahead.sum(axis=1) < k))


def balanced_accuracy(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> float:
    """The mean recall over the classes that occur in the target."""
    rows = class_rows("balanced_accuracy", target, prediction, weights)
    hits, support, _ = _counts(rows)
    seen = support > 0
    return math.nan if rows.broken else float(np.mean(hits[seen] / support[seen]))


def precision(
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    *,
    average: Average = "auto",
    weights: Weights = None,
) -> float:
    """The fraction of the rows predicted as a class that belong to it.

    Args:
        target, prediction: class indices (n,) and probabilities (n, k), or (n,) for class 1.
        average: "binary" (class 1 of two), "macro" (mean over classes), "weighted" (mean
            weighted by class frequency), "micro" (all rows together); "auto" is binary for two
            classes and macro for more.
        weights: of the rows, (n,).
    """
    return _averaged("precision", target, prediction, average, weights)


def recall(
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    *,
    average: Average = "auto",
    weights: Weights = None,
) -> float:
    """The fraction of the rows of a class that are predicted as it; `average` as in `precision`."""
    return _averaged("recall", target, prediction, average, weights)


def f1(
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    *,
    average: Average = "auto",
    weights: Weights = None,
) -> float:
    """The harmonic mean of precision and recall; `average` as in `precision`."""
    return _averaged("f1", target, prediction, average, weights)


def per_class(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> dict[str, Floats]:
    """Precision, recall, f1, auc and support (weight in the target) of each class, (k,) each.

    The AUC of a class that occurs never or always is NaN.
    """
    rows = class_rows("per_class", target, prediction, weights)
    hits, support, predicted = _counts(rows)
    table = {name: ratio(hits, support, predicted) for name, ratio in RATIOS.items()}
    if rows.broken:
        table = {name: np.full_like(support, np.nan) for name in table}
    return {**table, "auc": _class_aucs(rows), "support": support}


def confusion_matrix(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> Floats:
    """The weight of rows by (true class, predicted class), (k, k); NaN if a prediction is NaN."""
    rows = class_rows("confusion_matrix", target, prediction, weights)
    k = rows.prediction.shape[1]
    if rows.broken:
        return np.full((k, k), np.nan)
    return rows.count(rows.target * k + _predicted(rows), k * k).reshape(k, k)


def auc(target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None) -> float:
    """The area under the ROC curve: the probability that a positive row outranks a negative one.

    Ties count as one half. Two classes: class 1 against class 0. More: one against the rest,
    averaged over the classes for which both sides occur. NaN if there are none.
    """
    rows = class_rows("auc", target, prediction, weights)
    if rows.prediction.shape[1] == 2:
        return _auc_of(rows, 1)
    areas = _class_aucs(rows)
    defined = areas[~np.isnan(areas)]
    return float(defined.mean()) if defined.size else math.nan


def log_loss(target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None) -> float:
    """The mean of -log p(target), in nats; probabilities are clipped to at least 2.2e-16."""
    rows = class_rows("log_loss", target, prediction, weights)
    check_distribution("log_loss", rows)
    likelihood = np.clip(_of_target(rows).astype(np.float64), SMALLEST, 1.0)
    return float(rows.mean(-np.log(likelihood)))


def brier(target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None) -> float:
    """The mean squared error of probabilities.

    Two classes: of class 1 alone, from 0 to 1. More: the sum over the classes, from 0 to 2.
    """
    rows = class_rows("brier", target, prediction, weights)
    check_distribution("brier", rows)
    k = rows.prediction.shape[1]
    if k == 2:
        return float(rows.mean((rows.prediction[:, 1].astype(np.float64) - rows.target) ** 2))
    of_target = _of_target(rows).astype(np.float64)
    others = (
        np.einsum("nk,nk->n", rows.prediction, rows.prediction, dtype=np.float64) - of_target**2
    )
    return float(rows.mean(others + (1 - of_target) ** 2))


def calibration_error(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, bins: int = 15, weights: Weights = None
) -> float:
    """The expected calibration error: the mean gap between probability and frequency.

    The gaps of `calibration_curve`, weighted by their rows (Guo et al. 2017).
    """
    confidence, correct, weight = calibration_curve(target, prediction, bins=bins, weights=weights)
    filled = weight > 0
    gaps = np.abs(confidence - correct)[filled] * weight[filled]
    return float(gaps.sum() / weight.sum())


def calibration_curve(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, bins: int = 15, weights: Weights = None
) -> tuple[Floats, Floats, Floats]:
    """Mean probability, frequency and weight in equal intervals of probability, (bins,) each.

    Of two classes, the probability and the frequency of class 1; of more, the probability of the
    predicted class, and how often it is right. The lower end of an interval is excluded.
    Probability and frequency of an empty one are NaN; all are NaN if a prediction is NaN.
    """
    if bins < 1:
        raise SettingError("calibration_error", "too few bins", expected="bins >= 1", got=bins)
    rows = class_rows("calibration_error", target, prediction, weights)
    check_distribution("calibration_error", rows)
    if rows.broken:
        return np.full(bins, np.nan), np.full(bins, np.nan), np.full(bins, np.nan)
    if rows.prediction.shape[1] == 2:
        row_confidence, happened = rows.prediction[:, 1].astype(np.float64), rows.target == 1
    else:
        row_confidence = rows.prediction.max(axis=1).astype(np.float64)
        happened = _predicted(rows) == rows.target
    bin_of = np.clip(np.ceil(row_confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    weight = rows.count(bin_of, bins)
    each = np.ones(len(row_confidence)) if rows.weights is None else rows.weights
    divisor = np.where(weight > 0, weight, np.nan)
    confidence = np.bincount(bin_of, each * row_confidence, bins) / divisor
    correct = np.bincount(bin_of, each * happened, bins) / divisor
    return confidence, correct, weight


def ranked_auc(positive: Array, scores: Array, weights: Floats | None) -> float:
    """The AUC of scores (n,) for positive and negative rows, (n,), by one sort.

    NaN if one side is empty.
    """
    order = np.argsort(scores, kind="stable")
    scores, positive = scores[order], positive[order].astype(np.float64)
    weight = np.ones(len(order)) if weights is None else weights[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # the end of each tie
    above = np.diff(np.cumsum(weight * positive)[last], prepend=0.0)  # positives in each tie
    below = np.cumsum(weight * (1 - positive))[last]
    tied = np.diff(below, prepend=0.0)
    total = above.sum() * below[-1]
    if not (positive.any() and not positive.all()):
        return math.nan
    return float(np.clip((above * (below - tied / 2)).sum() / total, 0.0, 1.0))


def _ratio(over: Floats, under: Floats) -> Floats:
    return np.divide(over, under, out=np.zeros_like(over), where=under > 0)


RATIOS: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "precision": lambda hits, support, predicted: _ratio(hits, predicted),
    "recall": lambda hits, support, predicted: _ratio(hits, support),
    "f1": lambda hits, support, predicted: _ratio(2 * hits, support + predicted),
}
"""The ratios of hits, cases and predictions; 0 for a zero denominator."""


def _predicted(rows: Rows) -> Array:
    return np.asarray(rows.prediction.argmax(axis=1))


def _of_target(rows: Rows) -> Array:
    return np.take_along_axis(rows.prediction, rows.target[:, None], axis=1)[:, 0]


def _counts(rows: Rows) -> tuple[Floats, Floats, Floats]:
    """The weights of hits, cases and predictions of each class, (k,) each."""
    k = rows.prediction.shape[1]
    predicted = _predicted(rows)
    hit = rows.target == predicted
    weights = None if rows.weights is None else rows.weights[hit]
    hits = np.bincount(predicted[hit], weights, k).astype(np.float64)
    return hits, rows.count(rows.target, k), rows.count(predicted, k)


def _averaged(
    name: str,
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    average: Average,
    weights: Weights,
) -> float:
    rows = class_rows(name, target, prediction, weights)
    hits, support, predicted = _counts(rows)
    if average not in AVERAGES:
        raise SettingError(
            name, f"unknown average {average!r}", fix=did_you_mean(average, AVERAGES)
        )
    if average == "auto":
        average = "binary" if len(hits) == 2 else "macro"
    if average == "binary" and len(hits) != 2:
        raise SettingError(
            name, "average='binary' needs two classes", got=f"{len(hits)} classes",
            fix="use average='macro'",
        )  # fmt: skip
    if rows.broken:
        return math.nan
    if average == "micro":
        hits, support, predicted = (a.sum(keepdims=True) for a in (hits, support, predicted))
    values = RATIOS[name](hits, support, predicted)
    if average == "binary":
        return float(values[1])
    if average == "weighted":
        return float(values @ support / support.sum())
    return float(values[(support > 0) | (predicted > 0)].mean())


def _auc_of(rows: Rows, label: int) -> float:
    if rows.broken:
        return math.nan
    return ranked_auc(rows.target == label, rows.prediction[:, label], rows.weights)


def _class_aucs(rows: Rows) -> Floats:
    return np.array([_auc_of(rows, label) for label in range(rows.prediction.shape[1])])
