"""Constants: what is computed from small constants alone is computed once, here."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from chainrule.graph.node import Array, Node, Operation, apply
from chainrule.ops.build import CONSTANT
from chainrule.passes.rewrite import rewrite
from chainrule.types import N

SMALL = 4096
"""Elements of a constant that is worth keeping in place of what computes it."""


def fold(graph: Iterable[Node]) -> dict[Node, Node]:
    """For every node of a graph, the constant that it is, or what reads such constants.

    Views stay: they cost nothing, and a number that is spread out needs no array that way.
    """
    nodes = list(graph)
    known: dict[Node, Array] = {}
    with np.errstate(all="ignore"):
        for node in nodes:
            if isinstance(node, Operation) and all(x in known for x in node.operands):
                value = _value(node, [known[x] for x in node.operands])
                if value is not None:
                    known[node] = value
    made = {x: v for x, v in known.items() if isinstance(x, Operation) and x.op.kind != "view"}
    if not made:
        return {x: x for x in nodes}

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        return apply(CONSTANT, value=made[node]) if node in made else None

    return rewrite(nodes, rule)


def _value(node: Operation, operands: list[Array]) -> Array | None:
    """The value of a node, as the interpreter computes it; None where it is to stay."""
    if node.op is CONSTANT:
        held: Array = node.attributes["value"]
        return held if held.size <= SMALL else None
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
