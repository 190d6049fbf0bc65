"""Arithmetic, element by element."""

from __future__ import annotations

import numpy as np

from chainrule.graph.node import Node, NodeLike, apply
from chainrule.graph.op import function, op
from chainrule.ops.build import broadcast, floating, same

ADD = op(
    "add",
    "map",
    infer=same,
    forward=np.add,
    gradient=lambda gy, y, a, b: (gy, gy),
    formula="{0} + {1}",
)


@function
def add(a: NodeLike, b: NodeLike) -> Node:
    """`a + b`."""
    return apply(ADD, *broadcast("add", a, b))


SUBTRACT = op(
    "subtract",
    "map",
    infer=same,
    forward=np.subtract,
    gradient=lambda gy, y, a, b: (gy, -gy),
    formula="{0} - {1}",
)


@function
def subtract(a: NodeLike, b: NodeLike) -> Node:
    """`a - b`."""
    return apply(SUBTRACT, *broadcast("subtract", a, b))


MULTIPLY = op(
    "multiply",
    "map",
    infer=same,
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
)


@function
def divide(a: NodeLike, b: NodeLike) -> Node:
    """`a / b`; 1/0 is inf and 0/0 is NaN, as in IEEE 754."""
    return apply(DIVIDE, *broadcast("divide", a, b))


NEGATIVE = op(
    "negative",
    "map",
    infer=same,
    forward=np.negative,
    gradient=lambda gy, y, x: (-gy,),
    formula="-{0}",
)


@function
def negative(x: NodeLike) -> Node:
    """`-x`."""
    return apply(NEGATIVE, *broadcast("negative", x))
