"""Training and prediction: the one side of `when_training` that a program needs."""

from __future__ import annotations

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation, Parameter
from chainrule.passes.rewrite import rewrite


def specialise(graph: Graph, *, training: bool) -> dict[Node, Node]:
    """For every node, what stands for it when training, or when not."""

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        if node.op.name == "when_training":
            return operands[0 if training else 1]
        if node.op.name in ("tracked", "objective"):
            return operands[0]
        return None

    return rewrite(graph, rule)


def tracked_updates(graph: Graph, place: dict[Node, Node]) -> dict[Parameter, Node]:
    """What a training step writes to the parameters that are tracked, not trained.

    Args:
        graph: before it was specialised.
        place: what `specialise` made of its nodes.
    """
    return {
        node.operands[0]: place[node.operands[1]]
        for node in graph.operations
        if node.op.name == "tracked" and isinstance(node.operands[0], Parameter)
    }
