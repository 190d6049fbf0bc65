"""The Trace: a graph run on real examples, value and gradient at every node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chainrule.autodiff import Backward, backward, gradients
from chainrule.errors import FeedError, GraphError, did_you_mean
from chainrule.explain.formula import by_name, by_number, expression, number, transparent
from chainrule.graph.check import check
from chainrule.graph.feeds import as_feed, bind
from chainrule.graph.graph import Graph
from chainrule.graph.keys import step_key
from chainrule.graph.node import Array, Node, Operation
from chainrule.graph.step import KEY, RATE, STEP_INDEX, STEP_INPUTS
from chainrule.interpret import evaluate, initial_value


@dataclass(frozen=True)
class TraceStep:
    """One value or gradient, in the order in which they were computed.

    Attributes:
        direction: "forward" for a value, "backward" for a gradient.
        node, name: which node's.
        formula: how it was computed, with the names of nodes.
        numbers: the same with their numbers.
        value: the array that came out.
        consumers: of a gradient, the nodes that sent a part of it, in the order of adding up.
    """

    direction: str
    node: Node
    name: str
    formula: str
    numbers: str
    value: Array
    consumers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.formula}\n    = {self.numbers}\n    = {number(self.value, 9)}"


class Trace:
    """What `run` gives: the value of every node, and after `backward` its gradient.

    Attributes:
        graph: the nodes, in the order of computation.
        rows: how many examples were fed.
    """

    def __init__(self, graph: Graph, known: Mapping[Node, Array], rows: int, training: bool):
        self.graph, self.rows, self._training = graph, rows, training
        self._values = evaluate(graph, known, rows=rows, training=training)
        self._backward: Backward | None = None
        self._gradients: dict[Node, Array] = {}

    def __repr__(self) -> str:
        return f"<Trace of {len(self.graph)} nodes on {self.rows} rows>"

    def value(self, node: Node | str) -> Array:
        """The value of a node, given itself or by name.

        Raises:
            GraphError: it is not a part of the graph that was run.
        """
        return self._values[self.graph.find(node)]

    def backward(self, loss: Node | str) -> None:
        """Compute the gradient of a scalar `loss` at every node.

        Raises:
            GraphError: `loss` is not a floating-point scalar, or not in the graph.
        """
        found = backward(self.graph, self.graph.find(loss))
        extended = Graph([*self.graph.outputs, *found.gradients.values()], like=self.graph)
        check(extended)
        self._values = evaluate(extended, self._values, rows=self.rows, training=self._training)
        self._gradients = {x: self._values[gx] for x, gx in found.gradients.items()}
        self._backward = found

    def gradient(self, node: Node | str) -> Array:
        """The gradient of the loss at a node; zeros where the loss does not depend on it.

        Raises:
            GraphError: `backward` was not called, or the node holds no floating-point numbers.
        """
        node = self.graph.find(node)
        if self._backward is None:
            raise GraphError("gradient", "no gradients yet", fix="call trace.backward(loss) first")
        if not node.type.floating:
            raise GraphError(
                "gradient", f"{self.graph.name(node)!r} holds {node.dtype}: it has no gradient"
            )
        if node not in self._gradients:  # a constant, or what the loss does not depend on
            (found,) = gradients(self._backward.loss, [node])
            graph = Graph(found, like=self.graph)
            env = evaluate(graph, self._values, rows=self.rows, training=self._training)
            self._gradients[node] = env[found]
        return self._gradients[node]

    def steps(self) -> list[TraceStep]:
        """All values in the order of computation, then, after `backward`, all gradients.

        Each has its formula, with names and with numbers. Constants and mere repetitions of
        another node have no step of their own; they are written where they are used.
        """
        names = {x: self.graph.name(x) for x in self.graph}
        shown = [x for x in self.graph if isinstance(x, Operation) and not transparent(x)]
        steps = [
            TraceStep(
                "forward",
                node,
                names[node],
                f"{names[node]} = {expression(node, by_name(names))}",
                expression(node, by_number(names, self._values)),
                self._values[node],
            )
            for node in shown
        ]
        return steps + (self._backward_steps(self._backward, names) if self._backward else [])

    def _backward_steps(self, found: Backward, names: dict[Node, str]) -> list[TraceStep]:
        loss = names[found.loss]
        visible = [x for x in found.gradients if not transparent(x)]
        # The node of a gradient may also be that of another (a sum passes its gradient on):
        # it is shown under the name of the node nearest to the loss.
        leaves = dict(names)
        for x in visible:
            leaves.setdefault(found.gradients[x], f"∂{loss}/∂{names[x]}")
        steps = []
        for node in visible:
            gradient = found.gradients[node]
            title = f"∂{loss}/∂{names[node]}"
            own = leaves[gradient] == title
            steps.append(
                TraceStep(
                    "backward",
                    node,
                    names[node],
                    f"{title} = "
                    + (expression(gradient, by_name(leaves)) if own else leaves[gradient]),
                    expression(gradient, by_number(leaves, self._values))
                    if own
                    else number(self._values[gradient]),
                    self._gradients[node],
                    tuple(names[c.consumer] for c in found.contributions.get(node, [])),
                )
            )
        return steps


def run(
    outputs: Node | Iterable[Node],
    feeds: Mapping[str, npt.ArrayLike],
    *,
    values: Mapping[str, npt.ArrayLike] | None = None,
    training: bool = False,
    seed: int = 0,
    step: int = 0,
    like: Graph | None = None,
) -> Trace:
    """Compute `outputs` on some examples and keep what every node did.

    Args:
        outputs: one node or several.
        feeds: for each Input by name, its array, rows first.
        values: for Parameters by name, their present values; the rest have their initial ones.
        training: what `when_training` takes, so whether dropout drops.
        seed, step: of what is random.
        like: a graph whose names are kept.

    Raises:
        FeedError: the arrays do not match the inputs, or `values` the parameters.
    """
    graph = check(Graph(outputs, like=like))
    names = {x: graph.name(x) for x in graph.inputs if x not in STEP_INPUTS}
    known, rows = bind(names, names, feeds)
    known[KEY] = step_key(seed, step)
    known[RATE], known[STEP_INDEX] = np.asarray(0.0), np.asarray(step + 1.0)
    known |= _parameters(graph, values or {}, like or graph, seed)
    # of its own, whatever becomes of the caller's arrays
    return Trace(graph, {x: value.copy() for x, value in known.items()}, rows, training)


def _parameters(
    graph: Graph, values: Mapping[str, npt.ArrayLike], like: Graph, seed: int
) -> dict[Node, Array]:
    """The values given for the parameters, else their initial ones."""
    names = {x: graph.name(x) for x in graph.parameters}
    known = dict.fromkeys([*names.values(), *map(like.name, like.parameters)])
    for name in values:
        if name not in known:
            raise FeedError(
                "values", f"no parameter is named {name!r}", fix=did_you_mean(name, known)
            )
    return {
        x: as_feed(f"parameter {name!r}", values[name], x.type)
        if name in values
        else initial_value(x, name, seed)
        for x, name in names.items()
    }
