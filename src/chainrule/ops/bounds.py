"""Signs, bounds and rounding, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import SettingError
from chainrule.graph.attributes import NUMBER
from chainrule.graph.node import Node, NodeLike, apply
from chainrule.graph.op import Map, Scalar, function, op
from chainrule.graph.source import user_line
from chainrule.ir.index import call, scalar
from chainrule.ir.kernel import Const, Expr
from chainrule.ops.build import as_node, broadcast, constant, floating, numeric
from chainrule.ops.compare import equal, greater, where
from chainrule.ops.elementwise import plain
from chainrule.types import is_number

ABS = op(
    "abs",
    "map",
    infer=numeric("abs"),
    forward=np.abs,
    gradient=lambda gy, y, x: (gy * sign(x),),
    lower=Scalar("abs"),
    formula="|{0}|",
    convention="The gradient at 0 is 0.",
)


@function
def abs(x: NodeLike) -> Node:
    """The absolute value. Its gradient at 0 is 0."""
    return apply(ABS, as_node(x))


def _lower_sign(x: Expr) -> Expr:
    zero = Const(0, x.dtype)
    negative = scalar("select", call("lt", "bool", x, zero), Const(-1, x.dtype), x)
    return scalar("select", call("gt", "bool", x, zero), Const(1, x.dtype), negative)


SIGN = op(
    "sign",
    "map",
    infer=numeric("sign"),
    forward=np.sign,
    gradient=None,
    lower=Map(_lower_sign),
    convention="-1, 0 or 1; NaN for NaN. The gradient is 0 everywhere.",
)


@function
def sign(x: NodeLike) -> Node:
    """-1, 0 or 1; NaN for NaN. Its gradient is 0 everywhere."""
    return apply(SIGN, as_node(x))


_TIES = "Where both are equal each gets half of the gradient. NaN propagates, with gradient 0."

MAXIMUM = op(
    "maximum",
    "map",
    infer=numeric("maximum"),
    forward=np.maximum,
    gradient=lambda gy, y, a, b: (_shared_gradient(gy, a, b), _shared_gradient(gy, b, a)),
    lower=Scalar("max"),
    formula="max({0}, {1})",
    convention=_TIES,
)


@function
def maximum(a: NodeLike, b: NodeLike) -> Node:
    """The larger of two, NaN if either is NaN. Equal ones get half the gradient each."""
    return apply(MAXIMUM, *broadcast("maximum", a, b))


MINIMUM = op(
    "minimum",
    "map",
    infer=numeric("minimum"),
    forward=np.minimum,
    gradient=lambda gy, y, a, b: (_shared_gradient(gy, b, a), _shared_gradient(gy, a, b)),
    lower=Scalar("min"),
    formula="min({0}, {1})",
    convention=_TIES,
)


@function
def minimum(a: NodeLike, b: NodeLike) -> Node:
    """The smaller of two, NaN if either is NaN. Equal ones get half the gradient each."""
    return apply(MINIMUM, *broadcast("minimum", a, b))


def _shared_gradient(gy: Node, winner: Node, other: Node) -> Node:
    """All of the gradient where `winner` is greater, half of it where both are equal."""
    return where(greater(winner, other), gy, where(equal(winner, other), gy / 2, 0))


def _lower_clip(x: Expr, low: Any, high: Any) -> Expr:
    if low is not None:
        x = scalar("max", x, Const(low, x.dtype))
    if high is not None:
        x = scalar("min", x, Const(high, x.dtype))
    return x


CLIP = op(
    "clip",
    "map",
    infer=numeric("clip"),
    attributes={"low": NUMBER.or_none(), "high": NUMBER.or_none()},
    forward=lambda x, low, high: np.clip(x, low, high),
    gradient=lambda gy, y, x, low, high: (where(equal(x, y), gy, 0),),
    lower=Map(_lower_clip),
    formula="clip({0}, {low}, {high})",
    convention="The gradient is 1 within the bounds and on them, 0 outside. NaN stays NaN.",
)


@function
def clip(x: NodeLike, low: float | None = None, high: float | None = None) -> Node:
    """`x` moved to the nearest number from `low` to `high`.

    The gradient is 1 within the bounds and on them, 0 outside. For bounds that are nodes write
    `minimum(maximum(x, low), high)`.

    Raises:
        SettingError: a bound is not a number, or `low` is above `high`.
        DTypeError: a bound does not fit in the dtype of `x`.
    """
    x = as_node(x)
    numeric("clip")(x.type)
    low, high = (_bound(bound, x.dtype) for bound in (low, high))
    if low is not None and high is not None and low > high:
        raise SettingError(
            "clip",
            "the lower bound is above the upper one",
            got=f"{low} to {high}",
            at="line " + user_line(),
        )
    return apply(CLIP, x, low=low, high=high) if (low, high) != (None, None) else x


def _bound(bound: Any, dtype: str) -> Any:
    if bound is None:
        return None
    if not is_number(bound):
        raise SettingError(
            "clip",
            "a bound is a finite number, or None",
            got=repr(bound),
            at="line " + user_line(),
            fix="minimum(maximum(x, low), high) takes nodes and arrays",
        )
    constant(bound, dtype)  # refuses what does not fit
    return plain(bound)


FLOOR = op(
    "floor",
    "map",
    infer=floating("floor"),
    forward=np.floor,
    gradient=None,
    lower=Scalar("floor"),
    convention="The gradient is 0 everywhere.",
)


@function
def floor(x: NodeLike) -> Node:
    """The largest integer that is not above `x`. Its gradient is 0 everywhere."""
    return apply(FLOOR, as_node(x))


ROUND = op(
    "round",
    "map",
    infer=floating("round"),
    forward=np.rint,
    gradient=None,
    lower=Scalar("round"),
    convention="Halves go to the even neighbour. The gradient is 0 everywhere.",
)


@function
def round(x: NodeLike) -> Node:
    """The nearest integer; halves go to the even one. Its gradient is 0 everywhere."""
    return apply(ROUND, as_node(x))
