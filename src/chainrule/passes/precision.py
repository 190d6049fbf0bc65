"""The precision of a graph: float64 for numeric derivatives, products of bfloat16 for speed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation, Parameter, apply
from chainrule.graph.op import View
from chainrule.ops.bfloat16 import TO_BFLOAT16, rounded
from chainrule.ops.contract import MATMUL
from chainrule.ops.einsum import EINSUM, labels_of
from chainrule.ops.windows import OVERLAP_ADD, WINDOWS
from chainrule.passes.rewrite import rewrite
from chainrule.types import N, Shape, TensorType, static_size

LEAST = 32
"""The least number of terms of a product, and of its columns, for which rounding pays."""


def in_float64(graph: Graph) -> dict[Node, Node]:
    """Maps every node of `graph` to its float64 form."""

    def leaf(node: Node) -> Node:
        if node.dtype != "float32":
            return node
        wide = replace(node, type=TensorType(node.shape, "float64"), source=node.source)
        if isinstance(wide, Parameter) and isinstance(wide.initial, np.ndarray):
            wide = replace(wide, initial=wide.initial.astype("float64"))
        assert isinstance(wide, (Input, Parameter))
        return wide

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        if node.op is TO_BFLOAT16:
            return operands[0]  # as its gradient counts it
        wide = {
            key: "float64" if isinstance(value, str) and value == "float32" else value
            for key, value in node.attributes.items()
        }
        if node.op.name == "constant" and node.dtype == "float32":
            wide["value"] = node.attributes["value"].astype("float64")
        if all(wide[key] is value for key, value in node.attributes.items()):
            return None
        new = apply(node.op, *operands, **wide)
        return replace(new, scope=node.scope, suffix=node.suffix, source=node.source)

    return rewrite(graph, rule, leaf)


def in_bfloat16(nodes: Iterable[Node]) -> dict[Node, Node]:
    """Maps every node of a forward pass to its form in which large products round their factors.

    Products of windows or of the pixels of pictures, which convolutions are, stay as they are:
    their factors are read where they lie. So do those of few columns or terms.
    """
    nodes = list(nodes)
    added = {x for node in nodes if _is(node, OVERLAP_ADD) for x in node.inputs}
    known: dict[Node, Node] = {}

    def factor(x: Node) -> Node:
        if x not in known:
            known[x] = rounded(x)
        return known[x]

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        if node in added or not _pays(node):
            return None
        new = apply(node.op, *map(factor, operands), **node.attributes)
        return replace(new, scope=node.scope, suffix=node.suffix, source=node.source)

    return rewrite(nodes, rule)


def _is(node: Node, op: object) -> bool:
    return isinstance(node, Operation) and node.op is op


def _pays(node: Operation) -> bool:
    """Whether a node is a product of float32 whose factors are worth rounding."""
    if node.op not in (MATMUL, EINSUM) or node.dtype != "float32":
        return False
    if any(_slides(x) for x in node.operands):
        return False
    a, b, out = ("ik", "kj", "ij") if node.op is MATMUL else labels_of(node.attributes["equation"])
    sizes = dict(zip(a + b, (d for x in node.operands for d in x.shape), strict=True))
    sides = set(a) - set(b), set(b) - set(a), (set(a) & set(b)) - set(out)
    return all(_many(tuple(sizes[s] for s in side)) for side in sides)


def _many(sizes: Shape) -> bool:
    """Whether one or two axes have enough elements; the rows of a minibatch are enough."""
    return len(sizes) <= 2 and (N in sizes or static_size(sizes) >= LEAST)


def _slides(x: Node) -> bool:
    """Whether a factor is of windows, seen through views."""
    while isinstance(x, Operation) and isinstance(x.op.lower, View):
        if x.op is WINDOWS:
            return True
        x = x.operands[0]
    return False
