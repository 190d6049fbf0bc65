"""Metrics of regression: numbers (n,) or (n, d) against predictions of the same shape.

With several outputs each is scored separately and the scores are averaged, as in scikit-learn. A
prediction that is NaN makes the metric NaN, a huge error makes it infinite; there are no warnings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chainrule.errors import DataError, SettingError, ShapeError
from chainrule.train.metrics.checks import Floats, Rows, number_rows
from chainrule.train.metrics.classes import Weights


@np.errstate(over="ignore", invalid="ignore")
def rmse(target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None) -> float:
    """The root mean squared error, in the unit of the target."""
    rows = number_rows("rmse", target, prediction, weights)
    return float(np.sqrt(rows.mean((rows.target - rows.prediction) ** 2)).mean())


@np.errstate(over="ignore", invalid="ignore")
def mae(target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None) -> float:
    """The mean absolute error, in the unit of the target."""
    rows = number_rows("mae", target, prediction, weights)
    return float(rows.mean(np.abs(rows.target - rows.prediction)).mean())


@np.errstate(over="ignore", invalid="ignore")
def median_absolute_error(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> float:
    """The median absolute error; for an even number of rows the mean of the middle two."""
    rows = number_rows("median_absolute_error", target, prediction, weights)
    if rows.broken:
        return math.nan
    errors = np.abs(rows.target - rows.prediction)
    if rows.weights is None:
        return float(np.median(errors, axis=0).mean())
    return float(np.mean([_weighted_median(column, rows.weights) for column in errors.T]))


@np.errstate(over="ignore", invalid="ignore")
def r2(target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None) -> float:
    """The fraction of the target's variance that the prediction explains; 1 is perfect.

    A constant target gives 1 if it is predicted exactly, and 0 otherwise. A single row gives NaN.
    """
    rows = number_rows("r2", target, prediction, weights)
    if rows.broken or len(rows.target) < 2:
        return math.nan
    left = rows.mean((rows.target - rows.prediction) ** 2)
    spread = rows.mean((rows.target - rows.mean(rows.target)) ** 2)
    constant = np.ptp(rows.target, axis=0) == 0
    share = 1 - left / np.where(constant, 1.0, spread)
    return float(np.where(constant, np.where(left == 0, 1.0, 0.0), share).mean())


@np.errstate(over="ignore", invalid="ignore")
def poisson_deviance(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> float:
    """The mean of 2 (t log(t / p) - t + p) for counts; infinite if p is 0 and t is not."""
    rows = number_rows("poisson_deviance", target, prediction, weights)
    for name, values in (("target", rows.target), ("prediction", rows.prediction)):
        if (values < 0).any():
            raise DataError(
                "poisson_deviance", f"a {name} is negative", expected="counts or rates >= 0",
                got=float(values.min()),
            )  # fmt: skip
    with np.errstate(divide="ignore"):
        ratio = np.divide(rows.target, rows.prediction)
        logs = np.log(ratio, out=np.zeros_like(ratio), where=rows.target > 0)
    return float(2 * rows.mean(rows.target * logs - rows.target + rows.prediction).mean())


def pinball(
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    *,
    levels: Sequence[float] = (0.5,),
    weights: Weights = None,
) -> float:
    """The mean pinball loss over several quantiles, in the unit of the target.

    Args:
        target: (n,).
        prediction: the predicted quantiles (n, q), or (n,) for one.
        levels: the q levels, each between 0 and 1. At level 0.5 the loss is half the MAE.
        weights: of the rows, (n,).
    """
    return float(pinball_each(target, prediction, levels=levels, weights=weights).mean())


@np.errstate(over="ignore", invalid="ignore")
def pinball_each(
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    *,
    levels: Sequence[float],
    weights: Weights = None,
) -> Floats:
    """The pinball loss of each quantile, (q,); arguments as in `pinball`."""
    rows = quantile_rows("pinball", target, prediction, levels, weights)
    short = rows.target - rows.prediction  # (n, q)
    tau = np.asarray(levels, dtype=np.float64)
    return rows.mean(np.maximum(tau * short, (tau - 1) * short))


def coverage(
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    *,
    levels: Sequence[float],
    weights: Weights = None,
) -> float:
    """The fraction of targets between the lowest and highest predicted quantile, inclusive.

    It should be near max(levels) - min(levels). NaN with a single level.
    """
    rows = quantile_rows("coverage", target, prediction, levels, weights)
    low, high = int(np.argmin(levels)), int(np.argmax(levels))
    if low == high:
        return math.nan
    value = rows.target[:, 0]
    inside = (rows.prediction[:, low] <= value) & (value <= rows.prediction[:, high])
    return float(rows.mean(inside))


def crossing(
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    *,
    levels: Sequence[float],
    weights: Weights = None,
) -> float:
    """The fraction of rows in which a higher quantile is predicted below a lower one."""
    rows = quantile_rows("crossing", target, prediction, levels, weights)
    ordered = rows.prediction[:, np.argsort(levels, kind="stable")]
    falls = np.less(ordered[:, 1:], ordered[:, :-1])
    return float(rows.mean(np.any(falls, axis=1)))


def quantile_rows(
    where: str,
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    levels: Sequence[float],
    weights: Weights,
) -> Rows:
    """Rows of one number with q predicted quantiles, both (n, q) after the target is repeated."""
    if len(levels) == 0 or not all(0 < level < 1 for level in levels):
        raise SettingError(
            where, "quantile levels are not valid", expected="numbers between 0 and 1",
            got=list(levels),
        )  # fmt: skip
    value, guess = np.asarray(target), np.asarray(prediction)
    value = value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value
    guess = guess[:, None] if guess.ndim == 1 else guess
    if value.ndim != 1 or guess.shape != (len(value), len(levels)):
        raise ShapeError(
            where, "target and predicted quantiles do not fit",
            expected=f"(n,) and (n, {len(levels)})", got=f"{value.shape} and {guess.shape}",
        )  # fmt: skip
    return number_rows(where, np.broadcast_to(value[:, None], guess.shape), guess, weights)


def _weighted_median(values: Floats, weights: Floats) -> float:
    """The median of values (n,), each repeated `weight` times: the mean of the middle two."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weights[order])
    half, slack = upto[-1] / 2, upto[-1] * 1e-12  # sums of weights such as 0.3 round
    low = np.searchsorted(upto, half - slack, "left")
    high = np.searchsorted(upto, half + slack, "right")
    return float((values[order[low]] + values[order[min(high, len(order) - 1)]]) / 2)
