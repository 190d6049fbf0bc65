"""The judge: which scores fit a loss, and the scores of a model over a whole set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from chainrule.errors import SettingError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node, Operation
from chainrule.ops.activations import SIGMOID
from chainrule.ops.softmax import SOFTMAX
from chainrule.train import metrics
from chainrule.train.metrics import Metric, Scores, Task
from chainrule.train.metrics.registry import Function

NUMBERS = ("squared_error", "absolute_error", "huber", "poisson")
"""Losses whose prediction is the number itself, or its logarithm."""


class Judge:
    """What the mark of a loss in the graph says about scoring.

    Args:
        graph: of the model; the mark nearest to the loss counts.

    Attributes:
        task: classification, multilabel, regression, quantiles, or None where no metric fits.
        prediction, target, weights: the nodes that are scored; None where there are none.
    """

    def __init__(self, graph: Graph) -> None:
        marks = [x for x in graph.operations if x.op.name == "objective"]
        self.kind: str | None = None
        self.prediction: Node | None = None
        self.target: Node | None = None
        self.weights: Node | None = None
        self._levels: tuple[float, ...] | None = None
        self._yes_no = False
        self.task: Task | None = None
        if marks:
            self._read(marks[-1])

    def _read(self, mark: Operation) -> None:
        self.kind, self._levels = mark.attributes["kind"], mark.attributes["levels"]
        self.prediction, self.target = mark.operands[1:3]
        self.weights = mark.operands[3] if len(mark.operands) > 3 else None
        shape = self.prediction.shape
        if self.weights is not None and self.weights.ndim > 1:
            return  # metrics know weights of examples, not of single values
        if self.kind in NUMBERS and len(shape) <= 2:
            self.task = "regression"
        elif self.kind == "quantile":
            self.task = "quantiles"
        elif self.kind in ("cross_entropy", "hinge", "binary_cross_entropy") and len(shape) <= 2:
            self._yes_no = self.kind != "cross_entropy" and self.target.ndim >= len(shape)
            many = self._yes_no and len(shape) == 2 and shape[1] != 1
            self.task = "multilabel" if many else "classification"

    @property
    def nodes(self) -> list[Node]:
        """The nodes whose values `score` wants, in its order."""
        return [x for x in (self.prediction, self.target, self.weights) if x is not None]

    def score(
        self,
        values: list[Array],
        wanted: Iterable[str | Metric | Function] | None = None,
    ) -> Scores:
        """The scores over a whole set.

        Args:
            values: of `nodes`, for all rows.
            wanted: metrics by name, or functions; None takes those that are usual for the task.

        Raises:
            SettingError: metrics are asked for, and the loss says not what it compares.
        """
        if self.task is None:
            if wanted:
                raise SettingError(
                    "metrics",
                    "no metrics are known for this loss",
                    got=self.kind or "a loss of your own",
                    fix="use a loss of chainrule, or compute them from predict()",
                )
            return Scores()
        prediction, target, *rest = values
        weights = rest[0] if rest else None
        scored, truth = self._scored(prediction), self._truth(target)
        if wanted is not None:
            return metrics.score(
                wanted, truth, scored, task=self.task, weights=weights, levels=self._levels
            )
        if self.kind == "hinge":  # no probabilities, so what needs none
            second = "label_accuracy" if self.task == "multilabel" else "balanced_accuracy"
            names = ("accuracy", second, "f1", "precision", "recall")
            return metrics.score(names, truth, scored, task=self.task, weights=weights)
        if self.task == "classification":
            return metrics.classification(truth, scored, weights=weights)
        if self.task == "multilabel":
            return metrics.multilabel(truth, scored, weights=weights)
        if self.task == "regression":
            return metrics.regression(truth, scored, weights=weights)
        return metrics.quantiles(truth, scored, levels=self._levels or (0.5,), weights=weights)

    def _scored(self, prediction: Array) -> Array:
        """What the metrics take: probabilities for logits, numbers for logarithms."""
        p = prediction.astype(np.float64)
        if self.kind == "cross_entropy":
            return SOFTMAX.forward(p, axis=(-1,))
        if self._yes_no:
            signs = self.kind == "hinge"
            q = np.asarray((p > 0) * 1.0 if signs else SIGMOID.forward(p))
            return q[:, 0] if q.ndim == 2 and q.shape[1] == 1 else q
        if self.kind == "hinge":
            return np.asarray(np.eye(p.shape[-1])[p.argmax(axis=-1)])
        return np.exp(p) if self.kind == "poisson" else p

    def _truth(self, target: Array) -> Array:
        """Class indices, or labels that are 0 or 1, whatever form the target has."""
        if self.task not in ("classification", "multilabel"):
            return target
        if self._yes_no:
            truth = (target > (0 if self.kind == "hinge" else 0.5)).astype(np.int64)
            return truth[:, 0] if truth.ndim == 2 and truth.shape[1] == 1 else truth
        classes = target.argmax(axis=1) if target.ndim == 2 else np.maximum(target, 0)
        return classes.astype(np.int64)
