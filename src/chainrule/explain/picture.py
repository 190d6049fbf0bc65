"""Pictures of graphs: each node with its formula, and its value and gradient if they are known."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.display.diagram import Box, Picture, box, diagram
from chainrule.display.tables import clean
from chainrule.errors import GraphError
from chainrule.explain.formula import by_name, expression, number, transparent
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation, Parameter
from chainrule.graph.step import STEP_INPUTS
from chainrule.nn.blocks import Row
from chainrule.nn.summary import summary

MOST = 30
"""A graph with more nodes is drawn by layers."""

MOST_CHOSEN = 200
"""Nodes that can be chosen for a picture."""

COLUMNS, ROWS = 5, 6
"""The size of a matrix up to which it is written in full."""

NAME, WHAT = 30, 40
"""Characters of a name, and of what a layer is; longer ones are cut."""

TERMS = 25
"""Operands up to which the formula of a node that is not drawn is written in that of another."""

_AXES = re.compile(r", axis=\([^)]*\)")


@dataclass(frozen=True)
class Numbers:
    """The values and gradients that a picture shows.

    Attributes:
        value: of a node.
        gradient: of a floating-point node; None before a backward pass.
        loss: the name of the node that gradients are of.
    """

    value: Callable[[Node], Array]
    gradient: Callable[[Node], Array] | None = None
    loss: str = ""

    def lines(self, node: Node) -> list[tuple[str, str]]:
        """The value, then the gradient; a matrix row by row."""
        lines = [(text, "") for text in _rows(self.value(node))]
        if self.gradient is None or not node.type.floating:
            return lines
        mark = f"∂{clean(self.loss, NAME)} "
        blank = " " * len(mark)
        rows = _rows(self.gradient(node))
        return lines + [((mark if k == 0 else blank) + x, "gradient") for k, x in enumerate(rows)]


def picture(
    source: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    nodes: Iterable[Node | str] | None = None,
    title: str | None = None,
) -> Picture:
    """A picture of a network: its nodes with their formulas and types, and what reads what.

    `trace.picture()` has values and gradients besides.

    Args:
        source: a model, a graph, a node, or several nodes.
        path: of an SVG file to write; None writes none.
        nodes: those to draw, as nodes or names; formulas are expanded down to these. None: all
            that are not shown in the formulas of others; of more than 30, the layers.
        title: for screen readers.

    Returns:
        The picture: a notebook shows it, `svg` is its text, `save` writes it.

    Raises:
        GraphError: `source` is something else, or a node is not part of it.
        OSError: the file cannot be written.
    """
    return drawn(_graph(source), path, nodes, title)


def drawn(
    graph: Graph,
    path: str | os.PathLike[str] | None = None,
    nodes: Iterable[Node | str] | None = None,
    title: str | None = None,
    numbers: Numbers | None = None,
) -> Picture:
    """The picture of a graph, with its numbers if there are any; see `picture`."""
    boxes = _chosen(graph, nodes, numbers) if nodes is not None else _usual(graph, numbers)
    legend = []
    if numbers is not None:
        legend.append(("value, computed forward", ""))
    if numbers is not None and numbers.gradient is not None:
        loss = clean(numbers.loss, NAME)
        legend.append((f"∂{loss}: gradient of {loss} by the box, computed backward", "gradient"))
    title = title or f"A graph of {len(graph)} nodes: {len(boxes)} boxes"
    text = "; ".join(line for x in boxes for line, style in x.lines[:1])
    made = diagram(boxes, title, legend, f"In order of computation: {text}" if text else "")
    if path is not None:
        made.save(path)
    return made


def _graph(source: Any) -> Graph:
    graph = getattr(source, "graph", source)
    if isinstance(graph, Graph):
        return graph
    listed = [graph] if isinstance(graph, Node) else graph
    if isinstance(listed, (list, tuple)) and listed and all(isinstance(x, Node) for x in listed):
        return Graph(listed)
    raise GraphError("picture", "not a model, a graph or nodes", got=repr(source)[:60])


def _usual(graph: Graph, numbers: Numbers | None) -> list[Box]:
    """Every node that has a formula of its own, or the layers where these are many."""
    shown = _worth_showing(graph) or list(graph)
    if len(shown) <= MOST:
        return _nodes(graph, shown, numbers)
    table = summary(graph)
    if len(table.shown) > MOST_CHOSEN:
        raise GraphError(
            "picture", "there are too many boxes to be read",
            got=f"{len(shown):,} nodes in {len(table.shown):,} layers", expected=MOST_CHOSEN,
            fix=f"choose some: picture(nodes={[graph.name(x) for x in shown[-3:]]!r})",
        )  # fmt: skip
    return _layers(graph, table.shown, numbers)


def _worth_showing(graph: Graph) -> list[Node]:
    """The nodes but those that only repeat others; a name that was given stands for both."""
    named = [x for x in graph if transparent(x) and x.inputs and _given(x)]
    repeated = {x.inputs[0] for x in named}
    left_out = {
        x for x in repeated if not _given(x) and isinstance(x, Operation)
        and all(y in named for y in graph.consumers(x))
    }  # fmt: skip
    kept = set(named)
    return [
        x for x in graph
        if (x in kept or not transparent(x)) and x not in left_out and x not in STEP_INPUTS
    ]  # fmt: skip


def _given(node: Node) -> bool:
    return node.scope.given and not node.suffix


def _chosen(graph: Graph, nodes: Iterable[Node | str], numbers: Numbers | None) -> list[Box]:
    named = [nodes] if isinstance(nodes, (Node, str)) else nodes
    chosen = {graph.find(x) for x in named}
    if not 0 < len(chosen) <= MOST_CHOSEN:
        raise GraphError(
            "picture", "nodes= chooses " + ("too many nodes" if chosen else "none"),
            expected=f"1 to {MOST_CHOSEN}", got=f"{len(chosen):,}",
        )  # fmt: skip
    return _nodes(graph, [x for x in graph if x in chosen], numbers)


def _nodes(graph: Graph, shown: Sequence[Node], numbers: Numbers | None) -> list[Box]:
    """A box for each node, in order of computation."""
    names = {x: clean(graph.name(x), NAME) for x in (*shown, *_long(graph, shown))}
    reads = _reads(shown)
    at = {x: k for k, x in enumerate(shown)}
    return [
        box(
            [(_title(x, names), "name"), *(numbers.lines(x) if numbers else [_type(x)])],
            _kind(x),
            (at[y] for y in reads[x]),
            fixed=isinstance(x, Parameter) and not x.trainable,
        )
        for x in shown
    ]


def _title(node: Node, names: dict[Node, str]) -> str:
    if not node.inputs:
        return names[node]
    inside = {x: name for x, name in names.items() if x is not node}
    return f"{names[node]} = {_AXES.sub('', expression(node, by_name(inside, _own(inside))))}"


def _long(graph: Graph, shown: Sequence[Node]) -> list[Node]:
    """The nodes that are not drawn and stand by name in formulas: these would be too long else."""
    drawn, size, long = set(shown), dict[Node, int](), []
    for x in graph:
        size[x] = 1 if x in drawn else 1 + sum(size[y] for y in x.inputs)
        if size[x] > TERMS:
            long.append(x)
            size[x] = 1
    return long


def _own(names: dict[Node, str]) -> dict[Node, str]:
    """The names of drawn nodes that formulas would else not show."""
    return {x: name for x, name in names.items() if transparent(x)}


def _type(node: Node) -> tuple[str, str]:
    return str(node.type), "faint"


def _kind(node: Node) -> str:
    if isinstance(node, Parameter):
        return "parameter"
    return "input" if isinstance(node, Input) else "operation"


def _reads(shown: Sequence[Node]) -> dict[Node, list[Node]]:
    """The drawn nodes that each is computed from, directly or through others."""
    drawn, reads = set(shown), dict[Node, list[Node]]()
    for node in shown:
        found: dict[Node, None] = {}
        seen: set[Node] = set()
        stack = list(reversed(_shown_inputs(node)))
        while stack:
            x = stack.pop()
            if x in drawn:
                found.setdefault(x)
            elif x not in seen:
                seen.add(x)
                stack.extend(reversed(_shown_inputs(x)))
        reads[node] = list(found)
    return reads


def _shown_inputs(node: Node) -> tuple[Node, ...]:
    """The operands that the formula of a node has."""
    return node.inputs[:1] if transparent(node) else node.inputs


def _layers(graph: Graph, rows: Sequence[Row], numbers: Numbers | None) -> list[Box]:
    """A box for each row of the summary, with the numbers of its result."""
    order = _sorted(rows)
    at = {row.name: k for k, row in enumerate(order)}
    boxes = []
    for row in order:
        many = f", {row.parameters:,} parameter{'s' * (row.parameters > 1)}"
        size = many if row.parameters else ""
        lines = [(clean(row.name, NAME), "name"), (clean(row.what, WHAT) + size, "")]
        lines.append((row.dtype + row.shape, "faint"))
        node = graph[row.result] if row.result else None
        if numbers is not None and node is not None:
            lines += numbers.lines(node)
        kind = _kind(node) if node is not None and _plain(row) else "layer"
        boxes.append(box(lines, kind, (at[x] for x in row.reads if x in at and x != row.name)))
    return boxes


def _plain(row: Row) -> bool:
    return row.what in ("input", "parameter", "parameter, not trained")


def _sorted(rows: Sequence[Row]) -> list[Row]:
    """The rows, each after those that it reads."""
    named = {row.name: row for row in rows}
    done: dict[str, Row] = {}
    for row in rows:
        stack = [(row, iter(row.reads))]
        open_rows = {row.name}
        while stack:
            top, left = stack[-1]
            name = next((x for x in left if x in named and x not in done), None)
            if name is None:
                done.setdefault(top.name, top)
                stack.pop()
            elif name not in open_rows:
                open_rows.add(name)
                stack.append((named[name], iter(named[name].reads)))
    return list(done.values())


def _rows(array: Array) -> list[str]:
    """An array as text: a small matrix row by row, a large array cut."""
    if array.ndim == 2 and min(array.shape) > 1:
        rows, columns = array.shape
        if rows <= ROWS and columns <= COLUMNS:
            return [number(row, 3) for row in array]
    return [number(array, 3, ROWS)]
