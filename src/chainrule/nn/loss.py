"""The table of losses: a row for each, with everything that other parts need to know."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from chainrule.errors import SettingError
from chainrule.graph.node import Array, Node
from chainrule.ops.activations import SIGMOID, sigmoid
from chainrule.ops.softmax import SOFTMAX as SOFTMAX_OP
from chainrule.ops.softmax import softmax
from chainrule.ops.transcendental import exp

Form = Literal["numbers", "quantiles", "classes", "labels"]
"""The form of a target: numbers, numbers whose quantiles are predicted, classes, yes or no."""


@dataclass(frozen=True)
class Link:
    """The way from raw predictions to numbers or probabilities.

    Attributes:
        name: its name in scikit-learn, as an activation of the output layer.
        node: from the raw prediction to the model's output.
        values: from raw predictions, float64, to the predictions that metrics take.
        probabilities: whether these are probabilities.
    """

    name: str
    node: Callable[[Node], Node]
    values: Callable[[Array], Array]
    probabilities: bool = False


IDENTITY = Link("identity", lambda z: z, lambda z: z)
EXP = Link("exp", exp, np.exp)
SOFTMAX = Link("softmax", softmax, lambda z: SOFTMAX_OP.forward(z, axis=(-1,)), probabilities=True)
LOGISTIC = Link("logistic", sigmoid, SIGMOID.forward, probabilities=True)
ARGMAX_SCORES = Link(
    "identity", lambda z: z, lambda z: np.asarray(np.eye(z.shape[-1])[z.argmax(-1)])
)
"""Scores of classes; metrics receive a one-hot of the highest."""
SIGN = Link("identity", lambda z: z, lambda z: (z > 0) * 1.0)
"""Scores of yes and no; metrics receive only the sign."""


class Bounds(NamedTuple):
    """The range of targets, and the message and fix for targets outside it."""

    low: float
    high: float
    what: str
    fix: str


@dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes:
        name: of its function, and of its record in the graph (`objective`).
        function: of prediction, target and keywords; a scalar node.
        links: the link by each form that its target may have; none where no metric fits it.
        bounds: of its targets; class indices are also bounded by the number of logits.
        yes_above: for labels, the threshold above which a target is a yes.
        metrics: by task, those of `evaluate`; other tasks have their default metrics.
        recipe: the task for which `cr.train` and the command line offer it. There a number to
            predict is standardised, so a loss of numbers has to compare by their difference.
        estimator: the name by which the scikit-learn estimators offer it.
        factor: by which these multiply it, to minimise the same function as scikit-learn.
    """

    name: str
    function: Callable[..., Node]
    links: Mapping[Form, Link] = field(default_factory=dict)
    bounds: Bounds | None = None
    yes_above: float = 0.5
    metrics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    recipe: Literal["classification", "regression"] | None = None
    estimator: str | None = None
    factor: float = 1.0

    def __call__(self, prediction: Node, target: Node, **options: Any) -> Node:
        """The loss, with those of the options that its function accepts."""
        accepted = inspect.signature(self.function).parameters
        return self.function(
            prediction, target, **{key: x for key, x in options.items() if key in accepted}
        )

    def form(self, prediction: Node, target: Node) -> Form | None:
        """The form of the target, by the shapes of both; None where no metric fits."""
        return next((form for form in self.links if _FITS[form](prediction, target)), None)

    def bounds_of(self, prediction: Node, target: Node) -> Bounds | None:
        """The bounds of the target's values."""
        width = prediction.shape[-1] if prediction.ndim else None
        if "classes" not in self.links or not isinstance(width, int):
            return self.bounds
        if target.ndim >= prediction.ndim:
            return self.bounds
        fix = f"count classes from 0, or give {prediction.label!r} more than {width} logits"
        return Bounds(-np.inf, width - 1, "a class number is too large", fix)

    @property
    def probabilities(self) -> bool:
        """Whether a model with this loss predicts probabilities."""
        return bool(self.links) and all(link.probabilities for link in self.links.values())


_FITS: dict[Form, Callable[[Node, Node], bool]] = {
    "numbers": lambda prediction, target: True,
    "quantiles": lambda prediction, target: True,
    "classes": lambda prediction, target: prediction.ndim >= 1,
    "labels": lambda prediction, target: target.ndim >= prediction.ndim,
}
"""By form, whether a prediction and a target have its shapes."""

LOSSES: dict[str, Loss] = {}
"""The losses by name."""


def register(loss: Loss) -> Loss:
    """Enter a loss in the table. Raises SettingError where the name is taken."""
    if loss.name in LOSSES:
        raise SettingError("loss", f"there is a loss {loss.name!r}", fix="give it another name")
    LOSSES[loss.name] = loss
    return loss
