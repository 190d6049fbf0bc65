"""Scores of predictions that come in parts: sums, counts and histograms, in constant memory."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.columns.target import ClassTarget
from chainrule.data.schema import Schema
from chainrule.report.headline import (
    MAX_BOOTSTRAP_GROUPS,
    Classified,
    Measured,
    gains,
    groups,
    interval,
    mean_words,
)
from chainrule.train import metrics
from chainrule.train.metrics import Scores
from chainrule.train.metrics.registry import DECIDED, MANY_CLASSES

SUMMED = ("log_loss", "brier", "top_5_accuracy")
"""The metrics of classes that are means over rows."""
BINS, MOST_BINS = 1 << 22, 1 << 16
"""Ends of the cells of all histograms of probabilities together, and the most of one class."""
LEAST_BINS = 1 << 10
FARTHEST = 30.0
"""The logit up to which probabilities are told apart."""
CALIBRATED = 15
"""The bins of the calibration error."""
ERROR_SHIFT = 64 - 11 - 1 - 10
"""The bits of an absolute error that its histogram leaves out: it keeps ten of the fraction."""


class ClassTally:
    """The scores of a classification.

    All are exact but the AUC: probabilities in one cell of a histogram count as equal. The cells
    are divided by equal steps of the logit, and by the probabilities of a sample.

    Args:
        target: the classes, with their weights.
        sample: probabilities of rows at random, (m, k).
        decides: whether classes are decided with these weights.
    """

    def __init__(self, target: ClassTarget, sample: npt.NDArray[Any], decides: bool = True) -> None:
        k = len(target.labels)
        self._target, self._decides = target, decides
        self.counts = np.zeros((k, k), np.int64)
        self.rows, self._k = 0, k
        self._sums: dict[str, float] = {}
        size = min(MOST_BINS, BINS // k)
        labels = [1] if k == 2 else list(range(k)) if size >= LEAST_BINS else []
        grid = 1 / (1 + np.exp(np.linspace(FARTHEST, -FARTHEST, size)))
        self._ends = {x: np.unique(np.append(grid, sample[:size, x])) for x in labels}
        self._ranks = {x: np.zeros((2, len(ends) + 1), int) for x, ends in self._ends.items()}
        self._said, self._right = np.zeros(CALIBRATED), np.zeros(CALIBRATED)
        self._weight = np.zeros(CALIBRATED)
        self.broken = 0

    def add(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any], loss: float) -> None:
        """Take rows: classes (n,), probabilities (n, k), and their mean loss."""
        finite = np.isfinite(prediction).all(axis=1)
        self.broken += int((~finite).sum())
        if not finite.all():
            return
        n = len(truth)
        self.rows += n
        names = [x for x in SUMMED if x != "top_5_accuracy" or self._k >= MANY_CLASSES]
        found = {"loss": loss} | dict(
            metrics.score(names, truth, prediction, task="classification")
        )
        for name, value in found.items():
            self._sums[name] = self._sums.get(name, 0.0) + n * value
        chosen = self._target.decided(prediction) if self._decides else prediction
        cells = truth.astype(np.int64) * self._k + chosen.argmax(axis=1)
        self.counts += np.bincount(cells, minlength=self._k**2).reshape(self._k, self._k)
        said, right, weight = metrics.calibration_curve(truth, prediction, bins=CALIBRATED)
        self._said += np.nan_to_num(said) * weight
        self._right += np.nan_to_num(right) * weight
        self._weight += weight
        self._rank(truth, prediction)

    def _rank(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> None:
        for label, ends in self._ends.items():
            cells = np.searchsorted(ends, prediction[:, label].astype(np.float64), "right")
            for side in (0, 1):
                some = cells[(truth == label) == bool(side)]
                self._ranks[label][side] += np.bincount(some, minlength=len(ends) + 1)

    @property
    def area(self) -> tuple[float, float]:
        """The AUC, as `metrics.auc` has it, and a bound of its error."""
        areas, bounds = [], []
        for below, above in self._ranks.values():
            pairs = float(below.sum()) * float(above.sum())
            if pairs:
                under = np.cumsum(below) - below
                areas.append(float((above * (under + below / 2.0)).sum() / pairs))
                bounds.append(float((above * (below / 2.0)).sum() / pairs))
        if not areas:
            return math.nan, 0.0
        return float(np.mean(areas)), float(np.mean(bounds))

    def scores(self) -> Scores:
        """All scores, in their usual order, and notes."""
        if not self.rows:
            return Scores()
        names = metrics.DEFAULTS["classification"]
        if self._k >= MANY_CLASSES:
            names = (names[0], "top_5_accuracy", *names[1:])
        true, predicted = np.nonzero(self.counts)
        one_hot = np.zeros((len(true), self._k))
        one_hot[np.arange(len(true)), predicted] = 1
        decided = metrics.score(
            [x for x in names if x in DECIDED], true, one_hot, task="classification",
            weights=self.counts[true, predicted],
        )  # fmt: skip
        area, bound = self.area
        gaps = np.abs(self._said - self._right)
        known = {name: value / self.rows for name, value in self._sums.items()} | dict(decided)
        known |= {"auc": area, "calibration_error": float(gaps.sum() / self._weight.sum())}
        notes = list(decided.notes)
        if math.isnan(area):
            single, many = "the target holds a single class", "not measured for so many classes"
            why = single if self._ends else many
            notes.append(f"auc: {why}")
        elif bound > 5e-5:
            notes.append(f"auc: exact to {bound:.1g}")
        return Scores({name: known[name] for name in ("loss", *names) if name in known}, notes)


class NumberTally:
    """The scores of a regression: exact, but the median absolute error to 0.1 %."""

    def __init__(self, centre: float) -> None:
        """`centre` is a number near the mean of the target."""
        self.rows = self.broken = 0
        self._centre = centre
        self._sums = np.zeros(5)
        self._low, self._high = math.inf, -math.inf
        self._errors = np.zeros(1 << (64 - 1 - ERROR_SHIFT), np.int64)
        self._squares, self._sizes = np.zeros((2, MAX_BOOTSTRAP_GROUPS))

    def add(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any], loss: float) -> None:
        """Take rows: numbers (n,), predictions (n,), and their mean loss."""
        finite = np.isfinite(prediction)
        self.broken += int((~finite).sum())
        if not finite.all():
            return
        n, apart = len(truth), truth - self._centre
        error = np.abs(truth - prediction)
        group = groups(self.rows, self.rows + n)
        self._squares += np.bincount(group, error**2, MAX_BOOTSTRAP_GROUPS)
        self._sizes += np.bincount(group, minlength=MAX_BOOTSTRAP_GROUPS)
        self.rows += n
        sums = (n * loss, error.sum(), (error**2).sum(), apart.sum(), (apart**2).sum())
        self._sums += np.array(sums, float)
        self._low, self._high = min(self._low, truth.min()), max(self._high, truth.max())
        cells = error.astype(np.float64).view(np.int64) >> ERROR_SHIFT
        self._errors += np.bincount(cells, minlength=len(self._errors))

    def scores(self) -> Scores:
        """All scores, in their usual order, and notes."""
        if not self.rows:
            return Scores()
        loss, errors, squares, apart, spread = self._sums / self.rows
        variance = spread - apart**2
        if self.rows < 2:
            share = math.nan
        elif self._low == self._high:
            share = float(squares == 0)
        else:
            share = 1 - squares / variance
        at = int(np.searchsorted(np.cumsum(self._errors), (self.rows + 1) / 2))
        middle = float(np.array([(2 * at + 1) << (ERROR_SHIFT - 1)], np.int64).view(np.float64)[0])
        known = {
            "loss": loss, "rmse": math.sqrt(squares), "mae": errors,
            "median_absolute_error": middle if at else 0.0, "r2": share,
        }  # fmt: skip
        notes = ["median absolute error: to 0.1 %"]
        return Scores({name: float(value) for name, value in known.items()}, notes)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the root mean squared error, at 95 %."""
        some = self._sizes > 0
        return interval(self._squares[some], self._sizes[some])


class Tally:
    """The scores of a model on rows that come in parts, and those of the best constant guess."""

    def __init__(self, schema: Schema, sample: npt.NDArray[Any]) -> None:
        """`sample` has the predictions for some rows at random, rows first."""
        self._schema, self._gains = schema, np.zeros(2)
        target = schema.target
        if isinstance(target, ClassTarget):
            counts = np.array(target.counts, float)
            self._shares = counts / counts.sum()
            self.model: ClassTally | NumberTally = ClassTally(target, sample)
            guess = self._shares[None]
            self._constant: ClassTally | NumberTally = ClassTally(target, guess, decides=False)
        else:
            assert target is not None
            self._shares = np.array(target.stats.mean)
            self.model, self._constant = (NumberTally(target.stats.mean) for _ in range(2))

    @property
    def rows(self) -> int:
        """The number of rows so far."""
        return self.model.rows

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """The rows by actual and predicted class, (k, k); of numbers (0, 0)."""
        found = self.model
        return found.counts if isinstance(found, ClassTally) else np.zeros((0, 0), np.int64)

    def add(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any], loss: float) -> None:
        """Take rows: the target, the prediction, and the mean loss."""
        constant = np.broadcast_to(self._shares, (len(truth), *self._shares.shape))
        before = self.rows
        self.model.add(truth, prediction, loss)
        if self.rows == before:  # not finite
            return
        self._constant.add(truth, constant, math.nan)
        if self._shares.ndim:
            gain = gains(truth.astype(np.int64), prediction, constant)
            self._gains += gain.sum(), (gain**2).sum()

    def headline(self, name: str) -> tuple[str, ...]:
        """The result in words, as of rows in memory; `name` is that of the rows."""
        if not self.rows:
            return ()
        scores, guess = self.scores, self.guess
        target = self._schema.target
        if not isinstance(target, ClassTarget):
            assert isinstance(self.model, NumberTally)
            return Measured(
                name=name, rows=self.rows, mean=mean_words(float(self._shares)),
                error=scores["rmse"], flat=guess["rmse"], off=scores["mae"], flat_off=guess["mae"],
                explained=scores["r2"], interval=self.model.interval,
            ).sentences()  # fmt: skip
        present = self.counts.sum(axis=1)
        label = int(self._shares.argmax())
        mean, square = self._gains / self.rows
        return Classified(
            name=name, rows=self.rows, right=int(np.trace(self.counts)),
            guess=str(target.classes[label]), guessed=int(present[label]),
            present=present.tolist(), loss=scores["log_loss"], flat=guess["log_loss"],
            area=scores["auc"], balanced=scores["balanced_accuracy"],
            gain=(float(mean), math.sqrt(max(square - mean**2, 0.0))),
            weighted=bool(target.weights),
        ).sentences()  # fmt: skip

    @property
    def scores(self) -> Scores:
        """Of the model."""
        return self.model.scores()

    @property
    def guess(self) -> Scores:
        """Of the constant guess."""
        found = self._constant.scores()
        return Scores({name: value for name, value in found.items() if name != "loss"})

    def copy(self) -> Tally:
        """The same so far, to go on alone."""
        return copy.deepcopy(self)
