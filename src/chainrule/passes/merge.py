"""Common subexpressions: nodes that compute the same become one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from chainrule.graph.node import Node, Operation, rebuilt
from chainrule.passes.rewrite import rewrite


def merge(graph: Iterable[Node]) -> dict[Node, Node]:
    """For every node of a graph, the first that computes the same; random ones stay apart."""
    first: dict[Hashable, Node] = {}

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        if node.op.kind == "random":
            return None
        held = node.attributes
        told = tuple((key, _hashable(held[key])) for key in sorted(held)) if held else ()
        key = (node.op.name, operands, told)
        if key not in first:
            first[key] = node if operands == node.operands else rebuilt(node, operands)
        return first[key]

    return rewrite(graph, rule)


def _hashable(value: Any) -> Hashable:
    """A key that is equal for equal values only: bits for floats, so that 0 is not -0."""
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), value.tobytes())
    if isinstance(value, tuple):
        return tuple(map(_hashable, value))
    return (type(value), repr(value))
