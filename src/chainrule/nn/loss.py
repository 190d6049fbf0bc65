"""The table of losses: for each one row, which holds all that other parts know of it."""

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
"""What a target is: numbers, a number of which quantiles are predicted, a class, yes or no."""


@dataclass(frozen=True)
class Link:
    """The way from raw predictions to numbers or probabilities.

    Attributes:
        name: what scikit-learn calls it, as an activation of the output layer.
        node: from the raw prediction to what a model predicts.
        values: from raw predictions, float64, to what metrics take.
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
HIGHEST = Link("identity", lambda z: z, lambda z: np.asarray(np.eye(z.shape[-1])[z.argmax(-1)]))
"""Scores of classes, of which metrics are given the highest alone."""
SIGN = Link("identity", lambda z: z, lambda z: (z > 0) * 1.0)
"""Scores of yes and no, of which metrics are given the sign alone."""


class Bounds(NamedTuple):
    """Between what targets lie, what is wrong where they do not, and one thing to try."""

    low: float
    high: float
    what: str
    fix: str


@dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes:
        name: of its function, and of its mark in the graph (`objective`).
        function: of prediction, target and keywords; a scalar node.
        links: the link by each form that its target may have; none where no metric fits it.
        bounds: of its targets; class numbers are bounded by the logits besides.
        yes_above: for labels, the target above which one is a yes.
        metrics: by task, those of `evaluate`; the others have those usual for the task.
        recipe: the task for which `cr.train` and the command line offer it. There a number to
            predict is standardised, so a loss of numbers has to compare by their difference.
        estimator: the name by which the scikit-learn estimators offer it.
        factor: what these multiply it by, to minimise what scikit-learn does.
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
        """The loss, with those of the options that its function knows."""
        accepted = inspect.signature(self.function).parameters
        return self.function(
            prediction, target, **{key: x for key, x in options.items() if key in accepted}
        )

    def form(self, prediction: Node, target: Node) -> Form | None:
        """The form of the target, by the shapes of both; None where no metric fits."""
        return next((form for form in self.links if _FITS[form](prediction, target)), None)

    def bounds_of(self, prediction: Node, target: Node) -> Bounds | None:
        """The bounds of the values of a target."""
        width = prediction.shape[-1] if prediction.ndim else None
        if "classes" not in self.links or not isinstance(width, int):
            return self.bounds
        if target.ndim >= prediction.ndim:
            return self.bounds
        fix = f"count classes from 0, or give {prediction.label!r} more than {width} logits"
        return Bounds(-np.inf, width - 1, "a class number is too large", fix)

    @property
    def probabilities(self) -> bool:
        """Whether a model can tell probabilities with it."""
        return bool(self.links) and all(link.probabilities for link in self.links.values())


_FITS: dict[Form, Callable[[Node, Node], bool]] = {
    "numbers": lambda prediction, target: prediction.ndim <= 2,
    "quantiles": lambda prediction, target: True,
    "classes": lambda prediction, target: prediction.ndim <= 2,
    "labels": lambda prediction, target: target.ndim >= prediction.ndim <= 2,
}
"""Whether metrics know a prediction and a target of these shapes as a form."""

LOSSES: dict[str, Loss] = {}
"""The losses by name."""


def register(loss: Loss) -> Loss:
    """Enter a loss in the table. Raises SettingError where one of its name is there."""
    if loss.name in LOSSES:
        raise SettingError("loss", f"there is a loss {loss.name!r}", fix="give it another name")
    LOSSES[loss.name] = loss
    return loss
