"""Describes predictions in a report: confusion, classes, importance of columns, and charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chainrule.data.blocks import Encoded
from chainrule.data.columns.target import decided
from chainrule.display.format import clip, counted, number, words
from chainrule.display.svg import Floats
from chainrule.display.tables import Section, as_html
from chainrule.report import charts
from chainrule.train.metrics import Scores, auc, calibration_curve, confusion_matrix, per_class

MAX_CONFUSION_CLASSES = 30  # more are shown as the most confused pairs


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The rows that the charts are drawn from.

    Attributes:
        name: of the rows: "validation", "test", or "training" where none were held out.
        target: (n,) class indices, or numbers.
        prediction: (n, k) or (n,) probabilities, or (n,) numbers in the unit of the target.
        classes: the k names; empty for numbers.
        guess: the best constant guess from the training data: the most frequent class, or the
            mean of the target; None: that of these rows.
        shares: of the classes in the training data; empty: those of these rows.
        weights: of the classes, by which probabilities are multiplied before the highest decides;
            empty: all 1.
    """

    name: str
    target: npt.ArrayLike
    prediction: npt.ArrayLike
    classes: tuple[str, ...] = ()
    guess: float | None = None
    shares: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The predicted classes, (n,)."""
        return np.asarray(decided_of(self).argmax(axis=1))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of a model on some rows.

    Attributes:
        name: "validation", "test" or "training".
        encoded: the rows as arrays.
        scores, guess: of the model, and of the best constant guess from the training data.
        outcome: target and prediction, for tables and charts.
        remarks: sentences on the worth of the scores.
    """

    name: str
    encoded: Encoded
    scores: Scores
    guess: Scores
    outcome: Outcome
    remarks: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        rows = tuple(
            (words(name), number(value), number(self.guess[name]) if name in self.guess else "")
            for name, value in self.scores.items()
        )
        said = tuple((text, "", "") for text in self.remarks)
        title = f"Scores on {counted(self.rows, f'{self.name} row')}"
        return as_html([Section(title, rows + said, ("score", "model", "guess"), (1, 2))])

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.encoded)


@dataclass(frozen=True, slots=True)
class Importance:
    """The loss of a score when one column's values are shuffled among the rows.

    Attributes:
        of: the score: "log_loss", which rises, or "r2", which falls.
        name: of the rows.
        rows, shuffles: how many.
        columns: name, mean over the shuffles, and twice their standard deviation.
        why: the reason where it is left out.
    """

    of: str = ""
    name: str = ""
    rows: int = 0
    shuffles: int = 0
    columns: tuple[tuple[str, float, float], ...] = ()
    why: str = ""

    def _repr_html_(self) -> str:
        rows = tuple((name, number(mean), f"± {number(x)}") for name, mean, x in self.ranked)
        return as_html([Section("", ((self.sentence,),)), Section("", rows, (), (1, 2))])

    @property
    def sentence(self) -> str:
        """The meaning of the numbers, or the reason why there are none."""
        if not self.columns:
            return f"It is not measured: {self.why}."
        which = "log loss rises" if self.of == "log_loss" else "R² falls"
        rows = counted(self.rows, f"{self.name} row")
        return (
            f"How much {'the ' * (self.of == 'log_loss')}{which} when the values of one column are "
            f"shuffled among {rows}: the mean of {self.shuffles} shuffles, "
            "± twice their standard deviation. Within that, nothing shows that the network relies "
            "on the column. Columns that hold the same information share their importance."
        )

    @property
    def ranked(self) -> list[tuple[str, float, float]]:
        """The columns, the most important first; those that are not finite last."""
        return sorted(self.columns, key=lambda x: -x[1] if math.isfinite(x[1]) else math.inf)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the confusion matrix: rows, their share of the true class, and correctness."""

    rows: int
    share: float
    right: bool


@dataclass(frozen=True, slots=True)
class Mixup:
    """Rows of one class that were predicted as another."""

    actual: str
    predicted: str
    rows: int
    share: float


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The scores of one class."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its title and an explanation."""

    title: str
    svg: str
    caption: str = ""


def counts_of(outcome: Outcome) -> Floats:
    """The number of rows by actual and predicted class, (k, k)."""
    return confusion_matrix(arrays_of(outcome)[0], decided_of(outcome))


def confusion(outcome: Outcome) -> list[list[Cell]]:
    """The confusion matrix, true classes down and predicted across; [] above 30 classes."""
    if not usable(outcome) or len(outcome.classes) > MAX_CONFUSION_CLASSES:
        return []
    counts = counts_of(outcome)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    k = range(len(counts))
    return [[Cell(int(counts[i, j]), float(shares[i, j]), i == j) for j in k] for i in k]


def mixups(outcome: Outcome, most: int) -> list[Mixup]:
    """The pairs of classes confused most often, the most frequent first."""
    if not usable(outcome):
        return []
    return mixups_of(outcome.classes, counts_of(outcome), most)


def mixups_of(classes: Sequence[str], counts: Floats, most: int) -> list[Mixup]:
    """The same of the rows by actual and predicted class, (k, k)."""
    counts = np.array(counts, float)
    support = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    pairs = [(i, j) for i, j in zip(*np.unravel_index(order, counts.shape), strict=True)
             if counts[i, j] > 0]  # fmt: skip
    return [Mixup(classes[i], classes[j], int(counts[i, j]), float(counts[i, j] / support[i]))
            for i, j in pairs]  # fmt: skip


def class_scores(outcome: Outcome) -> list[ClassScore]:
    """Precision, recall, F1 and support of each class; above 30 classes the worst first."""
    if not usable(outcome):
        return []
    table = per_class(arrays_of(outcome)[0], decided_of(outcome))
    keys = ("precision", "recall", "f1", "support")
    columns = zip(*(table[key].tolist() for key in keys), strict=True)
    scores = [ClassScore(n, p, r, f1, int(support))
              for n, (p, r, f1, support) in zip(outcome.classes, columns, strict=True)]  # fmt: skip
    return sorted(scores, key=lambda s: s.f1) if len(scores) > MAX_CONFUSION_CLASSES else scores


def figures(outcome: Outcome, target_name: str) -> list[Figure]:
    """The charts of the predictions: calibration and ROC of classes, or errors of numbers."""
    target, prediction = arrays_of(outcome)
    if not len(target) or not np.isfinite(prediction).all():
        return []
    if outcome.classes:
        return _class_figures(outcome) if usable(outcome) else []
    if target.ndim > 1 or target.shape != prediction.shape:
        return []
    name = clip(target_name, 30)
    with np.errstate(over="ignore"):
        error = prediction - target
    return [
        Figure("Predicted against actual", charts.scatter(
            target, prediction, x_label=f"actual {name}", y_label=f"predicted {name}",
            title="Predicted against actual", reference="equal"),
            "On the dashed line the prediction is exact; above it the network predicts too high."),
        Figure("Error against prediction", charts.scatter(
            prediction, error, x_label=f"predicted {name}",
            y_label="predicted − actual", title="Error against prediction",
            reference="zero"),
            "A healthy cloud lies evenly about zero; a bend or a funnel is something to learn."),
        Figure("How large the errors are", charts.histogram(
            error, x_label="predicted − actual", title="How large the errors are"),
            "Centred on zero means no bias; long tails mean a few large misses."),
    ]  # fmt: skip


def _class_figures(outcome: Outcome) -> list[Figure]:
    target, prediction = arrays_of(outcome)
    binary = len(outcome.classes) == 2
    if binary:
        positive = clip(outcome.classes[1], 20)
        score, happened = _columns(prediction)[:, 1], target == 1
        x_label, y_label = f"predicted probability of {positive}", f"share that are {positive}"
        caption = (
            f"Positive class: {positive}. On the dashed line, what is called 70\u00a0% likely "
            "happens 70\u00a0% of the time."
        )
    else:
        x_label, y_label = "probability of the predicted class", "share classified right"
        caption = (
            "On the dashed line 70\u00a0% sure is right 70\u00a0% of the time. "
            "Below it the network is overconfident."
        )
    said, share, rows = calibration_curve(target, shares_of(outcome))
    svg = charts.reliability(np.nan_to_num(said), np.nan_to_num(share), rows, x_label, y_label)
    figures = [Figure("Calibration", svg, caption)]
    if binary and happened.any() and not happened.all():
        flagged = outcome.predicted == 1
        false_rate, true_rate, chosen = _roc(score, happened, flagged)
        area = auc(target, prediction)
        first, second = outcome.weights or (1.0, 1.0)
        svg = charts.roc(false_rate, true_rate, area, chosen, first / (first + second))
        caption = f"Positive class: {positive}. The dashed line is guessing."
        figures.append(Figure("ROC curve", svg, caption))
    return figures


def _roc(
    score: Floats, positive: npt.NDArray[np.bool_], flagged: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats, tuple[float, float]]:
    """False and true positive rates at each threshold, from (0, 0) to (1, 1), and as decided."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-1.0))  # the last row of each tie
    true = np.concatenate([[0], np.cumsum(positive[order])[ends]]) / positive.sum()
    false = np.concatenate([[0], np.cumsum(~positive[order])[ends]]) / (~positive).sum()
    return false, true, (float(flagged[~positive].mean()), float(flagged[positive].mean()))


def usable(outcome: Outcome) -> bool:
    """Whether there are classes, rows, and finite probabilities for them."""
    target, prediction = arrays_of(outcome)
    shapes = prediction.ndim == 2 or len(outcome.classes) == 2
    finite = bool(np.isfinite(prediction).all())
    return len(outcome.classes) > 1 and len(target) > 0 and finite and shapes


def arrays_of(outcome: Outcome) -> tuple[npt.NDArray[np.int64] | Floats, Floats]:
    """Target and prediction, a last axis of one number dropped."""
    target = np.asarray(outcome.target)
    target = target.astype(np.int64 if outcome.classes else np.float64)
    prediction = np.asarray(outcome.prediction, dtype=np.float64)
    if not outcome.classes and prediction.shape[1:] == (1,):
        prediction = prediction[:, 0]
    if target.shape[1:] == (1,):
        target = target[:, 0]
    return target, prediction


def decided_of(outcome: Outcome) -> Floats:
    """The probabilities (n, k) times the weights of the classes, in shares of 1."""
    return decided(_columns(arrays_of(outcome)[1]), outcome.weights)


def shares_of(outcome: Outcome) -> Floats:
    """The probabilities (n, k), in shares of 1 where they are other scores."""
    prediction = _columns(arrays_of(outcome)[1])
    return np.asarray(prediction / prediction.sum(axis=1, keepdims=True))


def _columns(prediction: Floats) -> Floats:
    """Probabilities (n, k), also where only those of class 1 are given."""
    return prediction if prediction.ndim == 2 else np.stack([1 - prediction, prediction], axis=1)
