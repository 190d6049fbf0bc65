"""The graph of a recipe: encoders, an ensemble of networks, their mean, and the loss."""

from __future__ import annotations

from functools import reduce

from chainrule.data.column import Floats
from chainrule.data.columns.target import ClassTarget, NumberTarget
from chainrule.data.features import Features, beside, features, knots
from chainrule.data.predictions import Predictions
from chainrule.data.schema import Schema
from chainrule.graph.node import Node
from chainrule.model.model import Model
from chainrule.nn.compose import mlp
from chainrule.nn.layers import dense
from chainrule.nn.loss import LOSSES
from chainrule.nn.numeric import periodic, piecewise, scale
from chainrule.ops.bounds import clip, maximum
from chainrule.ops.build import cast
from chainrule.ops.mode import when_training
from chainrule.ops.objective import objective
from chainrule.ops.shape import reshape
from chainrule.ops.softmax import softmax
from chainrule.ops.transcendental import log
from chainrule.recipe.body import body
from chainrule.recipe.calibration import temperature_scaled
from chainrule.recipe.config import DEFAULT_LOSS, Config
from chainrule.recipe.kinds import members, mixes
from chainrule.recipe.mixture import mixture
from chainrule.recipe.targetscale import target_scale

OUTPUT_INIT = "zeros"
"""Initialiser of the output layer: training starts from the best constant guess."""
HUBER_DELTA = {"standard": 3.0, "log": 1.0}
"""By scaling of the target, the error beyond which the Huber loss is linear."""


def build(resolved: Config, schema: Schema, encoders: Features | None = None) -> Model[Predictions]:
    """The untrained model for a table: encoders, hidden layers, output, loss.

    `encoders` are the columns as nodes, where these exist already.
    """
    columns = encoders or features(schema, scaling=resolved.scaling)
    assert columns.target is not None
    knot_positions = None
    if resolved.embedding == "piecewise" and columns.numbers is not None and resolved.hidden:
        knot_positions = knots(columns.numbers, schema)
    tops = [_hidden(columns, knot_positions, member) for member in members(resolved)]
    target = schema.target
    if isinstance(target, ClassTarget):
        output, loss = _classes(tops, columns.target, target, resolved)
    else:
        assert isinstance(target, NumberTarget)
        output, loss = _number(tops, columns.target, target, resolved)
    return Model(outputs=output, loss=loss, seed=resolved.seed, schema=schema)


def _hidden(columns: Features, knot_positions: Floats | None, member: Config) -> Node:
    """A member up to its last hidden layer; with piecewise embeddings where there are knots."""
    assert member.hidden is not None
    parts = [columns.numbers, columns.others]
    grids = [body(x, member) for x in columns.grids]
    if columns.numbers is not None and member.hidden:
        if member.embedding == "piecewise" and knot_positions is not None:
            parts[0] = piecewise(columns.numbers, knot_positions)
        elif member.embedding == "periodic":
            parts[0] = periodic(columns.numbers)
    given = [x for x in parts if x is not None]
    if not member.hidden:
        return beside([*given, *grids])
    inputs = beside([*([scale(beside(given))] if given else []), *grids])
    return mlp(
        inputs, member.hidden, member.activation,
        dropout=member.dropout or 0.0,
        norm=None if member.norm == "none" else member.norm,
        init=None if member.init == "auto" else member.init,
    )  # fmt: skip


def _classes(
    tops: list[Node], truth: Node, target: ClassTarget, resolved: Config
) -> tuple[Node, Node]:
    """Probabilities (N, classes), and the loss of the logits."""
    loss = LOSSES[resolved.loss or DEFAULT_LOSS["classification"]]
    options = {"label_smoothing": resolved.label_smoothing or 0.0}
    logits = [dense(h, len(target.labels), init=OUTPUT_INIT) for h in tops]
    learned = _mean([loss(z, truth, **options) for z in logits])
    together = logits[0]
    if len(tops) > 1:
        average = mixture if mixes(resolved) else _mean
        together = log(maximum(average([softmax(z) for z in logits]), 1e-30))
    if mixes(resolved):
        learned = when_training(learned, loss(together, truth, **options))
    z = temperature_scaled(together)
    return softmax(z), objective(learned, z, truth, kind=loss.name)


def _number(
    tops: list[Node], truth: Node, target: NumberTarget, resolved: Config
) -> tuple[Node, Node]:
    """The prediction in the target's unit (N,), and the loss on the scaled number."""
    scaling = resolved.target_scaling or "standard"
    forth, back = target_scale(target.stats, scaling)
    scaled = [reshape(dense(h, 1, init=OUTPUT_INIT), (h.shape[0],)) for h in tops]
    loss, options = (
        LOSSES[resolved.loss or DEFAULT_LOSS["regression"]],
        {"delta": HUBER_DELTA[scaling]},
    )
    learned = _mean([loss(z, cast(forth(truth), "float32"), **options) for z in scaled])
    together = (mixture if mixes(resolved) else _mean)(scaled)
    if mixes(resolved):
        judged = loss(together, cast(forth(truth), "float32"), **options)
        learned = when_training(learned, judged)
    low, *_, high = target.stats.quantiles
    output = clip(back(cast(together, "float64")), low, high)
    return output, objective(learned, output, truth, kind=loss.name)


def _mean(nodes: list[Node]) -> Node:
    """The mean of nodes of one type."""
    total = reduce(lambda a, b: a + b, nodes)
    return total if len(nodes) == 1 else total / len(nodes)
