"""Sums, means, extremes and their indices along axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import FeedError, ShapeError
from chainrule.graph.attributes import AXES, AXIS, FLAG
from chainrule.graph.node import Array, Axis, Node, NodeLike, Operation, apply
from chainrule.graph.op import Op, Reduce, Scan, Values, function, op
from chainrule.ir.index import Place
from chainrule.ir.kernel import Combine, Expr
from chainrule.ops.build import (
    accumulator,
    accurate_sum,
    as_node,
    broadcast_to,
    cast,
    constant,
    floating,
    numeric,
)
from chainrule.ops.compare import equal
from chainrule.ops.index import SCATTER_ADD_ALONG
from chainrule.ops.mode import count
from chainrule.ops.shape import reshape
from chainrule.types import Dim, N, Shape, TensorType, normalise_axes, normalise_axis

Axes = tuple[int, ...]

LONG = 64
"""The elements of a row from which on a sum over all rows is one of the sums of each row."""

# ---------------------------------------------------------------- shared by reductions


def kept_shape(shape: Shape, axis: Axes) -> Shape:
    """The shape of a reduction that keeps its axes, with size 1."""
    return tuple(1 if a in axis else dim for a, dim in enumerate(shape))


def spread(y: Node, x: Node, axis: Axes) -> Node:
    """A reduction of `x` over `axis`, or its gradient, repeated to the shape of `x`."""
    return broadcast_to(reshape(y, kept_shape(x.shape, axis)), x.shape)


def reduced(
    name: str, *, empty: bool = True, floats: bool = False, numbers: bool = False
) -> Callable[..., TensorType]:
    """The infer rule of reductions.

    Args:
        name: of the op.
        empty: whether the reduction of no elements has a value.
        floats: whether the op is defined only for float32 and float64.
        numbers: whether it is not defined for bools.
    """

    def infer(x: TensorType, axis: Axes, keepdims: bool, **_: Any) -> TensorType:
        if floats:
            floating(name)(x)
        if numbers:
            numeric(name)(x)
        if not empty and any(x.shape[a] == 0 for a in axis):
            raise ShapeError(name, "of no elements is not defined", got=f"axis {axis} of {x.sizes}")
        left = [a for a in range(x.ndim) if a not in axis]
        if keepdims:
            return TensorType(kept_shape(x.shape, axis), x.dtype, x.axes)
        names = tuple(x.names[a] for a in left) if x.axes else ()
        return TensorType(tuple(x.shape[a] for a in left), x.dtype, names)

    return infer


def require_rows(name: str, x: Array, axis: Axes) -> None:
    """Raise FeedError where a reduction that needs elements meets a minibatch without rows."""
    if any(x.shape[a] == 0 for a in axis):
        raise FeedError(
            name, "of no elements is not defined", expected="at least one row", got="no rows"
        )


def wide(x: Array) -> Array:
    """`x` in float64, the precision of reductions."""
    return x.astype(np.float64, copy=False)


def reduce(op: Op, x: NodeLike, axis: Axis, keepdims: bool, **attributes: Any) -> Node:
    """The node of a reduction, its axes counted from the front."""
    x = as_node(x)
    axes = normalise_axes(op.name, axis, x.ndim)
    return apply(op, x, axis=axes, keepdims=bool(keepdims), **attributes)


def n_reduced(x: Node, axis: Axes) -> Node:
    """The number of elements that a reduction of `x` over `axis` combines, as a scalar."""
    return count(tuple(x.shape[a] for a in axis), x.dtype)


# ---------------------------------------------------------------- their machine code


def reduces(combine: Combine) -> Reduce:
    """The lowering of an op with the attributes `axis` and `keepdims`."""

    def rule(node: Operation, place: Place, value: Values, loop: Callable[[Dim], Expr]) -> Expr:
        x, axis = node.operands[0], node.attributes["axis"]
        axes = (axis,) if isinstance(axis, int) else axis
        remaining = iter(place)
        inner = []
        for a, dim in enumerate(x.shape):
            if a in axes and node.attributes["keepdims"]:
                next(remaining)
            inner.append(loop(dim) if a in axes else next(remaining))
        return value(x, tuple(inner))

    return Reduce(combine, rule, rereads=False)


def without_axes(
    reduction: Callable[[Node, Axes], Node], x: Node, axis: Axes, keepdims: bool = True
) -> Node:
    """A reduction with `keepdims` as one without, reshaped: both then share a node."""
    y = reduction(x, axis)
    return reshape(y, kept_shape(x.shape, axis)) if keepdims else y


def no_elements(x: Node, axis: Axes) -> bool:
    """Whether there are no elements along the axes."""
    return any(x.shape[a] == 0 for a in axis)


def filled(x: Node, axis: Axes, keepdims: bool, value: float) -> Node:
    """The reduction of no elements."""
    return broadcast_to(constant(value, x.dtype), sum(x, axis, keepdims=keepdims).shape)


# ---------------------------------------------------------------- sum, mean


def _decompose_sum(x: Node, axis: Axes, keepdims: bool) -> Node | None:
    """The operand of a `scatter_add` is summed directly; a long row by itself, then all rows."""
    if isinstance(x, Operation) and x.op is SCATTER_ADD_ALONG and x.attributes["axis"] in axis:
        return without_axes(sum, x.operands[0], axis, keepdims)
    if keepdims:
        return without_axes(sum, x, axis)
    within = tuple(a for a in axis if x.shape[a] is not N)
    many = math.prod(d for d in map(x.shape.__getitem__, within) if isinstance(d, int))
    if len(within) == len(axis) or many < LONG:
        return None
    rows = sum(x, within)  # threads share the rows
    return sum(rows, rows.shape.index(N))


SUM = op(
    "sum",
    "reduce",
    infer=reduced("sum", numbers=True),
    attributes={"axis": AXES, "keepdims": FLAG},
    forward=lambda x, axis, keepdims: accurate_sum(x, axis, keepdims),
    gradient=lambda gy, y, x, axis, keepdims: (spread(gy, x, axis),),
    decompose=_decompose_sum,
    lower=reduces("sum"),
    formula="sum({0}, axis={axis})",
    convention="float32 is accumulated in float64. The sum of no elements is 0.",
)


@function
def sum(x: NodeLike, axis: Axis = None, *, keepdims: bool = False) -> Node:
    """The sum over `axis` (an integer, several, or None: all). Booleans count as 0 and 1.

    Summing over the batch axis sums the examples of a minibatch.
    """
    x = as_node(x)
    return reduce(SUM, cast(x, "int32") if x.dtype == "bool" else x, axis, keepdims)


def _forward_mean(x: Array, axis: Axes, keepdims: bool) -> Array:
    require_rows("mean", x, axis)
    return np.asarray(np.mean(wide(x), axis=axis, keepdims=keepdims)).astype(x.dtype)


def _decompose_mean(x: Node, axis: Axes, keepdims: bool) -> Node:
    return without_axes(lambda x, axis: sum(x, axis) / n_reduced(x, axis), x, axis, keepdims)


MEAN = op(
    "mean",
    "reduce",
    infer=reduced("mean", empty=False, floats=True),
    attributes={"axis": AXES, "keepdims": FLAG},
    forward=_forward_mean,
    gradient=lambda gy, y, x, axis, keepdims: (spread(gy / n_reduced(x, axis), x, axis),),
    decompose=_decompose_mean,
    formula="mean({0}, axis={axis})",
    convention="float32 is accumulated in float64.",
)


@function
def mean(x: NodeLike, axis: Axis = None, *, keepdims: bool = False) -> Node:
    """The mean over `axis`; over the batch axis, the mean of the minibatch's examples.

    Raises:
        DTypeError: `x` is not floating point.
        ShapeError: there are no elements; FeedError where that is known only in a run.
    """
    return reduce(MEAN, x, axis, keepdims)


# ---------------------------------------------------------------- max, min


def _extreme(name: str, take: Callable[..., Any]) -> Callable[..., Array]:
    def forward(x: Array, axis: Axes, keepdims: bool) -> Array:
        require_rows(name, x, axis)
        return np.asarray(take(x, axis=axis, keepdims=keepdims))

    return forward


def _shared(gy: Node, chosen: Node, axis: Axes) -> Node:
    """`gy` in equal parts to the elements that are `chosen`, 0 to the others."""
    mark = cast(chosen, gy.dtype)
    return mark * spread(gy, mark, axis) / spread(sum(mark, axis), mark, axis)


_TIES = "The gradient is shared equally among equal extremes. NaN wherever an element is NaN."

MAX = op(
    "max",
    "reduce",
    infer=reduced("max", empty=False),
    attributes={"axis": AXES, "keepdims": FLAG},
    forward=_extreme("max", np.max),
    gradient=lambda gy, y, x, axis, keepdims: (_shared(gy, equal(x, spread(y, x, axis)), axis),),
    decompose=lambda x, axis, keepdims: without_axes(max, x, axis) if keepdims else None,
    lower=reduces("max"),
    formula="max({0}, axis={axis})",
    convention=_TIES,
)


@function
def max(x: NodeLike, axis: Axis = None, *, keepdims: bool = False) -> Node:
    """The largest element over `axis`. Equal ones share the gradient equally.

    Raises:
        ShapeError: there are no elements; FeedError where that is known only in a run.
    """
    return reduce(MAX, x, axis, keepdims)


MIN = op(
    "min",
    "reduce",
    infer=reduced("min", empty=False),
    attributes={"axis": AXES, "keepdims": FLAG},
    forward=_extreme("min", np.min),
    gradient=lambda gy, y, x, axis, keepdims: (_shared(gy, equal(x, spread(y, x, axis)), axis),),
    decompose=lambda x, axis, keepdims: without_axes(min, x, axis) if keepdims else None,
    lower=reduces("min"),
    formula="min({0}, axis={axis})",
    convention=_TIES,
)


@function
def min(x: NodeLike, axis: Axis = None, *, keepdims: bool = False) -> Node:
    """The smallest element over `axis`. Equal ones share the gradient equally.

    Raises:
        ShapeError: there are no elements; FeedError where that is known only in a run.
    """
    return reduce(MIN, x, axis, keepdims)


# ---------------------------------------------------------------- argmax, argmin


def _infer_place(name: str) -> Callable[..., TensorType]:
    rule = reduced(name, empty=False)

    def infer(x: TensorType, axis: int, keepdims: bool) -> TensorType:
        return TensorType(rule(x, (axis,), keepdims).shape, "int32")

    return infer


def _place(name: str, take: Callable[..., Any]) -> Callable[..., Array]:
    def forward(x: Array, axis: int, keepdims: bool) -> Array:
        require_rows(name, x, (axis,))
        return np.asarray(take(x, axis=axis, keepdims=keepdims)).astype(np.int32)

    return forward


ARGMAX = op(
    "argmax",
    "reduce",
    infer=_infer_place("argmax"),
    attributes={"axis": AXIS, "keepdims": FLAG},
    forward=_place("argmax", np.argmax),
    gradient=None,
    lower=reduces("argmax"),
    formula="argmax({0}, axis={axis})",
    convention="Ties: the lowest index; the first NaN, if there is one.",
)


@function
def argmax(x: NodeLike, axis: int = -1, *, keepdims: bool = False) -> Node:
    """The index (int32) of the largest element along one axis; ties: the lowest index.

    Raises:
        ShapeError: there are no elements; FeedError where that is known only in a run.
    """
    x = as_node(x)
    return apply(ARGMAX, x, axis=normalise_axis("argmax", axis, x.ndim), keepdims=keepdims)


ARGMIN = op(
    "argmin",
    "reduce",
    infer=_infer_place("argmin"),
    attributes={"axis": AXIS, "keepdims": FLAG},
    forward=_place("argmin", np.argmin),
    gradient=None,
    lower=reduces("argmin"),
    formula="argmin({0}, axis={axis})",
    convention="Ties: the lowest index; the first NaN, if there is one.",
)


@function
def argmin(x: NodeLike, axis: int = -1, *, keepdims: bool = False) -> Node:
    """The index (int32) of the smallest element along one axis; ties: the lowest index.

    Raises:
        ShapeError: there are no elements; FeedError where that is known only in a run.
    """
    x = as_node(x)
    return apply(ARGMIN, x, axis=normalise_axis("argmin", axis, x.ndim), keepdims=keepdims)


# ---------------------------------------------------------------- cumsum


def _forward_cumsum(x: Array, axis: int, reverse: bool) -> Array:
    ahead = np.flip(x, axis) if reverse else x
    sums = np.cumsum(ahead, axis=axis, dtype=accumulator(x)).astype(x.dtype, copy=False)
    return np.flip(sums, axis) if reverse else sums


CUMSUM = op(
    "cumsum",
    "reduce",
    infer=lambda x, axis, reverse: numeric("cumsum")(x),
    attributes={"axis": AXIS, "reverse": FLAG},
    forward=_forward_cumsum,
    gradient=lambda gy, y, x, axis, reverse: (cumsum(gy, axis, reverse=not reverse),),
    decompose=lambda x, axis, reverse: x if x.shape[axis] == 1 else None,
    lower=Scan(),
    formula="cumsum({0}, axis={axis}, reverse={reverse})",
    convention="float32 is accumulated in float64.",
)


@function
def cumsum(x: NodeLike, axis: int, *, reverse: bool = False) -> Node:
    """Running sums along one axis, from its end if `reverse`. Booleans count as 0 and 1."""
    x = as_node(x)
    x = cast(x, "int32") if x.dtype == "bool" else x
    axis = normalise_axis("cumsum", axis, x.ndim)
    return apply(CUMSUM, x, axis=axis, reverse=bool(reverse))
