"""Indices out of range: the nodes that tell of them."""

from __future__ import annotations

from functools import reduce

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node
from chainrule.ops.build import broadcast_to, cast
from chainrule.ops.reduce import sum as total
from chainrule.types import N


def out_of_range(graph: Graph) -> Node | None:
    """How many indices of each row choose nothing, (N,); None where nothing is chosen at all."""
    counts = []
    for node in graph.operations:
        if node.op.name in ("take", "gather"):
            chosen, indices = node.operands
            size = chosen.shape[node.attributes["axis"]]
        elif node.op.name == "one_hot":
            (indices,), size = node.operands, node.attributes["depth"]
        else:
            continue
        index = cast(indices, "int64")
        missing = cast((index < 0) | (index >= size), "float32")
        rows = int(indices.shape[:1] == (N,))
        counts.append(total(missing, axis=tuple(range(rows, indices.ndim))))
    return broadcast_to(reduce(Node.__add__, counts), (N,)) if counts else None
