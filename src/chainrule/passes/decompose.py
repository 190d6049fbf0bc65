"""Ops that machine code puts together from simpler ones; the interpreter keeps its own for them."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.errors import GraphError
from chainrule.graph.graph import topological
from chainrule.graph.node import Node, Operation, rebuilt
from chainrule.passes.rewrite import rewrite

MAX_NESTED = 30
"""How often a decomposition may be decomposed again."""


def decompose(graph: Iterable[Node]) -> dict[Node, Node]:
    """For every node of a graph, what computes the same without ops that can be decomposed."""
    return rewrite(graph, _decomposed)


def lowers(node: Operation) -> bool:
    """Whether machine code can be made of a node; it can of all of Chainrule's own ops."""
    if not node.op.serial:
        return True
    made = _decomposed(node, node.operands) or node
    new = topological([made], known=node.operands)
    return all(x.op.lower is not None for x in new if isinstance(x, Operation))


def _decomposed(node: Operation, operands: tuple[Node, ...], nested: int = 0) -> Node | None:
    """What computes the same as a node on these operands, under its name; None keeps the node."""
    if node.op.decompose is None:
        return None
    made = node.op.decompose(*operands, **node.attributes)
    if made is None or made in operands:
        return made
    if made.type != node.type or nested == MAX_NESTED:
        raise GraphError(
            "decompose",
            f"the decomposition of {node.op.name!r} makes the wrong type"
            if made.type != node.type
            else f"the decomposition of {node.op.name!r} has {node.op.name!r} in it again",
            expected=node.type,
            got=made.type,
            at=f"node {node.label!r}, line {node.source}",
        )
    place = {x: x for x in operands}
    for x in topological([made], known=operands):
        place[x] = x
        if isinstance(x, Operation):
            inner = tuple(place[y] for y in x.operands)
            kept = x if inner == x.operands else rebuilt(x, inner)
            place[x] = _decomposed(x, inner, nested + 1) or kept
    return place[made].within(node.scope, node.suffix)
