"""Metrics of multi-label classification: labels (n, k) of 0 and 1 against probabilities (n, k).

A label is predicted if its probability is above 0.5. Averages over labels are macro: all labels
have equal weight. Ratios without cases count as 0, as for classes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from chainrule.train.metrics.checks import Floats, Rows, label_rows
from chainrule.train.metrics.classes import (
    RATIOS,
    SMALLEST,
    Weights,
    ranked_auc,
)


def subset_accuracy(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> float:
    """The fraction of rows in which all labels are right."""
    rows = label_rows("subset_accuracy", target, prediction, weights)
    return float(rows.mean((_predicted(rows) == rows.target).all(axis=1)))


def label_accuracy(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> float:
    """The fraction of labels that are right (1 - Hamming loss)."""
    rows = label_rows("label_accuracy", target, prediction, weights)
    return float(rows.mean(_predicted(rows) == rows.target).mean())


def label_balanced_accuracy(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> float:
    """The mean over labels of the mean recall of ones and zeros, for those that occur."""
    rows = label_rows("balanced_accuracy", target, prediction, weights)
    right = _predicted(rows) == rows.target
    sides = []
    for side in (rows.target, ~rows.target):
        support = rows.mean(side)
        sides.append(
            np.divide(rows.mean(right & side), support, out=support * np.nan, where=support > 0)
        )
    return math.nan if rows.broken else float(np.nanmean(np.stack(sides), axis=0).mean())


def label_precision(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> float:
    """The mean precision of the labels."""
    return _mean_ratio("precision", target, prediction, weights)


def label_recall(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> float:
    """The mean recall of the labels."""
    return _mean_ratio("recall", target, prediction, weights)


def label_f1(target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None) -> float:
    """The mean F1 of the labels."""
    return _mean_ratio("f1", target, prediction, weights)


def micro_f1(target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None) -> float:
    """The F1 of all labels of all rows taken together."""
    rows = label_rows("micro_f1", target, prediction, weights)
    together = [share.sum(keepdims=True) for share in _shares(rows)]
    return math.nan if rows.broken else float(RATIOS["f1"](*together)[0])


def per_label(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> dict[str, Floats]:
    """Precision, recall, f1, auc and fraction of ones of each label, (k,) each."""
    rows = label_rows("per_label", target, prediction, weights)
    hits, support, predicted = _shares(rows)
    table = {name: ratio(hits, support, predicted) for name, ratio in RATIOS.items()}
    if rows.broken:
        table = {name: np.full_like(support, np.nan) for name in table}
    return {**table, "auc": _aucs(rows), "support": support}


def label_auc(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> float:
    """The mean AUC of the labels that have both ones and zeros; NaN if none has."""
    areas = _aucs(label_rows("auc", target, prediction, weights))
    defined = areas[~np.isnan(areas)]
    return float(defined.mean()) if defined.size else math.nan


def label_log_loss(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> float:
    """The mean over rows and labels of -log p(label), in nats."""
    rows = label_rows("log_loss", target, prediction, weights)
    one = rows.prediction.astype(np.float64)
    likelihood = np.clip(np.where(rows.target, one, 1 - one), SMALLEST, 1.0)
    return float(rows.mean(-np.log(likelihood)).mean())


def label_brier(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> float:
    """The mean squared error of the probabilities over rows and labels."""
    rows = label_rows("brier", target, prediction, weights)
    return float(rows.mean((rows.prediction.astype(np.float64) - rows.target) ** 2).mean())


def _predicted(rows: Rows) -> npt.NDArray[np.bool_]:
    return np.asarray(rows.prediction > 0.5)


def _mean_ratio(
    name: str, target: npt.ArrayLike, prediction: npt.ArrayLike, weights: Weights
) -> float:
    rows = label_rows(name, target, prediction, weights)
    return math.nan if rows.broken else float(RATIOS[name](*_shares(rows)).mean())


def _shares(rows: Rows) -> tuple[Floats, Floats, Floats]:
    """The fractions of hits, ones and predicted ones of each label, (k,) each."""
    predicted = _predicted(rows)
    return rows.mean(predicted & rows.target), rows.mean(rows.target), rows.mean(predicted)


def _aucs(rows: Rows) -> Floats:
    count = rows.target.shape[1]
    if rows.broken:
        return np.full(count, np.nan)
    columns = zip(rows.target.T, rows.prediction.T, strict=True)
    return np.array([ranked_auc(ones, scores, rows.weights) for ones, scores in columns])
