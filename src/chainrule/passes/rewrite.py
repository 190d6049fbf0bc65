"""The loop of all graph rewrites."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chainrule.graph.node import Node, Operation, rebuilt


def rewrite(
    graph: Iterable[Node],
    rule: Callable[[Operation, tuple[Node, ...]], Node | None],
    leaf: Callable[[Node], Node] = lambda node: node,
) -> dict[Node, Node]:
    """Maps every node of `graph` to its replacement.

    Args:
        graph: the nodes to rewrite, operands before their consumers; they do not change.
        rule: takes an operation and its rewritten operands; returns the replacement, or None to
            keep the operation. A node is rebuilt only if an operand changed, so names and random
            streams stay.
        leaf: returns the replacement of an input or a parameter.
    """
    replaced: dict[Node, Node] = {}
    for node in graph:
        if not isinstance(node, Operation):
            replaced[node] = leaf(node)
            continue
        operands = tuple(replaced[x] for x in node.operands)
        new = rule(node, operands)
        if new is None:
            new = node if operands == node.operands else rebuilt(node, operands)
        replaced[node] = new
    return replaced
