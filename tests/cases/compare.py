"""Rows for comparisons, logic and selection."""

from __future__ import annotations

import math

import numpy as np

from cases.case import BINARY, UNARY, Bad, Case
from cases.elementwise import node
from chainrule.errors import DTypeError, GraphError, ShapeError
from chainrule.ops import compare
from chainrule.types import N

INF, NAN = math.inf, math.nan
CORNERS = ([0.0, 1.0, 2.0, NAN, NAN, INF], [-0.0, 2.0, 1.0, NAN, 0.0, INF])
T, F = True, False


def comparison(name, function, reference, corners):  # type: ignore[no-untyped-def]
    """Rows for a comparison: of floats with its corners, of small integers with many ties."""
    return (
        Case(
            name,
            function,
            reference,
            BINARY,
            ops=(name,),
            order=0,
            kinks=((CORNERS, corners, (None, None)),),
            bad=(
                Bad(lambda: function(node(), node("float64")), DTypeError, "element types differ"),
                Bad(lambda: function(node(), node(shape=(4,))), ShapeError, "do not broadcast"),
            ),
        ),
        Case(
            f"{name}_int",
            function,
            reference,
            BINARY,
            kinds=("int", "int"),
            domain=(-1, 1),
            order=0,
        ),
    )


def logic(name, function, reference, operands):  # type: ignore[no-untyped-def]
    """The row of a logical op."""
    return Case(
        name,
        function,
        reference,
        BINARY if operands == 2 else UNARY,
        kinds=("bool",) * operands,
        ops=(name,),
        order=0,
        bad=(
            Bad(lambda: function(*[node()] * operands), DTypeError, "needs true or false"),
            Bad(lambda: function(*[node("int32")] * operands), DTypeError, "needs true or false"),
        ),
    )


def where_of_floats(condition, a, b):  # type: ignore[no-untyped-def]
    """Selection without `where`: exact, since one of the two terms is a zero."""
    return np.multiply(condition, a) + np.multiply(np.logical_not(condition), b)


CASES = (
    *comparison("equal", compare.equal, lambda a, b: ~((a < b) | (a > b)), [T, F, F, F, F, T]),
    *comparison("not_equal", compare.not_equal, lambda a, b: a - b != 0, [F, T, T, T, T, F]),
    *comparison("less", compare.less, lambda a, b: b - a > 0, [F, T, F, F, F, F]),
    *comparison("less_equal", compare.less_equal, lambda a, b: b - a >= 0, [T, T, F, F, F, T]),
    *comparison("greater", compare.greater, lambda a, b: b - a < 0, [F, F, T, F, F, F]),
    *comparison(
        "greater_equal", compare.greater_equal, lambda a, b: b - a <= 0, [T, F, T, F, F, T]
    ),
    Case(
        "operators",
        lambda a, b: ((a < b) | (a >= 1.0)) & ~(a <= b / 2) & (b > -1),
        lambda a, b: ((a < b) | ~(a < 1)) & (a > b / 2) & ~(b <= -1),
        BINARY,
        order=0,
        bad=(Bad(lambda: bool(node() < 1), GraphError, "no truth value"),),
    ),
    Case(
        "isfinite",
        compare.isfinite,
        lambda x: x - x == 0,
        UNARY,
        ops=("isfinite",),
        order=0,
        kinks=((([0.0, INF, -INF, NAN],), [T, F, F, F], (None,)),),
    ),
    Case(
        "isnan",
        compare.isnan,
        lambda x: x != x,
        UNARY,
        ops=("isnan",),
        order=0,
        kinks=((([0.0, INF, -INF, NAN],), [F, F, F, T], (None,)),),
    ),
    logic("logical_and", compare.logical_and, lambda a, b: a * b, 2),
    logic("logical_or", compare.logical_or, lambda a, b: a + b, 2),
    logic("logical_xor", compare.logical_xor, lambda a, b: a != b, 2),
    logic("logical_not", compare.logical_not, lambda a: a ^ True, 1),
    Case(
        "where",
        compare.where,
        where_of_floats,
        (
            *(((shape, shape, shape)) for (shape, _) in BINARY[:10]),
            ((2, 3), (3,), ()),
            ((3,), (), (2, 3)),
            ((0, 1), (1, 4), (4,)),
        ),
        kinds=("bool", "float", "float"),
        ops=("where",),
        kinks=((([T, F], [1.0, INF], [NAN, 2.0]), [1.0, 2.0], (None, [1.0, 0.0], [0.0, 1.0])),),
        bad=(
            Bad(lambda: compare.where(node(), 1.0, 0.0), DTypeError, "compare first"),
            Bad(
                lambda: compare.where(node("bool"), node(), node("int32")),
                DTypeError,
                "element types differ",
            ),
            Bad(
                lambda: compare.where(node("bool"), node(shape=(4,)), 0.0),
                ShapeError,
                "do not broadcast",
            ),
            Bad(
                lambda: compare.where(node("bool", (N, 3)), node(shape=(2, 3)), 0),  # type: ignore[arg-type]
                ShapeError,
                "do not broadcast",
            ),
        ),
    ),
    Case(
        "where_bool",
        compare.where,
        lambda c, a, b: (c & a) | (~c & b),
        (((7,), (7,), (7,)), ((2, 3), (3,), (2, 1))),
        kinds=("bool", "bool", "bool"),
        order=0,
    ),
    Case(
        "where_int_and_literal",
        lambda c, x: compare.where(c, x, 7),
        lambda c, x: c * x + ~c * 7,
        (((7,), (7,)), ((2, 1), (1, 3)), ((), (0,))),
        kinds=("bool", "int"),
        order=0,
    ),
)
