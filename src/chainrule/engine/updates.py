"""The updates of the parameters: those that a rule treats alike get copies of one update."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import Protocol

from chainrule.graph.graph import topological
from chainrule.graph.node import Node, Operation, Parameter, Scope
from chainrule.graph.step import RATE, STEP_INDEX

Slots = dict[Parameter, Node]


class UpdateRule(Protocol):
    """The part of an optimizer that the stages need: a gradient becomes a new value, as nodes."""

    def update(
        self, parameter: Parameter, name: str, gradient: Node, rate: Node, step: Node
    ) -> tuple[Node, Slots]:
        """The parameter's new value, and the optimizer's slots with theirs."""

    def like(self, parameter: Parameter, name: str) -> Hashable:
        """All that the update depends on besides its nodes."""

    def check_names(self, names: Iterable[str]) -> None:
        """Raises SettingError where a pattern matches none of the names."""


class Updates:
    """Updates by a rule. To build one takes several times as long as to copy it.

    Args:
        rule: makes the first of each kind.
    """

    def __init__(self, rule: UpdateRule) -> None:
        self._rule = rule
        self._first: dict[Hashable, _Update] = {}

    def of(self, parameter: Parameter, name: str, gradient: Node) -> tuple[Node, Slots]:
        """The parameter's new value, and the slots with theirs, whose names begin with its."""
        kind = self._rule.like(parameter, name), parameter.type, gradient.type
        if kind in self._first:
            return self._first[kind].copy(parameter, name, gradient)
        new, slots = self._rule.update(parameter, name, gradient, RATE, STEP_INDEX)
        self._first[kind] = _Update(parameter, name, gradient, new, slots)
        return new, slots


class _Update:
    """An update that was built; see Updates.of."""

    def __init__(
        self, parameter: Parameter, name: str, gradient: Node, new: Node, slots: Slots
    ) -> None:
        self._parameter, self._gradient, self._prefix = parameter, gradient, f"{name}."
        self._new, self._slots = new, slots
        made = topological([new, *slots.values()], [parameter, gradient])
        self._nodes = [x for x in made if isinstance(x, Operation)]

    def copy(self, parameter: Parameter, name: str, gradient: Node) -> tuple[Node, Slots]:
        """The same for another parameter, under the names that the rule would give."""
        place: dict[Node, Node] = {self._parameter: parameter, self._gradient: gradient}
        slots: dict[Parameter, Parameter] = {}
        for slot in self._slots:
            place[slot] = slots[slot] = replace(slot, scope=self._renamed(slot.scope, name))
        for node in self._nodes:
            operands = tuple(place.get(x, x) for x in node.operands)
            place[node] = Operation(
                self._renamed(node.scope, name), node.type, suffix=node.suffix,
                source=node.source, op=node.op, operands=operands, attributes=node.attributes,
            )  # fmt: skip
        new = {slots[x]: place.get(y, y) for x, y in self._slots.items()}
        return place.get(self._new, self._new), new

    def _renamed(self, scope: Scope, name: str) -> Scope:
        """A new scope, named after another parameter where this one is named after its own."""
        base = scope.base
        if base.startswith(self._prefix):
            base = f"{name}.{base.removeprefix(self._prefix)}"
        return Scope(base, scope.given)
