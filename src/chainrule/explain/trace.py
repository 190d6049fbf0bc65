"""The Trace: a graph run on real examples, with the value and gradient of every node."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from chainrule.autodiff import Backward, backward, gradients
from chainrule.engine.step import ExplainedStep
from chainrule.errors import GraphError
from chainrule.explain.formula import SHOWN
from chainrule.graph.check import check
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node, Operation, Parameter
from chainrule.interpret import EvalSchedule
from chainrule.system.blas import one_thread

if TYPE_CHECKING:
    from chainrule.display.diagram import Picture
    from chainrule.explain.check import Checked
    from chainrule.explain.compare import TraceComparison
    from chainrule.explain.pixel import Pixel
    from chainrule.explain.steps import TraceStep, TraceSteps
    from chainrule.explain.worked import Entry
    from chainrule.inspector.page import Page


class Trace:
    """The result of `run`: the value of every node, and after `backward` its gradient.

    That of `Model.trace_step` also has the new value of every parameter and optimizer slot.

    Attributes:
        graph: the nodes of the forward pass, in order of computation.
        extended: all nodes that were computed: with those of gradients and new values.
        built: the backward pass: `gradients`, the node of the gradient at each node; and
            `contributions`, the term that each of its consumers adds to it, in order. None before
            `backward`.
        updates: the node of the new value of each parameter, slot and tracked statistic; empty
            but for `trace_step`.
        rows: the number of examples.

    Args:
        each: gives what takes the place of the value of an operation, such as a rounded one.
    """

    built: Backward | None
    updates: Mapping[Parameter, Node]

    def __init__(
        self,
        graph: Graph,
        given: Mapping[Node, Array],
        rows: int,
        training: bool,
        each: Callable[[Operation, Array], Array] | None = None,
    ):
        self.graph = self.extended = graph
        self.rows, self._training, self._each = rows, training, each
        self._values = self._evaluate(graph, given)
        self.built, self.updates = None, {}
        self._gradients: dict[Node, Array] = {}
        self._stands_for: Mapping[Node, Node] = {}
        self._named: Mapping[str, Node] = {}

    @classmethod
    def of_step(
        cls, explained: ExplainedStep, graph: Graph, given: Mapping[Node, Array], rows: int
    ) -> Self:
        """The trace of a training step.

        Args:
            explained: the step.
            graph: of the model, whose nodes and names are known besides those of the step.
            given: the values of inputs and of the step's state.
            rows: the number of examples.
        """
        with one_thread:  # as the interpreter runs a step: the same bits
            trace = cls(explained.forward, given, rows, training=True)
            trace._extend(explained.built, explained.updates)
        names = {graph.name(x): y for x, y in explained.place.items()}
        trace._stands_for = dict(explained.place)
        trace._named = names
        return trace

    def __repr__(self) -> str:
        return f"<Trace of {len(self.graph)} nodes on {self._rows_in_words}>"

    @property
    def _rows_in_words(self) -> str:
        return "1 row" if self.rows == 1 else f"{self.rows} rows"

    def _repr_html_(self) -> str:
        said = f"<div>{html.escape(repr(self)[1:-1])}</div>"
        try:
            return f"<div>{said}{self.picture().svg}</div>"
        except GraphError:  # too many boxes; nodes= chooses some
            return f"<div>{said}{self.steps()._repr_html_()}</div>"

    def value(self, node: Node | str) -> Array:
        """Returns the value of a node, given as the node or its name.

        Raises:
            GraphError: it is not part of the graph.
        """
        return self._values[self._find(node, self.extended)]

    def _find(self, node: Node | str, graph: Graph) -> Node:
        """The node of a graph that is meant: in training another may stand for that of a model."""
        if isinstance(node, str):
            return graph.find(self._named.get(node, node))
        return graph.find(self._stands_for.get(node, node))

    @property
    def inputs(self) -> dict[Node, Array]:
        """The values of the Inputs."""
        return {x: self._values[x] for x in self.graph.inputs}

    def backward(self, loss: Node | str) -> None:
        """Computes the gradient of a scalar `loss` with respect to every node.

        Raises:
            GraphError: `loss` is not a floating-point scalar, or not in the graph.
        """
        self._extend(backward(self.graph, self._find(loss, self.graph)), {})

    def _extend(self, built: Backward, updates: Mapping[Parameter, Node]) -> None:
        """Compute gradients and new values."""
        outputs = [*self.graph.outputs, *built.gradients.values(), *updates.values(), *updates]
        self.extended = check(Graph(outputs, like=self.graph))
        self._values = self._evaluate(self.extended, self._values)
        self._gradients = {x: self._values[gx] for x, gx in built.gradients.items()}
        self.built, self.updates = built, updates

    def update(self, updates: Mapping[Parameter, Node], values: Mapping[Node, Array]) -> None:
        """Computes new values of parameters and slots, by nodes that read the gradients.

        Args:
            updates: the node of each new value.
            values: of the slots, and of the inputs of a step that are new.

        Raises:
            GraphError: `backward` was not called.
        """
        if self.built is None:
            raise GraphError("update", "no gradients yet", fix="call trace.backward(loss) first")
        self._values = {**self._values, **values}
        self._extend(self.built, updates)

    def updated(self, parameter: Parameter | str) -> Array:
        """Returns the value after the step of a parameter, an optimizer slot or a statistic.

        That of one that the step does not change is its present value.

        Args:
            parameter: the node, or its name; a slot is named after its parameter, as in "w.mean".

        Raises:
            GraphError: there is none of this name, or the trace is not that of a step.
        """
        if not self.updates:
            raise GraphError(
                "updated", "the trace has no update", fix="model.trace_step(batch) makes one"
            )
        node = self._find(parameter, self.extended)
        if not isinstance(node, Parameter):
            raise GraphError("updated", f"{self.extended.name(node)!r} is not a parameter")
        return self._values[self.updates.get(node, node)]

    def gradient(self, node: Node | str) -> Array:
        """Returns the gradient of the loss at a node; zeros if the loss does not depend on it.

        Raises:
            GraphError: `backward` was not called, or the node is not floating point.
        """
        node = self._find(node, self.graph)
        if self.built is None:
            raise GraphError("gradient", "no gradients yet", fix="call trace.backward(loss) first")
        if not node.type.floating:
            raise GraphError(
                "gradient", f"{self.graph.name(node)!r} holds {node.dtype}: it has no gradient"
            )
        if node not in self._gradients:  # a constant, or a node that the loss does not depend on
            (gradient,) = gradients(self.built.loss, [node])
            graph = Graph(gradient, like=self.graph)
            self._gradients[node] = self._evaluate(graph, self._values)[gradient]
        return self._gradients[node]

    def picture(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        nodes: Iterable[Node | str] | None = None,
        title: str | None = None,
    ) -> Picture:
        """A picture of the graph with the value of every node, after `backward` its gradient too.

        `trace.picture("step.svg")` writes it as a file. Large arrays are cut.

        Args:
            path: of an SVG file to write; None writes none.
            nodes: those to draw, as nodes or names; formulas are expanded down to these. None:
                all that are not shown in the formulas of others; of more than 30, the layers.
            title: for screen readers.

        Returns:
            The picture: a notebook shows it, `svg` is its text, `save` writes it.

        Raises:
            GraphError: a node is not part of the graph, or too many are chosen.
            OSError: the file cannot be written.
        """
        from chainrule.explain.picture import Numbers, drawn  # noqa: PLC0415

        numbers = Numbers(self.value)
        if self.built is not None:
            numbers = Numbers(self.value, self.gradient, self.graph.name(self.built.loss))
        over = f"{len(self.graph)} nodes with their values on {self._rows_in_words}"
        title = title or f"A graph of {over}"
        return drawn(self.graph, path, nodes, title, numbers)

    def _evaluate(self, graph: Graph, given: Mapping[Node, Array]) -> dict[Node, Array]:
        schedule = EvalSchedule(graph)
        return schedule.run(given, rows=self.rows, training=self._training, each=self._each)

    def steps(self, *, entries: int = SHOWN, digits: int = 6) -> TraceSteps:
        """Returns all values in order of computation, then, after `backward`, all gradients.

        In a trace of a training step the update follows: what is made of the gradients, such as
        clipped ones and averages, and the new values.

        Each has its formula, with names and with numbers. A gradient is computed from those of the
        nodes that read its node. Constants, nodes that only repeat another, and gradients that
        only pass one on have no step of their own: they are shown where they are used, and beside
        the gradient that they pass on.

        Args:
            entries: an array with more entries is cut to its first three and its shape.
            digits: significant ones, of the numbers in the computations.
        """
        from chainrule.explain.steps import TraceSteps, Writer  # noqa: PLC0415

        names = {x: self.graph.name(x) for x in self.graph}
        writer = Writer(names, self._values, entries, digits)
        steps = TraceSteps(writer.forward())
        if self.built is not None:
            steps += writer.backward(self.built, self._gradients)
            steps += writer.update(self.built, self.updates, self.extended)
        return steps

    def show(self, title: str = "A trace") -> Page:
        """The page of this trace: the graph, each step with its numbers, recomputed when edited.

        `trace.show().write("page.html")` saves it; a notebook shows it.

        Args:
            title: of the page.
        """
        from chainrule.inspector.document import document, row_forms, uncomputed  # noqa: PLC0415
        from chainrule.inspector.page import Page  # noqa: PLC0415

        return Page(
            document(
                self.form(), title=title, python="trace",
                rows=row_forms(self.graph, self.inputs, self.rows), batch=list(range(self.rows)),
                notes=uncomputed(self.graph),
            )
        )  # fmt: skip

    def form(self, optimizer: str | None = None) -> dict[str, Any]:
        """The graph of all passes with the values of its parameters, as the page's plain values.

        Args:
            optimizer: its text, where there are updates.
        """
        from chainrule.inspector.document import graph_form  # noqa: PLC0415

        built = self.built
        return graph_form(
            self.graph, self._values, loss=None if built is None else built.loss, backward=built,
            updates=self.updates, training=self._training, optimizer=optimizer,
        )  # fmt: skip

    def worked(self, step: TraceStep, *, digits: int = 6) -> list[Entry]:
        """Returns the arithmetic of each entry of a step: "1 * 3.7 + 0 * 2.9", and its value.

        It is that of elementwise functions, of sums and means, and of products of matrices; the
        list is empty where a formula has something else.

        Args:
            step: of `steps`.
            digits: significant ones.
        """
        from chainrule.explain.worked import entries  # noqa: PLC0415

        known, passed, built = set(self.graph), set[Node](), self.built
        if step.direction == "update":
            known.update(self.extended.inputs, self.extended.parameters)
        if step.direction != "forward" and built is not None:
            known.update(built.gradients.values())
        if step.direction == "backward" and built is not None:
            readers = (c.consumer for c in built.contributions.get(step.node, []))
            passed = {built.gradients[x] for x in readers}
        terms = [(x, x in passed) for x in step.terms]
        return entries(step.value, terms, known, self._values, digits)

    def pixel(
        self, layer: str, at: int | Sequence[int], channel: int = 0, *, row: int = 0,
        digits: int = 4,
    ) -> Pixel:  # fmt: skip
        """Returns how one element of a convolution or pooling layer came about: print it.

        It has the window of the operand that the element sees, the weights of the filter, their
        products, the sum, the bias and the result.

        Args:
            layer: its name.
            at: the place of the element: an integer for each spatial axis.
            channel: the filter; of pooling, the channel.
            row: of the minibatch.
            digits: significant ones.

        Raises:
            GraphError: the node is not such a layer. ShapeError: there is no such element.
        """
        from chainrule.explain.pixel import pixel  # noqa: PLC0415

        return pixel(self.graph, self.value, self.rows, layer, at, channel, row, digits)

    def compare(self, other: Trace) -> TraceComparison:
        """Compares this trace with another, node by node, by name.

        Values, and after `backward` of both the gradients: the largest difference, also relative
        to the largest entry; the first node that differs; those that only one has.

        Args:
            other: a trace of the same graph with other numbers, or of another graph.
        """
        from chainrule.explain.compare import compare_traces  # noqa: PLC0415

        a, b = ((x.graph, x.rows, x.value, x._gradients) for x in (self, other))
        return compare_traces(a, b, partial(_documents, self, other))

    def check(self, answers: Mapping[str, Any], *, rate: float | None = None) -> Checked:
        """Finds the first wrong line in numbers that were computed by hand, and its likely slip.

        Numbers are right within the digits that were typed: "0.90" allows more than "0.9002". Each
        line is judged by the right numbers and by those before it, so that a mistake counts once.

        Args:
            answers: numbers, or texts of numbers, by the names of lines: "h" for a value, "∂E/∂h"
                or "dE/dh" for a gradient, "new W1" for a parameter after the update; None for
                an entry that was left out.
            rate: of the update.

        Returns:
            A result that prints what is wrong first, and is true if all is right.

        Raises:
            GraphError: no line has such a name. FeedError: numbers that cannot be read, or too few.
        """
        from chainrule.explain.check import checked  # noqa: PLC0415
        from chainrule.explain.lines import Lines  # noqa: PLC0415

        lines = Lines(self, self.built, training=self._training, rate=rate)
        return checked(lines, answers)


def _documents(a: Trace, b: Trace) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return a.show().document, b.show().document
