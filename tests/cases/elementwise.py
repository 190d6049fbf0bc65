"""Rows for arithmetic, powers, exponentials, bounds and rounding."""

from __future__ import annotations

import math

import numpy as np

from cases.case import BINARY, UNARY, Bad, Case
from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.graph import Input, Node, Scope
from chainrule.ops import bounds, elementwise, transcendental
from chainrule.ops.bfloat16 import to_bfloat16
from chainrule.ops.build import cast
from chainrule.types import TensorType

INF, NAN = math.inf, math.nan
POSITIVE = (0.1, 3.0)
FAR = ((-2.0, 2.0), (0.5, 2.0))
PAIR = ((), (7,), (2, 3), (0, 3))
INTS = {"kinds": ("int", "int"), "order": 0, "domain": (-9, 9)}


def node(dtype: str = "float32", shape: tuple[int, ...] = (3,)) -> Node:
    """An operand for misuses."""
    return Input(Scope("x", given=True), TensorType(shape, dtype), batch=False)


def whole(function, name):  # type: ignore[no-untyped-def]
    """The misuse of a function that is defined for floats alone."""
    return Bad(lambda: function(node("int32")), DTypeError, rf"{name}\] defined for floating")


def eight_bits(x):  # type: ignore[no-untyped-def]
    """Numbers with a significand of 8 bits."""
    part, exponent = np.frexp(x)
    return np.ldexp(np.rint(part * 256) / 256, exponent)


ARITHMETIC = (
    Case(
        "add",
        elementwise.add,
        lambda a, b: a - -b,
        BINARY,
        ops=("add", "broadcast_to", "sum_to"),
        bad=(
            Bad(lambda: node() + node(shape=(4,)), ShapeError, "do not broadcast"),
            Bad(lambda: node() + node("float64"), DTypeError, r"cast\(x, \"float32\"\)"),
            Bad(lambda: node("bool") + node("bool"), DTypeError, "defined for numbers"),
            Bad(lambda: node("int32") + 0.5, DTypeError, "does not fit in int32"),
        ),
    ),
    Case("add_int", elementwise.add, lambda a, b: a - -b, BINARY, ops=("add",), **INTS),
    Case(
        "subtract",
        elementwise.subtract,
        lambda a, b: a + -b,
        BINARY,
        ops=("subtract",),
        bad=(Bad(lambda: node("bool") - node("bool"), DTypeError, "defined for numbers"),),
    ),
    Case("subtract_int", elementwise.subtract, lambda a, b: a + -b, BINARY, **INTS),
    Case(
        "multiply",
        elementwise.multiply,
        lambda a, b: np.einsum("...,...->...", *np.broadcast_arrays(a, b)),
        BINARY,
        ops=("multiply",),
        bad=(Bad(lambda: node("bool") * 2, DTypeError, "does not fit in bool"),),
    ),
    Case("multiply_int", elementwise.multiply, lambda a, b: a * b, BINARY, **INTS),
    Case("multiply_same", lambda x: x * x, lambda x: np.abs(x) ** 2, UNARY),
    Case(
        "divide",
        elementwise.divide,
        lambda a, b: a * b**-1.0,
        BINARY,
        domain=FAR,
        ops=("divide",),
        kinks=(
            (([1.0, -1.0, 0.0], [0.0, 0.0, 0.0]), [INF, -INF, NAN], (None, None)),
            (([3.0], [-0.0]), [-INF], (None, None)),
        ),
        bad=(Bad(lambda: node("int32") / 2, DTypeError, r"divide\] defined for floating"),),
    ),
    Case("divide_number", lambda x: 1 / x, lambda x: x**-1.0, UNARY, domain=POSITIVE),
    Case(
        "negative",
        elementwise.negative,
        lambda x: 0 - x,
        UNARY,
        ops=("negative",),
        bad=(Bad(lambda: -node("bool"), DTypeError, "defined for numbers"),),
    ),
    Case("negative_int", elementwise.negative, lambda x: 0 - x, UNARY, kinds=("int",), order=0),
    Case(
        "reciprocal",
        elementwise.reciprocal,
        lambda x: x**-1.0,
        UNARY,
        domain=(-3.0, -0.2),
        ops=("reciprocal",),
        kinks=((([0.0, INF],), [INF, 0.0], ([-INF, 0.0],)),),
        bad=(whole(elementwise.reciprocal, "reciprocal"),),
    ),
)

POWERS = (
    Case("square", elementwise.square, lambda x: x**2.0, UNARY, ops=("square",)),
    Case("square_int", elementwise.square, lambda x: x * x, UNARY, kinds=("int",), order=0),
    Case(
        "sqrt",
        elementwise.sqrt,
        lambda x: x**0.5,
        UNARY,
        domain=POSITIVE,
        ops=("sqrt",),
        kinks=((([0.0, 4.0, -1.0],), [0.0, 2.0, NAN], ([INF, 0.25, NAN],)),),
        bad=(whole(elementwise.sqrt, "sqrt"),),
    ),
    Case(
        "rsqrt",
        elementwise.rsqrt,
        lambda x: x**-0.5,
        UNARY,
        domain=POSITIVE,
        ops=("rsqrt",),
        kinks=((([0.0, 4.0],), [INF, 0.5], ([-INF, -0.0625],)),),
        bad=(whole(elementwise.rsqrt, "rsqrt"),),
    ),
    Case(
        "power",
        elementwise.power,
        lambda a, b: np.exp(b * np.log(a)),
        BINARY,
        domain=(POSITIVE, (-2.0, 3.0)),
        ops=("power",),
        tolerance={"float32": 1e-4, "float64": 1e-11},
        kinks=(
            (([0.0, 0.0, 0.0], [0.0, 1.0, 2.0]), [1.0, 0.0, 0.0], ([0, 1, 0], [0, 0, 0])),
            (([NAN, 2.0, -2.0], [0.0, 0.0, 3.0]), [1.0, 1.0, -8.0], ([0, 0, 12], None)),
        ),
        bad=(
            Bad(lambda: node("int32") ** node("int32"), DTypeError, r"power\] defined for"),
            Bad(lambda: node() ** INF, SettingError, "finite"),
            Bad(lambda: node() ** True, SettingError, "finite number"),
            Bad(lambda: node() ** "two", DTypeError, "not an array of numbers"),
        ),
    ),
    *(
        Case(
            f"power_{name}",
            elementwise.power,
            lambda a, b: np.exp(b * np.log(a)),
            UNARY,
            attributes={"b": exponent},
            domain=POSITIVE,
            ops=("power_scalar",) if name in ("cube", "zero", "odd") else (),
            tolerance={"float32": 1e-4, "float64": 1e-11},
            kinks=kinks,
        )
        for name, exponent, kinks in (
            ("zero", 0, ((([0.0, NAN, -2.0],), [1.0, 1.0, 1.0], ([0.0, 0.0, 0.0],)),)),
            ("one", 1, ((([0.0, -2.0],), [0.0, -2.0], ([1.0, 1.0],)),)),
            ("two", 2.0, ((([0.0, -2.0],), [0.0, 4.0], ([0.0, -4.0],)),)),
            ("cube", 3, ((([0.0, -2.0],), [0.0, -8.0], ([0.0, 12.0],)),)),
            ("half", 0.5, ((([4.0],), [2.0], ([0.25],)),)),
            ("minus_half", -0.5, ((([4.0],), [0.5], ([-0.0625],)),)),
            ("minus_one", -1, ((([-2.0],), [-0.5], ([-0.25],)),)),
            ("odd", np.float32(-2.5), ((([4.0, -1.0],), [0.03125, NAN], (None,)),)),
        )
    ),
    Case("power_of_number", lambda x: 2**x, lambda x: np.exp(x * math.log(2)), UNARY),
    Case(
        "power_whole_of_negative",
        lambda x: x**3,
        lambda x: x * x * x,
        UNARY,
        domain=(-2.0, 2.0),
    ),
)

TRANSCENDENTAL = (
    Case(
        "exp",
        transcendental.exp,
        lambda x: np.power(math.e, x),
        UNARY,
        ops=("exp",),
        kinks=((([-INF, 0.0, 1e4, NAN],), [0.0, 1.0, INF, NAN], ([0.0, 1.0, INF, NAN],)),),
        bad=(whole(transcendental.exp, "exp"),),
    ),
    Case(
        "expm1",
        transcendental.expm1,
        lambda x: 2 * np.exp(x / 2) * np.sinh(x / 2),
        UNARY,
        ops=("expm1",),
        kinks=((([-INF, 0.0, 1e-30],), [-1.0, 0.0, 1e-30], ([0.0, 1.0, 1.0],)),),
    ),
    Case(
        "log",
        transcendental.log,
        lambda x: np.log2(x) * math.log(2),
        UNARY,
        domain=POSITIVE,
        ops=("log",),
        kinks=((([0.0, 1.0, INF],), [-INF, 0.0, INF], ([INF, 1.0, 0.0],)),),
        bad=(whole(transcendental.log, "log"),),
    ),
    Case(
        "log1p",
        transcendental.log1p,
        lambda x: 2 * np.arctanh(x / (2 + x)),
        UNARY,
        domain=(-0.8, 3.0),
        ops=("log1p",),
        kinks=((([-1.0, 0.0, 1e-30],), [-INF, 0.0, 1e-30], ([INF, 1.0, 1.0],)),),
    ),
    Case(
        "sin",
        transcendental.sin,
        lambda x: np.imag(np.exp(1j * x)),
        UNARY,
        domain=(-7.0, 7.0),
        ops=("sin",),
        kinks=((([0.0, INF],), [0.0, NAN], ([1.0, NAN],)),),
    ),
    Case(
        "cos",
        transcendental.cos,
        lambda x: np.real(np.exp(1j * x)),
        UNARY,
        domain=(-7.0, 7.0),
        ops=("cos",),
        bad=(whole(transcendental.cos, "cos"),),
    ),
    Case(
        "tanh",
        transcendental.tanh,
        lambda x: np.sinh(x) / np.cosh(x),
        UNARY,
        ops=("tanh",),
        kinks=((([-INF, 0.0, 1e4],), [-1.0, 0.0, 1.0], ([0.0, 1.0, 0.0],)),),
    ),
    Case(
        "erf",
        transcendental.erf,
        lambda x: np.vectorize(math.erf, otypes=[float])(x),
        UNARY,
        domain=(-4.0, 4.0),
        ops=("erf",),
        kinks=((([-INF, 0.0, 1e4, NAN],), [-1.0, 0.0, 1.0, NAN], (None,)),),
        bad=(whole(transcendental.erf, "erf"),),
    ),
)

HALVES = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]

BOUNDS = (
    Case(
        "abs",
        bounds.abs,
        lambda x: np.sqrt(x * x),
        UNARY,
        ops=("abs", "sign"),
        kinks=((([-2.0, -0.0, 0.0, 3.0, NAN],), [2.0, 0.0, 0.0, 3.0, NAN], ([-1, 0, 0, 1, NAN],)),),
        bad=(Bad(lambda: abs(node("bool")), DTypeError, "defined for numbers"),),
    ),
    Case("abs_int", bounds.abs, lambda x: x * np.sign(x), UNARY, kinds=("int",), order=0),
    Case(
        "sign",
        bounds.sign,
        lambda x: (x > 0) * 1.0 - (x < 0),
        UNARY,
        order=0,
        ops=("sign",),
        kinks=((([-2.0, 0.0, NAN, INF],), [-1.0, 0.0, NAN, 1.0], ([0, 0, 0, 0],)),),
    ),
    Case("sign_int", bounds.sign, lambda x: (x > 0) * 1 - (x < 0), UNARY, kinds=("int",), order=0),
    Case(
        "maximum",
        bounds.maximum,
        lambda a, b: np.where(a > b, a, b),
        BINARY,
        ops=("maximum",),
        kinks=(
            (([1.0, 2.0, 0.0], [1.0, 1.0, 3.0]), [1.0, 2.0, 3.0], ([0.5, 1, 0], [0.5, 0, 1])),
            (([NAN, 1.0, INF], [1.0, NAN, INF]), [NAN, NAN, INF], ([0, 0, 0.5], [0, 0, 0.5])),
        ),
        bad=(Bad(lambda: bounds.maximum(node(), node("int32")), DTypeError, "differ"),),
    ),
    Case("maximum_int", bounds.maximum, lambda a, b: np.where(a > b, a, b), BINARY, **INTS),
    Case(
        "minimum",
        bounds.minimum,
        lambda a, b: np.where(a < b, a, b),
        BINARY,
        ops=("minimum",),
        kinks=(
            (([1.0, 2.0, 0.0], [1.0, 1.0, 3.0]), [1.0, 1.0, 0.0], ([0.5, 0, 1], [0.5, 1, 0])),
            (([NAN, 1.0, -INF], [1.0, NAN, -INF]), [NAN, NAN, -INF], ([0, 0, 0.5], [0, 0, 0.5])),
        ),
    ),
    Case("minimum_int", bounds.minimum, lambda a, b: np.where(a < b, a, b), BINARY, **INTS),
    Case(
        "clip",
        bounds.clip,
        lambda x, low, high: np.where(x < low, low, np.where(x > high, high, x)),
        UNARY,
        attributes={"low": -1.0, "high": 0.5},
        ops=("clip",),
        kinks=(
            (
                ([-2.0, -1.0, 0.0, 0.5, 1.0, NAN, INF],),
                [-1.0, -1.0, 0.0, 0.5, 0.5, NAN, 0.5],
                ([0, 1, 1, 1, 0, 0, 0],),
            ),
        ),
        bad=(
            Bad(
                lambda: bounds.clip(node(), 1, 0),
                SettingError,
                "lower bound is above the upper one",
            ),
            Bad(lambda: bounds.clip(node(), NAN), SettingError, "finite"),
            Bad(lambda: bounds.clip(node(), node()), SettingError, "minimum"),
            Bad(lambda: bounds.clip(node(), "low"), SettingError, "finite"),
            Bad(lambda: bounds.clip(node("int32"), 0.5), DTypeError, "int32"),
            Bad(lambda: bounds.clip(node("bool"), 0), DTypeError, "defined for numbers"),
        ),
    ),
    Case(
        "clip_low",
        bounds.clip,
        lambda x, low: np.where(x < low, low, x),
        UNARY,
        attributes={"low": 0.25},
    ),
    Case(
        "clip_high_int",
        bounds.clip,
        lambda x, high: np.where(x > high, high, x),
        UNARY,
        attributes={"high": 1},
        kinds=("int",),
        order=0,
    ),
    Case(
        "floor",
        bounds.floor,
        lambda x: -np.ceil(-x),
        UNARY,
        order=0,
        ops=("floor",),
        domain=(-9.0, 9.0),
        kinks=(((HALVES,), [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0], ([0] * 6,)),),
        bad=(whole(bounds.floor, "floor"),),
    ),
    Case(
        "round",
        bounds.round,
        lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
        UNARY,
        order=0,
        ops=("round",),
        domain=(-9.0, 9.0),
        kinks=(((HALVES,), [-2.0, -2.0, 0.0, 0.0, 2.0, 2.0], ([0] * 6,)),),
        bad=(whole(bounds.round, "round"),),
    ),
    Case(
        "to_bfloat16",
        to_bfloat16,
        eight_bits,
        UNARY,
        order=0,
        ops=("to_bfloat16",),
        kinks=(
            (([1 + 1 / 256, 1 + 3 / 256, -3.1415927],), [1.0, 1.015625, -3.140625], ([1] * 3,)),
            (([INF, -INF, NAN, 1e-40, -0.0],), [INF, -INF, NAN, 0.0, -0.0], ([1] * 5,)),
        ),
        bad=(whole(to_bfloat16, "to_bfloat16"),),
    ),
)

CASTS = (
    Case(
        "cast",
        lambda x: cast(x, "float64"),
        lambda x: x + 0.0,
        UNARY,
        ops=("cast",),
        order=0,
    ),
)

CASES = (*ARITHMETIC, *POWERS, *TRANSCENDENTAL, *BOUNDS, *CASTS)
