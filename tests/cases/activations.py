"""Rows for activation functions."""

from __future__ import annotations

import math

import numpy as np

from cases.case import UNARY, Bad, Case
from cases.elementwise import node, whole
from chainrule.errors import DTypeError, SettingError
from chainrule.ops import activations as f

INF, NAN = math.inf, math.nan
WIDE = (-6.0, 6.0)
erf = np.vectorize(math.erf, otypes=[float])


def integral_of_normal(x):  # type: ignore[no-untyped-def]
    """The normal distribution function by Simpson's rule from 0: independent of any erf."""
    t = np.linspace(0, 1, 2001)
    weights = np.where(np.arange(2001) % 2, 4.0, 2.0)
    weights[[0, -1]] = 1.0
    points = np.multiply.outer(x, t)
    return 0.5 + x * (np.exp(-(points**2) / 2) @ weights) / 6000 / math.sqrt(2 * math.pi)


SMOOTH = (
    Case(
        "sigmoid",
        f.sigmoid,
        lambda x: 0.5 * (1 + np.tanh(x / 2)),
        UNARY,
        domain=WIDE,
        ops=("sigmoid",),
        kinks=((([-INF, -1e4, 0.0, 1e4, INF],), [0.0, 0.0, 0.5, 1.0, 1.0], ([0, 0, 0.25, 0, 0],)),),
        bad=(whole(f.sigmoid, "sigmoid"),),
    ),
    Case(
        "softplus",
        f.softplus,
        lambda x: np.log(1 + np.exp(x)),
        UNARY,
        domain=WIDE,
        ops=("softplus",),
        kinks=((([-INF, -1e4, 1e4, INF, NAN],), [0.0, 0.0, 1e4, INF, NAN], ([0, 0, 1, 1, NAN],)),),
        bad=(whole(f.softplus, "softplus"),),
    ),
    Case(
        "gelu",
        f.gelu,
        lambda x: x * integral_of_normal(x),
        UNARY,
        kinks=((([-1e4, 0.0, 1e4],), [0.0, 0.0, 1e4], ([0.0, 0.5, 1.0],)),),
        bad=(Bad(lambda: f.gelu(node("int32")), DTypeError, "int32"),),
    ),
    Case(
        "gelu_tanh",
        f.gelu,
        lambda x, approximate: x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        UNARY,
        attributes={"approximate": True},
        kinks=((([-1e4, 0.0, 1e4],), [0.0, 0.0, 1e4], ([0.0, 0.5, 1.0],)),),
    ),
    Case(
        "silu",
        f.silu,
        lambda x: x / (1 + np.exp(-x)),
        UNARY,
        domain=WIDE,
        kinks=((([-1e4, 0.0, 1e4],), [0.0, 0.0, 1e4], ([0.0, 0.5, 1.0],)),),
        bad=(whole(f.silu, "sigmoid"),),
    ),
    Case(
        "mish",
        f.mish,
        lambda x: x * (1 - 2 / ((1 + np.exp(x)) ** 2 + 1)),
        UNARY,
        domain=WIDE,
        kinks=((([-1e4, 0.0, 1e4],), [0.0, 0.0, 1e4], ([0.0, 0.6, 1.0],)),),
    ),
    Case(
        "softsign",
        f.softsign,
        lambda x: np.sign(x) * (1 - 1 / (1 + np.abs(x))),
        UNARY,
        domain=WIDE,
        ops=("softsign",),
        kinks=((([-3.0, 0.0, 3.0],), [-0.75, 0.0, 0.75], ([0.0625, 1.0, 0.0625],)),),
        bad=(whole(f.softsign, "softsign"),),
    ),
)

KINKED = (
    Case(
        "relu",
        f.relu,
        lambda x: (x + np.abs(x)) / 2,
        UNARY,
        ops=("relu",),
        kinks=(
            (([-1.0, -0.0, 0.0, 2.0, INF, NAN],), [0.0, 0, 0, 2, INF, NAN], ([0, 0, 0, 1, 1, 0],)),
        ),
        bad=(whole(f.relu, "relu"),),
    ),
    Case(
        "leaky_relu",
        f.leaky_relu,
        lambda x: (1.01 * x + 0.99 * np.abs(x)) / 2,
        UNARY,
        kinks=((([-1.0, 0.0, 2.0],), [-0.01, 0.0, 2.0], ([0.01, 0.01, 1.0],)),),
        bad=(
            Bad(lambda: f.leaky_relu(node(), NAN), SettingError, "slope is a finite number"),
            Bad(lambda: f.leaky_relu(node(), None), SettingError, "slope is a finite number"),
            Bad(lambda: f.leaky_relu(node(), node()), SettingError, "slope is a finite number"),
            Bad(lambda: f.leaky_relu(node("int32")), DTypeError, "int32"),
        ),
    ),
    Case(
        "leaky_relu_steep",
        f.leaky_relu,
        lambda x, slope: np.where(x > 0, x, 2.5 * x),
        UNARY,
        attributes={"slope": 2.5},
        kinks=((([-2.0, 0.0, 2.0],), [-5.0, 0.0, 2.0], ([2.5, 2.5, 1.0],)),),
    ),
    Case(
        "elu",
        f.elu,
        lambda x: np.maximum(x, 0) + np.exp(np.minimum(x, 0)) - 1,
        UNARY,
        kinks=((([-1e4, -0.0, 0.0, 1e4],), [-1.0, 0.0, 0.0, 1e4], ([0.0, 1.0, 1.0, 1.0],)),),
        bad=(Bad(lambda: f.elu(node(), "one"), SettingError, "alpha is a finite number"),),
    ),
    Case(
        "elu_alpha",
        f.elu,
        lambda x, alpha: np.maximum(x, 0) + 0.25 * (np.exp(np.minimum(x, 0)) - 1),
        UNARY,
        attributes={"alpha": 0.25},
        kinks=((([-1e4, 0.0, 1e4],), [-0.25, 0.0, 1e4], ([0.0, 0.25, 1.0],)),),
    ),
    Case(
        "selu",
        f.selu,
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
        UNARY,
        kinks=((([0.0],), [0.0], ([1.0507009873554804934 * 1.6732632423543772848],)),),
    ),
    Case(
        "hard_sigmoid",
        f.hard_sigmoid,
        lambda x: np.maximum(0, np.minimum(1, x / 6 + 0.5)),
        UNARY,
        domain=WIDE,
        kinks=(
            (([-9.0, -3.0, 0.0, 3.0, 9.0],), [0, 0, 0.5, 1, 1], ([0, 1 / 6, 1 / 6, 1 / 6, 0],)),
        ),
        bad=(whole(f.hard_sigmoid, "divide"),),
    ),
    Case(
        "hard_tanh",
        f.hard_tanh,
        lambda x: (np.abs(x + 1) - np.abs(x - 1)) / 2,
        UNARY,
        kinks=((([-2.0, -1.0, 0.0, 1.0, 2.0],), [-1, -1, 0, 1, 1], ([0, 1, 1, 1, 0],)),),
    ),
)

CASES = (*SMOOTH, *KINKED)
