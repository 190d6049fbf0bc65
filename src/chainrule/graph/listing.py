"""The text form of a graph: one line per node, in order of computation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from chainrule.display.repeats import blocks, pattern
from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation, Parameter


def listing(graph: Graph | Node, *, sources: bool = False, full: bool = False) -> str:
    """The graph as text: name, type and operation, one line per node; outputs are starred.

    What comes again and again, such as the steps of a sequence or equal layers, is written once:
    after a line with how often, and from which node to which.

    Args:
        graph: what to list; for a node, everything that it is computed from.
        sources: also show the user's line that made each node.
        full: write all nodes.
    """
    graph = graph if isinstance(graph, Graph) else Graph([graph])
    nodes = graph.nodes
    keys = range(len(nodes)) if full else [_key(graph, x) for x in nodes]
    rows = list[tuple[str, str, str]]()
    for block in blocks(keys):
        if block.times > 1:
            ends = graph.name(nodes[block.start]), graph.name(nodes[block.last])
            rows.append((f"  {block.times} times, {ends[0]} to {ends[1]}:", "", ""))
        inside = "  " * (block.times > 1)
        for x in (nodes[k] for k in block.shown):
            text = _meaning(graph, x) + (f"  # {x.source}" if sources and x.source else "")
            rows.append((inside + _mark(graph, x) + graph.name(x), str(x.type), text))
    name_width = max((len(row[0]) for row in rows if row[1]), default=0)
    type_width = max((len(row[1]) for row in rows), default=0)
    lines = (f"{name:<{name_width}}  {kind:<{type_width}}  {text}" for name, kind, text in rows)
    return "\n".join(line.rstrip() for line in lines)


def _key(graph: Graph, x: Node) -> Hashable:
    """A key that nodes share that differ in the numbers in names and the start of a slice alone.

    An output is like no other node.
    """
    if x in graph.outputs:
        return x
    known: list[Hashable] = [pattern(graph.name(x)), x.type]
    if isinstance(x, Operation):
        known += [x.op.name, *(pattern(graph.name(y)) for y in x.operands)]
        known += [(k, show_attribute(v)) for k, v in x.attributes.items() if k != "start"]
    else:
        known.append(_meaning(graph, x))
    return tuple(known)


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
