"""Ops of values that a training step computes twice, so that it need not keep them."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.graph.attributes import NATURAL
from chainrule.graph.node import Node, Operation, apply
from chainrule.graph.op import Element, Values, op
from chainrule.ir.index import Place, call, const
from chainrule.ir.kernel import Call, Expr
from chainrule.types import N

RECOMPUTED = op(
    "recomputed",
    "view",
    infer=lambda y, *operands, given: y,
    attributes={"given": NATURAL},
    forward=lambda y, *operands, given: y,
    gradient=lambda gy, node, y, *operands, given: (gy, *(None,) * len(operands)),
    decompose=lambda y, *operands, given: y,
    price=0,
    formula="{0}",
    convention="Its gradient computes what lies between operands and value again.",
)


def recomputed(y: Node, given: Sequence[Node], others: Sequence[Node] = ()) -> Node:
    """`y`, which a backward pass computes again from nodes before it, instead of keeping it.

    Args:
        y: any node.
        given: those from which it is computed again: all nodes between them and `y`.
        others: nodes that these read too, and that are kept.
    """
    return apply(RECOMPUTED, y, *given, *others, given=len(given))


def _lower_again(node: Operation, place: Place, value: Values) -> Expr:
    """The element of x, chosen from two equal ones by an element of each other operand."""
    x, *after = node.operands
    element = value(x, place)
    row = place[x.shape.index(N)] if N in x.shape else None
    for y in after:
        if 0 in y.shape or (N in y.shape and row is None):
            continue
        at = tuple(row if d is N and row is not None else const(0) for d in y.shape)
        seen = value(y, at)
        choice = call("eq", "bool", seen, seen)
        element = Call("select", (choice, element, element), node.dtype)
    return element


AGAIN = op(
    "again",
    "view",
    infer=lambda x, *after: x,
    attributes={},
    forward=lambda x, *after: x,
    gradient=lambda gy, y, x, *after: (gy, *(None,) * len(after)),
    lower=Element(_lower_again, stored=True),
    formula="{0}",
    convention="A copy, made when its other operands are known.",
)


def again(x: Node, after: Sequence[Node]) -> Node:
    """A copy of `x`, made after other nodes: what is computed from it is not computed before."""
    return apply(AGAIN, x, *after)
