"""Decomposition of ops into simpler ones for machine code; the interpreter runs them directly."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.errors import GraphError
from chainrule.graph.graph import topological
from chainrule.graph.node import Node, Operation, Scope, rebuilt
from chainrule.passes.rewrite import rewrite

MAX_NESTED = 30
"""The greatest depth of nested decompositions."""


def decompose(graph: Iterable[Node]) -> dict[Node, Node]:
    """The replacement of every node of a graph, without ops that can be decomposed."""
    return rewrite(graph, decomposed)


def lowers(node: Operation) -> bool:
    """Whether a node can be compiled; all of Chainrule's own ops can."""
    if not node.op.serial:
        return True
    made = decomposed(node, node.operands)
    new = topological([node if made is None else made], known=node.operands)
    return all(x.op.lower is not None for x in new if isinstance(x, Operation))


def decomposed(node: Operation, operands: tuple[Node, ...], nested: int = 0) -> Node | None:
    """An equal node on these operands with the same name, decomposed; None keeps the node.

    The nodes before it are named after it: `log_softmax.max`, `log_softmax.exp`.
    """
    if node.op.decompose is None:
        return None
    made = node.op.decompose(*operands, **node.attributes)
    if made is None or made in operands:
        return made
    if made.type != node.type:
        raise _wrong(node, "makes the wrong type", expected=node.type, got=made.type)
    if nested == MAX_NESTED:
        raise _wrong(node, f"has {node.op.name!r} in it again")
    there = [*operands, *(y for x in operands for y in x.inputs)]  # a rule may look at these, too
    place = {x: x for x in there}
    for x in topological([made], known=there):
        place[x] = x
        if isinstance(x, Operation):
            inner = tuple(place[y] for y in x.operands)
            named = rebuilt(x, inner, Scope(f"{node.label}.{x.label}"))
            new = decomposed(named, inner, nested + 1)
            place[x] = named if new is None else new
    return place[made].within(node.scope, node.suffix)


def _wrong(node: Operation, what: str, expected: object = None, got: object = None) -> GraphError:
    return GraphError(
        "decompose",
        f"the decomposition of {node.op.name!r} {what}",
        expected=expected,
        got=got,
        at=f"node {node.label!r}, line {node.source}",
    )
