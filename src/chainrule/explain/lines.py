"""The lines of a computation by hand, recomputed from the numbers of a student."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.autodiff import Backward, Contribution
from chainrule.errors import GraphError, did_you_mean
from chainrule.explain.formula import transparent
from chainrule.explain.mistakes import ACTIVATIONS, Line, Term
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation, Parameter, Scope
from chainrule.interpret import EvalSchedule

Key = tuple[str, Node]
"""A line: "forward", "backward" or "update", and its node."""

_GRADIENT = re.compile(r"^(?:∂|d)\s*(?P<loss>.+?)\s*/\s*(?:∂|d)\s*(?P<node>.+)$")
_NEW = re.compile(r"^new\s+(?P<node>.+)$")


class Lines:
    """The lines of a trace, in order of computation.

    Args:
        trace: with its graph, values, rows and steps.
        built: its backward pass, or None.
        training: whether it ran in training mode.
        rate: of the updates; None: there are none.
    """

    def __init__(
        self, trace: Any, built: Backward | None, *, training: bool, rate: float | None
    ) -> None:
        self.trace, self._built, self._training, self._rate = trace, built, training, rate
        graph: Graph = trace.graph
        keys: list[Key] = [("forward", x) for x in graph.operations]
        if built is not None:
            keys += [("backward", x) for x in built.gradients]
        if built is not None and rate is not None:
            keys += [
                ("update", x) for x in graph.parameters if x.trainable and x in built.gradients
            ]
        self._places = {key: k for k, key in enumerate(keys)}
        self._rules: dict[Contribution, Callable[..., Array]] = {}
        self._schedule = EvalSchedule(graph)

    # ------------------------------------------------------------ names

    def find(self, name: str) -> Key:
        """The line of a name. Raises GraphError."""
        graph = self.trace.graph
        for part, pattern in (("backward", _GRADIENT), ("update", _NEW)):
            match = pattern.match(str(name))
            if match and match["node"] in self._names:
                return self._known(name, (part, self._names[match["node"]]))
        if name not in self._names:
            known = [self.title(x) for x in self._places]
            raise GraphError("check", f"no line is named {name!r}", fix=did_you_mean(name, known))
        node = self._names[name]
        if not isinstance(node, Operation):
            raise GraphError("check", f"{graph.name(node)!r} is given, not computed",
                             fix=f'"∂{self._loss}/∂{name}" is its gradient')  # fmt: skip
        return "forward", node

    def _known(self, name: str, key: Key) -> Key:
        if key in self._places:
            return key
        if self._built is None:
            raise GraphError("check", "no gradients yet", fix="call trace.backward(loss) first")
        if key[0] == "update" and self._rate is None:
            raise GraphError(
                "check", f"{name!r} needs the learning rate", fix="check(..., rate=1.0)"
            )
        raise GraphError("check", f"there is no line {name!r}",
                         fix=did_you_mean(name, [self.title(x) for x in self._places]))  # fmt: skip

    @cached_property
    def _names(self) -> dict[str, Node]:
        return {self.trace.graph.name(x): x for x in self.trace.graph}

    @property
    def _loss(self) -> str:
        return "loss" if self._built is None else str(self.trace.graph.name(self._built.loss))

    def title(self, key: Key) -> str:
        """The name of a line."""
        part, node = key
        name: str = self.trace.graph.name(node)
        return {"forward": name, "backward": f"∂{self._loss}/∂{name}"}.get(part, f"new {name}")

    def place(self, key: Key) -> int:
        """The place in order of computation."""
        return self._places[key]

    @cached_property
    def _steps(self) -> dict[tuple[str, str], tuple[int, str]]:
        """The number and formula of each step, by direction and name."""
        found: dict[tuple[str, str], tuple[int, str]] = {}
        inputs = {self.trace.graph.name(x) for x in self.trace.graph.inputs}
        number = 0
        for step in self.trace.steps():
            number += step.direction == "forward" or step.name not in inputs
            for name in (step.name, *step.passed):
                found[step.direction, name] = number, step.formula
        for node in self.trace.graph.parameters:
            if ("update", node) in self._places:
                number += 1
                name = self.trace.graph.name(node)
                text = f"new {name} = {name} - {self._rate:g} * ∂{self._loss}/∂{name}"
                found["update", name] = number, text
        return found

    def number(self, key: Key) -> int:
        """The number of a line on a sheet; 0 where it has no line of its own."""
        return self._steps.get((key[0], self.trace.graph.name(key[1])), (0, ""))[0]

    def formula(self, key: Key) -> str:
        """The formula of a line, with names."""
        return self._steps.get((key[0], self.trace.graph.name(key[1])), (0, ""))[1]

    def words(self, key: Key) -> dict[str, str]:
        """The names in the sentence of a slip."""
        part, node = key
        reader = node
        if part == "backward" and self._built is not None:
            terms = self._built.contributions.get(node, [])
            reader = terms[0].consumer if terms else node
        formula = self._steps.get(("forward", self.trace.graph.name(reader)), (0, ""))[1]
        return {"x": self.trace.graph.name(node), "c": formula or self.trace.graph.name(reader)}

    # ------------------------------------------------------------ numbers

    def value(self, key: Key) -> Array:
        """The right number of a line."""
        part, node = key
        if part == "forward":
            return np.asarray(self.trace.value(node))
        gradient = self.trace.gradient(node)
        if part == "backward":
            return np.asarray(gradient)
        return np.asarray(self.trace.value(node) - (self._rate or 0.0) * gradient)

    def computed(self, key: Key, known: Mapping[Key, Array]) -> Array:
        """The number of a line, computed from some numbers of lines before it."""
        part, node = key
        others = {k: x for k, x in known.items() if k != key}
        values = self._values(others)
        if part == "forward":
            return values[node]
        gradients = self._gradients(values, others)
        if part == "backward":
            return gradients[node]
        return np.asarray(values[node] - (self._rate or 0.0) * gradients[node])

    def _values(self, known: Mapping[Key, Array]) -> dict[Node, Array]:
        """All values, those that are known in place of computed ones."""
        leaves = {x: self.trace.value(x) for x in self.trace.graph if not x.inputs}

        def each(node: Operation, value: Array) -> Array:
            return known.get(("forward", node), value).astype(value.dtype)

        return self._schedule.run(
            leaves, rows=self.trace.rows, training=self._training, each=each
        )  # fmt: skip

    def _gradients(
        self, values: Mapping[Node, Array], known: Mapping[Key, Array]
    ) -> dict[Node, Array]:
        built, found = self._built, dict[Node, Array]()
        if built is None:
            return found
        for node in built.gradients:
            terms = built.contributions.get(node, [])
            total = np.ones_like(values[node]) if node is built.loss else None
            for term in terms:
                sent = self._sent(term, values, found)
                total = sent if total is None else total + sent
            assert total is not None
            found[node] = known.get(("backward", node), total)
        return found

    def _sent(
        self, term: Contribution, values: Mapping[Node, Array], gradients: Mapping[Node, Array]
    ) -> Array:
        x = term.consumer
        return self._rule(term)(gradients[x], values[x], [values[y] for y in x.operands])

    def _rule(self, term: Contribution) -> Callable[[Array, Array, Sequence[Array]], Array]:
        """The rule of a contribution as a function of arrays."""
        if term not in self._rules:
            node = term.consumer
            gy, y = (Input(Scope(name), node.type) for name in ("gy", "y"))
            operands = [Input(Scope("x"), x.type) for x in node.operands]
            gradient = node.op.gradient
            assert gradient is not None
            sent = gradient(gy, y, *operands, **node.attributes)[term.position]
            assert sent is not None
            schedule = EvalSchedule(Graph(sent))

            def rule(incoming: Array, result: Array, values: Sequence[Array]) -> Array:
                given: dict[Node, Array] = {gy: incoming, y: result}
                given |= dict(zip(operands, values, strict=True))
                env = schedule.run(given, rows=self.trace.rows, training=self._training)
                return np.asarray(env[sent])

            self._rules[term] = rule
        return self._rules[term]

    # ------------------------------------------------------------ slips

    def line(self, key: Key, known: Mapping[Key, Array]) -> Line:
        """A line with all that it is computed from."""
        part, node = key
        others = {k: x for k, x in known.items() if k != key}
        values = self._values(others)
        if part == "forward":
            assert isinstance(node, Operation)
            biases = [k for k, x in enumerate(node.operands) if _bias(x)]
            return Line(
                part, node.op.name, values[node], tuple(values[x] for x in node.operands),
                biases[0] if biases and len(node.operands) == 2 else -1,
            )  # fmt: skip
        gradients = self._gradients(values, others)
        if part == "update":
            value = values[node] - (self._rate or 0.0) * gradients[node]
            return Line(part, "", value, (values[node], gradients[node]), rate=self._rate or 0.0)
        assert self._built is not None
        terms = tuple(
            self._term(x, values, gradients) for x in self._built.contributions.get(node, [])
        )
        return Line(part, "", gradients[node], terms=terms)

    def _term(
        self, term: Contribution, values: Mapping[Node, Array], gradients: Mapping[Node, Array]
    ) -> Term:
        x = term.consumer
        earlier = tuple(
            values[y.operands[0]]
            if isinstance(y, Operation) and y.op.name in ACTIVATIONS and y.operands
            else None
            for y in x.operands
        )
        return Term(
            x.op.name, term.position, gradients[x], values[x],
            tuple(values[y] for y in x.operands), earlier,
            self._sent(term, values, gradients), self._rule(term),
        )  # fmt: skip

    def between(self, key: Key, given: Collection[Key]) -> list[Key]:
        """The lines that a line depends on through none that is given, the nearest first."""
        found: dict[Key, None] = {}
        stack = self._before(key)
        while stack:
            x = stack.pop()
            if x in self._places and x[1].type.floating and x not in given and x not in found:
                found[x] = None
                stack += self._before(x)
        return sorted(found, key=self.place, reverse=True)

    def _before(self, key: Key) -> list[Key]:
        """The lines that a line reads."""
        part, node = key
        if part == "forward":
            return [("forward", x) for x in node.inputs]
        if part == "update":
            return [("backward", node)]
        assert self._built is not None
        terms = self._built.contributions.get(node, [])
        read: list[Key] = [("backward", x.consumer) for x in terms]
        read += [("forward", x.consumer) for x in terms]
        return read + [("forward", y) for x in terms for y in x.consumer.operands]


def _bias(node: Node) -> bool:
    """Whether a node is a parameter of one axis, repeated for the rows."""
    while isinstance(node, Operation) and transparent(node) and node.operands:
        node = node.operands[0]
    return isinstance(node, Parameter) and node.ndim <= 1
