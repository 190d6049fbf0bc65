"""The graph of an estimator: from features to the model, by its parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from chainrule.data.features import features
from chainrule.data.schema import Schema
from chainrule.errors import SettingError
from chainrule.graph.leaves import input, parameter
from chainrule.graph.node import Input, Node
from chainrule.model.model import Model
from chainrule.nn.arguments import Activation
from chainrule.nn.compose import hidden
from chainrule.nn.init import Uniform
from chainrule.nn.layers import dense, dropout
from chainrule.nn.loss import LOSSES, Form, Link, Loss
from chainrule.nn.penalties import weights_of
from chainrule.ops.build import cast
from chainrule.ops.compare import equal, where
from chainrule.ops.elementwise import square
from chainrule.ops.join import stack
from chainrule.ops.mode import count, data_total
from chainrule.ops.reduce import sum
from chainrule.ops.shape import reshape
from chainrule.types import N

Array = npt.NDArray[Any]

NAMES = {"logistic": "sigmoid", "identity": "linear"}
"""Chainrule's names for activations, by those of scikit-learn."""
GLOROT = {"sigmoid": 2.0, "linear": 6.0, "tanh": 6.0, "relu": 6.0}
"""By activation in scikit-learn, the factor in the bound of the initial weights."""

FORMS: dict[str, tuple[Form, ...]] = {
    "binary": ("labels",),
    "multilabel": ("labels",),
    "multiclass": ("classes",),
    "regression": ("numbers", "quantiles"),
}
"""The form of targets, by task."""


def offered(*tasks: str) -> dict[str, Loss]:
    """The losses of some tasks by the names that estimators have for them; equal names: the last.

    Args:
        tasks: of FORMS.
    """
    forms = {form for task in tasks for form in FORMS[task]}
    return {x.estimator: x for x in LOSSES.values() if x.estimator and forms & x.links.keys()}


def link_of(loss: Loss, task: str) -> Link:
    """The link from logits to the predictions of a model of this task."""
    return next(loss.links[form] for form in FORMS[task] if form in loss.links)


class Scale(NamedTuple):
    """The standardisation of targets: to mean 0 and standard deviation 1."""

    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]

    @classmethod
    def of(cls, y: npt.NDArray[Any]) -> Scale:
        """The standardisation of (n,) or (n, k) numbers; constants are only shifted."""
        std = np.std(y, axis=0, dtype=np.float64)
        return cls(np.mean(y, axis=0, dtype=np.float64), np.where(std > 0, std, 1.0))


@dataclass(frozen=True)
class Design:
    """All parameters of an estimator's graph.

    Attributes:
        task: binary, multiclass, multilabel or regression.
        features: the number in an example, where there is no schema.
        schema: of the columns of a table; their encoders are then a part of the graph.
        outputs: the logits of an example: classes, labels or numbers; 1 for binary.
        flat: whether a target is one number an example, (N,).
        scale: by which the numbers to predict are standardised, or None.
        widths, activations, dropouts: of each hidden layer.
        normalization: batch, layer, rms or None.
        loss: log_loss, hinge, or one of regression.
        weighted: whether examples have weights.
        label_smoothing, quantile, delta: of the losses that have them.
        dtype: of all numbers.
    """

    task: str
    features: int
    schema: Schema | None
    outputs: int
    flat: bool
    scale: Scale | None
    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    dropouts: tuple[float, ...]
    normalization: str | None
    loss: str
    weighted: bool
    label_smoothing: float
    quantile: float
    delta: float
    dtype: str

    def starts_as(self, layer: int) -> Activation:
        """The activation by which a layer, from 0, draws its weights; the output has the last."""
        if not self.activations:
            return "relu"
        return self.activations[min(layer, len(self.activations) - 1)]

    @property
    def paired(self) -> bool:
        """Whether the output has the probabilities of both labels, as with a schema."""
        return self.task == "binary" and self.schema is not None and self.link.probabilities

    @property
    def target(self) -> str:
        """The dtype of the target."""
        if self.task != "regression":
            return "int32"
        return self.dtype if self.scale is None else "float64"

    @property
    def output(self) -> str:
        """The activation of the output layer, by its name in scikit-learn."""
        return self.link.name

    @property
    def row(self) -> Loss:
        """The row of the loss for this task in the table of losses."""
        losses = offered(self.task)
        if self.loss not in losses:
            raise SettingError(
                "loss", f"{self.loss!r} is not for a {self.task} target", expected=", ".join(losses)
            )
        return losses[self.loss]

    @property
    def link(self) -> Link:
        """The link from logits to predictions."""
        return link_of(self.row, self.task)


@dataclass(frozen=True)
class Names:
    """The names of the inputs that are not features."""

    target: str
    weights: str
    alpha: str


def activation_named(given: Activation) -> Activation:
    """An activation by Chainrule's name."""
    return NAMES.get(given, given) if isinstance(given, str) else given


def free_names(schema: Schema | None) -> Names:
    """Names that no column of the table has; the target's own where the schema has one."""
    taken = set() if schema is None else {block.name for block in schema.blocks}
    target = "y" if schema is None or schema.target is None else schema.target.name

    def free(name: str) -> str:
        while name in taken:
            name += "_"
        return name

    return Names(free(target), free("weights"), free("alpha"))


def initial_values(design: Design, random: np.random.RandomState) -> dict[str, Array]:
    """The weights and biases that scikit-learn draws first, by parameter, in its order.

    Layers whose activation it does not have are left out, and the networks of tables.
    """
    values: dict[str, Array] = {}
    if design.schema is not None:
        return values
    sizes = pairwise((design.features, *design.widths, design.outputs))
    for number, (fan_in, fan_out) in enumerate(sizes, start=1):
        last = number > len(design.widths)
        bound = _bound(fan_in, fan_out, design.starts_as(number - 1))
        if bound is None:
            continue
        name = "output" if last else f"hidden{number}"
        values[f"{name}.w"] = random.uniform(-bound, bound, (fan_in, fan_out))
        if last or design.normalization is None:
            values[f"{name}.b"] = random.uniform(-bound, bound, fan_out)
    return {name: x.astype(design.dtype) for name, x in values.items()}


def network(design: Design, seed: int, values: dict[str, Array]) -> Model:
    """The untrained model.

    Args:
        design: of it.
        seed: of all that is random.
        values: initial ones, by parameter; the others are drawn.
    """
    names, schema, scale = free_names(design.schema), design.schema, design.scale
    if schema is None:
        x: Node = input("x", (design.features,), design.dtype)
    else:
        x = cast(features(schema, linear=True).node, design.dtype)
    z = _logits(x, design)
    y = input(names.target, () if design.flat else (design.outputs,), design.target)
    wanted: Node = y
    output = design.link.node(z)
    if design.paired:
        output = stack([1 - output, output], axis=1)
    if scale is not None:
        wanted = cast((y - scale.mean) / scale.std, design.dtype)
        output = cast(z, "float64") * scale.std + scale.mean
    weights = input(names.weights, (), design.dtype) if design.weighted else None
    loss = _loss(z, wanted, weights, design) + _penalty(z, names, weights, design.dtype)
    return Model(output, loss, seed=seed, schema=schema, values=values)


def _logits(x: Node, design: Design) -> Node:
    """The hidden layers and the one of the output, (N,) or (N, outputs)."""
    h = x
    parts = zip(design.widths, design.activations, design.dropouts, strict=True)
    for number, (width, activation, rate) in enumerate(parts, start=1):
        name = f"hidden{number}"
        start = _start(h, width, activation)
        h = hidden(
            h, width, activation, norm=design.normalization, init=start,
            bias=True if start is None else start, name=name,
        )  # fmt: skip
        h = dropout(h, rate, name=f"{name}.dropout") if rate else h
    start = _start(h, design.outputs, design.starts_as(len(design.widths)))
    z = dense(h, design.outputs, init=start, bias=True if start is None else start, name="output")
    return reshape(z, (N,)) if design.outputs == 1 and design.flat else z


def _start(h: Node, width: int, activation: Activation) -> Uniform | None:
    """The initialiser of scikit-learn for weights and biases; None for other activations."""
    fan_in = h.shape[-1]
    assert isinstance(fan_in, int)
    bound = _bound(fan_in, width, activation)
    return None if bound is None else Uniform(-bound, bound)


def _bound(fan_in: int, fan_out: int, activation: Activation) -> float | None:
    """The bound of the initial weights in scikit-learn; None for other activations."""
    if not isinstance(activation, str) or activation not in GLOROT:
        return None
    return math.sqrt(GLOROT[activation] / (fan_in + fan_out))


def _loss(z: Node, y: Node, weights: Node | None, design: Design) -> Node:
    """The mean over examples; several outputs are summed, as scikit-learn's gradients are."""
    loss, s = design.row, design.label_smoothing
    if design.task in ("binary", "multilabel") and loss.probabilities and s:
        y, s = cast(y, z.dtype) * (1 - s) + s / 2, 0.0
    value = loss(
        z, y, weights=weights, name="loss", label_smoothing=s, delta=design.delta,
        quantiles=design.quantile,
    )  # fmt: skip
    return value if design.task == "multiclass" else value * (loss.factor * design.outputs)


def _penalty(z: Node, names: Names, weights: Input | None, dtype: str) -> Node:
    """`alpha / 2 * sum(w ** 2)`, divided by the examples of the minibatch or by their weight.

    The strength is a parameter that is not trained: another one needs no other machine code.
    """
    alpha = parameter(names.alpha, 0.0, dtype=dtype, trainable=False)
    squares = [sum(square(w)) for w in weights_of(z)]
    total = squares[0]
    for part in squares[1:]:
        total = total + part
    examples = count((N,), dtype) if weights is None else data_total(sum(weights))
    examples = where(equal(examples, 0), 1, examples)
    return total * (0.5 * alpha) / examples
