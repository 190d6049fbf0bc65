"""A user's ops in a compiled step, where they have no lowering: their NumPy, at their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from chainrule.errors import ChainruleWarning, GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation, Scope, rebuilt
from chainrule.graph.source import warn_user
from chainrule.interpret import EvalSchedule
from chainrule.passes.decompose import lowers
from chainrule.types import N, rows_first


def functions_of(nodes: Iterable[Operation]) -> list[Callable[[Sequence[Array], int], Array]]:
    """The function to call for each node: of its operands, N first, and the number of rows."""
    return [_function(x) for x in nodes]


def _function(node: Operation) -> Callable[[Sequence[Array], int], Array]:
    given = tuple(
        Input(Scope(x.label), x.type, batch=x.shape[:1] == (N,), source=x.source)
        for x in node.operands
    )
    alone = rebuilt(node, given)
    schedule = EvalSchedule(Graph([alone]), [alone])
    orders = [np.argsort(rows_first(x.shape)) for x in given]
    back = rows_first(node.shape)

    def call(operands: Sequence[Array], rows: int) -> Array:
        known: dict[Node, Array] = {
            x: array.transpose(order)
            for x, array, order in zip(given, operands, orders, strict=True)
        }
        return schedule.run(known, rows=rows, training=True)[alone].transpose(back)

    return call


def tell_of_calls(graph: Graph, backend: str) -> None:
    """Warn of each op of a user that a compiled step has to call.

    Args:
        graph: of a training step.
        backend: "native", or "interpreter", where nothing is to be told.
    """
    if backend != "native":
        return
    told: set[str] = set()
    for x in graph.operations:
        if x.op.name in told or lowers(x):
            continue
        told.add(x.op.name)
        message = GraphError(
            "fit",
            f"the op {x.op.name!r} has no lowering: each step calls its `forward`, in NumPy, "
            "between machine code",
            at=f"node {graph.name(x)!r}, line {x.source}",
            fix="decompose=... or lower=... in cr.op makes it machine code; to hear no more of "
            f"it: warnings.filterwarnings('ignore', '.*the op .{x.op.name}. has no lowering')",
        )
        warn_user(str(message), ChainruleWarning)
