"""Rows of the op cases: reductions, softmax, running sums."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cases.case import TAILS, Bad, Case, Operands
from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.ops.build import constant
from chainrule.ops.moments import norm, std, var
from chainrule.ops.product import prod
from chainrule.ops.reduce import argmax, argmin, cumsum, max, mean, min, sum
from chainrule.ops.softmax import log_softmax, logsumexp, softmax

INF, NAN = math.inf, math.nan
HUGE = 2.0**600  # its square overflows
NO_ROWS = constant(np.zeros((2, 0), "float32"))
WHOLE = constant(np.ones((2, 3), "int32"))

ALL: tuple[Operands, ...] = tuple((s,) for s in TAILS)
FILLED: tuple[Operands, ...] = tuple((s,) for s in TAILS if 0 not in s)
AXES: tuple[tuple[str, dict[str, Any], tuple[Operands, ...]], ...] = (
    ("first", {"axis": 0}, (((7,),), ((9, 1),), ((5, 4),), ((3, 2, 4),))),
    ("last kept", {"axis": -1, "keepdims": True}, (((17,),), ((2, 33),), ((3, 2, 8),))),
    ("two", {"axis": (2, 0)}, (((3, 2, 4),), ((1, 5, 1),), ((4, 1, 5),))),
    ("two kept", {"axis": (0, 1), "keepdims": True}, (((3, 4),), ((2, 3, 2),))),
    ("none", {"axis": ()}, (((3,),), ((2, 3),))),
)


def over_axes(
    function: Callable[..., Any], reference: Callable[..., Any], *skip: str, **more: Any
) -> tuple[Case, ...]:
    """A row for each way to name axes."""
    name = function.__name__
    return tuple(
        Case(f"{name}, {text}", function, reference, shapes, attributes, ops=(name,), **more)
        for text, attributes, shapes in AXES
        if text not in skip
    )


def sum_of_exponentials(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def shares(x: Any, axis: Any = -1) -> Any:
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


def lengths(x: Any, axis: Any = None, ord: float = 2, keepdims: bool = False) -> Any:
    if axis is None:
        flat = np.linalg.norm(np.ravel(x), ord)
        return np.reshape(flat, (1,) * np.ndim(x)) if keepdims else flat
    return np.linalg.norm(x, ord, axis, keepdims)


SUMS = (
    Case(
        "sum", sum, np.sum, ALL, ops=("sum",),
        bad=(
            Bad(lambda: sum([1.0, 2.0], 1), ShapeError, "an axis from -1 to 0"),
            Bad(lambda: sum([[1.0]], (0, -2)), ShapeError, "an axis is repeated"),
        ),
    ),
    *over_axes(sum, np.sum),
    Case("sum of integers", sum, np.sum, (((2, 3),), ((0,),)), {"axis": 0}, kinds=("int",)),
    Case(
        "sum of truth values", sum, lambda x, axis: np.count_nonzero(x, axis=axis),
        (((7,),), ((5, 3),)), {"axis": 0}, kinds=("bool",),
    ),
    Case(
        "mean", mean, np.mean, FILLED, ops=("mean",),
        bad=(
            Bad(lambda: mean(NO_ROWS, 1), ShapeError, "no elements"),
            Bad(lambda: mean(WHOLE), DTypeError, "float32 or float64"),
        ),
    ),
    *over_axes(mean, np.mean),
)  # fmt: skip

EXTREMES = (
    Case(
        "max", max, np.max, FILLED, ops=("max",),
        kinks=(
            (([1.0, 3.0, 3.0, 2.0],), 3.0, ([0.0, 0.5, 0.5, 0.0],)),
            (([-INF, -INF],), -INF, ([0.5, 0.5],)),
            (([INF, 1.0],), INF, ([1.0, 0.0],)),
            (([NAN, 1.0],), NAN, ([NAN, NAN],)),
        ),
        bad=(Bad(lambda: max(NO_ROWS, 1), ShapeError, "no elements"),),
    ),
    *over_axes(max, np.max),
    Case("max of integers", max, np.max, (((2, 3),),), {"axis": 1}, kinds=("int",)),
    Case(
        "min", min, np.min, FILLED, ops=("min",),
        kinks=(
            (([1.0, 1.0, 1.0, 2.0, 1.0],), 1.0, ([0.25, 0.25, 0.25, 0.0, 0.25],)),
            (([0.0, -0.0],), -0.0, ([0.5, 0.5],)),
            (([NAN, 1.0],), NAN, ([NAN, NAN],)),
        ),
        bad=(Bad(lambda: min(NO_ROWS), ShapeError, "no elements"),),
    ),
    *over_axes(min, np.min),
    Case(
        "argmax", argmax, lambda x, axis=-1: np.argmax(x, axis), (((7,),), ((2, 3),), ((3, 1, 4),)),
        ops=("argmax",), order=0,
        kinks=((([2.0, 5.0, 5.0],), 1, (None,)), (([1.0, NAN, 9.0, NAN],), 1, (None,))),
        bad=(
            Bad(lambda: argmax(NO_ROWS), ShapeError, "no elements"),
            Bad(lambda: argmax(1.0), ShapeError, "no such axis"),
        ),
    ),
    Case(
        "argmax, first kept", argmax, np.argmax, (((9,),), ((5, 3),)),
        {"axis": 0, "keepdims": True}, ops=("argmax",), order=0,
    ),
    Case(
        "argmin", argmin, np.argmin, (((8,),), ((2, 3),)), {"axis": 0}, kinds=("int",),
        ops=("argmin",), kinks=((([5, 2, 2],), 1, (None,)),),
        bad=(Bad(lambda: argmin(NO_ROWS, 1), ShapeError, "no elements"),),
    ),
)  # fmt: skip

PRODUCTS = (
    Case(
        "prod", prod, np.prod, tuple((s,) for s in TAILS if s not in ((17,), (33,), (4, 1, 5))),
        ops=("prod", "prod_others"), domain=(0.5, 2.0),
        kinks=(
            (([3.0, 0.0, -5.0],), 0.0, ([0.0, -15.0, 0.0],)),
            (([0.0, 2.0, 0.0],), 0.0, ([0.0, 0.0, 0.0],)),
            (([0.0],), 0.0, ([1.0],)),
        ),
    ),
    *over_axes(prod, np.prod, domain=(-2.0, 2.0)),
    Case("prod of integers", prod, np.prod, (((2, 3),),), {"axis": 0}, kinds=("int",)),
    Case(
        "cumsum", cumsum, np.cumsum, (((7,),), ((0, 3),), ((5, 2),), ((1, 3),)), {"axis": 0},
        ops=("cumsum",),
        bad=(Bad(lambda: cumsum([1.0], 1), ShapeError, "no such axis"),),
    ),
    Case(
        "cumsum, reverse", cumsum, lambda x, axis, reverse: np.cumsum(x[..., ::-1], -1)[..., ::-1],
        (((9,),), ((2, 3),), ((3, 1, 8),), ((2, 1),)), {"axis": -1, "reverse": True},
        ops=("cumsum",),
    ),
    Case(
        "cumsum of truth values", cumsum, lambda x, axis: np.cumsum(x.astype(int), axis),
        (((2, 9),),), {"axis": 1}, kinds=("bool",),
    ),
)  # fmt: skip

MOMENTS = (
    Case(
        "var", var, np.var, FILLED, ops=("var",),
        bad=(
            Bad(lambda: var(NO_ROWS, 1), ShapeError, "no elements"),
            Bad(lambda: var([[1.0], [2.0]], 1, ddof=1), ShapeError, "more elements than ddof"),
            Bad(lambda: var([1.0, 2.0], ddof=-1), SettingError, "an integer of at least 0"),
            Bad(lambda: var(WHOLE), DTypeError, "float32 or float64"),
        ),
    ),
    *over_axes(var, np.var),
    Case("var, ddof", var, np.var, (((7,),), ((2, 3),)), {"axis": -1, "ddof": 1}, ops=("var",)),
    Case(
        "std", std, np.std, (((7,),), ((33,),), ((2, 3),), ((4, 1, 5),)), ops=("std",),
        kinks=((([2.0, 2.0, 2.0],), 0.0, ([0.0, 0.0, 0.0],)),),
        bad=(Bad(lambda: std([1.0], ddof=1), ShapeError, "more elements than ddof"),),
    ),
    Case(
        "std, axis", std, np.std, (((5, 4),), ((3, 2, 4),)),
        {"axis": 0, "ddof": 2, "keepdims": True}, ops=("std",),
    ),
    Case(
        "norm", norm, lengths, FILLED, ops=("norm",),
        kinks=(
            (([0.0, 0.0],), 0.0, ([0.0, 0.0],)),
            (([3 * HUGE, 4 * HUGE],), 5 * HUGE, ([0.6, 0.8],)),
            (([INF, 1.0],), INF, (None,)),
            (([[3.0, 4.0]],), 5.0, ([[0.6, 0.8]],)),
        ),
        bad=(
            Bad(lambda: norm([1.0], ord=3), SettingError, "1, 2 or infinity"),
            Bad(lambda: norm(WHOLE), DTypeError, "float32 or float64"),
            Bad(lambda: norm(NO_ROWS, 1, ord=INF), ShapeError, "no elements"),
        ),
    ),
    Case("norm, axis", norm, lengths, (((2, 3),), ((4, 1, 5),)), {"axis": -1, "keepdims": True}),
    Case("norm of no elements", norm, lengths, (((2, 0),),), {"axis": 1}),
    Case(
        "norm, sum", norm, lengths, (((7,),), ((2, 3),)), {"ord": 1, "axis": 0},
        kinks=((([[0.0], [-2.0]],), [2.0], ([[0.0], [-1.0]],)),),
    ),
    Case(
        "norm, largest", norm, lengths, (((7,),), ((2, 3),)), {"ord": INF, "axis": -1},
        kinks=((([[0.0, -2.0, 2.0]],), [2.0], ([[0.0, -0.5, 0.5]],)),),
    ),
)  # fmt: skip

EXPONENTIALS = (
    Case(
        "logsumexp", logsumexp, sum_of_exponentials, FILLED, ops=("logsumexp",),
        kinks=(
            (([-INF, -INF],), -INF, ([0.0, 0.0],)),
            (([-INF, 3.0],), 3.0, ([0.0, 1.0],)),
            (([1e4, -1e4],), 1e4, ([1.0, 0.0],)),
            (([-1e4],), -1e4, ([1.0],)),
            (([INF, 0.0],), INF, (None,)),
        ),
        bad=(Bad(lambda: logsumexp(WHOLE), DTypeError, "float32 or float64"),),
    ),
    *over_axes(logsumexp, sum_of_exponentials),
    Case(
        "logsumexp of nothing", logsumexp, lambda x, axis: np.full(2, -INF), (((2, 0),),),
        {"axis": 1}, order=0,
    ),
    Case(
        "softmax", softmax, shares, (((1,),), ((7,),), ((2, 3),), ((0, 3),), ((4, 1, 33),)),
        ops=("softmax",),
        kinks=(
            (([1e4, -1e4],), [1.0, 0.0], ([0.0, 0.0],)),
            (([-1e4, -1e4],), [0.5, 0.5], ([0.0, 0.0],)),
            (([-INF, 2.0, 2.0],), [0.0, 0.5, 0.5], ([0.0, 0.0, 0.0],)),
            (([-INF, -INF],), [0.0, 0.0], ([0.0, 0.0],)),
            (([INF, 1.0],), [NAN, NAN], (None,)),
        ),
        bad=(
            Bad(lambda: softmax(WHOLE), DTypeError, "float32 or float64"),
            Bad(lambda: softmax([[1.0]], 2), ShapeError, "an axis from -2 to 1"),
        ),
    ),
    Case("softmax, first", softmax, shares, (((5, 4),), ((3, 2, 4),)), {"axis": 0}),
    Case("softmax, two axes", softmax, shares, (((3, 2, 4),),), {"axis": (0, 2)}),
    Case("softmax of nothing", softmax, shares, (((2, 0),),)),
    Case(
        "log_softmax", log_softmax, lambda x, axis=-1: np.log(shares(x, axis)),
        (((1,),), ((7,),), ((2, 3),), ((0, 3),), ((4, 1, 33),)), ops=("log_softmax",),
        kinks=(
            (([1e4, -1e4],), [0.0, -2e4], ([-1.0, 1.0],)),
            (([-INF, 2.0],), [-INF, 0.0], ([1.0, -1.0],)),
            (([-INF, -INF],), [-INF, -INF], ([1.0, 1.0],)),
        ),
    ),
    Case(
        "log_softmax, first", log_softmax, lambda x, axis: np.log(shares(x, axis)),
        (((5, 4),), ((3, 2, 4),)), {"axis": 0},
    ),
)  # fmt: skip

CASES = (*SUMS, *EXTREMES, *PRODUCTS, *MOMENTS, *EXPONENTIALS)
