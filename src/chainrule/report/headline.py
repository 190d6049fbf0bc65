"""Puts the worth of predictions into sentences: the score, a guess's, and the uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.shuffle import mix
from chainrule.display.format import clip, counted, number
from chainrule.report.charts import percent, wilson
from chainrule.report.results import Outcome, arrays_of, decided_of, shares_of
from chainrule.train.metrics import auc, balanced_accuracy, log_loss, mae, r2, rmse

BOOTSTRAPS, MIN_BOOTSTRAP_ROWS, MAX_BOOTSTRAP_GROUPS = 500, 10, 2000


@dataclass(frozen=True, kw_only=True)
class Classified:
    """The figures that sentences on classes are made from.

    Attributes:
        name: of the rows, as of an Outcome.
        rows: how many.
        right: those that are classified right.
        guess: the most frequent class.
        guessed: the rows of that class.
        present: the rows of each class, (k,).
        loss, flat: the log loss of the model, and that of the class shares.
        area, balanced: AUC and balanced accuracy.
        gain: mean and deviation of the log loss of the class shares less that of the model.
        weighted: whether classes are decided by weights.
    """

    name: str
    rows: int
    right: int
    guess: str
    guessed: int
    present: Sequence[int]
    loss: float
    flat: float
    area: float
    balanced: float
    gain: tuple[float, float]
    weighted: bool

    def sentences(self) -> tuple[str, ...]:
        """The score, that of the constant guess, and its uncertainty."""
        n = self.rows
        said = (
            f"{percent(self.right / n)} of {_rows(self)} classified right; guessing the most "
            f"frequent class, {clip(self.guess, 40)}, gives {percent(self.guessed / n)}.",
        )
        low, high = wilson(self.right, n)
        sure = (f"From {counted(n, 'row')}, the 95\u00a0% interval is {percent(low)} to "
                f"{percent(high)}.")  # fmt: skip
        return (*said, *self._verdict(), sure, *_caution(self.name))

    def _verdict(self) -> tuple[str, ...]:
        """The comparison with the guess where accuracy alone would mislead."""
        more_right = self.right > self.guessed
        losses = f"log loss {number(self.loss)}, that of the class shares {number(self.flat)}"
        ranks = f", AUC {number(self.area)}" if math.isfinite(self.area) else ""
        weighted = () if not self.weighted else (
            "Classes are decided as if they were equally frequent: balanced accuracy "
            f"{number(self.balanced)}, by guessing {number(1 / np.count_nonzero(self.present))}.",
        )  # fmt: skip
        if more_right and (self.loss < self.flat or number(self.loss) == number(self.flat)):
            return weighted
        if more_right:
            worse = "Its probabilities are worse than the shares of the classes"
            return (*weighted, f"{worse}: {losses}.")
        mean, deviation = self.gain
        tells_more = mean > 2 * deviation / math.sqrt(self.rows)
        if tells_more or self._ranks():
            better = "its probabilities tell more" if tells_more else "it ranks rows well"
            few = "No more rows are classified right than by that guess"
            return (*weighted, f"{few}, but {better}: {losses}{ranks}.")
        return (*weighted, "The network does no better than that guess.")

    def _ranks(self) -> bool:
        """Whether an AUC of two classes is above one half by more than chance explains.

        Source of the deviation: J. A. Hanley and B. J. McNeil, 1982.
        """
        if len(self.present) != 2 or not all(self.present) or not math.isfinite(self.area):
            return False
        pairs = int(self.present[0]) * int(self.present[1])
        return self.area > 0.5 + 3 * math.sqrt((self.rows + 1) / (12 * pairs))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The figures that sentences on numbers are made from.

    Attributes:
        name: of the rows, as of an Outcome.
        rows: how many.
        mean: the constant guess in words.
        error, flat: the root mean squared errors of the model and of the guess.
        off, flat_off: their mean absolute errors.
        explained: R².
        interval: of the root mean squared error, at 95 %; None: the rows are too few.
    """

    name: str
    rows: int
    mean: str
    error: float
    flat: float
    off: float
    flat_off: float
    explained: float
    interval: tuple[float, float] | None

    def sentences(self) -> tuple[str, ...]:
        """The errors, those of the constant guess, and their uncertainty."""
        explained = f", R² {number(self.explained)}" if self.rows > 1 else ""
        said = (f"RMSE {number(self.error)}, MAE {number(self.off)}{explained} on {_rows(self)}; "
                f"predicting {self.mean} for every row gives RMSE {number(self.flat)} and MAE "
                f"{number(self.flat_off)}.")  # fmt: skip
        verdict = "The network does no better than that guess."
        if self.off < self.flat_off:
            verdict = "By RMSE, which a few large errors decide, the network does no better than "
            verdict += "that guess; by MAE it does."
        worse = (verdict,) if self.error >= self.flat else ()
        return (said, *worse, self._sure(), *_caution(self.name))

    def _sure(self) -> str:
        if self.interval is None:
            return f"{counted(self.rows, 'row')}: too few to tell how sure that is."
        low, high = self.interval
        return (f"From {counted(self.rows, 'row')}, the 95\u00a0% interval of the RMSE is "
                f"{number(low)} to {number(high)}.")  # fmt: skip


def headline(outcome: Outcome) -> tuple[str, ...]:
    """The result in words: the score, that of the constant guess, and its uncertainty."""
    target, prediction = arrays_of(outcome)
    if not len(target):
        return ()
    if not np.isfinite(prediction).all():
        bad = int((~np.isfinite(prediction)).reshape(len(target), -1).any(axis=1).sum())
        which = counted(len(target), f"{_words(outcome.name)} row")
        return (f"For {bad:,} of {which} the prediction is not a finite number, so the results "
                "are not valid.",)  # fmt: skip
    found = _classified(outcome) if outcome.classes else _measured(outcome)
    return found.sentences()


def _words(name: str) -> str:
    return name.replace("validation", "held-out")


def _rows(found: Classified | Measured) -> str:
    """'1 held-out row', '1,200 test rows'."""
    return counted(found.rows, f"{_words(found.name)} row")


def _caution(name: str) -> tuple[str, ...]:
    if name != "training":
        return ()
    return ("These are the rows it was trained on: new rows may fare worse.",)


def _classified(outcome: Outcome) -> Classified:
    classes = arrays_of(outcome)[0].astype(np.int64)
    prediction = shares_of(outcome)
    counts = np.bincount(classes, minlength=len(outcome.classes))
    label = int(counts.argmax()) if outcome.guess is None else int(outcome.guess)
    shares = np.array(outcome.shares or counts, float)
    constant = np.tile(shares / shares.sum(), (len(classes), 1))
    gain = gains(classes, prediction, constant)
    return Classified(
        name=outcome.name, rows=len(classes), right=int((outcome.predicted == classes).sum()),
        guess=outcome.classes[label], guessed=int(counts[label]), present=counts.tolist(),
        loss=log_loss(classes, prediction), flat=log_loss(classes, constant),
        area=auc(classes, prediction), balanced=balanced_accuracy(classes, decided_of(outcome)),
        gain=(float(gain.mean()), float(gain.std())), weighted=bool(outcome.weights),
    )  # fmt: skip


def gains(
    target: npt.NDArray[np.int64], prediction: npt.NDArray[Any], constant: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """The log loss of a constant guess less that of the prediction, for each row, (n,)."""
    rows = np.arange(len(target))
    tiny = np.finfo(np.float32).tiny
    said, flat = prediction[rows, target], constant[rows, target]
    return np.asarray(np.log(np.maximum(said, tiny) / np.maximum(flat, tiny)), np.float64)


def _measured(outcome: Outcome) -> Measured:
    target, prediction = arrays_of(outcome)
    level = target.mean(axis=0) if outcome.guess is None else np.asarray(outcome.guess)
    constant = np.broadcast_to(level, target.shape)
    error, n = rmse(target, prediction), len(target)
    scale = error or 1.0
    squares = np.square((prediction - target) / scale).reshape(n, -1).mean(axis=1)
    group = groups(0, n)
    found = interval(np.bincount(group, squares), np.bincount(group))
    return Measured(
        name=outcome.name, rows=n, error=error, flat=rmse(target, constant),
        mean=mean_words(float(level)) if level.size == 1 else "the means",
        off=mae(target, prediction), flat_off=mae(target, constant),
        explained=r2(target, prediction),
        interval=None if found is None else (scale * found[0], scale * found[1]),
    )  # fmt: skip


def mean_words(level: float) -> str:
    """The mean as a guess, in words."""
    return f"the mean, {number(level)},"


def groups(begin: int, end: int) -> npt.NDArray[np.int64]:
    """The group in which each of these rows is drawn: many rows are drawn in groups."""
    rows = np.arange(begin, end, dtype=np.uint64)
    most = np.uint64(MAX_BOOTSTRAP_GROUPS)
    return np.where(rows < most, rows, mix(rows) % most).astype(np.int64)


def interval(squares: npt.NDArray[Any], sizes: npt.NDArray[Any]) -> tuple[float, float] | None:
    """The 95 % interval of the root mean squared error, by the bootstrap; None: too few rows.

    Args:
        squares: the sums of squared errors of the groups, (g,).
        sizes: their numbers of rows.
    """
    if sizes.sum() < MIN_BOOTSTRAP_ROWS:
        return None
    drawn = np.random.default_rng(0).integers(0, len(sizes), (BOOTSTRAPS, len(sizes)))
    means = squares[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.sqrt(np.quantile(means, [0.025, 0.975]))
    return float(low), float(high)
