"""Lowering of nodes to index-level expressions, by the rule of their op."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import numpy as np

from chainrule.errors import GraphError
from chainrule.graph.node import Node, Operation
from chainrule.graph.op import (
    Element,
    Exchange,
    Fixed,
    LastEqual,
    Map,
    Reduce,
    Scalar,
    Scan,
    ScatterAdd,
    Values,
    View,
)
from chainrule.ir.index import Place, call, const
from chainrule.ir.kernel import At, Axis, Call, Const, Expr, Reduction
from chainrule.types import Dim

LOOPS = (Reduce, Scan, ScatterAdd, LastEqual)
"""Lowerings that may take loops of their own."""

ROUNDING = Scalar("bfloat16")


def element(node: Operation, place: Place, value: Values) -> Expr:
    """The expression of one element of a node without a loop of its own."""
    match node.op.lower:
        case Scalar(function):
            return Call(function, tuple(value(x, place) for x in node.operands), node.dtype)
        case Map(rule):
            return rule(*(value(x, place) for x in node.operands), **node.attributes)
        case View(index):
            return value(node.operands[0], index(node, place))
        case Element(rule):
            return rule(node, place, value)
        case Exchange():
            return value(node.operands[0], place)
        case Reduce("argmax" | "argmin"):
            return Const(0, node.dtype)
        case Reduce() | Scan():
            return reduction(node, place, value).value
    raise no_lowering(node)


# ---------------------------------------------------------------- loops


def has_loop(node: Node) -> bool:
    """Whether an element of the node takes several elements of an operand together."""
    if not isinstance(node, Operation) or not isinstance(node.op.lower, LOOPS):
        return False
    if isinstance(node.op.lower, ScatterAdd | LastEqual):
        return True
    nowhere = (const(0),) * node.ndim
    return bool(reduction(node, nowhere, lambda x, place: Const(0, x.dtype)).over)


def reduction(node: Operation, place: Place, value: Values) -> Reduction:
    """The reduction of one element of a node, at `place`; over axes of size other than 1."""
    over: list[Axis] = []

    def loop(dim: Dim) -> Expr:
        if dim == 1:
            return const(0)
        over.append(Axis(f"r{len(over)}", dim))
        return At(over[-1])

    match node.op.lower:
        case Reduce(combine, rule):
            made = rule(node, place, value, loop)
            return Reduction(tuple(over), combine, made)
        case Scan():
            made = _cumsum_term(node, place, value, loop)
            return Reduction(tuple(over), "sum", made)
    raise no_lowering(node)


def _cumsum_term(node: Operation, place: Place, value: Values, loop: Callable[[Dim], Expr]) -> Expr:
    """The term of a running sum for one element: the sum over all operands up to it."""
    x, axis = node.operands[0], node.attributes["axis"]
    j = loop(x.shape[axis])
    term = value(x, (*place[:axis], j, *place[axis + 1 :]))
    use = call("ge" if node.attributes["reverse"] else "le", "bool", j, place[axis])
    return call("select", node.dtype, use, term, Const(0, node.dtype))


# ---------------------------------------------------------------- queries of fusion


def use_count(node: Operation) -> int:
    """The number of uses of one operand in the expression of an element: 2 for `x * x`."""
    if not isinstance(node.op.lower, Map):
        return 1
    operands = [At(Axis(x.label, 1), x.dtype) for x in node.operands]
    found = dict.fromkeys(operands, 0)
    stack, seen = [node.op.lower.rule(*operands, **node.attributes)], set[int]()
    while stack:
        x = stack.pop()
        if isinstance(x, At) and x in found:
            found[x] += 1
        elif isinstance(x, Call) and id(x) not in seen:
            seen.add(id(x))
            stack += x.operands
    return max(1, *found.values())


def is_exchanged(node: Node) -> bool:
    """Whether a step can be cut between a node and what reads it."""
    return isinstance(node, Operation) and isinstance(node.op.lower, Exchange)


def is_called(node: Node) -> TypeGuard[Operation]:
    """Whether a node is of an op without a lowering: its code is called between phases."""
    return isinstance(node, Operation) and node.op.lower is None


def is_rounding(node: Node) -> TypeGuard[Operation]:
    """Whether a node is its operand rounded to bfloat16, which a product does as it reads."""
    return isinstance(node, Operation) and node.op.lower == ROUNDING


def seen_through(node: Operation) -> bool:
    """Whether an element of a node is read where one of its operand lies in memory."""
    return isinstance(node.op.lower, View) or is_rounding(node)


def is_constant(node: Node) -> TypeGuard[Operation]:
    """Whether a node is a fixed array."""
    return isinstance(node, Operation) and isinstance(node.op.lower, Fixed)


def constant_of(node: Operation) -> Const | None:
    """The value of a constant whose elements are all equal; None if they are not."""
    value = node.attributes["value"]
    if value.size < 2:
        return Const(value.item() if value.size else 0, node.dtype)
    first = value.flat[0]
    same = np.array_equal(value, np.full_like(value, first), equal_nan=value.dtype.kind == "f")
    signs = value.dtype.kind != "f" or (np.signbit(value) == np.signbit(first)).all()
    return Const(first.item(), node.dtype) if same and signs else None


def no_lowering(node: Operation) -> GraphError:
    """The error for an op without a lowering."""
    return GraphError(
        "plan",
        f"the op {node.op.name!r} has no lowering, so there is no machine code of it",
        at=f"node {node.label!r}, line {node.source}",
        fix="give the op lower=... or decompose=...",
    )
