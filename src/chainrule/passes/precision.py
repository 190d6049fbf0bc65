"""Conversion of a graph to float64, for numeric derivatives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation, Parameter, apply
from chainrule.passes.rewrite import rewrite
from chainrule.types import TensorType


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
