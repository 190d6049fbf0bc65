"""A digest of a graph: equal for graphs with the same structure and names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation


def fingerprint(graph: Graph, chosen: Iterable[Node]) -> bytes:
    """A 32-byte digest of structure, names, types and constants, without parameters' values.

    Args:
        graph: the graph to identify.
        chosen: nodes of it with a role, such as outputs, in order.
    """
    index: dict[Node, int] = {}
    digest = hashlib.sha256()
    for k, node in enumerate(graph):
        index[node] = k
        fields: list[object] = [type(node).__name__, graph.name(node), node.dtype, node.shape]
        if isinstance(node, Input):
            fields.append(node.batch)
        if isinstance(node, Operation):
            fields += [node.op.name, [index[x] for x in node.operands]]
            if node.op.serial:  # an op of this name may mean something else in another program
                fields.append(node.op.serial)
            fields += [(key, _plain(value)) for key, value in node.attributes.items()]
        digest.update(repr(fields).encode())
    digest.update(repr([index[x] for x in chosen]).encode())
    return digest.digest()


def _plain(value: Any) -> object:
    """An attribute as a value whose repr is complete."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).digest()
    return value
