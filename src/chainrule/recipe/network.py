"""The graph of a recipe: encoders, an ensemble of networks, their mean, and the loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import numpy as np

from chainrule.data.columns.encoder import Stats, spread_of
from chainrule.data.columns.target import ClassTarget, NumberTarget
from chainrule.data.features import Features, beside, features, knots
from chainrule.data.predictions import Predictions
from chainrule.data.schema import Schema
from chainrule.data.table import Floats
from chainrule.graph.node import Node
from chainrule.model.model import Model
from chainrule.nn.compose import mlp
from chainrule.nn.layers import dense
from chainrule.nn.loss import LOSSES
from chainrule.nn.numeric import periodic, piecewise, scale
from chainrule.ops.bounds import abs, clip, maximum, sign
from chainrule.ops.build import cast
from chainrule.ops.objective import objective
from chainrule.ops.shape import reshape
from chainrule.ops.softmax import softmax
from chainrule.ops.transcendental import expm1, log, log1p
from chainrule.recipe.calibration import temperature_scaled
from chainrule.recipe.config import DEFAULT_LOSS, Config

OUTPUT_INIT = "zeros"
"""Initialiser of the output layer: training starts from the best constant guess."""
HUBER_DELTA = {"standard": 3.0, "log": 1.0}
"""By scaling of the target, the error beyond which the Huber loss is linear."""
MAX_QUARTILE_DISTANCES = 1e300
"""Bound of a target on a logarithmic scale, in quartile distances from the median."""


def build(resolved: Config, schema: Schema, encoders: Features | None = None) -> Model[Predictions]:
    """The untrained model for a table: encoders, hidden layers, output, loss.

    `encoders` are the columns as nodes, where these exist already.
    """
    columns = encoders or features(schema, scaling=resolved.scaling)
    assert columns.target is not None
    knot_positions = None
    if resolved.embedding == "piecewise" and columns.numbers is not None and resolved.hidden:
        knot_positions = knots(columns.numbers, schema)
    tops = [_hidden(columns, knot_positions, resolved) for _ in range(resolved.members or 1)]
    target = schema.target
    if isinstance(target, ClassTarget):
        output, loss = _classes(tops, columns.target, target, resolved)
    else:
        assert isinstance(target, NumberTarget)
        output, loss = _number(tops, columns.target, target, resolved)
    return Model(outputs=output, loss=loss, seed=resolved.seed, schema=schema)


def _hidden(columns: Features, knot_positions: Floats | None, resolved: Config) -> Node:
    """A network up to its last hidden layer; with piecewise embeddings where there are knots."""
    assert resolved.hidden is not None
    parts = [columns.numbers, columns.others]
    if columns.numbers is not None and resolved.hidden:
        if knot_positions is not None:
            parts[0] = piecewise(columns.numbers, knot_positions)
        elif resolved.embedding == "periodic":
            parts[0] = periodic(columns.numbers)
    h = beside([x for x in parts if x is not None])
    if not resolved.hidden:
        return h
    return mlp(
        scale(h), resolved.hidden, resolved.activation,
        dropout=resolved.dropout or 0.0,
        norm=None if resolved.norm == "none" else resolved.norm,
    )  # fmt: skip


def _classes(
    tops: list[Node], truth: Node, target: ClassTarget, resolved: Config
) -> tuple[Node, Node]:
    """Probabilities (N, classes), and the loss of the logits."""
    loss = LOSSES[resolved.loss or DEFAULT_LOSS["classification"]]
    logits = [dense(h, len(target.labels), init=OUTPUT_INIT) for h in tops]
    losses = [loss(z, truth, label_smoothing=resolved.label_smoothing or 0.0) for z in logits]
    together = logits[0]
    if len(tops) > 1:
        together = log(maximum(_mean([softmax(z) for z in logits]), 1e-30))
    z = temperature_scaled(together)
    return softmax(z), objective(_mean(losses), z, truth, kind=loss.name)


def _number(
    tops: list[Node], truth: Node, target: NumberTarget, resolved: Config
) -> tuple[Node, Node]:
    """The prediction in the target's unit (N,), and the loss on the scaled number."""
    scaling = resolved.target_scaling or "standard"
    forth, back = (_log if scaling == "log" else _standard)(target.stats)
    scaled = [reshape(dense(h, 1, init=OUTPUT_INIT), (h.shape[0],)) for h in tops]
    loss = LOSSES[resolved.loss or DEFAULT_LOSS["regression"]]
    losses = [loss(z, cast(forth(truth), "float32"), delta=HUBER_DELTA[scaling]) for z in scaled]
    low, *_, high = target.stats.quantiles
    output = clip(back(cast(_mean(scaled), "float64")), low, high)
    return output, objective(_mean(losses), output, truth, kind=loss.name)


Scale = tuple[Callable[[Node], Node], Callable[[Node], Node]]
"""Functions from a number in the target's unit to the scaled one, and back."""


def _standard(stats: Stats) -> Scale:
    """Mean 0 and standard deviation 1."""
    mean, std = stats.mean, stats.std or 1.0
    return lambda y: (y - mean) / std, lambda z: z * std + mean


def _log(stats: Stats) -> Scale:
    """sign(u) log(1 + |u|), with u in quartile distances from the median, then standardised.

    Mean and deviation are those of the inner quantiles, which are robust to outliers. Source:
    Hafner et al. 2023, symlog.
    """
    unit = spread_of(stats)
    u = (np.array(stats.quantiles[1:-1]) - stats.median) / unit
    inner = np.sign(u) * np.log1p(np.abs(u))
    log_far = math.log(MAX_QUARTILE_DISTANCES)
    mean, std = float(inner.mean()), float(inner.std()) or 1.0

    def forth(y: Node) -> Node:
        u = clip((y - stats.median) / unit, -MAX_QUARTILE_DISTANCES, MAX_QUARTILE_DISTANCES)
        return (sign(u) * log1p(abs(u)) - mean) / std

    def back(z: Node) -> Node:
        u = clip(z * std + mean, -log_far, log_far)
        return sign(u) * expm1(abs(u)) * unit + stats.median

    return forth, back


def _mean(nodes: list[Node]) -> Node:
    """The mean of nodes of one type."""
    total = reduce(lambda a, b: a + b, nodes)
    return total if len(nodes) == 1 else total / len(nodes)
