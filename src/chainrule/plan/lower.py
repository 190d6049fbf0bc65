"""Ops as index-level expressions: element by element, what a node's value is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.graph.node import Node, Operation
from chainrule.ir.index import (
    Place,
    call,
    divided,
    held,
    plus,
    regrouped,
    size,
    times,
    whole,
    within,
)
from chainrule.ir.kernel import Call, Const, Expr
from chainrule.plan.reduce import REDUCTIONS, Values, single
from chainrule.types import FLOATS, Dim, N

# ---------------------------------------------------------------- elementwise ops

SAME = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "negative": "neg",
    "abs": "abs", "maximum": "max", "minimum": "min", "sqrt": "sqrt", "exp": "exp",
    "expm1": "expm1", "log": "log", "log1p": "log1p", "sin": "sin", "cos": "cos", "tanh": "tanh",
    "sigmoid": "sigmoid", "softplus": "softplus", "erf": "erf", "power": "pow", "floor": "floor",
    "round": "round", "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le",
    "greater": "gt", "greater_equal": "ge", "logical_and": "and", "logical_or": "or",
    "logical_xor": "xor", "logical_not": "not", "where": "select", "cast": "cast",
}  # fmt: skip
"""Ops that are a scalar function of the same meaning."""


def _one(x: Expr) -> Const:
    return Const(1.0, x.dtype)


def _sign(x: Expr) -> Expr:
    zero = Const(0, x.dtype)
    above = call("gt", "bool", x, zero)
    below = call("lt", "bool", x, zero)
    rest = call("select", x.dtype, below, Const(-1, x.dtype), x)  # 0, -0 and NaN stay
    return call("select", x.dtype, above, Const(1, x.dtype), rest)


def _clip(x: Expr, low: Any = None, high: Any = None) -> Expr:
    if low is not None:
        x = call("max", x.dtype, x, Const(low, x.dtype))
    if high is not None:
        x = call("min", x.dtype, x, Const(high, x.dtype))
    return x


def _isfinite(x: Expr) -> Expr:
    if x.dtype not in ("float32", "float64"):
        return Const(True, "bool")
    return call("lt", "bool", call("abs", x.dtype, x), Const(math.inf, x.dtype))


MAPS: dict[str, Callable[..., Expr]] = {
    "isfinite": _isfinite,
    "isnan": lambda x: call("ne", "bool", x, x),
    "reciprocal": lambda x: call("div", x.dtype, _one(x), x),
    "rsqrt": lambda x: call("div", x.dtype, _one(x), call("sqrt", x.dtype, x)),
    "square": lambda x: call("mul", x.dtype, x, x),
    "power_scalar": lambda x, exponent: call("pow", x.dtype, x, Const(exponent, x.dtype)),
    "sign": _sign,
    "clip": _clip,
    "relu": lambda x: call("max", x.dtype, x, Const(0, x.dtype)),
    "softsign": lambda x: call(
        "div", x.dtype, x, call("add", x.dtype, _one(x), call("abs", x.dtype, x))
    ),
}
"""The other elementwise ops, from the expressions of their operands."""

# ---------------------------------------------------------------- ops that choose places


def _transposed(node: Operation, place: Place) -> Place:
    axes = node.attributes["axes"]
    return tuple(place[axes.index(a)] for a in range(len(axes)))


def _stretched(node: Operation, place: Place) -> Place:
    shape = node.operands[0].shape
    lead = len(place) - len(shape)
    return tuple(
        whole(0) if dim == 1 and node.shape[lead + a] != 1 else place[lead + a]
        for a, dim in enumerate(shape)
    )


def _sliced(node: Operation, place: Place) -> Place:
    parts = zip(place, node.attributes["start"], node.attributes["step"], strict=True)
    return tuple(plus(times(p, step), whole(start)) for p, start, step in parts)


VIEWS: dict[str, Callable[[Operation, Place], Place]] = {
    "broadcast_to": _stretched,
    "reshape": lambda node, place: regrouped(place, node.shape, node.operands[0].shape),
    "transpose": _transposed,
    "slice": _sliced,
    "tracked": lambda node, place: place,
    "objective": lambda node, place: place,
    "stop_gradient": lambda node, place: place,
}
"""Ops whose elements are those of their first operand: the place there."""


def _concat(node: Operation, place: Place, value: Values) -> Expr:
    axis = node.attributes["axis"]
    at, end = place[axis], 0
    ends = [end := end + int(x.shape[axis]) for x in node.operands]
    out: Expr | None = None
    for x, last in reversed(list(zip(node.operands, ends, strict=True))):
        here = int(x.shape[axis])
        if not here:
            continue
        local = held(plus(at, whole(here - last)), here)
        part = value(x, (*place[:axis], local, *place[axis + 1 :]))
        inside = call("lt", "bool", at, whole(last))
        out = part if out is None else call("select", node.dtype, inside, part, out)
    return Const(0, node.dtype) if out is None else out


def _pad(node: Operation, place: Place, value: Values) -> Expr:
    x = node.operands[0]
    inner: list[Expr] = []
    inside: Expr = Const(True, "bool")
    attributes = node.attributes
    for a, (p, start, step) in enumerate(
        zip(place, attributes["start"], attributes["step"], strict=True)
    ):
        dim = x.shape[a]
        if dim is N or (start == 0 and step == 1 and dim == node.shape[a]):
            inner.append(p)
            continue
        assert isinstance(dim, int)
        if dim == 0:
            return Const(attributes["value"], node.dtype)
        away = plus(p, whole(-start))
        if step < 0:
            away, step = times(away, -1), -step
        turn, rest = divided(away, step)
        here = within(turn, dim)
        if step != 1:
            here = call("and", "bool", here, call("eq", "bool", rest, whole(0)))
        inner.append(held(turn, dim))
        inside = here if isinstance(inside, Const) else call("and", "bool", inside, here)
    part = value(x, tuple(inner))
    if isinstance(inside, Const):
        return part
    return call("select", node.dtype, inside, part, Const(attributes["value"], node.dtype))


def _take(node: Operation, place: Place, value: Values) -> Expr:
    table, indices = node.operands
    axis = node.attributes["axis"]
    lead, after = place[:axis], place[axis + indices.ndim :]
    index = call("cast", "int64", value(indices, place[axis : axis + indices.ndim]))
    return _chosen(value, table, lead, index, after)


def _gather(node: Operation, place: Place, value: Values) -> Expr:
    x, indices = node.operands
    axis = node.attributes["axis"]
    index = call("cast", "int64", value(indices, place))
    return _chosen(value, x, place[:axis], index, place[axis + 1 :])


def _chosen(value: Values, x: Node, lead: Place, index: Expr, after: Place) -> Expr:
    size = x.shape[len(lead)]
    return _known(index, size, value(x, (*lead, held(index, size), *after)))


def _known(index: Expr, size: Dim, found: Expr) -> Expr:
    """What is found at an index; NaN where it is out of range, which stops the step."""
    if found.dtype not in FLOATS:
        return found
    return call("select", found.dtype, within(index, size), found, Const(math.nan, found.dtype))


def _one_hot(node: Operation, place: Place, value: Values) -> Expr:
    index = call("cast", "int64", value(node.operands[0], place[:-1]))
    hit = call("cast", node.dtype, call("eq", "bool", index, place[-1]))
    return _known(index, node.attributes["depth"], hit)


def _uniform(node: Operation, place: Place, value: Values) -> Expr:
    """Element (row, column) of Philox; the axes after the first are one long column."""
    key = node.operands[0]
    row: Expr = place[0] if place else whole(0)
    column: Expr = whole(0)
    for p, dim in zip(place[1:], node.shape[1:], strict=True):
        column = plus(times(column, size((dim,))), p)
    words = tuple(value(key, (whole(k),)) for k in range(3))
    stream = Const(node.attributes["stream"], "uint32")
    return Call("philox", (column, row, *words, stream), node.dtype)


PLACES: dict[str, Callable[[Operation, Place, Values], Expr]] = {
    "concat": _concat,
    "pad": _pad,
    "take": _take,
    "gather": _gather,
    "one_hot": _one_hot,
    "uniform": _uniform,
    "count": lambda node, place, value: _counted(node),
}
"""Ops whose elements are chosen, or made, by their place."""


def _counted(node: Operation) -> Expr:
    made: Expr = Const(size(d for d in node.attributes["shape"] if d is not N), node.dtype)
    for _ in range(node.attributes["shape"].count(N)):
        rows = call("count", node.dtype)
        made = rows if made == Const(1, node.dtype) else call("mul", node.dtype, rows, made)
    return made


def element(node: Operation, place: Place, value: Values) -> Expr:
    """The expression of one element of an op that reduces nothing."""
    name = node.op.name
    if name in REDUCTIONS:
        return single(node, place, value)
    if name in VIEWS:
        return value(node.operands[0], VIEWS[name](node, place))
    if name in PLACES:
        return PLACES[name](node, place, value)
    operands = tuple(value(x, place) for x in node.operands)
    if name in SAME:
        return Call(SAME[name], operands, node.dtype)
    return MAPS[name](*operands, **node.attributes)


def constant_of(node: Operation) -> Const | None:
    """The number that a constant has everywhere, or None where it has several."""
    value = node.attributes["value"]
    if value.size < 2:
        return Const(value.item() if value.size else 0, node.dtype)
    first = value.flat[0]
    same = np.array_equal(value, np.full_like(value, first), equal_nan=value.dtype.kind == "f")
    signs = value.dtype.kind != "f" or (np.signbit(value) == np.signbit(first)).all()
    return Const(first.item(), node.dtype) if same and signs else None
