"""Puts the worth of predictions into sentences: the score, a guess's, and the uncertainty."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.shuffle import shuffled
from chainrule.display.format import clip, counted, number
from chainrule.report.charts import percent, wilson
from chainrule.report.results import Outcome, arrays_of, decided_of, shares_of
from chainrule.train.metrics import auc, balanced_accuracy, log_loss, mae, r2, rmse

BOOTSTRAPS, MIN_BOOTSTRAP_ROWS, MAX_BOOTSTRAP_GROUPS = 500, 10, 2000


def headline(outcome: Outcome) -> tuple[str, ...]:
    """The result in words: the score, that of the constant guess, and its uncertainty."""
    target, prediction = arrays_of(outcome)
    if not len(target):
        return ()
    if not np.isfinite(prediction).all():
        bad = int((~np.isfinite(prediction)).reshape(len(target), -1).any(axis=1).sum())
        return (f"For {bad:,} of {_rows(outcome)} the prediction is not a "
                "finite number, so the results are not valid.",)  # fmt: skip
    return _classified(outcome) if outcome.classes else _measured(outcome)


def _rows(outcome: Outcome) -> str:
    """'1 held-out row', '1,200 test rows'."""
    which = outcome.name.replace("validation", "held-out")
    return counted(len(arrays_of(outcome)[0]), f"{which} row")


def _classified(outcome: Outcome) -> tuple[str, ...]:
    target, _ = arrays_of(outcome)
    n, right = len(target), int((outcome.predicted == target).sum())
    counts = np.bincount(target.astype(np.int64), minlength=len(outcome.classes))
    label = int(counts.argmax()) if outcome.guess is None else int(outcome.guess)
    said = (f"{percent(right / n)} of {_rows(outcome)} classified right; guessing the "
            f"most frequent class, {clip(outcome.classes[label], 40)}, gives "
            f"{percent(counts[label] / n)}.",)  # fmt: skip
    low, high = wilson(right, n)
    sure = f"From {counted(n, 'row')}, the 95\u00a0% interval is {percent(low)} to {percent(high)}."
    return (*said, *_verdict(outcome, right > counts[label]), sure, *_caution(outcome))


def _verdict(outcome: Outcome, more_right: bool) -> tuple[str, ...]:
    """The comparison with the guess where accuracy alone would mislead."""
    target, prediction = arrays_of(outcome)[0], shares_of(outcome)
    classes = target.astype(np.int64)
    shares = np.array(outcome.shares or np.bincount(classes, minlength=len(outcome.classes)))
    constant = np.tile(shares / shares.sum(), (len(classes), 1))
    loss, flat = log_loss(classes, prediction), log_loss(classes, constant)
    area, tells_more = auc(classes, prediction), _tells_more(classes, prediction, constant)
    losses = f"log loss {number(loss)}, that of the class shares {number(flat)}"
    ranks = f", AUC {number(area)}" if math.isfinite(area) else ""
    found = balanced_accuracy(classes, decided_of(outcome))
    weighted = () if not outcome.weights else (
        "Classes are decided as if they were equally frequent: balanced accuracy "
        f"{number(found)}, by guessing {number(1 / len(set(classes.tolist())))}.",
    )  # fmt: skip
    if more_right and (loss < flat or number(loss) == number(flat)):
        return weighted
    if more_right:
        return (*weighted, f"Its probabilities are worse than the shares of the classes: {losses}.")
    if tells_more or _ranks(classes, area):
        better = "its probabilities tell more" if tells_more else "it ranks rows well"
        few = "No more rows are classified right than by that guess"
        return (*weighted, f"{few}, but {better}: {losses}{ranks}.")
    return (*weighted, "The network does no better than that guess.")


def _tells_more(
    target: npt.NDArray[np.int64], prediction: npt.NDArray[Any], constant: npt.NDArray[Any]
) -> bool:
    """Whether the log loss is below that of the constant by more than two standard errors."""
    rows = np.arange(len(target))
    tiny = np.finfo(np.float32).tiny
    gain = np.log(
        np.maximum(prediction[rows, target], tiny) / np.maximum(constant[rows, target], tiny)
    )
    return bool(gain.mean() > 2 * gain.std() / math.sqrt(len(gain)))


def _ranks(target: npt.NDArray[np.int64], area: float) -> bool:
    """Whether an AUC of two classes is above one half by more than chance explains.

    Source of the deviation: J. A. Hanley and B. J. McNeil, 1982.
    """
    counts = np.bincount(target)
    if len(counts) != 2 or not counts.all() or not math.isfinite(area):
        return False
    return area > 0.5 + 3 * math.sqrt((counts.sum() + 1) / (12 * counts[0] * counts[1]))


def _measured(outcome: Outcome) -> tuple[str, ...]:
    target, prediction = arrays_of(outcome)
    level = target.mean(axis=0) if outcome.guess is None else np.asarray(outcome.guess)
    constant = np.broadcast_to(level, target.shape)
    mean = f"the mean, {number(float(level))}," if level.size == 1 else "the means"
    error, flat = rmse(target, prediction), rmse(target, constant)
    explained = f", R² {number(r2(target, prediction))}" if len(target) > 1 else ""
    said = (f"RMSE {number(error)}, MAE {number(mae(target, prediction))}{explained} "
            f"on {_rows(outcome)}; "
            f"predicting {mean} for every row gives RMSE "
            f"{number(flat)} and MAE {number(mae(target, constant))}.")  # fmt: skip
    worse, other = error >= flat, mae(target, prediction) < mae(target, constant)
    verdict = "The network does no better than that guess."
    if worse and other:
        verdict = "By RMSE, which a few large errors decide, the network does no better than that "
        verdict += "guess; by MAE it does."
    return (said, *(verdict for _ in range(worse)), *_spread(error, target, prediction),
            *_caution(outcome))  # fmt: skip


def _spread(
    error: float, target: npt.NDArray[Any], prediction: npt.NDArray[Any]
) -> tuple[str, ...]:
    """The 95 % interval of the RMSE, by the bootstrap."""
    n = len(target)
    if n < MIN_BOOTSTRAP_ROWS:
        return (f"{counted(n, 'row')}: too few to tell how sure that is.",)
    scale = error or 1.0
    squares = np.square((prediction - target) / scale).reshape(n, -1).mean(axis=1)
    group = shuffled(n, 0) % MAX_BOOTSTRAP_GROUPS  # many rows are drawn in groups
    sums, sizes = np.bincount(group, squares), np.bincount(group)
    drawn = np.random.default_rng(0).integers(0, len(sums), (BOOTSTRAPS, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = scale * np.sqrt(np.quantile(means, [0.025, 0.975]))
    return (f"From {counted(n, 'row')}, the 95\u00a0% interval of the RMSE is {number(low)} to "
            f"{number(high)}.",)  # fmt: skip


def _caution(outcome: Outcome) -> tuple[str, ...]:
    if outcome.name != "training":
        return ()
    return ("These are the rows it was trained on: new rows may fare worse.",)
