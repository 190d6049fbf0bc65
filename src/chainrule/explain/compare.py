"""Two traces compared, node by node: values and gradients, and what only one of them has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from chainrule.display.format import number
from chainrule.display.handout import Handout, Part
from chainrule.display.tables import Section
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation
from chainrule.inspector.comparison import ComparisonDisplay

Sides = Callable[[], tuple[Mapping[str, Any], Mapping[str, Any]]]
"""Gives the documents of A and of B."""

SHOWN = 40
"""The nodes of a table; of more, those with the largest differences are shown."""


@dataclass(frozen=True)
class Difference:
    """The difference of two arrays.

    Attributes:
        absolute: the largest difference of two entries; NaN where one of the two is not finite.
        relative: the same, relative to the largest entry of both arrays.
        entries: the number of entries that differ, and the number of all.
    """

    absolute: float
    relative: float
    entries: tuple[int, int]

    @classmethod
    def of(cls, a: Array, b: Array) -> Difference:
        """The difference of arrays of one shape; NaN equals NaN."""
        with np.errstate(all="ignore"):
            same = (a == b) | (np.isnan(a) & np.isnan(b)) if a.dtype.kind == "f" else a == b
            apart = np.where(same, 0.0, np.abs(a.astype(float) - b.astype(float)))
            scale = float(np.maximum(np.abs(a), np.abs(b)).max(initial=0.0))
        largest = float(apart.max(initial=0.0))
        relative = largest / scale if scale > 0 and np.isfinite(scale) else largest
        return cls(largest, relative, (int(np.count_nonzero(~same)), a.size))

    def __bool__(self) -> bool:
        return self.entries[0] > 0


@dataclass(frozen=True)
class NodeDifference:
    """A node that both traces have.

    Attributes:
        name, what: its name, and its op or kind.
        value, gradient: their differences; None where there is none to compare.
        shapes: of both values, as text, where they differ.
    """

    name: str
    what: str
    value: Difference | None = None
    gradient: Difference | None = None
    shapes: tuple[str, str] | None = None

    def __bool__(self) -> bool:
        return bool(self.value) or bool(self.gradient) or self.shapes is not None


@dataclass(frozen=True, repr=False)
class TraceComparison(ComparisonDisplay):
    """The comparison of two traces; true if they differ. `print` shows it, `write` makes a page.

    Attributes:
        nodes: those that both have, in order of computation.
        only_a, only_b: the names of those that one has.
        rows: the number of examples of each.
        sides: gives the documents of both traces, for the page.
    """

    nodes: tuple[NodeDifference, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    rows: tuple[int, int]
    sides: Sides = field(compare=False)

    names = ("A", "B")

    def __bool__(self) -> bool:
        return any(self.nodes) or bool(self.only_a or self.only_b)

    @property
    def first(self) -> NodeDifference | None:
        """The first node whose value differs, in order of computation."""
        return next((x for x in self.nodes if x.value or x.shapes), None)

    @property
    def first_gradient(self) -> NodeDifference | None:
        """The first node whose gradient differs, in the order of the backward pass."""
        return next((x for x in reversed(self.nodes) if x.gradient), None)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        first, back = self.first, self.first_gradient
        return {
            "nodes": tuple(asdict(x) for x in self.nodes),
            "only_a": self.only_a, "only_b": self.only_b, "rows": self.rows,
            "first": None if first is None else first.name,
            "first_gradient": None if back is None else back.name,
        }  # fmt: skip

    def handout(self) -> Handout:
        """The comparison as sentences and a table."""
        return Handout.of("Two traces", self._lead(), self._parts())

    def _lead(self) -> Iterator[str]:
        differ = [x for x in self.nodes if x]
        if not self:
            yield f"All {len(self.nodes):,} nodes have equal values and gradients."
            return
        yield f"{len(differ):,} of {len(self.nodes):,} nodes that both have differ."
        if self.first is not None:
            yield f"The first in order of computation is {self.first.name}{_size(self.first)}."
        if self.first_gradient is not None:
            yield (
                f"The first gradient that differs, from the loss back, is that of "
                f"{self.first_gradient.name}."
            )
        if self.rows[0] != self.rows[1]:
            yield f"The traces have {self.rows[0]:,} and {self.rows[1]:,} rows."

    def _parts(self) -> Iterator[Part]:
        differ = [x for x in self.nodes if x]
        shown = sorted(differ, key=_rank)[:SHOWN] if len(differ) > SHOWN else differ
        kept = [x for x in differ if x in shown]
        if kept:
            rows = tuple(
                (x.name, x.what, *(f(y) for y in (x.value, x.gradient) for f in (_absolute, _part)),
                 "" if x.shapes is None else " and ".join(x.shapes))
                for x in kept
            )  # fmt: skip
            head = ("node", "what", "value differs by", "relative", "gradient differs by",
                    "relative", "shapes")  # fmt: skip
            more = len(differ) - len(kept)
            told = (f"{more:,} nodes with smaller differences are left out.",) if more else ()
            yield Part(Section("Nodes that differ", rows, head, (2, 3, 4, 5)), told,
                       ("differs",) * len(rows))  # fmt: skip
        for name, names, mark in (("A", self.only_a, "a"), ("B", self.only_b, "b")):
            if names:
                found = tuple((x,) for x in names[:SHOWN])
                more = len(names) - len(found)
                told = (f"{more:,} more.",) if more else ()
                yield Part(Section(f"Nodes only {name} has", found), told, (mark,) * len(found))

    def _sides(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        return self.sides()


def _rank(x: NodeDifference) -> tuple[bool, float]:
    found = [y.relative for y in (x.value, x.gradient) if y is not None]
    return x.shapes is None, -max(found, default=0.0)


def _size(x: NodeDifference) -> str:
    if x.shapes is not None:
        return f", whose shapes are {x.shapes[0]} and {x.shapes[1]}"
    if x.value is None:
        return ""
    count, size = x.value.entries
    where = "" if size == 1 else f" in {count:,} of {size:,} entries"
    return f", by at most {number(x.value.absolute)}{where}"


def _absolute(x: Difference | None) -> str:
    return "" if x is None else number(x.absolute) if x else "0"


def _part(x: Difference | None) -> str:
    return "" if not x else f"{x.relative:.2g}"


Side = tuple[Graph, int, Callable[[Node], Array], Mapping[Node, Array]]
"""The graph of a trace, its number of rows, what gives a node's value, and its gradients."""

_QUIET = ("constant", "broadcast_to")


def compare_traces(a: Side, b: Side, sides: Sides) -> TraceComparison:
    """The comparison of two traces; constants and broadcasts without a name are left out.

    Args:
        a, b: the traces.
        sides: gives their documents, for a page.
    """
    names = [{x[0].name(node): node for node in x[0] if not _quiet(node)} for x in (a, b)]
    nodes = [
        _compared(name, node, names[1][name], a, b)
        for name, node in names[0].items()
        if name in names[1]
    ]
    only = [
        tuple(x for x in names[k] if x not in names[1 - k]) for k in (0, 1)
    ]  # fmt: skip
    return TraceComparison(tuple(nodes), only[0], only[1], (a[1], b[1]), sides)


def _quiet(node: Node) -> bool:
    return isinstance(node, Operation) and node.op.name in _QUIET and not node.scope.given


def _compared(name: str, first: Node, second: Node, a: Side, b: Side) -> NodeDifference:
    what = _what(first) if _what(first) == _what(second) else f"{_what(first)}, {_what(second)}"
    values = a[2](first), b[2](second)
    if values[0].shape != values[1].shape:
        shapes = str(values[0].shape), str(values[1].shape)
        return NodeDifference(name, what, shapes=shapes)
    value, gradient = Difference.of(*values), None
    if first in a[3] and second in b[3]:
        gradient = Difference.of(a[3][first], b[3][second])
    return NodeDifference(name, what, value, gradient)


def _what(node: Node) -> str:
    if isinstance(node, Operation):
        return node.op.name
    return "input" if isinstance(node, Input) else "parameter"
