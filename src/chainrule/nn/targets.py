"""The parts that all losses share: checked operands, weights, and the mean over examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chainrule.errors import DTypeError, ShapeError
from chainrule.graph.node import Node, NodeLike
from chainrule.graph.source import user_line
from chainrule.nn.arguments import floats
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops import compare, reduce
from chainrule.ops.build import as_node, broadcast_to, cast
from chainrule.ops.mode import data_total
from chainrule.ops.objective import objective
from chainrule.ops.shape import reshape
from chainrule.types import INTEGERS, Shape, show


@dataclass(frozen=True)
class Case:
    """The checked arguments of a loss.

    Attributes:
        loss: the name of the loss function.
        prediction, target: nodes, as passed.
        weights: None, or of the prediction's dtype.
        given: all operands as passed.
    """

    loss: str
    prediction: Node
    target: Node
    weights: Node | None
    given: tuple[Node, ...]

    def counted(self, values: Node, weights: Node | None = None) -> Node:
        """The values with 0 where their weight is 0, so that nothing there counts.

        NaN, -1 and infinities there change neither the loss nor a gradient of any order.

        Args:
            values: predictions or targets.
            weights: replace those of the case.
        """
        weights = self.weights if weights is None else weights
        if weights is None:
            return values
        counts = compare.not_equal(weights, 0)
        return compare.where(spread(counts, values.shape), values, 0)

    def finish(
        self,
        each: Node,
        name: str | None,
        *,
        weights: Node | None = None,
        noted: Node | None = None,
        levels: tuple[float, ...] | None = None,
    ) -> Node:
        """The named scalar loss, with a record of what it compares.

        Args:
            each: the loss of each value, not yet averaged.
            name: given by the user.
            weights: replace those of the case in the mean.
            noted: replaces the weights of the case in metrics.
            levels: the quantiles that are predicted, for metrics.
        """
        mean = average(each, self.weights if weights is None else weights)
        result = objective(
            mean,
            self.prediction,
            self.target,
            self.weights if noted is None else noted,
            kind=self.loss,
            levels=levels,
        )
        return as_layer(layer_scope(name, self.loss), result, self.given)


def case(loss: str, prediction: Node, target: NodeLike, weights: NodeLike | None) -> Case:
    """The operands of a loss as nodes. Raises GraphError, DTypeError."""
    prediction, target = floats(loss, prediction), as_node(target)
    if target.type.floating and target.dtype != prediction.dtype:
        raise DTypeError(
            loss,
            "prediction and target differ in type",
            got=f"prediction {prediction.label!r} {prediction.dtype}\n"
            f"target {target.label!r} {target.dtype}",
            at="line " + user_line(),
            fix=f'declare the target as {prediction.dtype}, or cast(target, "{prediction.dtype}")',
        )
    if weights is None:
        return Case(loss, prediction, target, None, (prediction, target))
    given = as_node(weights, None if isinstance(weights, Node) else prediction.dtype)
    used = given if given.type.floating else cast(given, prediction.dtype)
    return Case(loss, prediction, target, used, (prediction, target, given))


def same_shape(case: Case) -> tuple[Node, Node]:
    """The prediction, and the target as numbers of its type and shape, 0 where weights are 0.

    Raises:
        ShapeError: the shapes differ.
    """
    prediction, target = case.prediction, case.target
    if prediction.shape != target.shape:
        raise differ(case, show(prediction.shape), _fix(prediction.shape, target))
    check_weights(case, prediction.shape)
    return case.counted(prediction), case.counted(cast(target, prediction.dtype))


def differ(case: Case, expected: str, fix: str | None = None) -> ShapeError:
    """The error for a target whose shape does not match its prediction."""
    p, t = case.prediction, case.target
    return ShapeError(
        case.loss,
        "prediction and target do not fit, and nothing is broadcast",
        expected=f"target {expected}",
        got=f"prediction {p.label!r} {p.type.sizes}\ntarget {t.label!r} {t.type.sizes}",
        at="line " + user_line(),
        fix=fix,
    )


def _fix(have: Shape, target: Node) -> str | None:
    if have == (*target.shape, 1):
        return (
            "squeeze(prediction, -1), or declare the target with an axis of 1: "
            f"input({target.label!r}, {show((*target.shape[1:], 1))})"
        )
    if target.shape == (*have, 1):
        return (
            "squeeze(target, -1), or declare it without that axis: "
            f"input({target.label!r}, {show(target.shape[1:-1])})"
        )
    if target.dtype in INTEGERS and have[:-1] == target.shape:
        return "if the target is a class index: cross_entropy(logits, target)"
    return None


def check_weights(case: Case, shape: Shape) -> None:
    """Raise ShapeError unless the weights have the first axes of a loss of that shape."""
    weights = case.weights
    if weights is not None and (not weights.ndim or weights.shape != shape[: weights.ndim]):
        options = " or ".join(show(shape[:k]) for k in range(1, len(shape) + 1))
        raise ShapeError(
            case.loss,
            "the weights do not fit the examples",
            expected=options or "no weights",
            got=f"{weights.label!r} {weights.type.sizes}",
            at="line " + user_line(),
            fix='one weight an example is input("weights", ())',
        )


def spread(weights: Node, shape: Shape) -> Node:
    """`weights`, which have the first axes, repeated along the others."""
    ones = (1,) * (len(shape) - weights.ndim)
    return broadcast_to(reshape(weights, (*weights.shape, *ones)), shape)


def share(part: Node, loss: Node) -> Node:
    """`part * loss`, and 0 where the part is 0, even if the loss there is infinite."""
    nothing = compare.logical_and(compare.equal(part, 0), compare.equal(loss, np.inf))
    return part * compare.where(nothing, 0, loss)


def average(each: Node, weights: Node | None) -> Node:
    """The mean of all values; with weights `sum(w * mean over other axes) / sum(w)`, or 0."""
    if weights is None:
        return reduce.mean(each)
    if each.ndim > weights.ndim:
        each = reduce.mean(each, axis=tuple(range(weights.ndim, each.ndim)))
    total = data_total(reduce.sum(weights))
    return reduce.sum(weights * each) / compare.where(compare.equal(total, 0), 1, total)
