"""The graph of a recipe: encoders, networks side by side, their mean, and the loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import numpy as np

from chainrule.data.columns.encoder import Stats, spread_of
from chainrule.data.columns.target import ClassTarget, NumberTarget
from chainrule.data.features import Features, beside, features, knots
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
from chainrule.recipe.calibration import cooled
from chainrule.recipe.config import DEFAULT_LOSS, Config

BLANK = "zeros"
"""Where the output layer starts: from the guess that knows no column, not from random ones."""
BEYOND = {"standard": 3.0, "log": 1.0}
"""By scaling of the target, the distance beyond which an error counts less: it may be chance."""
FAR = 1e300
"""Quartile distances from the median at which a target on a logarithmic scale is cut off."""


def build(settled: Config, schema: Schema) -> Model:
    """The untrained model for a table: encoders, hidden layers, output, loss."""
    found = features(schema, scaling=settled.scaling)
    assert found.target is not None
    places = None
    if settled.embedding == "piecewise" and found.numbers is not None and settled.hidden:
        places = knots(found.numbers, schema)
    tops = [_hidden(found, places, settled) for _ in range(settled.members or 1)]
    target = schema.target
    if isinstance(target, ClassTarget):
        output, loss = _classes(tops, found.target, target, settled)
    else:
        assert isinstance(target, NumberTarget)
        output, loss = _number(tops, found.target, target, settled)
    return Model(outputs=output, loss=loss, seed=settled.seed, schema=schema)


def _hidden(found: Features, places: Floats | None, settled: Config) -> Node:
    """One network up to its last hidden layer; with pieces between the places of knots, if any."""
    assert settled.hidden is not None
    parts = [found.numbers, found.others]
    if found.numbers is not None and settled.hidden:
        if places is not None:
            parts[0] = piecewise(found.numbers, places)
        elif settled.embedding == "periodic":
            parts[0] = periodic(found.numbers)
    h = beside([x for x in parts if x is not None])
    if not settled.hidden:
        return h
    return mlp(
        scale(h), settled.hidden, settled.activation,
        dropout=settled.dropout or 0.0,
        norm=None if settled.norm == "none" else settled.norm,
    )  # fmt: skip


def _classes(
    tops: list[Node], truth: Node, target: ClassTarget, settled: Config
) -> tuple[Node, Node]:
    """Probabilities (N, classes), and the loss of the logits."""
    weights = None
    if settled.class_weights == "balanced":
        counts = np.array(target.counts, float)
        weights = counts.sum() / (len(counts) * counts)
    loss = LOSSES[settled.loss or DEFAULT_LOSS["classification"]]
    logits = [dense(h, len(target.labels), init=BLANK) for h in tops]
    losses = [
        loss(z, truth, label_smoothing=settled.label_smoothing or 0.0, class_weights=weights)
        for z in logits
    ]
    together = logits[0]
    if len(tops) > 1:
        together = log(maximum(_mean([softmax(z) for z in logits]), 1e-30))
    z = cooled(together)
    return softmax(z), objective(_mean(losses), z, truth, kind=loss.name)


def _number(
    tops: list[Node], truth: Node, target: NumberTarget, settled: Config
) -> tuple[Node, Node]:
    """The number in its own unit (N,), and the loss on the scaled number."""
    scaling = settled.target_scaling or "standard"
    forth, back = (_log if scaling == "log" else _standard)(target.stats)
    scaled = [reshape(dense(h, 1, init=BLANK), (h.shape[0],)) for h in tops]
    loss = LOSSES[settled.loss or DEFAULT_LOSS["regression"]]
    losses = [loss(z, cast(forth(truth), "float32"), delta=BEYOND[scaling]) for z in scaled]
    low, *_, high = target.stats.quantiles
    output = clip(back(cast(_mean(scaled), "float64")), low, high)
    return output, objective(_mean(losses), output, truth, kind=loss.name)


Scale = tuple[Callable[[Node], Node], Callable[[Node], Node]]
"""From a number in its own unit to a scaled one, and back."""


def _standard(stats: Stats) -> Scale:
    """Mean 0 and standard deviation 1."""
    mean, std = stats.mean, stats.std or 1.0
    return lambda y: (y - mean) / std, lambda z: z * std + mean


def _log(stats: Stats) -> Scale:
    """sign(u) log(1 + |u|), u counting quartile distances from the median, then about standard.

    Mean and deviation are those of the inner quantiles, that no outlier moves. Source: Hafner et
    al. 2023, symlog.
    """
    unit = spread_of(stats)
    u = (np.array(stats.quantiles[1:-1]) - stats.median) / unit
    inner = np.sign(u) * np.log1p(np.abs(u))
    log_far = math.log(FAR)
    mean, std = float(inner.mean()), float(inner.std()) or 1.0

    def forth(y: Node) -> Node:
        u = clip((y - stats.median) / unit, -FAR, FAR)
        return (sign(u) * log1p(abs(u)) - mean) / std

    def back(z: Node) -> Node:
        u = clip(z * std + mean, -log_far, log_far)
        return sign(u) * expm1(abs(u)) * unit + stats.median

    return forth, back


def _mean(nodes: list[Node]) -> Node:
    """The mean of nodes of one type."""
    total = reduce(lambda a, b: a + b, nodes)
    return total if len(nodes) == 1 else total / len(nodes)
