"""Describes predictions in a report: the headline, confusion, classes, and charts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chainrule.data.blocks import Encoded
from chainrule.data.table import counted
from chainrule.display.format import number
from chainrule.display.svg import Floats
from chainrule.report import charts
from chainrule.report.charts import percent, wilson
from chainrule.train.metrics import Scores, auc, confusion_matrix, mae, per_class, r2, rmse

MAX_CONFUSION_CLASSES = 30  # more are shown as the most confused pairs
CALIBRATION_BINS = 10


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
    """

    name: str
    target: npt.ArrayLike
    prediction: npt.ArrayLike
    classes: tuple[str, ...] = ()
    guess: float | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of a model on some rows.

    Attributes:
        name: "validation", "test" or "training".
        encoded: the rows as arrays.
        scores, guess: of the model, and of the best constant guess from the training data.
        outcome: target and prediction, for tables and charts.
    """

    name: str
    encoded: Encoded
    scores: Scores
    guess: Scores
    outcome: Outcome

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.encoded)


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


def clip(text: str, most: int) -> str:
    """The text, cut at `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def headline(outcome: Outcome) -> tuple[str, ...]:
    """The result in words: the score, that of the constant guess, and its uncertainty."""
    target, prediction = _arrays(outcome)
    if not len(target):
        return ()
    if not np.isfinite(prediction).all():
        bad = int((~np.isfinite(prediction)).reshape(len(target), -1).any(axis=1).sum())
        return (f"For {bad:,} of {_rows(outcome)} the prediction is not a "
                "finite number, so the results are not valid.",)  # fmt: skip
    return _classified(outcome) if outcome.classes else _measured(outcome)


def _rows(outcome: Outcome) -> str:
    """'1 held-out row', '1,200 test rows'."""
    which = "held-out" if outcome.name == "validation" else outcome.name
    return counted(len(_arrays(outcome)[0]), f"{which} row")


def _classified(outcome: Outcome) -> tuple[str, ...]:
    target, prediction = _arrays(outcome)
    n, right = len(target), int((_guesses(prediction) == target).sum())
    counts = np.bincount(target.astype(np.int64), minlength=len(outcome.classes))
    label = int(counts.argmax()) if outcome.guess is None else int(outcome.guess)
    said = (f"{percent(right / n)} of {_rows(outcome)} classified right; guessing the "
            f"most frequent class, {clip(outcome.classes[label], 40)}, gives "
            f"{percent(counts[label] / n)}.",)  # fmt: skip
    low, high = wilson(right, n)
    sure = f"From {counted(n, 'row')}, the 95\u00a0% interval is {percent(low)} to {percent(high)}."
    no_better = ("The network does no better than that guess.",) if right <= counts[label] else ()
    return (*said, *no_better, sure, *_caution(outcome))


def _measured(outcome: Outcome) -> tuple[str, ...]:
    target, prediction = _arrays(outcome)
    level = target.mean(axis=0) if outcome.guess is None else np.asarray(outcome.guess)
    constant = np.broadcast_to(level, target.shape)
    mean = f"the mean, {number(float(level))}," if level.size == 1 else "the means"
    error, flat = rmse(target, prediction), rmse(target, constant)
    explained = f", R² {number(r2(target, prediction))}" if len(target) > 1 else ""
    said = (f"RMSE {number(error)}, MAE {number(mae(target, prediction))}{explained} "
            f"on {_rows(outcome)}; "
            f"predicting {mean} for every row gives RMSE "
            f"{number(flat)} and MAE {number(mae(target, constant))}.")  # fmt: skip
    no_better = ("The network does no better than that guess.",) if error >= flat else ()
    return (said, *no_better, *_caution(outcome))


def _caution(outcome: Outcome) -> tuple[str, ...]:
    if outcome.name != "training":
        return ()
    return ("These are the rows it was trained on: new rows may fare worse.",)


def confusion(outcome: Outcome) -> list[list[Cell]]:
    """The confusion matrix, true classes down and predicted across; [] above 30 classes."""
    if not usable(outcome) or len(outcome.classes) > MAX_CONFUSION_CLASSES:
        return []
    counts = confusion_matrix(*_arrays(outcome))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    k = range(len(counts))
    return [[Cell(int(counts[i, j]), float(shares[i, j]), i == j) for j in k] for i in k]


def mixups(outcome: Outcome, most: int) -> list[Mixup]:
    """The pairs of classes confused most often, the most frequent first."""
    if not usable(outcome):
        return []
    counts = confusion_matrix(*_arrays(outcome))
    support = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    pairs = [(i, j) for i, j in zip(*np.unravel_index(order, counts.shape), strict=True)
             if counts[i, j] > 0]  # fmt: skip
    names = outcome.classes
    return [Mixup(names[i], names[j], int(counts[i, j]), float(counts[i, j] / support[i]))
            for i, j in pairs]  # fmt: skip


def class_scores(outcome: Outcome) -> list[ClassScore]:
    """Precision, recall, F1 and support of each class; above 30 classes the worst first."""
    if not usable(outcome):
        return []
    table = per_class(*_arrays(outcome))
    keys = ("precision", "recall", "f1", "support")
    columns = zip(*(table[key].tolist() for key in keys), strict=True)
    scores = [ClassScore(n, p, r, f1, int(support))
              for n, (p, r, f1, support) in zip(outcome.classes, columns, strict=True)]  # fmt: skip
    return sorted(scores, key=lambda s: s.f1) if len(scores) > MAX_CONFUSION_CLASSES else scores


def figures(outcome: Outcome, target_name: str) -> list[Figure]:
    """The charts of the predictions: calibration and ROC of classes, or errors of numbers."""
    target, prediction = _arrays(outcome)
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
    target, prediction = _arrays(outcome)
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
        score, happened = prediction.max(axis=1), _guesses(prediction) == target
        x_label, y_label = "probability of the predicted class", "share classified right"
        caption = (
            "On the dashed line 70\u00a0% sure is right 70\u00a0% of the time. "
            "Below it the network is overconfident."
        )
    svg = charts.reliability(*_binned(score, happened), x_label, y_label)
    figures = [Figure("Calibration", svg, caption)]
    if binary and happened.any() and not happened.all():
        false_rate, true_rate, chosen = _roc(score, happened)
        area = auc(target, prediction)
        svg = charts.roc(false_rate, true_rate, area, chosen)
        caption = f"Positive class: {positive}. The dashed line is guessing."
        figures.append(Figure("ROC curve", svg, caption))
    return figures


def _binned(score: Floats, happened: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Mean score, share of hits and rows in equal intervals of the score, (bins,) each."""
    place = np.clip((score * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)
    rows = np.bincount(place, minlength=CALIBRATION_BINS).astype(np.float64)
    under = np.maximum(rows, 1)
    said = np.bincount(place, score, CALIBRATION_BINS) / under
    return said, np.bincount(place, happened, CALIBRATION_BINS) / under, rows


def _roc(
    score: Floats, positive: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats, tuple[float, float]]:
    """False and true positive rates at each threshold, from (0, 0) to (1, 1), and those at 0.5."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-1.0))  # the last row of each tie
    true = np.concatenate([[0], np.cumsum(positive[order])[ends]]) / positive.sum()
    false = np.concatenate([[0], np.cumsum(~positive[order])[ends]]) / (~positive).sum()
    flagged = score > 0.5
    return false, true, (float(flagged[~positive].mean()), float(flagged[positive].mean()))


def usable(outcome: Outcome) -> bool:
    """Whether there are classes, rows, and finite probabilities for them."""
    target, prediction = _arrays(outcome)
    shapes = prediction.ndim == 2 or len(outcome.classes) == 2
    finite = bool(np.isfinite(prediction).all())
    return len(outcome.classes) > 1 and len(target) > 0 and finite and shapes


def _arrays(outcome: Outcome) -> tuple[npt.NDArray[np.int64] | Floats, Floats]:
    """Target and prediction, a last axis of one number dropped."""
    target = np.asarray(outcome.target)
    target = target.astype(np.int64 if outcome.classes else np.float64)
    prediction = np.asarray(outcome.prediction, dtype=np.float64)
    if not outcome.classes and prediction.shape[1:] == (1,):
        prediction = prediction[:, 0]
    if target.shape[1:] == (1,):
        target = target[:, 0]
    return target, prediction


def _columns(prediction: Floats) -> Floats:
    """Probabilities (n, k), also where only those of class 1 are given."""
    return prediction if prediction.ndim == 2 else np.stack([1 - prediction, prediction], axis=1)


def _guesses(prediction: Floats) -> npt.NDArray[np.int64]:
    return np.asarray(_columns(prediction).argmax(axis=1))
