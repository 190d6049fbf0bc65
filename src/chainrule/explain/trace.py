"""The Trace: a graph run on real examples, with the value and gradient of every node."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.autodiff import Backward, backward, gradients
from chainrule.display.diagram import Picture
from chainrule.display.tables import Section, as_html, facts_html
from chainrule.errors import FeedError, GraphError, did_you_mean
from chainrule.explain.formula import (
    SHOWN,
    added,
    by_name,
    by_number,
    expression,
    number,
    transparent,
)
from chainrule.explain.picture import Numbers, drawn
from chainrule.explain.worked import Entry
from chainrule.explain.worked import entries as entries_of
from chainrule.graph.check import check
from chainrule.graph.feeds import as_feed, bind
from chainrule.graph.graph import Graph
from chainrule.graph.keys import step_key
from chainrule.graph.node import Array, Node, Operation
from chainrule.graph.step import KEY, RATE, STEP_INDEX, STEP_INPUTS
from chainrule.inspector.document import document, graph_form, row_forms
from chainrule.inspector.page import Page
from chainrule.interpret import EvalSchedule, initial_value

ENTRIES = 6
"""Entries of an array in a table of steps."""


@dataclass(frozen=True)
class TraceStep:
    """One value or gradient, in order of computation.

    Attributes:
        direction: "forward" for a value, "backward" for a gradient.
        node, name: the node, and its name.
        formula: the computation, with the names of nodes.
        numbers: the computation, with their numbers.
        value: the result.
        consumers: for a gradient, the nodes that contribute to it, in order of summation.
        passed: for a gradient, the names of nodes with the same, which only pass it on.
        entries: an array with more is cut where it is printed.
        terms: the nodes whose sum is the result: the node itself, or the contributions to its
            gradient.
    """

    direction: str
    node: Node
    name: str
    formula: str
    numbers: str
    value: Array
    consumers: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    entries: int = SHOWN
    terms: tuple[Node, ...] = ()

    def __str__(self) -> str:
        return f"{self.formula}\n    = {self.numbers}\n    = {number(self.value, 9, self.entries)}"

    def _repr_html_(self) -> str:
        return facts_html(self.name, (self.direction, self.formula), ("numbers", self.numbers),
                          ("result", number(self.value, 9, self.entries)))  # fmt: skip


class TraceSteps(list[TraceStep]):
    """The steps of a trace in order: a list that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        rows = tuple(
            (str(k), x.direction, x.formula, x.numbers, number(x.value, 6, ENTRIES))
            for k, x in enumerate(self)
        )
        head = ("", "", "formula", "numbers", "result")
        return as_html([Section(f"{len(self):,} steps", rows, head, (0,))])


class Trace:
    """The result of `run`: the value of every node, and after `backward` its gradient.

    Attributes:
        graph: the nodes, in order of computation.
        rows: the number of examples.

    Args:
        each: gives what takes the place of the value of an operation, such as a rounded one.
    """

    def __init__(
        self,
        graph: Graph,
        given: Mapping[Node, Array],
        rows: int,
        training: bool,
        each: Callable[[Operation, Array], Array] | None = None,
    ):
        self.graph, self.rows, self._training, self._each = graph, rows, training, each
        self._values = self._evaluate(graph, given)
        self._backward: Backward | None = None
        self._gradients: dict[Node, Array] = {}

    def __repr__(self) -> str:
        return f"<Trace of {len(self.graph)} nodes on {self.rows} rows>"

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
        return self._values[self.graph.find(node)]

    @property
    def inputs(self) -> dict[Node, Array]:
        """The values of the Inputs."""
        return {x: self._values[x] for x in self.graph.inputs}

    def backward(self, loss: Node | str) -> None:
        """Computes the gradient of a scalar `loss` with respect to every node.

        Raises:
            GraphError: `loss` is not a floating-point scalar, or not in the graph.
        """
        built = backward(self.graph, self.graph.find(loss))
        extended = Graph([*self.graph.outputs, *built.gradients.values()], like=self.graph)
        check(extended)
        self._values = self._evaluate(extended, self._values)
        self._gradients = {x: self._values[gx] for x, gx in built.gradients.items()}
        self._backward = built

    def gradient(self, node: Node | str) -> Array:
        """Returns the gradient of the loss at a node; zeros if the loss does not depend on it.

        Raises:
            GraphError: `backward` was not called, or the node is not floating point.
        """
        node = self.graph.find(node)
        if self._backward is None:
            raise GraphError("gradient", "no gradients yet", fix="call trace.backward(loss) first")
        if not node.type.floating:
            raise GraphError(
                "gradient", f"{self.graph.name(node)!r} holds {node.dtype}: it has no gradient"
            )
        if node not in self._gradients:  # a constant, or a node that the loss does not depend on
            (gradient,) = gradients(self._backward.loss, [node])
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
        numbers = Numbers(self.value)
        if self._backward is not None:
            numbers = Numbers(self.value, self.gradient, self.graph.name(self._backward.loss))
        title = title or f"A graph of {len(self.graph)} nodes with their values on {self.rows} rows"
        return drawn(self.graph, path, nodes, title, numbers)

    def _evaluate(self, graph: Graph, given: Mapping[Node, Array]) -> dict[Node, Array]:
        schedule = EvalSchedule(graph)
        return schedule.run(given, rows=self.rows, training=self._training, each=self._each)

    def steps(self, *, entries: int = SHOWN, digits: int = 6) -> TraceSteps:
        """Returns all values in order of computation, then, after `backward`, all gradients.

        Each has its formula, with names and with numbers. A gradient is computed from those of the
        nodes that read its node. Constants, nodes that only repeat another, and gradients that
        only pass one on have no step of their own: they are shown where they are used, and beside
        the gradient that they pass on.

        Args:
            entries: an array with more entries is cut to its first three and its shape.
            digits: significant ones, of the numbers in the computations.
        """
        names = {x: self.graph.name(x) for x in self.graph}
        shown = [x for x in self.graph if isinstance(x, Operation) and not transparent(x)]
        steps = TraceSteps(
            TraceStep(
                "forward",
                node,
                names[node],
                f"{names[node]} = {expression(node, by_name(names))}",
                expression(node, by_number(names, self._values, entries=entries, digits=digits)),
                self._values[node],
                entries=entries,
                terms=(node,),
            )
            for node in shown
        )
        if self._backward is not None:
            steps += self._backward_steps(self._backward, names, entries, digits)
        return steps

    def show(self, title: str = "A trace") -> Page:
        """The page of this trace: the graph, each step with its numbers, recomputed when edited.

        `trace.show().write("page.html")` saves it; a notebook shows it.

        Args:
            title: of the page.
        """
        return Page(
            document(
                self.form(), title=title, python="trace",
                rows=row_forms(self.graph, self.inputs, self.rows), batch=list(range(self.rows)),
            )
        )  # fmt: skip

    def form(self, optimizer: str | None = None) -> dict[str, Any]:
        """The graph of all passes with the values of its parameters, as the page's plain values.

        Args:
            optimizer: its text, where there are updates.
        """
        built = self._backward
        return graph_form(
            self.graph, self._values, loss=None if built is None else built.loss, backward=built,
            training=self._training, optimizer=optimizer,
        )  # fmt: skip

    def worked(self, step: TraceStep, *, digits: int = 6) -> list[Entry]:
        """Returns the arithmetic of each entry of a step: "1 * 3.7 + 0 * 2.9", and its value.

        It is that of elementwise functions, of sums and means, and of products of matrices; the
        list is empty where a formula has something else.

        Args:
            step: of `steps`.
            digits: significant ones.
        """
        known, passed = set(self.graph), set[Node]()
        if step.direction == "backward" and self._backward is not None:
            built = self._backward
            known.update(built.gradients.values())
            readers = (c.consumer for c in built.contributions.get(step.node, []))
            passed = {built.gradients[x] for x in readers}
        terms = [(x, x in passed) for x in step.terms]
        return entries_of(step.value, terms, known, self._values, digits)

    def _backward_steps(
        self, built: Backward, names: dict[Node, str], entries: int, digits: int
    ) -> list[TraceStep]:
        titles = {
            x: f"∂{names[built.loss]}/∂{names[x]}" for x in built.gradients if not transparent(x)
        }
        leaves = dict(names)
        for x, title in titles.items():  # where two are one node, that nearest to the loss
            leaves.setdefault(built.gradients[x], title)
        passed: dict[Node, list[Node]] = {}
        home: dict[Node, Node] = {}
        written: dict[Node, tuple[str, str, tuple[Node, ...]]] = {}
        for node in titles:
            terms = [
                (c.gradient, self._readers(built, c.consumer))
                for c in built.contributions.get(node, [])
            ] or [(built.gradients[node], [])]
            texts = []
            for gradient, readers in terms:
                own = {built.gradients[x]: titles[x] for x in reversed(readers)}
                texts.append(self._term(gradient, leaves, own, (entries, digits)))
            formula, numbers = added([x for x, _ in texts]), added([x for _, x in texts])
            written[node] = formula, numbers, tuple(x for x, _ in terms)
            read = [x for _, readers in terms for x in readers]
            onto = next((x for x in read if titles.get(x) == written[node][0]), None)
            home[node] = node
            if onto is not None and isinstance(node, Operation):
                home[node] = home[onto]
                passed.setdefault(home[onto], []).append(node)
        return [
            TraceStep(
                "backward",
                node,
                names[node],
                " = ".join([titles[x] for x in (node, *passed.get(node, []))] + [formula]),
                numbers,
                self._gradients[node],
                tuple(names[c.consumer] for c in built.contributions.get(node, [])),
                tuple(names[x] for x in passed.get(node, [])),
                entries,
                terms,
            )
            for node, (formula, numbers, terms) in written.items()
            if home[node] is node
        ]

    def _term(
        self,
        gradient: Node,
        names: Mapping[Node, str],
        own: Mapping[Node, str],
        size: tuple[int, int],
    ) -> tuple[str, str]:
        """One contribution to a gradient, by the names and by the numbers of what it reads."""
        entries, digits = size
        if gradient in own:
            return own[gradient], number(self._values[gradient], digits, entries)
        return (
            expression(gradient, by_name(names, own)),
            expression(gradient, by_number(names, self._values, own, entries, digits)),
        )

    def _readers(self, built: Backward, consumer: Operation) -> list[Node]:
        """The node itself if it has a step, else those that read what it only repeats."""
        found: dict[Node, None] = {}
        stack = [consumer]
        while stack:
            x = stack.pop()
            if transparent(x):
                stack += [c.consumer for c in reversed(built.contributions.get(x, []))]
            else:
                found[x] = None
        return list(found)


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
    """Computes `outputs` for some examples and keeps the value of every node.

    Args:
        outputs: one node or several.
        feeds: the array of each Input by name, with the rows on the first axis.
        values: values of Parameters by name; the others have their initial values.
        training: whether the graph runs in training mode, with dropout.
        seed, step: for the random nodes.
        like: a graph whose names are kept.

    Raises:
        FeedError: the arrays do not match the inputs, or `values` the parameters.
    """
    graph = check(Graph(outputs, like=like))
    names = {x: graph.name(x) for x in graph.inputs if x not in STEP_INPUTS}
    given, rows = bind(names, names, feeds)
    given[KEY] = step_key(seed, step)
    given[RATE], given[STEP_INDEX] = np.asarray(0.0), np.asarray(step + 1.0)
    given |= _parameters(graph, values or {}, like or graph, seed)
    # copies, since the caller may change its arrays later
    return Trace(graph, {x: value.copy() for x, value in given.items()}, rows, training)


def _parameters(
    graph: Graph, values: Mapping[str, npt.ArrayLike], like: Graph, seed: int
) -> dict[Node, Array]:
    """The given values of the parameters, or else their initial values."""
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
