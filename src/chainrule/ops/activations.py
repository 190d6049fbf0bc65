"""Activation functions, element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import SettingError
from chainrule.graph.node import Array, Node, NodeLike, apply
from chainrule.graph.op import Map, Scalar, function, op
from chainrule.graph.source import user_line
from chainrule.ir.index import one, scalar
from chainrule.ir.kernel import Const
from chainrule.ops.bounds import abs, clip
from chainrule.ops.build import as_node, floating
from chainrule.ops.compare import greater, where
from chainrule.ops.elementwise import square
from chainrule.ops.transcendental import erf, exp, expm1, tanh
from chainrule.types import is_number


def _forward_sigmoid(x: Array) -> Array:
    """The sigmoid by exponentials of negative numbers only, so nothing overflows."""
    small = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, np.ones_like(small), small) / (1 + small)
    return result


SIGMOID = op(
    "sigmoid",
    "map",
    infer=floating("sigmoid"),
    forward=_forward_sigmoid,
    gradient=lambda gy, y, x: (gy * (y * (1 - y)),),
    lower=Scalar("sigmoid"),
    price=8,
)


@function
def sigmoid(x: NodeLike) -> Node:
    """`1 / (1 + exp(-x))`, from 0 to 1; exact for any magnitude of `x`."""
    return apply(SIGMOID, as_node(x))


SOFTPLUS = op(
    "softplus",
    "map",
    infer=floating("softplus"),
    forward=lambda x: np.maximum(x, np.zeros_like(x)) + np.log1p(np.exp(-np.abs(x))),
    gradient=lambda gy, y, x: (gy * sigmoid(x),),
    lower=Scalar("softplus"),
    price=8,
    formula="log(1 + exp({0}))",
)


@function
def softplus(x: NodeLike) -> Node:
    """`log(1 + exp(x))`, the smooth relu; exact for any magnitude of `x`."""
    return apply(SOFTPLUS, as_node(x))


RELU = op(
    "relu",
    "map",
    infer=floating("relu"),
    forward=lambda x: np.maximum(x, np.zeros_like(x)),
    gradient=lambda gy, y, x: (where(greater(y, 0), gy, 0),),
    lower=Map(lambda x: scalar("max", x, Const(0, x.dtype))),
    formula="max({0}, 0)",
    convention="The gradient at 0 is 0. NaN stays NaN, with gradient 0.",
)


@function
def relu(x: NodeLike) -> Node:
    """`max(x, 0)`. Its gradient at 0 is 0."""
    return apply(RELU, as_node(x))


@function
def leaky_relu(x: NodeLike, slope: float = 0.01) -> Node:
    """`x` where it is positive, else `slope * x`. Its gradient at 0 is `slope`."""
    x = as_node(x)
    return where(greater(x, 0), x, _number("leaky_relu", "slope", slope) * x)


@function
def elu(x: NodeLike, alpha: float = 1.0) -> Node:
    """`x` where it is positive, else `alpha * (exp(x) - 1)`. Its gradient at 0 is `alpha`.

    Source: D.-A. Clevert, T. Unterthiner and S. Hochreiter, Fast and accurate deep network
    learning by exponential linear units, ICLR 2016.
    """
    x = as_node(x)
    below = _number("elu", "alpha", alpha) * expm1(clip(x, high=0))
    return where(greater(x, 0), x, below)


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


@function
def selu(x: NodeLike) -> Node:
    """`scale * elu(x, alpha)`, which keeps mean 0 and variance 1 from layer to layer.

    With alpha = 1.67326 and scale = 1.05070; its gradient at 0 is their product, 1.75810. Meant
    for weights drawn with variance 1 / (input width).

    Source: G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter, Self-normalizing neural
    networks, NeurIPS 2017; the constants solve its fixed-point equations.
    """
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


@function
def gelu(x: NodeLike, *, approximate: bool = False) -> Node:
    """`x` times the probability that a standard normal number is below `x`.

    Args:
        x: floating-point.
        approximate: use `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, which is within
            0.0005 of the exact `x (1 + erf(x / sqrt(2))) / 2`. True or False, where others say
            "tanh" or "none".

    Source: D. Hendrycks and K. Gimpel, Gaussian error linear units, arXiv:1606.08415.
    """
    x = as_node(x)
    if approximate:
        curve = tanh(math.sqrt(2 / math.pi) * x * (1 + 0.044715 * square(x)))
    else:
        curve = erf(x * math.sqrt(0.5))
    return 0.5 * x * (1 + curve)


@function
def silu(x: NodeLike) -> Node:
    """`x * sigmoid(x)`, also called swish."""
    x = as_node(x)
    return x * sigmoid(x)


@function
def mish(x: NodeLike) -> Node:
    """`x * tanh(softplus(x))`, with one exponential: e (e + 2) / (e (e + 2) + 2), e = exp(x).

    Source: D. Misra, Mish: a self regularized non-monotonic activation function, BMVC 2020.
    """
    x = as_node(x)
    e = exp(clip(x, high=20))  # from there on the quotient is 1
    n = e * (e + 2)
    return x * (n / (n + 2))


@function
def hard_sigmoid(x: NodeLike) -> Node:
    """`clip(x / 6 + 1/2, 0, 1)`: a piecewise linear sigmoid. Its gradient at -3 and 3 is 1/6."""
    return clip(as_node(x) + 3, 0, 6) / 6


@function
def hard_tanh(x: NodeLike) -> Node:
    """`clip(x, -1, 1)`: a piecewise linear tanh. Its gradient at -1 and 1 is 1."""
    return clip(x, -1, 1)


SOFTSIGN = op(
    "softsign",
    "map",
    infer=floating("softsign"),
    forward=lambda x: x / (1 + np.abs(x)),
    gradient=lambda gy, y, x: (gy / square(1 + abs(x)),),
    lower=Map(lambda x: scalar("div", x, scalar("add", one(x), scalar("abs", x)))),
    price=3,
    formula="{0} / (1 + |{0}|)",
)


@function
def softsign(x: NodeLike) -> Node:
    """`x / (1 + |x|)`, from -1 to 1."""
    return apply(SOFTSIGN, as_node(x))


def _number(where: str, name: str, value: Any) -> float:
    """`value`, if it is a finite number. Raises SettingError."""
    if not is_number(value):
        raise SettingError(
            where, f"{name} is a finite number", got=repr(value), at="line " + user_line()
        )
    return float(value)
