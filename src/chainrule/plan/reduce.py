"""Ops with a loop inside of each element, as reductions at index level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from chainrule.graph.node import Node, Operation
from chainrule.ir.index import Place, call, whole
from chainrule.ir.kernel import At, Axis, Const, Expr, Reduction
from chainrule.types import Dim

Values: TypeAlias = Callable[[Node, Place], Expr]
"""Gives the expression of an element of a node; asked for by the rules of ops."""


def reduction(node: Operation, place: Place, value: Values) -> Reduction:
    """The reduction that makes one element of a node, at `place`; over axes that are not 1 long."""
    return REDUCTIONS[node.op.name](node, place, value)


def reduces(node: Node) -> bool:
    """Whether an element of the node is made of several elements of an operand."""
    if not isinstance(node, Operation) or node.op.name not in REDUCTIONS:
        return False
    nowhere = (whole(0),) * node.ndim
    return bool(reduction(node, nowhere, lambda x, place: Const(0, x.dtype)).over)


def single(node: Operation, place: Place, value: Values) -> Expr:
    """The one value that a reduction which does not reduce takes for the element."""
    if node.op.name in ("argmax", "argmin"):
        return Const(0, node.dtype)
    return reduction(node, place, value).value


class _Loops:
    """The axes of a reduction."""

    def __init__(self) -> None:
        self.over: list[Axis] = []

    def along(self, dim: Dim) -> Expr:
        """The place in a new loop; none is made for one turn."""
        if dim == 1:
            return whole(0)
        self.over.append(Axis(f"r{len(self.over)}", dim))
        return At(self.over[-1])


def _reduced(combine: Any) -> Callable[..., Reduction]:
    def rule(node: Operation, place: Place, value: Values) -> Reduction:
        x = node.operands[0]
        axis = node.attributes["axis"]
        axes = (axis,) if isinstance(axis, int) else axis
        loops, rest, inner = _Loops(), iter(place), list[Expr]()
        for a, dim in enumerate(x.shape):
            if a in axes:
                inner.append(loops.along(dim))
                if node.attributes["keepdims"]:
                    next(rest)
            else:
                inner.append(next(rest))
        return Reduction(tuple(loops.over), combine, value(x, tuple(inner)))

    return rule


def _einsum(node: Operation, place: Place, value: Values) -> Reduction:
    operands, out = node.attributes["equation"].split("->")
    terms = operands.split(",")
    spots: dict[str, Expr] = dict(zip(out, place, strict=True))
    loops = _Loops()
    for term, x in zip(terms, node.operands, strict=True):
        for label, dim in zip(term, x.shape, strict=True):
            if label not in spots:
                spots[label] = loops.along(dim)
    factors = [
        value(x, tuple(spots[label] for label in term))
        for term, x in zip(terms, node.operands, strict=True)
    ]
    return Reduction(tuple(loops.over), "sum", call("mul", node.dtype, *factors))


def _cumsum(node: Operation, place: Place, value: Values) -> Reduction:
    x, axis = node.operands[0], node.attributes["axis"]
    loops = _Loops()
    j = loops.along(x.shape[axis])
    got = value(x, (*place[:axis], j, *place[axis + 1 :]))
    side = "ge" if node.attributes["reverse"] else "le"
    use = call(side, "bool", j, place[axis])
    chosen = call("select", node.dtype, use, got, Const(0, node.dtype))
    return Reduction(tuple(loops.over), "sum", chosen)


def _added_along(node: Operation, place: Place, value: Values) -> Reduction:
    x, indices = node.operands
    axis = node.attributes["axis"]
    loops = _Loops()
    inner = (*place[:axis], loops.along(x.shape[axis]), *place[axis + 1 :])
    index = call("cast", "int64", value(indices, inner))
    hit = call("eq", "bool", index, place[axis])
    chosen = call("select", node.dtype, hit, value(x, inner), Const(0, node.dtype))
    return Reduction(tuple(loops.over), "sum", chosen)


def _others(node: Operation, place: Place, value: Values) -> Reduction:
    """The product of all elements along axes but the one at `place`."""
    (x,) = node.operands
    loops, inner = _Loops(), list(place)
    own: Expr = Const(True, "bool")
    for a in node.attributes["axis"]:
        inner[a] = loops.along(x.shape[a])
        same = call("eq", "bool", inner[a], place[a])
        own = same if isinstance(own, Const) else call("and", "bool", own, same)
    factor = call("select", node.dtype, own, Const(1, node.dtype), value(x, tuple(inner)))
    return Reduction(tuple(loops.over), "prod", factor)


REDUCTIONS: dict[str, Callable[[Operation, Place, Values], Reduction]] = {
    "sum": _reduced("sum"),
    "prod": _reduced("prod"),
    "max": _reduced("max"),
    "min": _reduced("min"),
    "argmax": _reduced("argmax"),
    "argmin": _reduced("argmin"),
    "einsum": _einsum,
    "cumsum": _cumsum,
    "scatter_add_along": _added_along,
    "prod_others": _others,
}
"""By the names of the ops; `prod_others` without directions, the rest is decomposed."""
