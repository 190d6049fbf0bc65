"""Networks in the form in which they are computed by hand: all of a small one, a unit of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from chainrule.explain.run import run
from chainrule.explain.trace import Trace
from chainrule.graph.graph import Graph, topological
from chainrule.graph.leaves import input, parameter
from chainrule.graph.node import Array, Input, Node, Operation, Parameter
from chainrule.graph.op import FUNCTIONS
from chainrule.nn.arguments import ACTIVATIONS
from chainrule.nn.recognise import activation_of
from chainrule.passes.precision import in_float64
from chainrule.passes.rewrite import rewrite
from chainrule.passes.specialise import specialise
from chainrule.types import N

UNIT_INPUTS = 4
"""The inputs of a unit that a sheet shows; the others are added up."""


@dataclass(frozen=True)
class Plain:
    """A network in float64, as it predicts, whose encoders are computed beforehand.

    Attributes:
        graph: of the loss, with the names that it had.
        loss: its node.
        before: what is computed beforehand: for each input of `graph` that was an operation, the
            node that computes it, in float64.
    """

    graph: Graph
    loss: Node
    before: Mapping[str, Node]

    @classmethod
    def of(cls, graph: Graph, loss: Node) -> Plain:
        """The plain form of a loss."""
        predicting = specialise(graph, training=False)
        first = Graph(predicting[loss], like=graph)
        wide = Graph(in_float64(first)[first.outputs[0]], like=first)
        learned = _learned(wide)
        before: dict[str, Node] = {}

        def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
            if node in learned or not _reads_data(node, wide, learned):
                return None
            name = wide.name(node)
            before[name] = node
            return Input(
                node.scope, node.type, suffix=node.suffix, source=node.source,
                batch=node.shape[:1] == (N,),
            )  # fmt: skip

        named = rewrite(wide, rule)[wide.outputs[0]].within(loss.scope, loss.suffix)
        new = Graph(named, like=wide)
        kept = {new.name(x) for x in new.inputs}
        return cls(new, new.outputs[0], {k: x for k, x in before.items() if k in kept})

    def feeds(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The values of the inputs, from those of the network's own inputs."""
        graph = Graph([*self.before.values()]) if self.before else None
        trace = None if graph is None else run(graph.outputs, _needed(graph, arrays))
        return {
            name: arrays[name] if trace is None or name not in self.before
            else trace.value(self.before[name])
            for name in map(self.graph.name, self.graph.inputs)
        }  # fmt: skip


def _needed(graph: Graph, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: arrays[name] for name in map(graph.name, graph.inputs)}


def _learned(graph: Graph) -> set[Node]:
    """The nodes that depend on a parameter."""
    found: set[Node] = set()
    for node in graph:
        if isinstance(node, Parameter) or any(x in found for x in node.inputs):
            found.add(node)
    return found


def _reads_data(node: Operation, graph: Graph, learned: set[Node]) -> bool:
    """Whether a node is computed from inputs, by more than views, and is read with parameters."""
    before = topological([node])
    ops = [x for x in before if isinstance(x, Operation)]
    if all(x.op.kind == "view" or x.op.name == "cast" for x in ops):
        return False
    read = any(x in learned for x in graph.consumers(node))
    return read and any(isinstance(x, Input) for x in before)


@dataclass(frozen=True)
class Unit:
    """One unit of a dense layer: the node of its net input, and how it goes on.

    Attributes:
        layer: the name of the layer's result.
        z: the net inputs of the layer.
        operand, weights, bias: of which they are computed.
        result: the outputs of the layer.
        activation: its name; "linear" for none.
    """

    layer: str
    z: Node
    operand: Node
    weights: Parameter
    bias: Parameter | None
    result: Node
    activation: str


def units(graph: Graph) -> list[Unit]:
    """The dense layers of a graph, in order of computation."""
    found = []
    for node in graph.operations:
        if node.op.name != "matmul" or node.ndim != 2:
            continue
        operand, weights = node.operands
        if not isinstance(weights, Parameter) or operand.ndim != 2:
            continue
        z, bias = _with_bias(graph, node)
        result, activation = _activated(graph, z)
        found.append(Unit(graph.name(result), z, operand, weights, bias, result, activation))
    return found


def _with_bias(graph: Graph, node: Node) -> tuple[Node, Parameter | None]:
    """The sum of a node and a bias, if that is all that reads it."""
    readers = graph.consumers(node)
    if len(readers) == 1 and readers[0].op.name == "add":
        for x in readers[0].operands:
            while isinstance(x, Operation) and x.op.name == "broadcast_to":
                x = x.operands[0]
            if isinstance(x, Parameter) and x.ndim == 1:
                return readers[0], x
    return node, None


def _activated(graph: Graph, z: Node) -> tuple[Node, str]:
    """The result of the activation of a node, and its name."""
    after = [x for x in graph.operations if z in _near(graph, x)]
    for x in reversed(after):
        found = activation_of(x)
        if found is not None and found[1] is z:
            return x, found[0]
    for x in graph.consumers(z):
        if x.op.name in ACTIVATIONS and x.operands == (z,) and x.shape == z.shape:
            return x, x.op.name
    return z, "linear"


def _near(graph: Graph, node: Node, depth: int = 8) -> set[Node]:
    """The nodes that one is computed from in a few operations."""
    near, edge = {node}, [node]
    for _ in range(depth):
        edge = [y for x in edge for y in x.inputs if y not in near]
        near.update(edge)
    return near


@dataclass(frozen=True)
class UnitNumbers:
    """The numbers of one unit, for a row.

    Attributes:
        column: the index of the unit.
        chosen: the indices of its inputs that are shown, the largest products first.
        inputs, weights: of those.
        rest: the sum of the other products.
        bias: None where the layer has none.
        slope: the gradient of the loss at the unit's output.
    """

    column: int
    chosen: tuple[int, ...]
    inputs: Array
    weights: Array
    rest: float
    bias: float | None
    slope: float


def unit_numbers(trace: Trace, unit: Unit, row: int, column: int) -> UnitNumbers:
    """The numbers of a unit in a trace after `backward`."""
    a, w = trace.value(unit.operand)[row], trace.value(unit.weights)[:, column]
    order = np.argsort(-np.abs(a * w), kind="stable")
    chosen = np.sort(order[:UNIT_INPUTS])
    rest = float((a * w).sum() - (a * w)[chosen].sum()) if len(a) > UNIT_INPUTS else 0.0
    bias = None if unit.bias is None else float(trace.value(unit.bias)[column])
    slope = float(trace.gradient(unit.result)[row, column])
    return UnitNumbers(
        column, tuple(map(int, chosen)), a[chosen], w[chosen], rest, bias, slope
    )  # fmt: skip


def unit_network(unit: Unit, numbers: UnitNumbers) -> tuple[Node, dict[str, Array]]:
    """A network of one unit, and its inputs: `E = g * h`, with the slope of the loss as `g`."""
    count = len(numbers.chosen)
    a = input("a", (count,), dtype="float64")
    w = parameter("w", numbers.weights.reshape(count, 1), dtype="float64")
    feeds: dict[str, Array] = {"a": numbers.inputs.reshape(1, count)}
    z = (a @ w).named("u")
    if numbers.rest:
        z = (z + input("r", (1,), dtype="float64")).named("v")
        feeds["r"] = np.array([[numbers.rest]])
    if numbers.bias is not None:
        z = z + parameter("b", [numbers.bias], dtype="float64")
    z = z.named("z")
    h = z if unit.activation == "linear" else FUNCTIONS[unit.activation](z).named("h")
    feeds["g"] = np.array([[numbers.slope]])
    product = (input("g", (1,), dtype="float64") * h).named("p")
    return FUNCTIONS["sum"](product).named("E"), feeds
