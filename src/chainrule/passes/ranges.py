"""Indices out of range: the operations that index, and nodes that count bad indices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation
from chainrule.graph.op import Element
from chainrule.ops.build import broadcast_to, cast
from chainrule.ops.reduce import sum as total
from chainrule.types import N


@dataclass(frozen=True)
class Choice:
    """An operation that reads its operand at computed indices.

    Attributes:
        node: the operation.
        indices: the node of the indices.
        size: valid indices are from 0 to size - 1.
    """

    node: Operation
    indices: Node
    size: int


def choices(graph: Graph) -> Iterator[Choice]:
    """Yields all indexing operations of a graph, except those that index the batch axis."""
    for node in graph.operations:
        lower = node.op.lower
        if isinstance(lower, Element) and lower.choice is not None:
            indices, size = lower.choice(node)
            if isinstance(size, int):
                yield Choice(node, indices, size)


def out_of_range(graph: Graph) -> Node | None:
    """The number of indices out of range in each row, (N,); None if nothing is indexed."""
    counts = []
    for choice in choices(graph):
        index = cast(choice.indices, "int64")
        missing = cast((index < 0) | (index >= choice.size), "float32")
        rows = int(index.shape[:1] == (N,))
        counts.append(total(missing, axis=tuple(range(rows, index.ndim))))
    return broadcast_to(reduce(Node.__add__, counts), (N,)) if counts else None
