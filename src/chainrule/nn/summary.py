"""The summary of a network: its layers, their shapes, and how many parameters they have."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation, Parameter, Scope
from chainrule.graph.step import KEY
from chainrule.types import show, static_size

_QUIET = {"constant", "broadcast_to", "reshape"}
_HEAD = ("name", "what", "shape", "parameters", "reads")


@dataclass(frozen=True)
class Row:
    """A layer, or a single node.

    Attributes:
        name, what: its name and kind.
        shape, dtype: of its value.
        parameters, trained: its number of parameters, and of those that are trained.
        reads: the names of the rows that it is computed from.
    """

    name: str
    what: str
    shape: str
    dtype: str
    parameters: int
    trained: int
    reads: tuple[str, ...]

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of the head."""
        count = f"{self.parameters:,}" if self.parameters else ""
        return self.name, self.what, self.shape, count, ", ".join(self.reads)


@dataclass(frozen=True)
class Summary:
    """A table of rows and its totals. `str(summary)` is the table; a notebook shows it as HTML.

    Attributes:
        rows: in the order of computation.
        parameters, trained: the network's number of parameters, and of those that are trained.
        bytes: the size of all parameters.
    """

    rows: tuple[Row, ...]
    parameters: int
    trained: int
    bytes: int

    @property
    def total(self) -> str:
        """The totals in one line."""
        fixed = self.parameters - self.trained
        split = f" ({self.trained:,} trained, {fixed:,} not)" if fixed else ""
        return f"{self.parameters:,} parameters{split}, {_size(self.bytes)}"

    def __str__(self) -> str:
        table = [_HEAD, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [_line(cells, widths) for cells in table]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, self.total])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{text}</th>" for text in _HEAD)
        body = "".join(f"<tr>{''.join(map(_cell, row.cells()))}</tr>" for row in self.rows)
        foot = f'<tr><td colspan="{len(_HEAD)}">{self.total}</td></tr>'
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
            f"<tfoot>{foot}</tfoot></table>"
        )


def summary(model: Any, *, nodes: bool = False) -> Summary:
    """The table of a network: name, kind, shape, number of parameters and operands of each layer.

    Args:
        model: a model, a graph, a node, or several nodes.
        nodes: a row for every node in place of one for every layer.

    Raises:
        GraphError: `model` is something else.
    """
    graph = _graph(model)
    groups: dict[Scope | Node, list[Node]] = {}
    for node in graph:
        if nodes or node in graph.outputs or not _quiet(node):
            groups.setdefault(node if nodes else node.scope, []).append(node)
    heads = {key: _result(group) for key, group in groups.items()}
    order = {node: place for place, node in enumerate(graph)}
    keys = sorted(groups, key=lambda key: order[heads[key]])
    rows = tuple(_row(graph, groups[key], heads, nodes) for key in keys)
    sizes = [(static_size(x.shape), x) for x in graph.parameters]
    return Summary(
        rows,
        sum(n for n, _ in sizes),
        sum(n for n, x in sizes if x.trainable),
        sum(n * np.dtype(x.dtype).itemsize for n, x in sizes),
    )


def _graph(model: Any) -> Graph:
    source = getattr(model, "graph", model)
    if isinstance(source, Graph):
        return source
    outputs = [source] if isinstance(source, Node) else source
    if isinstance(outputs, Iterable) and not isinstance(outputs, (str, dict)):
        listed = list(outputs)
        if listed and all(isinstance(x, Node) for x in listed):
            return Graph(listed)
    raise GraphError("summary", "not a model, a graph or nodes", got=repr(model)[:60])


def _quiet(node: Node) -> bool:
    """Whether a node has no row of its own: from broadcasting, literals and randomness."""
    if node is KEY:
        return True
    return isinstance(node, Operation) and node.op.name in _QUIET and _plain(node)


def _plain(node: Operation) -> bool:
    return not node.scope.given and not node.suffix and node.scope.base == node.op.name


def _result(group: list[Node]) -> Node:
    return next((x for x in group if not x.suffix), group[-1])


def _row(graph: Graph, group: list[Node], heads: dict[Scope | Node, Node], nodes: bool) -> Row:
    head = _result(group)
    parameters = [x for x in group if isinstance(x, Parameter)]
    return Row(
        graph.name(head),
        _what(group),
        show(head.shape),
        head.dtype,
        sum(static_size(x.shape) for x in parameters),
        sum(static_size(x.shape) for x in parameters if x.trainable),
        tuple(graph.name(x) for x in _reads(group, heads, nodes)),
    )


def _reads(group: list[Node], heads: dict[Scope | Node, Node], nodes: bool) -> list[Node]:
    """The heads of the other rows that the group reads, directly or through nodes without a row."""
    members, read = set(group), dict[Node, None]()
    stack = [x for node in reversed(group) for x in reversed(node.inputs)]
    while stack:
        x = stack.pop()
        head = heads.get(x if nodes else x.scope)
        if head is None:
            stack.extend(reversed(x.inputs))
        elif x not in members:
            read[head] = None
    return list(read)


def _what(group: list[Node]) -> str:
    """The kind of a layer, recognised by its parts."""
    head, parts = _result(group), {x.suffix for x in group}
    ops = [x.op.name for x in group if isinstance(x, Operation)]
    if isinstance(head, Input):
        return "input"
    if isinstance(head, Operation) and head.op.name == "objective":
        return str(head.attributes["kind"]) + " loss"
    if ".w" in parts and len(group) > 1:
        after = ops[_place(group, ".z") + 1 :] if ".z" in parts else []
        return ", ".join(["dense", *_distinctive(after)])
    for part, kind in _KINDS.items():
        if part in parts:
            return kind
    if len(group) == 1 and isinstance(head, Parameter):
        return "parameter" if head.trainable else "parameter, not trained"
    if len(group) > 1 and not head.scope.given:
        return head.scope.base
    return ", ".join(_distinctive(ops)) or ops[-1]


_ARITHMETIC = ("add", "subtract", "multiply", "divide", "negative", "square")
_KINDS = {
    ".table": "embedding",
    ".running_mean": "batch_norm",
    ".shift": "layer_norm",
    ".scale": "rms_norm",
    ".uniform": "dropout",
}


def _distinctive(ops: list[str]) -> list[str]:
    """The distinct ops without arithmetic: gelu is recognised by its erf."""
    return [name for name in dict.fromkeys(ops) if name not in (*_QUIET, *_ARITHMETIC)]


def _place(group: list[Node], suffix: str) -> int:
    """The position of the suffix among the group's operations."""
    operations = [x for x in group if isinstance(x, Operation)]
    return next(k for k, x in enumerate(operations) if x.suffix == suffix)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    name, what, shape, count, reads = (
        f"{cell:>{width}}" if column == 3 else f"{cell:<{width}}"
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((name, what, shape, count, reads)).rstrip()


def _cell(text: str) -> str:
    return f"<td>{html.escape(text)}</td>"


def _size(count: int) -> str:
    """A number of bytes with its unit: 512 bytes, 1.5 KiB, 20 MiB."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.3g} {units[0]}" if units[0] != "bytes" else f"{count} bytes"
