"""Indices out of range: where indices choose, and the nodes that tell of wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node
from chainrule.graph.op import Element
from chainrule.ops.build import broadcast_to, cast
from chainrule.ops.reduce import sum as total
from chainrule.types import N


@dataclass(frozen=True)
class Choice:
    """An operation that chooses by indices.

    Attributes:
        name: of the operation.
        indices: a node.
        size: indices are from 0 to one less.
    """

    name: str
    indices: Node
    size: int


def choices(graph: Graph) -> Iterator[Choice]:
    """All places in a graph where indices choose, but those that choose rows of a minibatch."""
    for node in graph.operations:
        lower = node.op.lower
        if isinstance(lower, Element) and lower.choice is not None:
            indices, size = lower.choice(node)
            if isinstance(size, int):
                yield Choice(node.op.name, indices, size)


def out_of_range(graph: Graph) -> Node | None:
    """How many indices of each row choose nothing, (N,); None where nothing is chosen at all."""
    counts = []
    for choice in choices(graph):
        index = cast(choice.indices, "int64")
        missing = cast((index < 0) | (index >= choice.size), "float32")
        rows = int(index.shape[:1] == (N,))
        counts.append(total(missing, axis=tuple(range(rows, index.ndim))))
    return broadcast_to(reduce(Node.__add__, counts), (N,)) if counts else None
