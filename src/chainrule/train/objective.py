"""An objective: the nodes that a loss compares, and their scores over a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from chainrule.errors import SettingError
from chainrule.graph.node import Array, Input, Node, Operation
from chainrule.nn.loss import LOSSES, Bounds, Form, Loss
from chainrule.train import metrics
from chainrule.train.metrics import Metric, Scores, Task
from chainrule.train.metrics.each import EACH, Each
from chainrule.train.metrics.registry import Function, several

EACH_EPOCH: dict[Task, tuple[str, ...]] = {
    "classification": ("accuracy",),
    "multilabel": ("label_accuracy",),
    "regression": ("rmse",),
    "quantiles": ("pinball",),
}
"""The default metrics of every epoch; `evaluate` has all metrics of the task."""

OF_POSITIONS = ("accuracy", "balanced_accuracy", "f1", "precision", "recall", "log_loss")
"""The metrics of `evaluate` for classes of positions, of which there are many: none sorts them."""


class Objective:
    """The scoring of a prediction, from the record of its loss in the graph.

    Args:
        record: an `objective`; None: nothing is scored.

    Attributes:
        record: the node, whose value is the loss.
        kind: the name of the loss function; None without a record.
        task: classification, multilabel, regression, quantiles, or None where no metric fits.
        prediction, target, weights: the nodes that are scored; None where there are none.
        positions: whether metrics count positions, not examples: pixels, or steps of a sequence.
            So they do where a prediction has more axes than numbers or classes of examples have,
            or where the loss weighs single values.
    """

    def __init__(self, record: Operation | None = None) -> None:
        self.record = record
        self.kind: str | None = None
        self.prediction: Node | None = None
        self.target: Node | None = None
        self.weights: Node | None = None
        self.task: Task | None = None
        self.positions = False
        self._wide = False  # the last axis of the prediction is that of classes or quantiles
        self._loss: Loss | None = None
        self._form: Form | None = None
        self._levels: tuple[float, ...] | None = None
        if record is not None:
            self._read(record)

    def _read(self, record: Operation) -> None:
        self.kind, self._levels = record.attributes["kind"], record.attributes["levels"]
        self.prediction, self.target = record.operands[1:3]
        self.weights = record.operands[3] if len(record.operands) > 3 else None
        self._loss = LOSSES.get(str(self.kind))
        if self._loss is None:
            return
        self._form = self._loss.form(self.prediction, self.target)
        shape = self.prediction.shape
        weighed = 1 if self.weights is None else self.weights.ndim
        self._wide = self._form == "classes" or len(shape) > self.target.ndim
        each = self.target if self._form == "quantiles" else self.prediction
        self.positions = weighed > 1 or each.ndim > (1 if each is self.target else 2)
        if self._form == "labels":
            columns = len(shape) == 2 and shape[1] != 1 and not self.positions
            self.task = "multilabel" if columns else "classification"
        elif self._form is not None:
            self.task = _TASKS[self._form]

    @property
    def nodes(self) -> list[Node]:
        """The nodes whose values `score` takes, in its order."""
        return [x for x in (self.prediction, self.target, self.weights) if x is not None]

    @property
    def bounds(self) -> Bounds | None:
        """The range of the loss's targets; None where it is not bounded."""
        if self._loss is None or self.prediction is None or self.target is None:
            return None
        return self._loss.bounds_of(self.prediction, self.target)

    @property
    def each_epoch(self) -> tuple[str, ...]:
        """The default metrics of every epoch."""
        return () if self.task is None else EACH_EPOCH[self.task]

    def score(
        self,
        values: list[Array],
        requested: Iterable[str | Metric | Function] | None = None,
        decided: Callable[[Array], Array] | None = None,
    ) -> Scores:
        """The scores over a data set.

        Args:
            values: of `nodes`, for all rows.
            requested: metrics by name, or functions; None takes the defaults of the task.
            decided: from probabilities to the shares whose highest decides on a class, for the
                metrics of decisions; None: the probabilities themselves.

        Raises:
            SettingError: metrics are requested, and the loss has no record of what it compares.
        """
        if self.task is None:
            if requested:
                raise _no_metrics(self.kind)
            return Scores()
        if requested is not None:
            requested = several(requested)
            if not requested:
                return Scores()
        assert self._loss is not None
        prediction, target, *rest = values
        given = self._spread(rest[0], prediction) if rest else None
        prediction, target = self._in_rows(prediction), self._in_rows(target)
        weights = self._counted(target, given)
        scored, truth = self._scored(prediction, self._loss), self._truth(target, self._loss)
        if requested is None:
            requested = self._loss.metrics.get(self.task)
        if requested is None and self.positions and self.task == "classification":
            requested = OF_POSITIONS
        if self.task == "classification" and decided is not None:
            return metrics.classification(
                truth, scored, weights=weights, requested=requested, decided=decided(scored)
            )
        if requested is not None:
            return metrics.score(
                requested, truth, scored, task=self.task, weights=weights, levels=self._levels
            )
        if self.task == "classification":
            return metrics.classification(truth, scored, weights=weights)
        if self.task == "multilabel":
            return metrics.multilabel(truth, scored, weights=weights)
        if self.task == "regression":
            return metrics.regression(truth, scored, weights=weights)
        return metrics.quantiles(truth, scored, levels=self._levels or (0.5,), weights=weights)

    def together(self, requested: Iterable[str | Metric | Function]) -> dict[str, Each] | None:
        """By the names of metrics, the functions of many predictions at once.

        None where one of the metrics has none, or rows have weights.
        """
        if self.task is None or self.weights is not None or not isinstance(self.target, Input):
            return None
        found = metrics.find_metrics(requested, self.task)
        functions = {x.name: EACH.get(x.function(self.task)) for x in found}
        each = {name: x for name, x in functions.items() if x is not None}
        return each if len(each) == len(functions) else None

    def score_each(
        self, predictions: Array, target: Array, requested: Iterable[str | Metric | Function]
    ) -> list[Scores]:
        """The scores of many predictions of the same rows, those that `score` gives for each.

        Args:
            predictions: values of the prediction, (count, n, ...).
            target: values of the target, (n, ...).
            requested: metrics, which `together` has.
        """
        requested, functions = list(requested), self.together(requested)
        assert self._loss is not None
        assert functions is not None
        count, n = predictions.shape[:2]
        rows = self._in_rows(predictions.reshape(count * n, *predictions.shape[2:]))
        flat, truth = self._scored(rows, self._loss), self._truth(self._in_rows(target), self._loss)
        scored = flat.reshape(count, -1, *flat.shape[1:])
        found = {name: each(truth, scored) for name, each in functions.items()}
        if any(rows.broken for rows, _ in found.values()):
            return [self.score([x, target], requested) for x in predictions]
        return [Scores({name: float(x[k]) for name, (_, x) in found.items()}) for k in range(count)]

    def _in_rows(self, values: Array) -> Array:
        """A prediction or a target with a row for what metrics count; see `positions`."""
        assert self.prediction is not None
        if not self.positions:
            return values
        if self._wide and values.ndim == self.prediction.ndim:
            return values.reshape(-1, values.shape[-1])
        return values.reshape(-1)

    def _spread(self, weights: Array, prediction: Array) -> Array:
        """Weights, which have the first axes of the losses, for each row that metrics count."""
        if not self.positions:
            return weights
        shape = prediction.shape[:-1] if self._wide else prediction.shape
        ones = (1,) * (len(shape) - weights.ndim)
        return np.broadcast_to(weights.reshape(*weights.shape, *ones), shape).reshape(-1)

    def _scored(self, prediction: Array, loss: Loss) -> Array:
        """The prediction for metrics: probabilities for logits, numbers for logarithms."""
        assert self._form is not None
        values = np.asarray(loss.links[self._form].values(prediction.astype(np.float64)))
        return _one_column(values) if self._form == "labels" else values

    def _counted(self, target: Array, weights: Array | None) -> Array | None:
        """The weights for metrics: 0 for a row of class probabilities that are all 0."""
        if self._form != "classes" or target.ndim < 2:
            return weights
        some = target.any(axis=-1)
        if some.all():
            return weights
        return np.where(some, 1.0 if weights is None else weights, 0.0)

    def _truth(self, target: Array, loss: Loss) -> Array:
        """The target for metrics: class indices, labels that are 0 or 1, or numbers."""
        if self._form == "labels":
            return _one_column((target > loss.yes_above).astype(np.int64))
        if self._form != "classes":
            return target
        classes = target.argmax(axis=1) if target.ndim == 2 else np.maximum(target, 0)
        return classes.astype(np.int64)


def _no_metrics(kind: str | None) -> SettingError:
    """The error about metrics of a loss that has none for what it compares."""
    return SettingError(
        "metrics", "no metrics are known for this loss",
        got="a loss of your own" if kind is None else kind,
        fix="compute them from predict(), or use a loss that has some",
    )  # fmt: skip


_TASKS: dict[Form, Task] = {
    "numbers": "regression",
    "quantiles": "quantiles",
    "classes": "classification",
}


def _one_column(values: Array) -> Array:
    """An array (n, 1) as (n,); all others unchanged."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
