"""Metrics by name: their tasks and directions, and the scores of several at once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from chainrule.display.format import number, words
from chainrule.display.tables import Section, as_html
from chainrule.errors import DTypeError, SettingError, did_you_mean
from chainrule.train.metrics import classes, labels, numeric
from chainrule.train.metrics.classes import Weights

Task = Literal["classification", "multilabel", "regression", "quantiles"]
Direction = Literal["max", "min"]
Function = Callable[..., float]

TASKS: tuple[Task, ...] = ("classification", "multilabel", "regression", "quantiles")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its name, its function for each task, and its direction.

    Attributes:
        name: the key in the scores and the history.
        functions: task to function (target, prediction, *, weights) -> number; a single function
            serves all tasks. For "quantiles" it also takes `levels`.
        direction: "max" or "min", whichever is better; None if unknown: it cannot stop a run.
        undefined: the reason why it may be NaN without a NaN in the predictions.
    """

    name: str
    functions: Mapping[Task, Function] | Function
    direction: Direction | None = None
    undefined: str = "it is not defined for this data"

    def function(self, task: Task) -> Function | None:
        """The function for a task, or None if the metric is not defined for it."""
        return self.functions if callable(self.functions) else self.functions.get(task)


class Scores(dict[str, float]):
    """Scores by name, a dict; `notes` explains scores that are NaN."""

    def __init__(self, scores: Mapping[str, float] | None = None, notes: Iterable[str] = ()):
        super().__init__(scores or {})
        self.notes = tuple(notes)

    def _repr_html_(self) -> str:
        rows = tuple((words(name), number(value)) for name, value in self.items())
        notes = Section("", tuple(("note", note) for note in self.notes))
        return as_html([Section("", rows, ("score", ""), (1,)), *([notes] if self.notes else [])])


class FoldScores(list[Scores]):
    """The scores of several parts: a list that a notebook shows with mean and deviation."""

    def _repr_html_(self) -> str:
        names = dict.fromkeys(name for scores in self for name in scores)
        rows = []
        for name in names:
            values = np.array([scores.get(name, math.nan) for scores in self])
            deviation = number(values.std(ddof=1)) if len(values) > 1 else ""
            cells = map(number, values.tolist())
            rows.append((words(name), number(float(values.mean())), deviation, *cells))
        parts = (f"part {k + 1}" for k in range(len(self)))
        head = ("score", "mean", "standard deviation", *parts)
        title = f"Scores on {len(self)} parts"
        return as_html([Section(title, tuple(rows), head, tuple(range(1, len(head))))])


_ONE_CLASS = "the target holds a single class"
_ROWS: tuple[Metric, ...] = (
    Metric("accuracy", {"classification": classes.accuracy,
                        "multilabel": labels.subset_accuracy}, "max"),
    Metric("balanced_accuracy", {"classification": classes.balanced_accuracy,
                                 "multilabel": labels.label_balanced_accuracy}, "max"),
    Metric("label_accuracy", {"multilabel": labels.label_accuracy}, "max"),
    Metric("precision", {"classification": classes.precision,
                         "multilabel": labels.label_precision}, "max"),
    Metric("recall", {"classification": classes.recall,
                      "multilabel": labels.label_recall}, "max"),
    Metric("f1", {"classification": classes.f1, "multilabel": labels.label_f1}, "max"),
    Metric("macro_f1", {"classification": partial(classes.f1, average="macro"),
                        "multilabel": labels.label_f1}, "max"),
    Metric("weighted_f1", {"classification": partial(classes.f1, average="weighted")}, "max"),
    Metric("micro_f1", {"classification": partial(classes.f1, average="micro"),
                        "multilabel": labels.micro_f1}, "max"),
    Metric("auc", {"classification": classes.auc, "multilabel": labels.label_auc}, "max",
           _ONE_CLASS),
    Metric("log_loss", {"classification": classes.log_loss,
                        "multilabel": labels.label_log_loss}, "min"),
    Metric("brier", {"classification": classes.brier, "multilabel": labels.label_brier}, "min"),
    Metric("calibration_error", {"classification": classes.calibration_error}, "min"),
    Metric("rmse", {"regression": numeric.rmse}, "min"),
    Metric("mae", {"regression": numeric.mae}, "min"),
    Metric("median_absolute_error", {"regression": numeric.median_absolute_error}, "min"),
    Metric("r2", {"regression": numeric.r2}, "max", "it needs two rows"),
    Metric("poisson_deviance", {"regression": numeric.poisson_deviance}, "min"),
    Metric("pinball", {"quantiles": numeric.pinball}, "min"),
    Metric("coverage", {"quantiles": numeric.coverage}, None, "it needs two quantiles"),
    Metric("crossing", {"quantiles": numeric.crossing}, "min"),
)  # fmt: skip
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ROWS}

DEFAULTS: dict[Task, tuple[str, ...]] = {
    "classification": (
        "accuracy", "balanced_accuracy", "f1", "precision", "recall", "auc", "log_loss", "brier",
        "calibration_error",
    ),
    "multilabel": (
        "accuracy", "label_accuracy", "f1", "micro_f1", "precision", "recall", "auc", "log_loss",
        "brier",
    ),
    "regression": ("rmse", "mae", "median_absolute_error", "r2"),
    "quantiles": ("pinball", "coverage", "crossing"),
}  # fmt: skip
DECIDED = (
    "accuracy", "balanced_accuracy", "f1", "macro_f1", "weighted_f1", "micro_f1", "precision",
    "recall",
)  # fmt: skip
"""The metrics that compare classes, not probabilities."""
MANY_CLASSES = 10  # from which the top-5 accuracy is among the defaults


@lru_cache(maxsize=1024)
def plain_name(name: str) -> str:
    """The canonical form of a name: "validation loss" and "Validation-Loss" are equal."""
    return re.sub(r"[\s\-_]+", "_", str(name).strip().lower())


def find_metric(name: str, task: Task | None = None) -> Metric:
    """Returns the metric of a name, such as "auc" or "top_3_accuracy".

    Raises:
        SettingError: no metric has the name, or it is not defined for the task.
    """
    candidates = METRICS if task is None else _names_for(task)
    plain = plain_name(name)
    top = re.fullmatch(r"top_([1-9]\d*)_accuracy", plain)
    if top and task in (None, "classification"):
        ranked = partial(classes.top_k_accuracy, k=int(top[1]))
        return Metric(plain, {"classification": ranked}, "max")
    if plain not in candidates:
        elsewhere = plain in METRICS or top is not None
        what = f"is not defined for {task}" if elsewhere else "does not exist"
        raise SettingError("metrics", f"metric {name!r} {what}",
                           expected=", ".join(candidates), got=repr(name),
                           fix=None if elsewhere else did_you_mean(plain, candidates))  # fmt: skip
    return METRICS[plain]


def several(
    requested: str | Metric | Function | Iterable[str | Metric | Function],
) -> tuple[str | Metric | Function, ...]:
    """Metrics that are requested as a tuple; one needs no list around it. Raises SettingError."""
    if isinstance(requested, str | Metric) or callable(requested):
        return (requested,)
    if isinstance(requested, Iterable):
        return tuple(requested)
    raise SettingError(
        "metrics", "these are not metrics", got=repr(requested),
        expected="names, functions (target, prediction), or Metric objects",
    )  # fmt: skip


def find_metrics(
    requested: str | Metric | Function | Iterable[str | Metric | Function], task: Task
) -> list[Metric]:
    """Returns metrics from names, `Metric` objects, or functions (target, prediction).

    Raises:
        SettingError: unknown name, wrong task, or two metrics of one name.
    """
    metrics: list[Metric] = []
    for item in several(requested):
        if isinstance(item, str):
            item = find_metric(item, task)
        elif not isinstance(item, Metric):
            if not callable(item):
                raise SettingError("metrics", "this is not a metric", got=repr(item),
                                   expected="a name, a function or a Metric")  # fmt: skip
            item = Metric(plain_name(getattr(item, "__name__", type(item).__name__)), item)
        if item.name in (other.name for other in metrics):
            raise SettingError("metrics", f"two metrics are named {item.name!r}",
                               fix="leave one out, or name it: Metric(name, function)")  # fmt: skip
        if item.function(task) is None:
            raise SettingError("metrics", f"metric {item.name!r} is not defined for {task}",
                               expected=", ".join(_names_for(task)))  # fmt: skip
        metrics.append(item)
    return metrics


def score(
    requested: Iterable[str | Metric | Function],
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    *,
    task: Task,
    weights: Weights = None,
    levels: Sequence[float] | None = None,
) -> Scores:
    """Scores predictions over a complete data set; the dict has one entry per metric.

    Args:
        requested: as in `find_metrics`.
        target, prediction: in the form that the metrics of the task take.
        weights: of the rows, or None.
        levels: of the predicted quantiles, for the task "quantiles" only.
    """
    options: dict[str, Any] = {} if weights is None else {"weights": weights}
    if task == "quantiles":
        options["levels"] = (0.5,) if levels is None else tuple(levels)
    metrics = find_metrics(requested, task)
    scores = {metric.name: _value(metric, task, target, prediction, options) for metric in metrics}
    return Scores(scores, _notes(metrics, scores, np.asarray(prediction)))


def classification(
    target: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    *,
    weights: Weights = None,
    requested: Iterable[str | Metric | Function] | None = None,
    decided: npt.ArrayLike | None = None,
) -> Scores:
    """The scores of a classifier: class indices (n,), probabilities (n, k) or (n,).

    Args:
        weights: of the rows, or None.
        requested: as in `find_metrics`; None takes the defaults.
        decided: (n, k), whose highest entry is the predicted class, where it is not the most
            probable one; for the metrics that compare classes.
    """
    names: Iterable[str | Metric | Function] = DEFAULTS["classification"]
    shape = np.shape(probabilities)
    if len(shape) == 2 and shape[1] >= MANY_CLASSES:
        first, *others = names
        names = (first, "top_5_accuracy", *others)
    names = names if requested is None else list(find_metrics(requested, "classification"))
    scores = score(names, target, probabilities, task="classification", weights=weights)
    if decided is not None:
        of_classes = [name for name in scores if name in DECIDED]
        scores |= score(of_classes, target, decided, task="classification", weights=weights)
    if "auc" in scores and len(shape) == 2 and shape[1] > 2 and not math.isnan(scores["auc"]):
        seen = np.unique(np.asarray(target) if weights is None
                         else np.asarray(target)[np.asarray(weights).reshape(-1) > 0])  # fmt: skip
        if len(seen) < shape[1]:
            note = f"auc: the mean over {len(seen)} of {shape[1]} classes, the others do not occur"
            scores.notes += (note,)
    return scores


def multilabel(
    target: npt.ArrayLike, probabilities: npt.ArrayLike, *, weights: Weights = None
) -> Scores:
    """The default scores of a multi-label classifier: labels and probabilities (n, k)."""
    return score(DEFAULTS["multilabel"], target, probabilities, task="multilabel", weights=weights)


def regression(
    target: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: Weights = None
) -> Scores:
    """The default scores of a regressor: numbers (n,) or (n, d)."""
    return score(DEFAULTS["regression"], target, prediction, task="regression", weights=weights)


def quantiles(
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    *,
    levels: Sequence[float],
    weights: Weights = None,
) -> Scores:
    """The default scores of quantile regression, with the loss of each level.

    Targets (n,), predicted quantiles (n, q), the q levels.
    """
    names = DEFAULTS["quantiles"] if len(levels) > 1 else ("pinball",)
    scores = score(names, target, prediction, task="quantiles", weights=weights, levels=levels)
    each = numeric.pinball_each(target, prediction, levels=levels, weights=weights)
    if len(levels) > 1:
        scores |= {f"pinball_{level:g}": float(x) for level, x in zip(levels, each, strict=True)}
    return scores


def direction(criterion: str, metrics: Iterable[Metric] = ()) -> Direction:
    """The better direction of a column of the history, such as "loss" or "validation_auc".

    Args:
        criterion: the column.
        metrics: the metrics of the run, which precede the registry.
    """
    plain = plain_name(criterion).removeprefix("validation_")
    if plain == "loss":
        return "min"
    given = {metric.name: metric for metric in metrics}
    metric = given.get(plain) or find_metric("pinball" if plain.startswith("pinball_") else plain)
    if metric.direction is None:
        raise SettingError("early stopping", f"metric {plain!r} has no direction",
                           fix=f"pass Metric({plain!r}, function, direction='max')")  # fmt: skip
    return metric.direction


@cache
def _names_for(task: Task) -> tuple[str, ...]:
    if task not in TASKS:
        raise SettingError("metrics", f"unknown task {task!r}", fix=did_you_mean(task, TASKS))
    return tuple(metric.name for metric in _ROWS if metric.function(task))


def _value(
    metric: Metric,
    task: Task,
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    options: dict[str, Any],
) -> float:
    function = metric.function(task)
    assert function is not None, "find_metrics checks it"
    value = function(target, prediction, **options)
    if np.ndim(value) or not isinstance(value, (int, float, np.number, np.bool_)):
        raise DTypeError("metrics", f"metric {metric.name!r} did not return a number",
                         got=f"{type(value).__name__} of shape {np.shape(value)}",
                         fix="return a single float")  # fmt: skip
    return float(value)


def _notes(
    metrics: Sequence[Metric], scores: Mapping[str, float], prediction: npt.NDArray[Any]
) -> list[str]:
    empty = [metric for metric in metrics if math.isnan(scores[metric.name])]
    if not empty:
        return []
    broken = int(np.isnan(prediction.reshape(len(prediction), -1)).any(axis=1).sum())
    if empty and broken:
        return [f"{broken} of {len(prediction)} predictions are NaN, and so are the scores"]
    return [f"{metric.name} is NaN: {metric.undefined}" for metric in empty]
