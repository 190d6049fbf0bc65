"""The steps of a trace: each value, gradient and new value, by names and by numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from chainrule.autodiff import Backward
from chainrule.display.repeats import blocks, pattern
from chainrule.display.tables import Section, as_html, facts_html
from chainrule.explain.formula import (
    SHOWN,
    added,
    by_name,
    by_number,
    expression,
    number,
    transparent,
)
from chainrule.graph.graph import Graph, topological
from chainrule.graph.node import Array, Node, Operation, Parameter
from chainrule.graph.step import RATE, STEP_INDEX
from chainrule.passes.merge import merge

ENTRIES = 6
"""Entries of an array in a table of steps."""


@dataclass(frozen=True)
class TraceStep:
    """One value, gradient or new value, in order of computation.

    Attributes:
        direction: "forward" for a value, "backward" for a gradient, "update" for the new value of
            a parameter or slot, and for what it is computed from.
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
    """The steps of a trace in order: a list that a notebook shows as a table.

    The table shows what comes again and again, such as the steps of a sequence, once: after a row
    with how often, and the places of the others in the list.
    """

    def _repr_html_(self) -> str:
        rows = list[tuple[str, ...]]()
        for block in blocks([(x.direction, pattern(x.formula)) for x in self]):
            if block.times > 1:
                places = f"steps[{block.start}:{block.last + 1}]"
                rows.append(("", f"{block.times} times", places, "", ""))
            rows += [
                (str(k), x.direction, x.formula, x.numbers, number(x.value, 6, ENTRIES))
                for k, x in ((k, self[k]) for k in block.shown)
            ]
        head = ("", "", "formula", "numbers", "result")
        return as_html([Section(f"{len(self):,} steps", tuple(rows), head, (0,))])


@dataclass(frozen=True)
class Writer:
    """Writes the steps of a graph that was computed.

    Attributes:
        names: of the nodes of the forward pass.
        values: of all nodes.
        entries: an array with more is cut to its first three and its shape.
        digits: significant ones, of the numbers in the computations.
    """

    names: Mapping[Node, str]
    values: Mapping[Node, Array]
    entries: int
    digits: int

    def forward(self) -> list[TraceStep]:
        """The values. Constants, and nodes that only repeat another, have no step of their own."""
        shown = (x for x in self.names if isinstance(x, Operation) and not transparent(x))
        return [self._step("forward", x, self.names[x], x, self.names) for x in shown]

    def backward(self, built: Backward, gradients: Mapping[Node, Array]) -> list[TraceStep]:
        """The gradients, each from those of the nodes that read its node.

        Those that only pass one on stand beside it.
        """
        names, titles = self.names, titles_of(built, self.names)
        leaves = dict(names)
        for x, title in titles.items():  # where two are one node, that nearest to the loss
            leaves.setdefault(built.gradients[x], title)
        passed: dict[Node, list[Node]] = {}
        home: dict[Node, Node] = {}
        written: dict[Node, tuple[str, str, tuple[Node, ...]]] = {}
        for node in titles:
            terms = [
                (c.gradient, _readers(built, c.consumer)) for c in built.contributions.get(node, [])
            ] or [(built.gradients[node], [])]
            texts = []
            for gradient, readers in terms:
                own = {built.gradients[x]: titles[x] for x in reversed(readers)}
                texts.append(self._term(gradient, leaves, own))
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
                gradients[node],
                tuple(names[c.consumer] for c in built.contributions.get(node, [])),
                tuple(names[x] for x in passed.get(node, [])),
                self.entries,
                terms,
            )
            for node, (formula, numbers, terms) in written.items()
            if home[node] is node
        ]

    def update(
        self, built: Backward, updates: Mapping[Parameter, Node], extended: Graph
    ) -> list[TraceStep]:
        """The new values, and those of their parts that have a name of their own, each once.

        Args:
            built: the backward pass.
            updates: the node of each new value.
            extended: contains all nodes.
        """
        update = update_of(self.names, built, updates, extended)
        return [
            self._step(
                "update", x.node, x.title, None if x.known else x.node, update.names, x.own
            ) for x in update.shown
        ]  # fmt: skip

    def _step(
        self, direction: str, node: Node, name: str, written: Node | None,
        names: Mapping[Node, str], own: Mapping[Node, str] | None = None,
    ) -> TraceStep:  # fmt: skip
        """The step of a node, with its own formula, or where it is not written as a leaf."""
        formula, numbers = names.get(node, name), self._number(node)
        if written is not None:
            formula, numbers = self._formula(written, names, own or {}, direction != "update")
        return TraceStep(
            direction, node, name, f"{name} = {formula}", numbers, self.values[node],
            entries=self.entries, terms=(node,),
        )  # fmt: skip

    def _number(self, node: Node) -> str:
        return number(self.values[node], self.digits, self.entries)

    def _formula(
        self, node: Node, names: Mapping[Node, str], own: Mapping[Node, str], casts: bool = True
    ) -> tuple[str, str]:
        """The formula of a node by the names and by the numbers of what it reads."""
        beta = _decayed(node)
        if beta is not None:
            return f"1 - {beta}^t", f"1 - {beta}^{number(self.values[STEP_INDEX])}"
        numbers = by_number(names, self.values, own, self.entries, self.digits)
        return (
            expression(node, by_name(names, own), casts=casts),
            expression(node, numbers, casts=casts),
        )

    def _term(
        self, gradient: Node, names: Mapping[Node, str], own: Mapping[Node, str]
    ) -> tuple[str, str]:
        """One contribution to a gradient, by the names and by the numbers of what it reads."""
        if gradient in own:
            return own[gradient], self._number(gradient)
        return self._formula(gradient, names, own)


def titles_of(built: Backward, names: Mapping[Node, str]) -> dict[Node, str]:
    """The titles of gradients, by their nodes: those that are shown in formulas."""
    shown: Iterable[Node] = (x for x in built.gradients if not transparent(x))
    return {x: f"∂{names[built.loss]}/∂{names[x]}" for x in shown if x in names}


@dataclass(frozen=True)
class Shown:
    """A node of an update that has a step.

    Attributes:
        node, title: the node, and its name there.
        parameter: whose new value it is; None: a part of new values, such as a norm.
        own: the title of the gradient that a new value is made of, by its node.
        known: whether it was computed before the update, and is not written out again.
    """

    node: Node
    title: str
    parameter: Parameter | None
    own: Mapping[Node, str]
    known: bool = False


@dataclass(frozen=True)
class Update:
    """The steps of an update, and the names that they use.

    Attributes:
        names: of what its formulas read.
        shown: its steps in order.
    """

    names: Mapping[Node, str]
    shown: list[Shown]


def update_of(
    names: Mapping[Node, str], built: Backward, updates: Mapping[Parameter, Node], extended: Graph
) -> Update:
    """The names and the steps of an update; `names` are those of the forward pass."""
    place = merge(extended)  # what is computed for several parameters is shown once
    before = {*names, *topological(built.gradients.values())}
    after = [x for x in extended.operations if x not in before and not transparent(x)]
    titles = {place[y]: f"{extended.name(x)}.new" for x, y in updates.items() if y in after}
    nodes = {place[y]: y for y in updates.values()}
    for x in after:
        if x.scope.given or "." in x.label:
            titles.setdefault(place[x], extended.name(x))
    gradients = titles_of(built, names)
    leaves = {x: extended.name(x) for x in (*extended.inputs, *extended.parameters)}
    leaves |= {RATE: "rate", STEP_INDEX: "t"} | dict(names)
    for of, title in gradients.items():
        if of in updates or built.gradients[of] not in leaves:
            leaves[built.gradients[of]] = title
    leaves |= {x: titles[place[x]] for x in after if place[x] in titles}
    parameters = {new: x for x, new in reversed([*updates.items()])}
    own = {
        new: {built.gradients[x]: gradients[x]} for new, x in parameters.items() if x in gradients
    }
    written = {place[x]: nodes.get(place[x], x) for x in after if place[x] in titles}
    shown = [Shown(y, titles[x], parameters.get(y), own.get(y, {})) for x, y in written.items()]
    for parameter, node in updates.items():
        if node in before:  # such as that of a node with a name
            shown.append(Shown(node, f"{extended.name(parameter)}.new", parameter, {}, True))
    return Update(leaves, shown)


def _readers(built: Backward, consumer: Operation) -> list[Node]:
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


def _decayed(node: Node) -> str | None:
    """The beta of `1 - beta^t`, which optimizers compute as `-expm1(t * log(beta))`."""
    operands: tuple[Node, ...] = (node,)
    for name in ("negative", "expm1", "multiply"):
        inner = operands[0]
        if not isinstance(inner, Operation) or inner.op.name != name:
            return None
        operands = inner.operands
    step, constant = operands
    if step is not STEP_INDEX or not isinstance(constant, Operation):
        return None
    return number(np.exp(constant.attributes["value"])) if constant.op.name == "constant" else None
