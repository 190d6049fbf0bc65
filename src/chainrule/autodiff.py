"""Reverse-mode differentiation: extends a graph by the gradients of a loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from chainrule.errors import GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation, Scope
from chainrule.ops.build import broadcast_to, constant, require_scalar


@dataclass(frozen=True, slots=True)
class Contribution:
    """The gradient that one consumer passes back to one of its operands.

    Attributes:
        consumer: the operation that reads the operand.
        position: the index of the operand.
        gradient: the node that computes it.
    """

    consumer: Operation
    position: int
    gradient: Node


@dataclass(frozen=True, slots=True)
class Backward:
    """The backward pass of a graph, as nodes.

    Attributes:
        loss: the differentiated scalar.
        gradients: for each node that the loss depends on, the node of its gradient, in the
            order of computation: the loss first.
        contributions: for each such node, the terms of its gradient, in the order of summation.
    """

    loss: Node
    gradients: dict[Node, Node]
    contributions: dict[Node, list[Contribution]]


def backward(graph: Graph, loss: Node, wrt: Iterable[Node] | None = None) -> Backward:
    """Builds the backward pass from `loss` through `graph`.

    Args:
        graph: contains `loss` and the nodes of `wrt`.
        loss: a floating-point scalar.
        wrt: the nodes to differentiate with respect to; only what they need is built. None:
            every floating-point node except constants.

    Raises:
        GraphError: `loss` is not a scalar, a node is not in the graph, or a gradient rule is wrong.
    """
    require_scalar("backward", loss)
    relevant = _depending_on(graph, wrt)
    contributions: dict[Node, list[Contribution]] = {}
    gradients: dict[Node, Node] = {graph.find(loss): constant(1.0, loss.dtype)}
    named = set(gradients.values())
    for node in reversed(graph.nodes):
        if node in contributions:
            total = contributions[node][0].gradient
            for contribution in contributions[node][1:]:
                total = total + contribution.gradient
            if total not in named and total not in graph:
                total = total.within(Scope(f"{graph.name(node)}.gradient"))
                named.add(total)
                if len(contributions[node]) == 1:
                    contributions[node] = [replace(contributions[node][0], gradient=total)]
            gradients[node] = total
        if node not in gradients or not isinstance(node, Operation):
            continue
        if any(x in relevant for x in node.operands):
            for contribution in _contributions(node, gradients[node]):
                operand = node.operands[contribution.position]
                if operand in relevant and operand.type.floating:
                    contributions.setdefault(operand, []).append(contribution)
    return Backward(loss, gradients, contributions)


def _depending_on(graph: Graph, wrt: Iterable[Node] | None) -> set[Node]:
    if wrt is None:
        return {x for x in graph if not isinstance(x, Operation) or x.op.name != "constant"}
    relevant = {graph.find(x) for x in wrt}
    for node in graph:
        if any(x in relevant for x in node.inputs):
            relevant.add(node)
    return relevant


def _contributions(node: Operation, gy: Node) -> list[Contribution]:
    rule = node.op.gradient
    if rule is None:
        return []
    entries = rule(gy, node, *node.operands, **node.attributes)
    if len(entries) != len(node.operands):
        raise GraphError(
            "backward",
            f"the gradient rule of {node.op.name!r} does not match its operands",
            expected=f"{len(node.operands)} entries",
            got=len(entries),
        )
    for x, gx in zip(node.operands, entries, strict=True):
        if gx is not None and gx.type != x.type:
            raise GraphError(
                "backward",
                f"the gradient rule of {node.op.name!r} returns the wrong type",
                expected=x.type,
                got=gx.type,
                at=node.source,
            )
    return [Contribution(node, k, gx) for k, gx in enumerate(entries) if gx is not None]


def gradients(loss: Node, nodes: Node | Iterable[Node]) -> list[Node]:
    """The gradient of a scalar `loss` with respect to each of `nodes`, as nodes.

    They can be computed, built upon and differentiated again. A node that the loss does not
    depend on, or only through ops that are not differentiable, has the gradient zero.

    Args:
        loss: a floating-point scalar node.
        nodes: floating-point nodes of any shape, or one; a gradient has the type of its node.

    Raises:
        GraphError: `loss` is not a scalar, or a node is not floating point.
    """
    nodes = [nodes] if isinstance(nodes, Node) else list(nodes)
    graph = Graph([loss, *nodes])
    for x in nodes:
        if not x.type.floating:
            raise GraphError(
                "gradients",
                f"{graph.name(x)!r} holds {x.dtype}: it has no gradient",
                at="line " + x.source,
            )
    computed = backward(graph, loss, nodes).gradients
    return [
        computed[x] if x in computed else broadcast_to(constant(0.0, x.dtype), x.shape)
        for x in nodes
    ]
