"""Common subexpression elimination: merges nodes that compute the same value."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from chainrule.graph.node import Node, Operation, rebuilt
from chainrule.passes.rewrite import rewrite


def merge(graph: Iterable[Node]) -> dict[Node, Node]:
    """Maps every node of a graph to the first equal one; random nodes are never equal."""
    first: dict[Hashable, Node] = {}

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        if node.op.kind == "random":
            return None
        given = node.attributes
        attributes = tuple((key, _hashable(given[key])) for key in sorted(given)) if given else ()
        key = (node.op.name, operands, attributes)
        if key not in first:
            first[key] = node if operands == node.operands else rebuilt(node, operands)
        return first[key]

    return rewrite(graph, rule)


def _hashable(value: Any) -> Hashable:
    """A key that is equal only for equal values; floats by their bits: 0 differs from -0."""
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), value.tobytes())
    if type(value) in (int, str, bool):
        return (type(value), value)
    if isinstance(value, tuple):
        return tuple(map(_hashable, value))
    return (type(value), repr(value))
