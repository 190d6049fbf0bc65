"""Reverse-mode differentiation: extends a graph by the gradients of a loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from chainrule.errors import GraphError
from chainrule.graph.graph import Graph, topological
from chainrule.graph.node import Node, Operation, Scope, rebuilt
from chainrule.ops.again import RECOMPUTED, again
from chainrule.ops.build import broadcast_to, constant, require_scalar
from chainrule.types import N


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
    wanted = graph.nodes if wrt is None else [graph.find(x) for x in wrt]
    walk = _Walk(graph, _depending_on(graph, None if wrt is None else wanted), set(wanted))
    walk.seed(graph.find(loss), constant(1.0, loss.dtype))
    walk.through(graph.nodes)
    return Backward(loss, walk.gradients, walk.contributions)


class _Walk:
    """A backward pass under construction.

    Args:
        graph: of the forward pass.
        relevant: the nodes through which gradients go.
        wanted: those whose gradients are asked for: they are not computed again.

    Attributes:
        gradients, contributions: see Backward; of nodes that are computed again, too.
    """

    def __init__(self, graph: Graph, relevant: set[Node], wanted: set[Node]) -> None:
        self._graph, self._relevant, self._wanted = graph, relevant, wanted
        self._named: set[Node] = set()
        self._origin: dict[Node, Node] = {}  # of the nodes that are computed again
        self._entered: dict[Node, None] = {}  # nodes with a contribution from the present part
        self._latest: tuple[Node, ...] = ()  # what the last part gave to nodes outside of it
        self.gradients: dict[Node, Node] = {}
        self.contributions: dict[Node, list[Contribution]] = {}

    def seed(self, node: Node, gradient: Node) -> None:
        """Begin with the gradient of a node."""
        self.gradients[node] = gradient
        self._named.add(gradient)

    def through(self, nodes: Sequence[Node]) -> None:
        """Go back through nodes, which are in the order of computation."""
        for node in reversed(nodes):
            if node in self.contributions:
                self.gradients[node] = self._total(node)
            if node not in self.gradients or not isinstance(node, Operation):
                continue
            if any(x in self._relevant for x in node.operands):
                gy = self.gradients[node]
                part = self._part(node, gy) if node.op is RECOMPUTED else {}
                if part:
                    self._again(node, gy, part)
                else:
                    self._enter(_contributions(node, gy))

    def _enter(self, found: Iterable[Contribution]) -> None:
        for contribution in found:
            operand = contribution.consumer.operands[contribution.position]
            if operand in self._relevant and operand.type.floating:
                self.contributions.setdefault(operand, []).append(contribution)
                self._entered[operand] = None

    def _total(self, node: Node) -> Node:
        """The gradient of a node, which gets its name if it is new."""
        found = self.contributions[node]
        total = _sum(found)
        if total not in self._named and total not in self._graph and total not in self._origin:
            total = total.within(Scope(f"{self._name(node)}.gradient"))
            self._named.add(total)
            if len(found) == 1:
                self.contributions[node] = [replace(found[0], gradient=total)]
        return total

    def _name(self, node: Node) -> str:
        return self._graph.name(self._origin.get(node, node))

    def _part(self, node: Operation, gy: Node) -> dict[Node, Node]:
        """The nodes before a `recomputed` one, each with its copy, in order of computation.

        A copy waits for what the part before has given to others, their sums so far: so few of
        the values of both are needed at a time. Empty where the nodes have to be those that are.
        """
        y, *operands = node.operands
        given = operands[: node.attributes["given"]]
        after = [gy, *(x for x in self._latest if (N in x.shape) == (N in gy.shape))]
        copies = {x: again(x, after).within(Scope(f"{self._name(x)}.again")) for x in given}
        for x in topological([y], known=operands):
            if isinstance(x, Operation) and any(z in copies for z in x.operands):
                inner = tuple(copies.get(z, z) for z in x.operands)
                copies[x] = rebuilt(x, inner, Scope(f"{self._name(x)}.again"))
        if y not in copies or y in given or not self._wanted.isdisjoint(copies.keys() - set(given)):
            return {}
        for old, new in copies.items():
            self._origin[new] = self._origin.get(old, old)
            if old in self._relevant:
                self._relevant.add(new)
        return copies

    def _again(self, node: Operation, gy: Node, part: dict[Node, Node]) -> None:
        """Go back through the copy of the nodes before a `recomputed` one."""
        end, inside = part[node.operands[0]], set(part.values())
        self.contributions[end] = [Contribution(node, 0, gy)]
        outer, self._entered = self._entered, {}
        self.through(list(part.values()))
        others = [x for x in self._entered if x not in inside]
        for x in others:
            found = self.contributions[x]
            self.contributions[x] = [replace(found[-1], gradient=_sum(found))]
        self._latest = tuple(self.contributions[x][0].gradient for x in others)
        self._entered = outer | dict.fromkeys(others)


def _sum(contributions: Sequence[Contribution]) -> Node:
    """The sum of some contributions, in their order."""
    total = contributions[0].gradient
    for contribution in contributions[1:]:
        total = total + contribution.gradient
    return total


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
