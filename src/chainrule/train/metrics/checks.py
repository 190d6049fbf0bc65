"""Arguments of metrics: targets, predictions and weights, checked and converted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chainrule.errors import DataError, ShapeError
from chainrule.graph.node import Array

Floats = npt.NDArray[np.float64]

SUM_TOLERANCE = 1e-3  # of the sum of a row's probabilities


@dataclass(frozen=True, slots=True)
class Rows:
    """Examples to score, without rows of weight zero.

    Attributes:
        target: class indices (n,), labels (n, k) of 0 and 1, or numbers (n, d).
        prediction: scores (n, k) or numbers (n, d).
        weights: (n,) float64, positive, or None if all rows weigh 1.
        broken: whether a prediction is NaN, so that all metrics are NaN.
    """

    target: Array
    prediction: Array
    weights: Floats | None
    broken: bool

    def mean(self, values: Array) -> Floats:
        """The weighted mean over rows, in float64; NaN if the rows are broken.

        Values of shape (n,) or (n, d) give () or (d,).
        """
        if self.broken:
            return np.full(values.shape[1:], np.nan)
        if self.weights is None:
            return np.asarray(values.mean(axis=0, dtype=np.float64))
        return np.asarray(self.weights @ values / self.weights.sum())

    def count(self, codes: Array, length: int) -> Floats:
        """The total weight of each code 0 .. length-1."""
        return np.bincount(codes, self.weights, length).astype(np.float64)


def class_rows(
    where: str, target: npt.ArrayLike, prediction: npt.ArrayLike, weights: npt.ArrayLike | None
) -> Rows:
    """Rows of class indices (n,) with scores (n, k), or (n,): the probability of class 1."""
    scores = _numbers(where, "predictions", prediction)
    if scores.ndim == 1 or (scores.ndim == 2 and scores.shape[1] == 1):
        scores = scores.reshape(-1)
        check_range(where, scores)
        scores = np.stack([1 - scores, scores], axis=1)  # (n,) -> (n, 2)
    codes = _numbers(where, "targets", target)
    if codes.ndim == 2 and codes.shape[1] == 1:
        codes = codes[:, 0]
    if scores.ndim != 2 or codes.ndim != 1 or len(codes) != len(scores):
        raise ShapeError(
            where,
            "target and prediction do not describe the same rows",
            expected="class indices (n,) and probabilities (n, k), or (n,) for class 1",
            got=f"{np.shape(target)} and {np.shape(prediction)}",
        )
    rows = _weighted_rows(where, codes, scores, weights)
    good = (rows.target >= 0) & (rows.target < scores.shape[1]) & (rows.target % 1 == 0)
    if not good.all():
        first = int(np.flatnonzero(~good)[0])
        raise DataError(
            where,
            "a target is not a class index",
            expected=f"integers from 0 to {scores.shape[1] - 1}",
            got=f"{rows.target[first]} (row {_original(weights, first)})",
            fix="give rows that should not count a weight of 0",
        )
    return Rows(rows.target.astype(np.int64), rows.prediction, rows.weights, rows.broken)


def label_rows(
    where: str, target: npt.ArrayLike, prediction: npt.ArrayLike, weights: npt.ArrayLike | None
) -> Rows:
    """Rows of k labels, each 0 or 1, with their probabilities: (n, k) and (n, k)."""
    labels = _numbers(where, "targets", target)
    scores = _numbers(where, "predictions", prediction)
    if labels.shape != scores.shape or labels.ndim != 2:
        raise ShapeError(
            where,
            "target and prediction differ in shape",
            expected="labels (n, k) of 0 and 1, and probabilities (n, k)",
            got=f"{labels.shape} and {scores.shape}",
        )
    rows = _weighted_rows(where, labels, scores, weights)
    check_range(where, rows.prediction)
    bad = np.argwhere((rows.target != 0) & (rows.target != 1))
    if len(bad):
        first, label = (int(i) for i in bad[0])
        raise DataError(
            where,
            "a label is neither 0 nor 1",
            got=f"{rows.target[first, label]} (row {_original(weights, first)}, label {label})",
        )
    return Rows(rows.target == 1, rows.prediction, rows.weights, rows.broken)


def number_rows(
    where: str, target: npt.ArrayLike, prediction: npt.ArrayLike, weights: npt.ArrayLike | None
) -> Rows:
    """Rows of d numbers, of equal shape; (n,) equals (n, 1). Both become (n, d)."""
    values = _numbers(where, "targets", target).astype(np.float64)
    predicted = _numbers(where, "predictions", prediction).astype(np.float64)
    values, predicted = (a[:, None] if a.ndim == 1 else a for a in (values, predicted))
    if values.shape != predicted.shape or values.ndim == 0:
        raise ShapeError(
            where,
            "target and prediction differ in shape",
            expected="equal shapes, (n,) or (n, d)",
            got=f"{np.shape(target)} and {np.shape(prediction)}",
        )
    width = int(np.prod(values.shape[1:]))
    rows = _weighted_rows(where, values.reshape(-1, width), predicted.reshape(-1, width), weights)
    check_finite_target(where, rows.target, weights)
    return rows


def check_finite_target(where: str, target: Array, weights: npt.ArrayLike | None) -> None:
    """Rejects a target (n, d) that is NaN or infinite."""
    bad = np.argwhere(~np.isfinite(target))
    if len(bad):
        first = _original(weights, int(bad[0, 0]))
        raise DataError(
            where, "a target is not finite", got=f"{target[tuple(bad[0])]} (row {first})",
            fix="give rows that should not count a weight of 0",
        )  # fmt: skip


def check_range(where: str, scores: Array) -> None:
    """Rejects scores outside 0 .. 1, which cannot be probabilities. NaN passes."""
    slack = SUM_TOLERANCE
    wrong = scores[(scores < -slack) | (scores > 1 + slack)]
    if wrong.size:
        raise DataError(
            where, "the predictions are not probabilities",
            expected="values from 0 to 1", got=f"{float(wrong.flat[0]):.6g}",
            fix="apply softmax (classes) or sigmoid (labels) to logits first",
        )  # fmt: skip


def check_distribution(where: str, rows: Rows) -> None:
    """Rejects scores (n, k) whose rows are not probability distributions."""
    if rows.broken:
        return
    check_range(where, rows.prediction)
    sums = rows.prediction.sum(axis=1, dtype=np.float64)
    wrong = sums[np.abs(sums - 1) > SUM_TOLERANCE]
    if wrong.size:
        raise DataError(
            where, "the probabilities of a row do not sum to 1",
            expected="1 (within 0.001)", got=f"{wrong[0]:.6g}",
            fix="apply softmax to logits first",
        )  # fmt: skip


def _numbers(where: str, what: str, values: npt.ArrayLike) -> Array:
    """An array of numbers; half precision is widened, booleans become 0 and 1."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise DataError(
            where, f"the {what} are not numbers", expected="integers, floats or booleans",
            got=f"an array of {array.dtype}", fix="encode class names as indices first",
        )  # fmt: skip
    wide = array.dtype.kind == "f" and array.dtype.itemsize >= 4
    return array if wide else array.astype(np.int64 if array.dtype.kind in "iu" else np.float64)


def _weighted_rows(
    where: str, target: Array, prediction: Array, weights: npt.ArrayLike | None
) -> Rows:
    """Drops rows of weight zero, and checks the remaining predictions for NaN."""
    if len(target) == 0:
        raise DataError(where, "there are no rows to score", fix="check the split or the filter")
    checked = None
    if weights is not None:
        checked = _weights(where, weights, len(target))
        positive = checked > 0
        if not positive.all():
            target, prediction = target[positive], prediction[positive]
            checked = checked[positive]
    return Rows(target, prediction, checked, bool(np.isnan(prediction).any()))


def _weights(where: str, weights: npt.ArrayLike, length: int) -> Floats:
    array = np.asarray(weights, dtype=np.float64)
    if array.shape not in ((length,), (length, 1)):
        raise ShapeError(
            where, "there must be one weight per row", expected=f"({length},)", got=array.shape
        )
    array = array.reshape(-1)
    if not (np.isfinite(array) & (array >= 0)).all() or not 0 < array.sum() < np.inf:
        raise DataError(
            where,
            "the weights are not valid",
            expected="finite numbers of at least 0, not all 0",
            got=f"smallest {array.min()}, largest {array.max()}",
        )
    return array


def _original(weights: npt.ArrayLike | None, row: int) -> int:
    """The index of a remaining row among all given rows."""
    if weights is None:
        return row
    return int(np.flatnonzero(np.asarray(weights).reshape(-1) > 0)[row])
