"""Specialisation of a graph for training or prediction."""

from __future__ import annotations

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation, Parameter
from chainrule.ops.mode import count
from chainrule.passes.rewrite import rewrite
from chainrule.passes.totals import means_of_rows
from chainrule.types import N


def specialise(graph: Graph, *, training: bool, named: bool = False) -> dict[Node, Node]:
    """Maps every node to its form in training, or in prediction.

    Args:
        graph: to specialise.
        training: which side to take.
        named: whether what takes the place of a layer's result gets the name of the layer.
    """
    means = means_of_rows(graph) if training else {}

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        if node.op.name == "when_training":
            return renamed(operands[0 if training else 1], node)
        if node in means:
            return means[node] * count((N,), node.dtype)
        kept = node.op.name == "recomputed" and (named or not training)
        if kept or node.op.name in ("tracked", "objective", "data_total"):
            return renamed(operands[0], node)
        return None

    def renamed(new: Node, old: Node) -> Node:
        part = named and isinstance(new, Operation) and new.scope is old.scope
        return new.within(old.scope) if part and not old.suffix else new

    return rewrite(graph, rule)


def tracked_updates(graph: Graph, specialised: dict[Node, Node]) -> dict[Parameter, Node]:
    """The new values of the parameters that a training step tracks but does not train.

    Args:
        graph: the graph before specialisation.
        specialised: the result of `specialise` for it.
    """
    found: dict[Parameter, list[Node]] = {}
    for node in graph.operations:
        if node.op.name == "tracked" and isinstance(node.operands[0], Parameter):
            found.setdefault(node.operands[0], []).append(specialised[node.operands[1]])
    return {x: _mean(new) for x, new in found.items()}


def _mean(nodes: list[Node]) -> Node:
    """The mean of some nodes: of what several uses of shared layers track."""
    total = nodes[0]
    for x in nodes[1:]:
        total = total + x
    return total / len(nodes) if len(nodes) > 1 else total
