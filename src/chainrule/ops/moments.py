"""Spread and length along axes: variance, standard deviation, norms."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from chainrule.errors import SettingError, ShapeError
from chainrule.graph.attributes import AXES, FLAG, NATURAL
from chainrule.graph.node import Array, Axis, Node, NodeLike
from chainrule.graph.op import function, op
from chainrule.ops.bounds import abs
from chainrule.ops.build import as_node, broadcast_to
from chainrule.ops.compare import equal, isfinite, logical_and, where
from chainrule.ops.elementwise import sqrt, square
from chainrule.ops.reduce import (
    Axes,
    filled,
    max,
    mean,
    n_reduced,
    no_elements,
    reduce,
    reduced,
    require_rows,
    spread,
    sum,
    wide,
    without_axes,
)
from chainrule.ops.shape import reshape
from chainrule.system.checks import integer
from chainrule.types import TensorType, normalise_axes, show

# ---------------------------------------------------------------- var, std


def _infer_var(name: str) -> Callable[..., TensorType]:
    rule = reduced(name, empty=False, floats=True)

    def infer(x: TensorType, axis: Axes, keepdims: bool, ddof: int) -> TensorType:
        result = rule(x, axis, keepdims)
        sizes = [x.shape[a] for a in axis]
        static = [dim for dim in sizes if isinstance(dim, int)]
        if len(static) == len(sizes) and math.prod(static) <= ddof:
            raise ShapeError(
                name,
                "needs more elements than ddof",
                expected=f"{ddof + 1} or more",
                got=f"axis {axis} of {show(x.shape)}",
            )
        return result

    return infer


def _forward_var(x: Array, axis: Axes, keepdims: bool, ddof: int) -> Array:
    require_rows("var", x, axis)
    apart = wide(x) - np.mean(wide(x), axis=axis, keepdims=True)
    left = math.prod(x.shape[a] for a in axis) - ddof
    squares = np.sum(apart * apart, axis=axis, keepdims=keepdims)
    return np.asarray(squares / np.float64(left if left > 0 else np.nan))


def _centred(x: Node, axis: Axes) -> Node:
    """`x` minus its mean; twice, because the first mean of large numbers is rounded."""
    apart = x - mean(x, axis, keepdims=True)
    return apart - mean(apart, axis, keepdims=True)


def _decompose_var(x: Node, axis: Axes, keepdims: bool, ddof: int) -> Node:
    """NaN where there are no more elements than `ddof`."""
    average = without_axes(lambda x, axis: sum(x, axis) / n_reduced(x, axis), x, axis)
    apart = x - broadcast_to(average, x.shape)
    left = n_reduced(x, axis)
    if ddof:
        left = where(left > ddof, left - float(ddof), np.nan)
    return without_axes(lambda x, axis: sum(x, axis) / left, square(apart), axis, keepdims)


VAR = op(
    "var",
    "reduce",
    infer=_infer_var("var"),
    attributes={"axis": AXES, "keepdims": FLAG, "ddof": NATURAL},
    forward=lambda x, axis, keepdims, ddof: _forward_var(x, axis, keepdims, ddof).astype(x.dtype),
    gradient=lambda gy, y, x, axis, keepdims, ddof: (
        spread(gy * 2 / (n_reduced(x, axis) - ddof), x, axis) * _centred(x, axis),
    ),
    decompose=_decompose_var,
    formula="var({0}, axis={axis})",
    convention="In two passes, in float64. NaN where a minibatch has no more rows than ddof.",
)


@function
def var(x: NodeLike, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Node:
    """The variance over `axis`: the mean squared distance from the mean.

    Args:
        x: float32 or float64.
        axis: an integer, several, or None: all.
        ddof: 1 divides by one less than the number of elements, for a sample.
        keepdims: keep the axes, with size 1.

    Raises:
        ShapeError: there are no more elements than `ddof`. DTypeError: `x` is not floating point.
    """
    return reduce(VAR, x, axis, keepdims, ddof=integer("var", "ddof", ddof, 0))


STD = op(
    "std",
    "reduce",
    infer=_infer_var("std"),
    attributes={"axis": AXES, "keepdims": FLAG, "ddof": NATURAL},
    forward=lambda x, axis, keepdims, ddof: np.sqrt(_forward_var(x, axis, keepdims, ddof)).astype(
        x.dtype
    ),
    gradient=lambda gy, y, x, axis, keepdims, ddof: (
        spread(gy / (n_reduced(x, axis) - ddof), x, axis)
        * (_centred(x, axis) / spread(nonzero(y), x, axis)),
    ),
    decompose=lambda x, **attributes: sqrt(_decompose_var(x, **attributes)),
    formula="std({0}, axis={axis})",
    convention="The gradient is 0 where all elements are equal.",
)


@function
def std(x: NodeLike, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Node:
    """The standard deviation over `axis`: the square root of `var`.

    It has a kink where all elements are equal; the gradient there is 0.
    """
    return reduce(STD, x, axis, keepdims, ddof=integer("std", "ddof", ddof, 0))


def nonzero(y: Node) -> Node:
    """`y` with 1 in place of 0: a divisor for which 0/0 becomes 0."""
    return where(equal(y, 0), 1, y)


# ---------------------------------------------------------------- norm


def _forward_norm(x: Array, axis: Axes, keepdims: bool) -> Array:
    """The root of the sum of squares, scaled by the largest so that none overflows."""
    top = np.max(np.abs(wide(x)), axis=axis, keepdims=True, initial=0.0)
    scale = np.where((top > 0) & np.isfinite(top), top, 1.0)
    y: Array = np.sqrt(np.sum((wide(x) / scale) ** 2, axis=axis, keepdims=True)) * scale
    return (y if keepdims else np.squeeze(y, axis)).astype(x.dtype)


def _decompose_norm(x: Node, axis: Axes, keepdims: bool) -> Node:
    if no_elements(x, axis):
        return filled(x, axis, keepdims, 0.0)
    largest = without_axes(max, abs(x), axis)
    scale = where(logical_and(largest > 0, isfinite(largest)), largest, 1.0)
    squares = square(x / broadcast_to(scale, x.shape))
    y = sqrt(without_axes(sum, squares, axis)) * scale
    return y if keepdims else reshape(y, sum(x, axis).shape)


NORM = op(
    "norm",
    "reduce",
    infer=reduced("norm", floats=True),
    attributes={"axis": AXES, "keepdims": FLAG},
    forward=_forward_norm,
    gradient=lambda gy, y, x, axis, keepdims: (
        spread(gy, x, axis) * (x / spread(nonzero(y), x, axis)),
    ),
    decompose=_decompose_norm,
    formula="norm({0}, axis={axis})",
    convention="The gradient is 0 where all elements are 0.",
)


@function
def norm(x: NodeLike, axis: Axis = None, *, ord: float = 2, keepdims: bool = False) -> Node:
    """The length of vectors: of order 2, 1 or infinity, over `axis`.

    Args:
        x: float32 or float64.
        axis: of the vectors; several axes, or None for all, are one long vector.
        ord: 2: root of the sum of squares, with gradient 0 at the zero vector; 1: sum of absolute
            values; infinity: the largest absolute value.
        keepdims: keep the axes, with size 1.

    Raises:
        SettingError: `ord` is something else.
    """
    x = as_node(x)
    axes = normalise_axes("norm", axis, x.ndim)
    if ord == 2:
        return reduce(NORM, x, axes, keepdims)
    if ord not in (1, math.inf):
        raise SettingError("norm", "unknown order", expected="1, 2 or infinity", got=ord)
    return (sum if ord == 1 else max)(abs(x), axes, keepdims=keepdims)
