"""Exponentials, logarithms, sine and cosine, hyperbolic tangent, error function."""

from __future__ import annotations

import math

import numpy as np

from chainrule.graph.node import Node, NodeLike, apply
from chainrule.graph.op import Scalar, function, op
from chainrule.ops.build import as_node, floating
from chainrule.ops.special import erf as _forward_erf

EXP = op(
    "exp",
    "map",
    infer=floating("exp"),
    forward=np.exp,
    gradient=lambda gy, y, x: (gy * y,),
    lower=Scalar("exp"),
    price=8,
)


@function
def exp(x: NodeLike) -> Node:
    """e to the power of `x`; inf above about 88.7 in float32 and 709.8 in float64."""
    return apply(EXP, as_node(x))


EXPM1 = op(
    "expm1",
    "map",
    infer=floating("expm1"),
    forward=np.expm1,
    gradient=lambda gy, y, x: (gy * (y + 1),),
    lower=Scalar("expm1"),
    price=8,
    formula="exp({0}) - 1",
)


@function
def expm1(x: NodeLike) -> Node:
    """`exp(x) - 1`, exact near 0."""
    return apply(EXPM1, as_node(x))


LOG = op(
    "log",
    "map",
    infer=floating("log"),
    forward=np.log,
    gradient=lambda gy, y, x: (gy / x,),
    lower=Scalar("log"),
    price=8,
    convention="-inf at 0, where the gradient is inf; NaN below.",
)


@function
def log(x: NodeLike) -> Node:
    """The natural logarithm; -inf at 0 and NaN below."""
    return apply(LOG, as_node(x))


LOG1P = op(
    "log1p",
    "map",
    infer=floating("log1p"),
    forward=np.log1p,
    gradient=lambda gy, y, x: (gy / (x + 1),),
    lower=Scalar("log1p"),
    price=8,
    formula="log(1 + {0})",
    convention="-inf at -1, where the gradient is inf; NaN below.",
)


@function
def log1p(x: NodeLike) -> Node:
    """`log(1 + x)`, exact near 0; -inf at -1 and NaN below."""
    return apply(LOG1P, as_node(x))


SIN = op(
    "sin",
    "map",
    infer=floating("sin"),
    forward=np.sin,
    gradient=lambda gy, y, x: (gy * cos(x),),
    lower=Scalar("sin"),
    price=8,
)


@function
def sin(x: NodeLike) -> Node:
    """The sine of `x` in radians."""
    return apply(SIN, as_node(x))


COS = op(
    "cos",
    "map",
    infer=floating("cos"),
    forward=np.cos,
    gradient=lambda gy, y, x: (-gy * sin(x),),
    lower=Scalar("cos"),
    price=8,
)


@function
def cos(x: NodeLike) -> Node:
    """The cosine of `x` in radians."""
    return apply(COS, as_node(x))


TANH = op(
    "tanh",
    "map",
    infer=floating("tanh"),
    forward=np.tanh,
    gradient=lambda gy, y, x: (gy * (1 - y * y),),
    lower=Scalar("tanh"),
    price=8,
)


@function
def tanh(x: NodeLike) -> Node:
    """The hyperbolic tangent: from -1 to 1."""
    return apply(TANH, as_node(x))


ERF = op(
    "erf",
    "map",
    infer=floating("erf"),
    forward=_forward_erf,
    gradient=lambda gy, y, x: (gy * (2 / math.sqrt(math.pi) * exp(-x * x)),),
    lower=Scalar("erf"),
    price=8,
)


@function
def erf(x: NodeLike) -> Node:
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to `x`."""
    return apply(ERF, as_node(x))
