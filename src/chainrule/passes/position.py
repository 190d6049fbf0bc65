"""The place of a minibatch in a step that programs share: row count and offset are inputs."""

from __future__ import annotations

from dataclasses import replace

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation
from chainrule.graph.step import FIRST_ROW, ROW_COUNT
from chainrule.ops.mode import COUNT, EXCHANGE
from chainrule.ops.random import UNIFORM
from chainrule.passes.rewrite import rewrite
from chainrule.types import N


def position(graph: Graph) -> dict[Node, Node] | None:
    """Maps every node of a step to its replacement, where several programs share the rows.

    A mean then divides by the rows of all, and the random numbers of a row are those of its place
    among all. Such a step exchanges gradients; None for any other, which stays as it is.
    """
    if not any(node.op is EXCHANGE for node in graph.operations):
        return None

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        shape = node.attributes.get("shape", ())
        if shape[:1] != (N,) or N in shape[1:]:
            return None
        if node.op is COUNT and not operands:
            return replace(node, operands=(ROW_COUNT,), source=node.source)
        if node.op is UNIFORM and len(operands) == 1:
            return replace(node, operands=(*operands, FIRST_ROW), source=node.source)
        return None

    return rewrite(graph, rule)
