"""Softmax and log-sum-exp along axes, without overflow."""

from __future__ import annotations

import numpy as np

from chainrule.graph.attributes import AXES, FLAG
from chainrule.graph.node import Array, Axis, Node, NodeLike, apply
from chainrule.graph.op import function, op
from chainrule.ops.build import as_node, broadcast_to, floating
from chainrule.ops.compare import equal, isfinite, where
from chainrule.ops.reduce import (
    Axes,
    filled,
    max,
    no_elements,
    reduce,
    reduced,
    spread,
    sum,
    wide,
    without_axes,
)
from chainrule.ops.shape import reshape
from chainrule.ops.transcendental import exp, log
from chainrule.types import normalise_axes


def _shifted(x: Array, axis: Axes) -> Array:
    """`x` minus its largest element, in float64; a largest of -inf counts as 0."""
    top = wide(np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    return wide(x) - np.where(np.isneginf(top), 0.0, top)


# ---------------------------------------------------------------- logsumexp


def _forward_logsumexp(x: Array, axis: Axes, keepdims: bool) -> Array:
    top = wide(np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    top = np.where(np.isinf(top), 0.0, top)
    y: Array = np.log(np.sum(np.exp(wide(x) - top), axis=axis, keepdims=True)) + top
    return (y if keepdims else np.squeeze(y, axis)).astype(x.dtype)


def _decompose_logsumexp(x: Node, axis: Axes, keepdims: bool) -> Node:
    if no_elements(x, axis):
        return filled(x, axis, keepdims, -np.inf)
    largest = without_axes(max, x, axis)
    shift = where(isfinite(largest), largest, 0.0).named("finite_max")
    parts = exp(x - broadcast_to(shift, x.shape))
    y = log(without_axes(sum, parts, axis)) + shift
    return y if keepdims else reshape(y, sum(x, axis).shape)


LOGSUMEXP = op(
    "logsumexp",
    "reduce",
    infer=reduced("logsumexp", floats=True),
    attributes={"axis": AXES, "keepdims": FLAG},
    forward=_forward_logsumexp,
    gradient=lambda gy, y, x, axis, keepdims: (spread(gy, x, axis) * softmax(x, axis),),
    decompose=_decompose_logsumexp,
    formula="log(sum(exp({0}), axis={axis}))",
    convention="-inf of no elements, or where all are -inf; the gradient there is 0.",
)


@function
def logsumexp(x: NodeLike, axis: Axis = None, *, keepdims: bool = False) -> Node:
    """`log(sum(exp(x)))` over `axis`, without overflow: a smooth maximum."""
    return reduce(LOGSUMEXP, x, axis, keepdims)


# ---------------------------------------------------------------- softmax, log_softmax


def _forward_softmax(x: Array, axis: Axes) -> Array:
    shifted = _shifted(x, axis)
    parts = np.exp(shifted)
    total = np.sum(parts, axis=axis, keepdims=True)
    return (parts / np.where(total == 0, 1.0, total)).astype(x.dtype)


def _exponentials(x: Node, axis: Axes) -> tuple[Node, Node, Node]:
    """`x` minus its largest element, the exponentials of that, and their sum, never 0."""
    largest = without_axes(max, x, axis)
    shift = where(equal(largest, -np.inf), 0.0, largest).named("finite_max")
    apart = x - broadcast_to(shift, x.shape)
    parts = exp(apart)
    total = without_axes(sum, parts, axis)
    return apart, parts, where(equal(total, 0), 1.0, total).named("positive_sum")


def _decompose_softmax(x: Node, axis: Axes) -> Node:
    if no_elements(x, axis):
        return x
    _, parts, total = _exponentials(x, axis)
    return parts / broadcast_to(total, x.shape)


SOFTMAX = op(
    "softmax",
    "reduce",
    infer=floating("softmax"),
    attributes={"axis": AXES},
    forward=_forward_softmax,
    gradient=lambda gy, y, x, axis: (y * (gy - sum(gy * y, axis, keepdims=True)),),
    decompose=_decompose_softmax,
    formula="softmax({0}, axis={axis})",
    convention="0 everywhere, gradient too, where all elements are -inf.",
)


@function
def softmax(x: NodeLike, axis: Axis = -1) -> Node:
    """`exp(x) / sum(exp(x))` along `axis`: positive numbers that add up to 1.

    An element of -inf gets no weight; where all are -inf, all weights are 0.
    """
    x = as_node(x)
    return apply(SOFTMAX, x, axis=normalise_axes("softmax", axis, x.ndim))


def _forward_log_softmax(x: Array, axis: Axes) -> Array:
    shifted = _shifted(x, axis)
    total = np.sum(np.exp(shifted), axis=axis, keepdims=True)
    return (shifted - np.log(np.where(total == 0, 1.0, total))).astype(x.dtype)


def _decompose_log_softmax(x: Node, axis: Axes) -> Node:
    if no_elements(x, axis):
        return x
    apart, _, total = _exponentials(x, axis)
    return apart - broadcast_to(log(total), x.shape)


LOG_SOFTMAX = op(
    "log_softmax",
    "reduce",
    infer=floating("log_softmax"),
    attributes={"axis": AXES},
    forward=_forward_log_softmax,
    gradient=lambda gy, y, x, axis: (gy - softmax(x, axis) * sum(gy, axis, keepdims=True),),
    decompose=_decompose_log_softmax,
    formula="log_softmax({0}, axis={axis})",
    convention="-inf everywhere where all elements are -inf.",
)


@function
def log_softmax(x: NodeLike, axis: Axis = -1) -> Node:
    """`log(softmax(x))`, exact where the softmax itself would round to 0."""
    x = as_node(x)
    return apply(LOG_SOFTMAX, x, axis=normalise_axes("log_softmax", axis, x.ndim))
