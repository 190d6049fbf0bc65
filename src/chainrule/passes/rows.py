"""Which graphs treat every row by itself, so that rows may be computed in blocks."""

from __future__ import annotations

from chainrule.graph.graph import Graph
from chainrule.graph.node import Operation
from chainrule.types import N


def rows_apart(graph: Graph) -> bool:
    """Whether no value of one row depends on another row, or on how many there are."""
    return not any(node.op.kind == "random" or mixes_rows(node) for node in graph.operations)


def mixes_rows(node: Operation) -> bool:
    """Whether an operation reduces, contracts, orders or indexes along the batch axis."""
    if node.op.name == "count" or len(_batch_labels(node)) > 1:
        return True
    axis = node.attributes.get("axis")
    axes = (axis,) if isinstance(axis, int) else axis or ()
    for x in node.operands:
        if N in x.shape:
            along = x.shape.index(N) in axes and node.op.kind != "view"
            if along or x.shape.count(N) > 1 or node.shape.count(N) != 1:
                return True
    return False


def _batch_labels(node: Operation) -> set[str]:
    """The letters that stand for the batch axis in the equation of a contraction."""
    terms = node.attributes.get("equation", "").split("->")[0].split(",")
    return {
        term[x.shape.index(N)]
        for term, x in zip(terms, node.operands, strict=False)
        if N in x.shape and term
    }
