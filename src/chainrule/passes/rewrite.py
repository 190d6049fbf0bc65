"""The one loop that all rewriting of graphs goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chainrule.graph.node import Node, Operation, rebuilt


def rewrite(
    graph: Iterable[Node],
    rule: Callable[[Operation, tuple[Node, ...]], Node | None],
    leaf: Callable[[Node], Node] = lambda node: node,
) -> dict[Node, Node]:
    """For every node of `graph`, the node that takes its place.

    Args:
        graph: what to rewrite, operands before their consumers; it is left as it is.
        rule: gets an operation and its operands as already rewritten, and gives the node to put
            in its place, or None to keep the operation. Nothing is made anew where nothing
            changed, so names and random streams stay.
        leaf: gives what stands for an input or a parameter.
    """
    place: dict[Node, Node] = {}
    for node in graph:
        if not isinstance(node, Operation):
            place[node] = leaf(node)
            continue
        operands = tuple(place[x] for x in node.operands)
        new = rule(node, operands)
        if new is None:
            new = node if operands == node.operands else rebuilt(node, operands)
        place[node] = new
    return place
