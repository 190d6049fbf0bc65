"""Finds the node where a NaN or an infinity came up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from chainrule.engine.minibatch import Rows
from chainrule.errors import NotFinite
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation
from chainrule.types import N

CALMER = "lower the learning rate, scale the inputs, or clip: fit(..., clip_norm=1.0)"
"""The fix to suggest where numbers grow beyond bounds."""


def not_finite(
    graph: Graph, env: Mapping[Node, Array], *, step: int, rows: Rows, loss: Node
) -> NotFinite:
    """The error that names the node where the NaN or infinity that spoilt a step came up.

    Args:
        graph, env: of the step, with the values of all nodes.
        step: its number, from 1.
        rows: of the data set, that the minibatch was made of.
        loss: nodes after it are the backward pass and the update.
    """
    spoilt = [loss] if not np.isfinite(env[loss]) else graph.outputs
    culprit = _origin(graph, env, spoilt)
    bad = np.argwhere(~np.isfinite(env[culprit]))[0]
    at = f"step {step}, node {graph.name(culprit)!r}, line {culprit.source}"
    at += f", row {rows[bad[0]]}" if culprit.shape[:1] == (N,) else ""
    got = str(env[culprit][tuple(bad)])
    if isinstance(culprit, Input):
        return NotFinite(
            "fit", "the data hold a NaN or an infinity", got=got, at=at,
            fix="fill gaps and scale the column before, or train from a table: cr.train",
        )  # fmt: skip
    if isinstance(culprit, Operation):
        numbers = (_number_at(env[x], bad) for x in culprit.operands)
        got = f"{culprit.op.name}({', '.join(numbers)}) = {got}"
    forward = culprit in Graph(loss)
    return NotFinite(
        "fit",
        "a value became NaN or infinite in the "
        + ("forward pass" if forward else "backward pass or the update"),
        got=got,
        at=at,
        fix=CALMER,
    )


def _origin(graph: Graph, env: Mapping[Node, Array], spoilt: Iterable[Node]) -> Node:
    """The first node that is not finite though its operands are, on the way to `spoilt`.

    Infinities that do no harm, as in a branch not taken, are not on that way; constants are
    meant as they are.
    """

    def bad(nodes: Iterable[Node]) -> list[Node]:
        return [
            x
            for x in nodes
            if not np.isfinite(env[x]).all()
            and not (isinstance(x, Operation) and x.op.name == "constant")
        ]

    way: set[Node] = set()
    todo = bad(spoilt)
    while todo:
        node = todo.pop()
        if node not in way:
            way.add(node)
            todo += bad(node.inputs)
    return next(x for x in graph if x in way and not bad(x.inputs))


def _number_at(array: Array, index: npt.NDArray[np.int64]) -> str:
    """The element of an operand that stands where the result's does, or its range."""
    if array.ndim == len(index) and all(i < n for i, n in zip(index, array.shape, strict=True)):
        return f"{array[tuple(index)].item():.6g}"
    return f"{array.min().item():.6g}..{array.max().item():.6g}" if array.size else "empty"
