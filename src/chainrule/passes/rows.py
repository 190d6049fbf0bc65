"""Which values treat every row by itself, so that rows may be computed in blocks."""

from __future__ import annotations

from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation
from chainrule.types import N


def rowwise(graph: Graph) -> set[Node]:
    """The nodes with rows, each computed from the same row of the inputs alone.

    What is random is none of them: it depends on where a row stands.
    """
    found: set[Node] = set()
    still: set[Node] = set()  # what has no rows
    for node in graph:
        if not isinstance(node, Operation):
            (found if isinstance(node, Input) and node.batch else still).add(node)
        elif node.op.kind == "random" or mixes_rows(node):
            continue
        elif all(x in still for x in node.operands):
            still.add(node)
        elif node.shape[:1] == (N,) and all(x in found or x in still for x in node.operands):
            found.add(node)
    return found


def mixes_rows(node: Operation) -> bool:
    """Whether an operation reduces, contracts, orders or indexes along the batch axis."""
    if node.op.name == "count" or len(_batch_labels(node)) > 1:
        return True
    axis = node.attributes.get("axis")
    axes = (axis,) if isinstance(axis, int) else axis or ()
    if node.op.name == "take" and N not in node.operands[0].shape:
        return node.shape.count(N) != 1  # the axis is the table's: each row looks up its own
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
