"""An exercise sheet: the numbers given, the lines to compute by hand, and the key to each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from chainrule.display.tables import Section, as_html
from chainrule.explain.formula import number
from chainrule.explain.picture import drawn
from chainrule.explain.steps import TraceStep
from chainrule.explain.trace import Trace
from chainrule.graph.node import Array, Input, Parameter
from chainrule.types import N

DIGITS = 4
"""The significant digits of all numbers on a sheet."""

PARTS = ("forward", "backward", "update")
"""The parts of a sheet, in the order of computation."""

AXES = re.compile(r", axis=\([^)]*\)")
GAP = "_______"
ALL = 10**6


@dataclass(frozen=True)
class Given:
    """A number, or an array, that a sheet gives: its name, what it is, and its text."""

    name: str
    what: str
    text: str


@dataclass(frozen=True, eq=False)
class Line:
    """One line to compute.

    Attributes:
        part: "forward", "backward" or "update".
        name: of what is computed: "z1", "∂E/∂z1", "new W1".
        title: with other names of the same: "∂E/∂z1 = ∂E/∂u1".
        formula: the computation, with names.
        numbers: with the numbers put in.
        value: the result.
        text, blank: the result as text, and the same with gaps.
        entries: for each entry its name, its computation and its result.
    """

    part: str
    name: str
    title: str
    formula: str
    numbers: str
    value: Array
    text: str
    blank: str
    entries: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Sheet:
    """One variant of an exercise.

    Attributes:
        number: from 1.
        given: the numbers to begin with.
        lines: to compute, in their order.
        notes: sentences on what the sheet shows of the network.
        trace: of the network with these numbers, with its gradients.
        loss: the name of the loss.
        first: the number of the first line, as all lines are counted.
        graph, solved: pictures of the network, without and with the numbers, as SVG.
        rate: of the update.
    """

    number: int
    given: tuple[Given, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    trace: Trace
    loss: str
    rate: float
    first: int
    graph: str
    solved: str

    def _repr_html_(self) -> str:
        given = tuple((x.name, x.what, x.text) for x in self.given)
        asked = tuple((str(k), x.title, x.formula, x.text) for k, x in enumerate(self.lines, 1))
        head = ("", "to compute", "formula", "result")
        return as_html([Section(f"Sheet {self.number}", given, ("given", "", "")),
                        Section("", asked, head, (0,))])  # fmt: skip

    @property
    def parts(self) -> list[tuple[str, list[tuple[int, Line]]]]:
        """The parts with their lines, which are numbered through."""
        numbered = list(enumerate(self.lines, start=self.first))
        found = [(part, [x for x in numbered if x[1].part == part]) for part in PARTS]
        return [(part, lines) for part, lines in found if lines]


def sheet(
    trace: Trace,
    loss: str,
    *,
    number: int = 1,
    rate: float = 1.0,
    parts: tuple[str, ...] = PARTS,
    notes: tuple[str, ...] = (),
    words: Mapping[str, str] = MappingProxyType({}),
) -> Sheet:
    """The sheet of a trace.

    Args:
        trace: after `backward`.
        loss: the name of the loss.
        number: of the variant.
        rate: of the update by gradient descent.
        parts: those to compute; the results of earlier ones are given.
        notes: sentences for its head.
        words: descriptions of inputs and parameters, by name.
    """
    lines = tuple(_lines(trace, loss, rate))
    asked = tuple(x for x in lines if x.part in parts)
    before = PARTS[: PARTS.index(parts[0])]
    known = tuple(
        Given(x.title, f"{x.part}, computed already", x.text) for x in lines if x.part in before
    )
    given = (*_given(trace, words), *known)
    if "update" in parts:
        given = (*given, Given("rate", "learning rate", f"{rate:g}"))
    title = f"The network of sheet {number}, from the inputs to {loss}"
    pictures = drawn(trace.graph, title=title).svg, trace.picture(title=title).svg
    first = 1 + sum(x.part in before for x in lines)
    return Sheet(number, given, asked, notes, trace, loss, rate, first, *pictures)


def _given(trace: Trace, words: Mapping[str, str]) -> Iterator[Given]:
    """The inputs and parameters."""
    graph = trace.graph
    for node in (*graph.inputs, *graph.parameters):
        name, what = graph.name(node), "input" if isinstance(node, Input) else "parameter"
        yield Given(name, words.get(name, what), _text(trace.value(node)))


def _lines(trace: Trace, loss: str, rate: float) -> Iterator[Line]:
    inputs = {trace.graph.name(x) for x in trace.graph.inputs}
    for step in trace.steps(entries=ALL, digits=DIGITS):
        if step.direction == "forward" or step.name not in inputs:
            yield _line(trace, step, loss)
    for node in trace.graph.parameters:
        if node.trainable:
            yield _update(trace, node, loss, rate)


def _line(trace: Trace, step: TraceStep, loss: str) -> Line:
    *titles, formula = AXES.sub("", step.formula).split(" = ")
    name = step.name if step.direction == "forward" else f"∂{loss}/∂{step.name}"
    batch = step.node.shape[:1] == (N,)
    entries = tuple(
        (_indexed(name, x.index, step.value, batch), x.numbers, number(np.asarray(x.value), DIGITS))
        for x in trace.worked(step, digits=DIGITS)
    )
    value = step.value
    return Line(
        step.direction, name, " = ".join(titles), formula, AXES.sub("", step.numbers), value,
        _text(value), blank(value), entries,
    )  # fmt: skip


def _update(trace: Trace, node: Parameter, loss: str, rate: float) -> Line:
    """The line of a parameter's new value by gradient descent."""
    name, value, gradient = trace.graph.name(node), trace.value(node), trace.gradient(node)
    new = value - rate * gradient
    title = f"new {name}"
    entries = tuple(
        (
            _indexed(title, at, new, False),
            f"{number(value[at], DIGITS)} - {rate:g} * {_bracketed(gradient[at])}",
            number(new[at], DIGITS),
        )
        for at in np.ndindex(new.shape)
    )
    return Line(
        "update", title, title, f"{name} - {rate:g} * ∂{loss}/∂{name}",
        f"{_text(value)} - {rate:g} * {_text(gradient)}", new, _text(new), blank(new), entries,
    )  # fmt: skip


def _bracketed(value: Array) -> str:
    text = number(value, DIGITS)
    return f"({text})" if text.startswith("-") else text


def _indexed(name: str, index: tuple[int, ...], value: Array, batch: bool) -> str:
    """An entry's name: `W1[0, 1]`; without the row where there is one row."""
    shown = () if value.size == 1 else index[1:] if batch and len(value) == 1 else index
    return f"{name}[{', '.join(map(str, shown))}]" if shown else name


def _text(value: Array) -> str:
    return number(value, DIGITS, ALL)


def blank(value: Array) -> str:
    """The form of an array, with a gap for each number."""
    if value.size == 1:
        return GAP
    if value.ndim == 2 and len(value) == 1:
        return blank(value[0])
    return "[" + ", ".join(blank(np.asarray(x)) for x in value) + "]"


def amount(trace: Trace) -> int:
    """The number of numbers that the sheet of a trace asks for."""
    inputs = set(trace.graph.inputs)
    asked = [
        x.value.size for x in trace.steps() if x.direction == "forward" or x.node not in inputs
    ]
    return sum(asked) + sum(trace.value(x).size for x in trace.graph.parameters if x.trainable)
