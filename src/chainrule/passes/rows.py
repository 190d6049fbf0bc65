"""Row-wise nodes, which may be computed in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable

from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation
from chainrule.types import N


def rowwise(
    graph: Graph, computable: Callable[[Operation], bool] = lambda node: True
) -> tuple[set[Node], set[Node]]:
    """The nodes computed row by row from the same row of the inputs, and those without rows.

    Random nodes do not count: they depend on the position of a row.

    Args:
        graph: the graph of the nodes.
        computable: a test of operations; those that fail it, and their dependents, are left out.
    """
    by_row: set[Node] = set()
    without_rows: set[Node] = set()
    for node in graph:
        if not isinstance(node, Operation):
            (by_row if isinstance(node, Input) and node.batch else without_rows).add(node)
        elif node.op.kind == "random" or mixes_rows(node) or not computable(node):
            continue
        elif all(x in without_rows for x in node.operands):
            without_rows.add(node)
        elif node.shape[:1] == (N,) and all(
            x in by_row or x in without_rows for x in node.operands
        ):
            by_row.add(node)
    return by_row, without_rows


def mixes_rows(node: Operation) -> bool:
    """Whether an operation reduces, contracts, orders or indexes along the batch axis."""
    if node.op.name in ("count", "last_equal") or len(batch_labels(node)) > 1:
        return True
    axis = node.attributes.get("axis")
    axes = (axis,) if isinstance(axis, int) else axis or ()
    if node.op.serial and not axes and node.op.kind not in ("map", "view"):
        return any(N in x.shape for x in node.operands)  # the axes that it works along are unknown
    if node.op.name == "take" and N not in node.operands[0].shape:
        return node.shape.count(N) != 1  # the axis is the table's: each row looks up its own
    for x in node.operands:
        if N in x.shape:
            along = any(a % x.ndim == x.shape.index(N) for a in axes) and node.op.kind != "view"
            if along or x.shape.count(N) > 1 or node.shape.count(N) != 1:
                return True
    return False


def batch_labels(node: Operation) -> set[str]:
    """The letters that stand for the batch axis in the equation of a contraction."""
    terms = node.attributes.get("equation", "").split("->")[0].split(",")
    return {
        term[x.shape.index(N)]
        for term, x in zip(terms, node.operands, strict=False)
        if N in x.shape and term
    }
