"""Joined arrays: the operands of a concat are written where they lie in it, so it has no kernel."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation
from chainrule.graph.op import Element, Map, Reduce, Scalar, View
from chainrule.ir.index import Place, add, const
from chainrule.ir.kernel import Expr
from chainrule.plan.lower import seen_through
from chainrule.types import N

LEAST_PART = 16
"""The least number of elements of a part, for each row: smaller ones are chosen element by element.
"""

MANY_PARTS = 4
"""From this many parts on, parts of arrays of three axes may be smaller: steps of a sequence."""


@dataclass(frozen=True)
class Home:
    """The position of a node's elements in a joined array.

    Attributes:
        whole: the node of the array.
        axes: for each axis of the whole that of the node; None where the node has none.
        start: the index in the whole of the node's first element.
        ndim: the number of axes of the node.
    """

    whole: Operation
    axes: tuple[int | None, ...]
    start: tuple[int, ...]
    ndim: int

    def at(self, place: Place) -> Place:
        """The index in the whole of an element of the node."""
        return tuple(
            const(first) if axis is None else add(place[axis], const(first))
            for axis, first in zip(self.axes, self.start, strict=True)
        )

    def seen(self, place: Place) -> Place:
        """An index in the node for one in the whole: the same row, and none of its own elements."""
        found: list[Expr] = [const(-1)] * self.ndim
        for axis, own in enumerate(self.axes):
            if own is not None and self.whole.shape[axis] is N:
                found[own] = place[axis]
        return tuple(found)


@dataclass
class Joined:
    """The joined arrays of a graph.

    Attributes:
        homes: of the nodes that are written where they lie in one.
        parts: the nodes of each joined array, in order; some are joined arrays themselves.
    """

    homes: dict[Node, Home] = field(default_factory=dict)
    parts: dict[Operation, tuple[Node, ...]] = field(default_factory=dict)

    def seen(self, whole: Operation, at: Place) -> Iterator[tuple[Node, Place]]:
        """The nodes that kernels write into an array, each with its index for one in the array."""
        for x in self.parts[whole]:
            place = self.homes[x].seen(at)
            if x in self.parts:
                assert isinstance(x, Operation)
                yield from self.seen(x, place)
            else:
                yield x, place


def joined_of(graph: Graph, loops: Collection[Node]) -> Joined:
    """The arrays that are joined in place: those that are needed in memory, of large parts."""
    found = Joined()
    for node in graph.operations:
        if (
            isinstance(node.op.lower, Element)
            and node.op.lower.joins
            and _needed(graph, node, loops)
        ):
            _join(node, node.attributes[node.op.lower.joins], found)
    return found


def _needed(graph: Graph, node: Operation, loops: Collection[Node]) -> bool:
    """Whether a node, seen through views, is read again and again or joined to others."""
    stack, seen = list[Node]([node]), set[Node]()
    while stack:
        for reader in graph.consumers(stack.pop()):
            lower = reader.op.lower
            if isinstance(lower, Reduce) and lower.rereads and reader in loops:
                return True
            if isinstance(lower, Element) and lower.joins:
                return True
            if seen_through(reader) and reader not in seen:
                seen.add(reader)
                stack.append(reader)
    return False


def _join(node: Operation, axis: int, found: Joined) -> None:
    homes: dict[Node, Home] = {}
    end, many = 0, len(node.operands) >= MANY_PARTS and node.ndim > 2
    for x in node.operands:
        size = x.shape[axis]
        large = many or math.prod(d for d in x.shape if isinstance(d, int)) >= LEAST_PART
        part = _part(x, found, homes) if large else None
        if part is None or not isinstance(size, int):
            return
        start = tuple(end if a == axis else 0 for a in range(node.ndim))
        homes[part] = Home(node, _matched(node, x, part), start, part.ndim)
        end += size
    found.homes |= homes
    found.parts[node] = tuple(homes)


def _part(x: Node, found: Joined, taken: Mapping[Node, Home]) -> Node | None:
    """The node that is written for an operand: below its reshapes, or the operand, a copy."""
    base = x
    while isinstance(base, Operation) and isinstance(base.op.lower, View):
        view, y = base.op.lower, base.operands[0]
        if not view.aligned or _sizes(base) != _sizes(y):
            break
        base = y
    for node in (base, x):
        if node in found.homes or node in taken or not isinstance(node, Operation):
            continue
        if node.op.lower is None:
            continue  # its code is a user's, called between phases
        if isinstance(node.op.lower, View | Scalar | Map | Element | Reduce):
            return node
    return None


def _sizes(x: Node) -> list[object]:
    return [d for d in x.shape if d != 1]


def _matched(whole: Node, x: Node, part: Node) -> tuple[int | None, ...]:
    """For each axis of the whole that of the part of an operand, which differ in axes of size 1."""
    own = [a for a, d in enumerate(part.shape) if d != 1]
    wide = [a for a, d in enumerate(x.shape) if d != 1]
    found = dict(zip(wide, own, strict=True))
    return tuple(found.get(a) for a in range(whole.ndim))
