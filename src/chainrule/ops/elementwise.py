"""Arithmetic, powers, bounds and rounding, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import DTypeError, SettingError
from chainrule.graph.node import Node, NodeLike, apply
from chainrule.graph.op import function, op
from chainrule.ops.build import as_node, broadcast, constant, floating, promote, same
from chainrule.ops.compare import equal, greater, where
from chainrule.ops.transcendental import log
from chainrule.types import TensorType


def numeric(name: str) -> Callable[..., TensorType]:
    """The infer rule of elementwise ops that are defined for floats and integers, not bools."""

    def infer(*types: TensorType, **_: Any) -> TensorType:
        result = same(*types)
        if result.dtype == "bool":
            raise DTypeError(
                name,
                "defined for numbers",
                expected="a float or an integer",
                got="bool",
                fix='cast first: cast(x, "float32")',
            )
        return result

    return infer


# ---------------------------------------------------------------- arithmetic

ADD = op(
    "add",
    "map",
    infer=numeric("add"),
    forward=np.add,
    gradient=lambda gy, y, a, b: (gy, gy),
    formula="{0} + {1}",
)


@function
def add(a: NodeLike, b: NodeLike) -> Node:
    """`a + b`. Integers wrap around at their range, as in NumPy."""
    return apply(ADD, *broadcast("add", a, b))


SUBTRACT = op(
    "subtract",
    "map",
    infer=numeric("subtract"),
    forward=np.subtract,
    gradient=lambda gy, y, a, b: (gy, -gy),
    formula="{0} - {1}",
)


@function
def subtract(a: NodeLike, b: NodeLike) -> Node:
    """`a - b`. Integers wrap around at their range, as in NumPy."""
    return apply(SUBTRACT, *broadcast("subtract", a, b))


MULTIPLY = op(
    "multiply",
    "map",
    infer=numeric("multiply"),
    forward=np.multiply,
    gradient=lambda gy, y, a, b: (gy * b, gy * a),
    formula="{0} * {1}",
)


@function
def multiply(a: NodeLike, b: NodeLike) -> Node:
    """`a * b`, element by element."""
    return apply(MULTIPLY, *broadcast("multiply", a, b))


DIVIDE = op(
    "divide",
    "map",
    infer=floating("divide"),
    forward=np.divide,
    gradient=lambda gy, y, a, b: (gy / b, -(gy * y) / b),
    formula="{0} / {1}",
    convention="1/0 is inf and 0/0 is NaN, as in IEEE 754.",
)


@function
def divide(a: NodeLike, b: NodeLike) -> Node:
    """`a / b`; 1/0 is inf and 0/0 is NaN, as in IEEE 754."""
    return apply(DIVIDE, *broadcast("divide", a, b))


NEGATIVE = op(
    "negative",
    "map",
    infer=numeric("negative"),
    forward=np.negative,
    gradient=lambda gy, y, x: (-gy,),
    formula="-{0}",
)


@function
def negative(x: NodeLike) -> Node:
    """`-x`."""
    return apply(NEGATIVE, as_node(x))


RECIPROCAL = op(
    "reciprocal",
    "map",
    infer=floating("reciprocal"),
    forward=lambda x: 1 / x,
    gradient=lambda gy, y, x: (-gy * y * y,),
    formula="1 / {0}",
    convention="1/0 is inf; the gradient there is -inf.",
)


@function
def reciprocal(x: NodeLike) -> Node:
    """`1 / x`; 1/0 is inf."""
    return apply(RECIPROCAL, as_node(x))


# ---------------------------------------------------------------- powers

SQUARE = op(
    "square",
    "map",
    infer=numeric("square"),
    forward=np.square,
    gradient=lambda gy, y, x: (2 * gy * x,),
    formula="{0}^2",
)


@function
def square(x: NodeLike) -> Node:
    """`x * x`."""
    return apply(SQUARE, as_node(x))


SQRT = op(
    "sqrt",
    "map",
    infer=floating("sqrt"),
    forward=np.sqrt,
    gradient=lambda gy, y, x: (gy / (2 * y),),
    convention="NaN below 0. The gradient at 0 is inf, and NaN where what comes back is 0.",
)


@function
def sqrt(x: NodeLike) -> Node:
    """The square root; NaN below 0.

    Its slope at 0 is infinite, which is what the gradient says. Where 0 can occur, add a small
    number first, or keep 0 away with `where` on the operand.
    """
    return apply(SQRT, as_node(x))


RSQRT = op(
    "rsqrt",
    "map",
    infer=floating("rsqrt"),
    forward=lambda x: 1 / np.sqrt(x),
    gradient=lambda gy, y, x: (-0.5 * gy * y * y * y,),
    formula="1 / sqrt({0})",
    convention="inf at 0, where the gradient is -inf; NaN below.",
)


@function
def rsqrt(x: NodeLike) -> Node:
    """`1 / sqrt(x)`; inf at 0 and NaN below."""
    return apply(RSQRT, as_node(x))


POWER = op(
    "power",
    "map",
    infer=floating("power"),
    forward=np.power,
    gradient=lambda gy, y, a, b: (
        gy * where(equal(b, 0), 0, b * power(a, where(equal(b, 0), 1, b - 1))),
        gy * y * _log_or_zero(a),
    ),
    formula="{0} ^ {1}",
    convention="x^0 is 1, also for 0 and NaN, with gradient 0 to x. The exponent of the base 0 "
    "gets the gradient 0; that of a negative base gets NaN.",
)

POWER_SCALAR = op(
    "power_scalar",
    "map",
    infer=floating("power"),
    forward=lambda x, exponent: np.power(x, x.dtype.type(exponent)),
    gradient=lambda gy, y, x, exponent: (
        gy * (exponent * power(x, exponent - 1)) if exponent else None,
    ),
    formula="{0} ^ {exponent}",
    convention="x^0 is 1, also for 0 and NaN, with gradient 0.",
)


@function
def power(a: NodeLike, b: NodeLike) -> Node:
    """`a ** b`, element by element; `0 ** 0` is 1.

    A negative base needs a whole exponent, else the result is NaN. Literal exponents become
    simpler ops: 2 is `square`, 1/2 is `sqrt`, -1/2 is `rsqrt`, -1 is `reciprocal`, 1 is `a`.

    Raises:
        DTypeError: integers, but for the literal exponents 1 and 2.
        SettingError: a literal exponent is infinite or NaN.
    """
    literal = isinstance(a, Node) and not isinstance(b, Node) and np.ndim(b) == 0
    return _power_literal(as_node(a), b) if literal else apply(POWER, *broadcast("power", a, b))


def _power_literal(x: Node, exponent: Any) -> Node:
    number = constant(exponent)  # refuses what is no number
    if number.dtype == "bool" or not np.isfinite(exponent):
        raise SettingError("power", "the exponent is a finite number", got=repr(exponent))
    simpler: dict[float, Callable[[Node], Node]] = {
        1: lambda x: x,
        2: square,
        0.5: sqrt,
        -0.5: rsqrt,
        -1: reciprocal,
    }
    if float(exponent) in simpler:
        return simpler[float(exponent)](x)
    return apply(POWER_SCALAR, x, exponent=float(exponent))


def _log_or_zero(x: Node) -> Node:
    """log x, and 0 for 0: what `0 ** b` sends to b, without 0 * -inf."""
    return log(where(equal(x, 0), 1, x))


# ---------------------------------------------------------------- signs, bounds and rounding

ABS = op(
    "abs",
    "map",
    infer=numeric("abs"),
    forward=np.abs,
    gradient=lambda gy, y, x: (gy * sign(x),),
    formula="|{0}|",
    convention="The gradient at 0 is 0.",
)


@function
def abs(x: NodeLike) -> Node:
    """The absolute value. Its gradient at 0 is 0."""
    return apply(ABS, as_node(x))


SIGN = op(
    "sign",
    "map",
    infer=numeric("sign"),
    forward=np.sign,
    gradient=None,
    convention="-1, 0 or 1; NaN for NaN. The gradient is 0 everywhere.",
)


@function
def sign(x: NodeLike) -> Node:
    """-1, 0 or 1; NaN for NaN. Its gradient is 0 everywhere."""
    return apply(SIGN, as_node(x))


_TIES = "Where both are equal each gets half of the gradient. NaN wins, and sends back 0."

MAXIMUM = op(
    "maximum",
    "map",
    infer=numeric("maximum"),
    forward=np.maximum,
    gradient=lambda gy, y, a, b: (_won(gy, a, b), _won(gy, b, a)),
    formula="max({0}, {1})",
    convention=_TIES,
)


@function
def maximum(a: NodeLike, b: NodeLike) -> Node:
    """The larger of two, NaN if either is. Where they are equal each gets half the gradient."""
    return apply(MAXIMUM, *broadcast("maximum", a, b))


MINIMUM = op(
    "minimum",
    "map",
    infer=numeric("minimum"),
    forward=np.minimum,
    gradient=lambda gy, y, a, b: (_won(gy, b, a), _won(gy, a, b)),
    formula="min({0}, {1})",
    convention=_TIES,
)


@function
def minimum(a: NodeLike, b: NodeLike) -> Node:
    """The smaller of two, NaN if either is. Where they are equal each gets half the gradient."""
    return apply(MINIMUM, *broadcast("minimum", a, b))


def _won(gy: Node, winner: Node, other: Node) -> Node:
    """All of the gradient where `winner` is greater, half of it where both are equal."""
    return where(greater(winner, other), gy, where(equal(winner, other), gy / 2, 0))


CLIP = op(
    "clip",
    "map",
    infer=numeric("clip"),
    forward=lambda x, low, high: np.clip(x, low, high),
    gradient=lambda gy, y, x, low, high: (where(equal(x, y), gy, 0),),
    formula="clip({0}, {low}, {high})",
    convention="The gradient is 1 within the bounds and on them, 0 outside. NaN stays NaN.",
)


@function
def clip(x: NodeLike, low: float | None = None, high: float | None = None) -> Node:
    """`x` moved to the nearest number from `low` to `high`.

    The gradient is 1 within the bounds and on them, 0 outside. For bounds that are nodes write
    `minimum(maximum(x, low), high)`.

    Raises:
        SettingError: a bound is no number, or `low` is above `high`.
        DTypeError: a bound does not fit in the dtype of `x`.
    """
    (x,) = promote("clip", x)
    low, high = (_bound(bound, x.dtype) for bound in (low, high))
    if low is not None and high is not None and low > high:
        raise SettingError("clip", "the bounds are the wrong way round", got=f"{low} to {high}")
    return apply(CLIP, x, low=low, high=high) if (low, high) != (None, None) else x


def _bound(bound: Any, dtype: str) -> Any:
    if bound is None:
        return None
    if isinstance(bound, Node) or np.ndim(bound) or not np.isfinite(bound):
        raise SettingError(
            "clip",
            "a bound is a finite number, or None",
            got=repr(bound),
            fix="minimum(maximum(x, low), high) takes nodes and arrays",
        )
    constant(bound, dtype)  # refuses what does not fit
    return np.asarray(bound, dtype).item()


FLOOR = op(
    "floor",
    "map",
    infer=floating("floor"),
    forward=np.floor,
    gradient=None,
    convention="The gradient is 0 everywhere.",
)


@function
def floor(x: NodeLike) -> Node:
    """The largest whole number that is not above `x`. Its gradient is 0 everywhere."""
    return apply(FLOOR, as_node(x))


ROUND = op(
    "round",
    "map",
    infer=floating("round"),
    forward=np.rint,
    gradient=None,
    convention="Halves go to the even neighbour. The gradient is 0 everywhere.",
)


@function
def round(x: NodeLike) -> Node:
    """The nearest whole number, halves to the even one. Its gradient is 0 everywhere."""
    return apply(ROUND, as_node(x))
