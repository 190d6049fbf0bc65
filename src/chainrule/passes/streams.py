"""Random streams: fixes the stream of each random node by its name in a graph."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from chainrule.graph.graph import Graph
from chainrule.graph.keys import stream_id
from chainrule.graph.node import Node, Operation
from chainrule.passes.rewrite import rewrite


def fix_streams(graph: Graph) -> dict[Node, Node]:
    """Maps every node of `graph` to a form with its random stream as an attribute."""
    names = {id(x): graph.name(x) for x in graph.operations if "stream" in x.attributes}
    if not names:
        return {x: x for x in graph}

    def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
        if id(node) not in names or node.attributes["stream"] is not None:
            return None
        attributes = MappingProxyType({**node.attributes, "stream": stream_id(names[id(node)])})
        return replace(node, operands=operands, attributes=attributes, source=node.source)

    return rewrite(graph, rule)
