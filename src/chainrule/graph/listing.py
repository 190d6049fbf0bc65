"""The text form of a graph: one line per node, in order of computation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation, Parameter


def listing(graph: Graph | Node, *, sources: bool = False) -> str:
    """The graph as text: name, type and operation, one line per node; outputs are starred.

    Args:
        graph: what to list; for a node, everything that it is computed from.
        sources: also show the user's line that made each node.
    """
    graph = graph if isinstance(graph, Graph) else Graph([graph])
    rows = [(_mark(graph, x) + graph.name(x), str(x.type), _meaning(graph, x)) for x in graph]
    name_width = max((len(row[0]) for row in rows), default=0)
    type_width = max((len(row[1]) for row in rows), default=0)
    lines = [f"{name:<{name_width}}  {kind:<{type_width}}  {text}" for name, kind, text in rows]
    if sources:
        lines = [
            f"{line}  # {x.source}" if x.source else line
            for line, x in zip(lines, graph, strict=True)
        ]
    return "\n".join(line.rstrip() for line in lines)


def _mark(graph: Graph, node: Node) -> str:
    return "* " if node in graph.outputs else "  "


def _meaning(graph: Graph, node: Node) -> str:
    if isinstance(node, Parameter):
        start = "array" if isinstance(node.initial, np.ndarray) else node.initial.name
        return f"parameter ({start}{'' if node.trainable else ', not trained'})"
    if isinstance(node, Operation):
        arguments = [graph.name(x) for x in node.operands]
        arguments += [f"{k}={show_attribute(v)}" for k, v in node.attributes.items()]
        return f"{node.op.name}({', '.join(arguments)})"
    assert isinstance(node, Input)
    return "input" if node.batch else "input, one a step"


def show_attribute(value: Any) -> str:
    """An attribute as short text."""
    if isinstance(value, np.ndarray):
        return str(value.item()) if value.ndim == 0 else f"array{value.shape}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {show_attribute(v)}" for k, v in value.items()) + "}"
    return str(value)
