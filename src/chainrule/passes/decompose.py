"""Ops that a plan puts together from simpler ones; the interpreter keeps its own for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from chainrule.graph.node import Node, Operation
from chainrule.ops.bounds import abs
from chainrule.ops.build import broadcast_to, constant
from chainrule.ops.compare import equal, isfinite, logical_and, where
from chainrule.ops.einsum import einsum
from chainrule.ops.elementwise import sqrt, square
from chainrule.ops.mode import count
from chainrule.ops.reduce import max, min, sum
from chainrule.ops.shape import reshape
from chainrule.ops.transcendental import exp, log
from chainrule.passes.products import prod_along
from chainrule.passes.rewrite import rewrite

Axes = tuple[int, ...]


def _lean(reduce: Callable[..., Node], x: Node, axis: Axes, keepdims: bool) -> Node:
    """A reduction that keeps axes is one that does not, in another shape: so the two are one."""
    y = reduce(x, axis)
    kept = tuple(1 if a in axis else dim for a, dim in enumerate(x.shape))
    return reshape(y, kept) if keepdims else y


def _counted(x: Node, axis: Axes) -> Node:
    return count(tuple(x.shape[a] for a in axis), x.dtype)


def _mean(x: Node, axis: Axes, keepdims: bool) -> Node:
    return _lean(lambda x, axis: sum(x, axis) / _counted(x, axis), x, axis, keepdims)


def _sum_to(x: Node, shape: Any) -> Node:
    lead = x.ndim - len(shape)
    added = (a for a in range(x.ndim) if a < lead or (shape[a - lead] == 1 and x.shape[a] != 1))
    return reshape(sum(x, tuple(added)), shape)


def _var(x: Node, axis: Axes, keepdims: bool, ddof: int) -> Node:
    """NaN where there are no more elements than `ddof`."""
    apart = x - broadcast_to(_mean(x, axis, True), x.shape)
    left = _counted(x, axis)
    if ddof:
        left = where(left > ddof, left - float(ddof), np.nan)
    return _lean(lambda x, axis: sum(x, axis) / left, square(apart), axis, keepdims)


def _norm(x: Node, axis: Axes, keepdims: bool) -> Node:
    """The largest entry is divided out, so that squares neither overflow nor vanish."""
    if _none(x, axis):
        return _filled(x, axis, keepdims, 0.0)
    largest = _lean(max, abs(x), axis, True)
    scale = where(logical_and(largest > 0, isfinite(largest)), largest, 1.0)
    y = sqrt(_lean(sum, square(x / broadcast_to(scale, x.shape)), axis, True)) * scale
    return y if keepdims else reshape(y, sum(x, axis).shape)


def _logsumexp(x: Node, axis: Axes, keepdims: bool) -> Node:
    if _none(x, axis):
        return _filled(x, axis, keepdims, -np.inf)
    largest = _lean(max, x, axis, True)
    shift = where(isfinite(largest), largest, 0.0)
    y = log(_lean(sum, exp(x - broadcast_to(shift, x.shape)), axis, True)) + shift
    return y if keepdims else reshape(y, sum(x, axis).shape)


def _parts(x: Node, axis: Axes) -> tuple[Node, Node, Node]:
    """`x` less its largest element, the exponentials of that, and their sum, which is not 0."""
    largest = _lean(max, x, axis, True)
    apart = x - broadcast_to(where(equal(largest, -np.inf), 0.0, largest), x.shape)
    parts = exp(apart)
    total = _lean(sum, parts, axis, True)
    return apart, parts, where(equal(total, 0), 1.0, total)


def _softmax(x: Node, axis: Axes) -> Node:
    if _none(x, axis):
        return x
    _, parts, total = _parts(x, axis)
    return parts / broadcast_to(total, x.shape)


def _log_softmax(x: Node, axis: Axes) -> Node:
    if _none(x, axis):
        return x
    apart, _, total = _parts(x, axis)
    return apart - broadcast_to(log(total), x.shape)


def _none(x: Node, axis: Axes) -> bool:
    """Whether there are no elements along the axes."""
    return any(x.shape[a] == 0 for a in axis)


def _filled(x: Node, axis: Axes, keepdims: bool, value: float) -> Node:
    """The reduction of no elements."""
    return broadcast_to(constant(value, x.dtype), sum(x, axis, keepdims=keepdims).shape)


def _sum(x: Node, axis: Axes, keepdims: bool) -> Node:
    """What was added up along an axis need not be put in its places before it is summed up."""
    if not (isinstance(x, Operation) and x.op.name == "scatter_add_along"):
        return _lean(sum, x, axis, keepdims)
    inside = x.attributes["axis"] in axis
    return _lean(sum, x.operands[0] if inside else x, axis, keepdims)


RULES: dict[str, Callable[..., Node | None]] = {
    "sum": _sum,
    "max": partial(_lean, max),
    "min": partial(_lean, min),
    "mean": _mean,
    "sum_to": _sum_to,
    "var": _var,
    "std": lambda x, **attributes: sqrt(_var(x, **attributes)),
    "norm": _norm,
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "matmul": lambda x, w: einsum("ik,kj->ij", x, w),
    "objective": lambda loss, *others, **_: loss,
    "stop_gradient": lambda x: x,
    "prod_others": prod_along,
}
"""By the names of the ops; None keeps the op as it is."""


def decompose(graph: Iterable[Node]) -> dict[Node, Node]:
    """For every node of a graph, what computes the same without the ops in RULES."""

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        if node.op.name not in RULES:
            return None
        made = RULES[node.op.name](*operands, **node.attributes)
        if made is None or made in operands:
            return made
        return made.within(node.scope, node.suffix)  # the name stays

    return rewrite(graph, rule)
