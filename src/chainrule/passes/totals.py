"""Finds the sums over all training rows that a step reads, in the form of their means."""

from __future__ import annotations

from chainrule.graph.graph import Graph
from chainrule.graph.leaves import input
from chainrule.graph.node import Input, Node, Operation
from chainrule.graph.step import STEP_INPUTS


def means_of_rows(graph: Graph) -> dict[Operation, Input]:
    """The totals of `data_total` that the data alone decide, each with its input in a step.

    The input, a scalar, holds the mean of a training row; see `data_total`.
    """
    by_data: set[Node] = {x for x in graph.inputs if x not in STEP_INPUTS}
    by_rows: set[Node] = {x for x in graph.inputs if x in by_data and x.batch}
    found: dict[Operation, Input] = {}
    for node in graph.operations:
        if node.op.kind == "random" or node.op.name == "when_training":
            continue
        if all(x in by_data for x in node.operands):
            by_data.add(node)
            by_rows |= {node} if any(x in by_rows for x in node.operands) else set()
            if node.op.name == "data_total" and node in by_rows and not node.shape:
                name = f"{graph.name(node)}.of_row"
                found[node] = input(name, (), node.dtype, batch=False)
    return found
