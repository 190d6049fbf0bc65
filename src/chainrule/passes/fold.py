"""Constant folding: evaluates nodes that depend on small constants alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from chainrule.graph.node import Array, Node, Operation, apply
from chainrule.ops.build import CONSTANT
from chainrule.passes.rewrite import rewrite
from chainrule.types import N

SMALL = 4096
"""The largest number of elements of a folded constant."""


def fold(graph: Iterable[Node]) -> dict[Node, Node]:
    """Maps every node of a graph to its folded form.

    Views stay: they cost nothing, and a broadcast number then needs no array.
    """
    nodes = list(graph)
    values: dict[Node, Array] = {}
    with np.errstate(all="ignore"):
        for node in nodes:
            if isinstance(node, Operation) and all(x in values for x in node.operands):
                value = _value(node, [values[x] for x in node.operands])
                if value is not None:
                    values[node] = value
    folded = {x: v for x, v in values.items() if isinstance(x, Operation) and x.op.kind != "view"}
    if not folded:
        return {x: x for x in nodes}

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        return apply(CONSTANT, value=folded[node]) if node in folded else None

    return rewrite(nodes, rule)


def _value(node: Operation, operands: list[Array]) -> Array | None:
    """The value of a node, as the interpreter computes it; None if it is not folded."""
    if node.op is CONSTANT:
        constant: Array = node.attributes["value"]
        return constant if constant.size <= SMALL else None
    dims = (*node.shape, *node.attributes.get("shape", ()))
    if node.op.kind not in ("map", "view"):
        return None
    if N in dims or math.prod(d for d in node.shape if isinstance(d, int)) > SMALL:
        return None
    value = np.asarray(node.op.forward(*operands, **node.attributes), node.dtype)
    if node.op.kind != "view":
        value = np.array(value, order="C")
        value.flags.writeable = False
    return value
