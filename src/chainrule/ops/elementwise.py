"""Arithmetic and powers, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import SettingError
from chainrule.graph.attributes import NUMBER
from chainrule.graph.node import Node, NodeLike, apply
from chainrule.graph.op import Map, Scalar, function, op
from chainrule.graph.source import user_line
from chainrule.ir.index import one, scalar
from chainrule.ir.kernel import Const
from chainrule.ops.build import as_node, broadcast, constant, floating, numeric
from chainrule.ops.compare import equal, where
from chainrule.ops.transcendental import log

# ---------------------------------------------------------------- arithmetic

ADD = op(
    "add",
    "map",
    infer=numeric("add"),
    forward=np.add,
    gradient=lambda gy, y, a, b: (gy, gy),
    lower=Scalar("add"),
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
    lower=Scalar("sub"),
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
    lower=Scalar("mul"),
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
    lower=Scalar("div"),
    price=3,
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
    lower=Scalar("neg"),
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
    lower=Map(lambda x: scalar("div", one(x), x)),
    price=3,
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
    lower=Map(lambda x: scalar("mul", x, x)),
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
    lower=Scalar("sqrt"),
    price=3,
    convention="NaN below 0. The gradient at 0 is inf, and NaN where the incoming gradient is 0.",
)


@function
def sqrt(x: NodeLike) -> Node:
    """The square root; NaN below 0.

    Its slope at 0 is infinite, and so is the gradient. Where 0 can occur, add a small number
    first, or exclude 0 with `where` on the operand.
    """
    return apply(SQRT, as_node(x))


RSQRT = op(
    "rsqrt",
    "map",
    infer=floating("rsqrt"),
    forward=lambda x: 1 / np.sqrt(x),
    gradient=lambda gy, y, x: (-0.5 * gy * y * y * y,),
    lower=Map(lambda x: scalar("div", one(x), scalar("sqrt", x))),
    price=3,
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
        where(equal(a, 0), 0, gy * y * _log_or_zero(a)),
    ),
    lower=Scalar("pow"),
    price=8,
    formula="{0}^{1}",
    convention="x^0 is 1, also for 0 and NaN, with gradient 0 to x. The exponent of the base 0 "
    "gets the gradient 0; that of a negative base gets NaN.",
)

POWER_SCALAR = op(
    "power_scalar",
    "map",
    infer=floating("power"),
    attributes={"exponent": NUMBER},
    forward=lambda x, exponent: np.power(x, x.dtype.type(exponent)),
    gradient=lambda gy, y, x, exponent: (
        gy * (exponent * power(x, exponent - 1)) if exponent else None,
    ),
    lower=Map(lambda x, exponent: scalar("pow", x, Const(exponent, x.dtype))),
    price=8,
    formula="{0}^{exponent}",
    convention="x^0 is 1, also for 0 and NaN, with gradient 0.",
)


@function
def power(a: NodeLike, b: NodeLike) -> Node:
    """`a ** b`, element by element; `0 ** 0` is 1.

    A negative base needs an integer exponent, else the result is NaN. Literal exponents become
    simpler ops: 2 is `square`, 1/2 is `sqrt`, -1/2 is `rsqrt`, -1 is `reciprocal`, 1 is `a`.

    Raises:
        DTypeError: integers, except with the literal exponents 1 and 2.
        SettingError: a literal exponent is infinite or NaN.
    """
    literal = isinstance(a, Node) and not isinstance(b, Node) and np.ndim(b) == 0
    return _power_literal(as_node(a), b) if literal else apply(POWER, *broadcast("power", a, b))


def _power_literal(x: Node, exponent: Any) -> Node:
    number = constant(exponent)  # refuses what is not a number
    if number.dtype == "bool" or not np.isfinite(exponent):
        raise SettingError(
            "power",
            "the exponent is a finite number",
            got=repr(exponent),
            at="line " + user_line(),
        )
    simpler: dict[float, Callable[[Node], Node]] = {
        1: lambda x: x,
        2: square,
        0.5: sqrt,
        -0.5: rsqrt,
        -1: reciprocal,
    }
    if float(exponent) in simpler:
        return simpler[float(exponent)](x)
    return apply(POWER_SCALAR, x, exponent=plain(exponent))


def plain(number: Any) -> float:
    """A finite number as text in a formula: 3, not 3.0; but 1e38."""
    value = np.asarray(number).item()
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def _log_or_zero(x: Node) -> Node:
    """log x, and 0 for 0, so that no infinity enters further derivatives."""
    return log(where(equal(x, 0), 1, x))
