"""A digest of a graph: equal for graphs that are built alike and have the same names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation


def fingerprint(graph: Graph, chosen: Iterable[Node]) -> bytes:
    """32 bytes that tell structure, names, types and constants, but no parameter's value.

    Args:
        graph: what to tell.
        chosen: nodes of it that play a part, in their order.
    """
    number: dict[Node, int] = {}
    digest = hashlib.sha256()
    for k, node in enumerate(graph):
        number[node] = k
        told: list[object] = [type(node).__name__, graph.name(node), node.dtype, node.shape]
        if isinstance(node, Input):
            told.append(node.batch)
        if isinstance(node, Operation):
            told += [node.op.name, [number[x] for x in node.operands]]
            told += [(key, _plain(value)) for key, value in node.attributes.items()]
        digest.update(repr(told).encode())
    digest.update(repr([number[x] for x in chosen]).encode())
    return digest.digest()


def _plain(value: Any) -> object:
    """An attribute as something whose repr tells all of it."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).digest()
    return value
