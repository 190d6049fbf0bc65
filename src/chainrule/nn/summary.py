"""The summary of a network: its layers, their shapes, and how many parameters they have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.display.tables import Section, as_html
from chainrule.errors import GraphError
from chainrule.graph.graph import Graph, topological
from chainrule.graph.node import Input, Node, Operation, Parameter, Scope
from chainrule.graph.step import KEY
from chainrule.nn.arguments import ACTIVATIONS
from chainrule.nn.blocks import MOST, Row, convolution, folded
from chainrule.nn.kinds import image_kind
from chainrule.nn.recognise import activation_of
from chainrule.types import static_size

_QUIET = {"constant", "broadcast_to", "recomputed", "reshape"}
_HEAD = ("name", "what", "shape", "parameters", "reads")


@dataclass(frozen=True)
class Summary:
    """A table of rows and its totals. `str(summary)` is the table; a notebook shows it as HTML.

    Attributes:
        rows: in the order of computation.
        full: whether the table shows all of them; else many are folded into blocks.
        parameters, trained: the network's number of parameters, and of those that are trained.
        bytes: the size of all parameters.
    """

    rows: tuple[Row, ...]
    parameters: int
    trained: int
    bytes: int
    full: bool = False

    @cached_property
    def shown(self) -> tuple[Row, ...]:
        """The rows of the table: blocks of them where there are many, but all of images."""
        whole = self.full or len(self.rows) <= MOST or any(map(convolution, self.rows))
        return self.rows if whole else folded(self.rows)

    @property
    def hidden(self) -> str:
        """The number of rows that are folded, in words; empty where none is."""
        shown = self.shown
        return "" if shown is self.rows else f"{len(self.rows)} rows in {len(shown)} blocks"

    @property
    def total(self) -> str:
        """The totals in one line."""
        fixed = self.parameters - self.trained
        split = f" ({self.trained:,} trained, {fixed:,} not)" if fixed else ""
        return f"{self.parameters:,} parameters{split}, {_size(self.bytes)}"

    def __str__(self) -> str:
        table = [_HEAD, *(row.cells() for row in self.shown)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [_line(cells, widths) for cells in table]
        rule = "-" * max(map(len, lines))
        more = [f"{self.hidden}; all: summary(full=True)"] if self.hidden else []
        return "\n".join([lines[0], rule, *lines[1:], rule, self.total, *more])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = tuple(row.cells() for row in self.shown)
        return as_html([Section(self.hidden, rows, _HEAD, (3,)), Section("", ((self.total,),))])


def summary(model: Any, *, nodes: bool = False, full: bool = False) -> Summary:
    """The table of a network: name, kind, shape, number of parameters and operands of each layer.

    Args:
        model: a model, a graph, a node, or several nodes.
        nodes: a row for every node in place of one for every layer.
        full: print all rows; else those of a network of more than 40 are folded into blocks.

    Raises:
        GraphError: `model` is something else.
    """
    graph = _graph(model)
    rows = tuple(row for row, _ in _grouped(graph, nodes))
    sizes = [(static_size(x.shape), x) for x in graph.parameters]
    return Summary(
        rows,
        sum(n for n, _ in sizes),
        sum(n for n, x in sizes if x.trainable),
        sum(n * np.dtype(x.dtype).itemsize for n, x in sizes),
        full=full or nodes,
    )


def layers(graph: Graph) -> list[tuple[Row, list[Node]]]:
    """The rows of the table of a graph, each with its nodes; every node is in one.

    Nodes without a row of their own, such as literals, are with the first that reads them.
    """
    grouped = _grouped(graph, False)
    home = {x: k for k, (_, group) in enumerate(grouped) for x in group}
    for node in reversed(graph.nodes):
        if node not in home:
            home[node] = min((home[x] for x in graph.consumers(node)), default=len(grouped) - 1)
    members: list[list[Node]] = [[] for _ in grouped]
    for node in graph:
        members[home[node]].append(node)
    return [(row, group) for (row, _), group in zip(grouped, members, strict=True)]


def _grouped(graph: Graph, nodes: bool) -> list[tuple[Row, list[Node]]]:
    """The rows in the order of computation, each with the nodes that it stands for."""
    owners, called = ({x: x for x in graph}, {}) if nodes else _owners(graph)
    groups: dict[Scope | Node, list[Node]] = {}
    for node in graph:
        if nodes or node in graph.outputs or owners[node] in called or not _quiet(node):
            groups.setdefault(owners[node], []).append(node)
    heads = {key: _result(group) for key, group in groups.items()}
    order = {node: place for place, node in enumerate(graph)}
    return [
        (_row(graph, groups[key], called.get(key), _reads(groups[key], heads, owners)), groups[key])
        for key in sorted(groups, key=lambda key: order[heads[key]])
    ]


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
    return next((x for x in reversed(group) if not x.suffix), group[-1])


Owners = dict[Node, Scope | Node]
"""By node, the part that it belongs to: its layer, or an activation by its last node."""


def _owners(graph: Graph) -> tuple[Owners, dict[Scope | Node, str]]:
    """The owner of each node, and the activations of the owners that have one."""
    owners: Owners = {x: x.scope for x in graph}
    layers: dict[Scope, list[Node]] = {}
    for node in graph:
        layers.setdefault(node.scope, []).append(node)
    called: dict[Scope | Node, str] = {}
    for scope, layer in reversed(layers.items()):
        head, before = _result(layer), next((x for x in layer if x.suffix == ".z"), None)
        if owners[head] is not scope:
            continue
        found = activation_of(head)
        if found is not None and (before is None or found[1] is before):
            name, inside = found[0], set(found[2])
        elif before is not None and any(x is not before for x in head.inputs):
            name, inside = "custom", _between(graph, before, head)
        else:
            continue
        others = [x for x in inside if x is not head]
        if all(_free(x, scope) and inside.issuperset(graph.consumers(x)) for x in others):
            owners |= dict.fromkeys(inside, scope)
            called[scope] = name
        elif name == "custom":
            owners[head] = head  # else the layer would read what reads it
    return owners, called


def _between(graph: Graph, first: Node, last: Node) -> set[Node]:
    """The nodes from `first`, which is left out, to `last`."""
    before, reached = set(topological([last], known=[first])), {first}
    for node in graph:
        if node in before and not reached.isdisjoint(node.inputs):
            reached.add(node)
    constants = {x for x in before if isinstance(x, Operation) and _quiet(x)}
    return (reached | constants) - {first}


def _free(node: Node, scope: Scope) -> bool:
    """Whether a node can be told as a part of the layer."""
    return node.scope is scope or (isinstance(node, Operation) and _plain(node))


def _row(graph: Graph, group: list[Node], called: str | None, reads: list[Node]) -> Row:
    head = _result(group)
    parameters = [x for x in group if isinstance(x, Parameter)]
    return Row(
        graph.name(head),
        _what(group, called),
        head.type.sizes,
        head.dtype,
        sum(static_size(x.shape) for x in parameters),
        sum(static_size(x.shape) for x in parameters if x.trainable),
        tuple(map(graph.name, reads)),
        graph.name(head),
    )


def _reads(group: list[Node], heads: dict[Scope | Node, Node], owners: Owners) -> list[Node]:
    """The heads of the other rows that the group reads, directly or through nodes without a row."""
    members, read = set(group), dict[Node, None]()
    stack = [x for node in reversed(group) for x in reversed(_seen(node))]
    while stack:
        x = stack.pop()
        head = heads.get(owners[x])
        if head is None:
            stack.extend(reversed(_seen(x)))
        elif x not in members:
            read[head] = None
    return list(read)


def _seen(node: Node) -> tuple[Node, ...]:
    """The nodes that a reader of the table takes a node to read."""
    again = isinstance(node, Operation) and node.op.name == "recomputed"
    return node.inputs[:1] if again else node.inputs


def _what(group: list[Node], called: str | None) -> str:
    """The kind of a layer, recognised by its parts."""
    head, parts = _result(group), {x.suffix for x in group}
    ops = [x.op.name for x in group if isinstance(x, Operation)]
    if isinstance(head, Input):
        return "input"
    if isinstance(head, Operation) and head.op.name == "objective":
        return str(head.attributes["kind"]) + " loss"
    if ".u" in parts:
        return _recurrent(group)
    image = image_kind(group)
    if ".w" in parts and len(group) > 1:
        kind = image or (head.scope.base if head.scope.base in _NUMERIC else "dense")
        alone = ".z" not in parts or head.suffix
        return kind if alone else f"{kind}, {called or _activation(head)}"
    if image is not None:
        return image
    if called is not None and len(parts) == 1:
        return called
    if {".uniform", ".gather"} <= parts:
        return "augment"
    for part, kind in _KINDS.items():
        if part in parts:
            return kind if kind != "rms_norm" or "rsqrt" in ops else "scale"
    if len(group) == 1 and isinstance(head, Parameter):
        return "parameter" if head.trainable else "parameter, not trained"
    if len(group) > 1 and not head.scope.given:
        return head.scope.base
    return ", ".join(_distinctive(ops)) or ops[-1]


def _recurrent(group: list[Node]) -> str:
    """The kind of a recurrent layer, by the gates of its matrix."""
    rows, columns = next(x.shape for x in group if x.suffix == ".u")
    steps = {x.suffix.split(".")[1] for x in group if x.suffix.startswith(".t")}
    gates = static_size((columns,)) // static_size((rows,))
    return f"{_GATED[gates]}, {len(steps)} steps"


_GATED = {1: "rnn", 3: "gru", 4: "lstm"}
_NUMERIC = ("piecewise", "periodic")
_ARITHMETIC = ("add", "subtract", "multiply", "divide", "negative", "square")
_KINDS = {
    ".query.w": "multi_head_attention",
    ".scores": "attention",
    ".block0.scores": "attention",
    ".places": "positions",
    ".kept": "sequence_pool",
    ".shares": "mixture_of_experts",
    ".gate.w": "gated dense",
    ".rows": "embedding_bag",
    ".table": "embedding",
    ".vectors": "field_embedding",
    ".factors": "factorisation",
    ".pairs": "pair_interactions",
    ".levels": "deep_factorisation",
    ".products": "two_towers",
    ".matches": "in_batch loss",
    ".running_mean": "batch_norm",
    ".shift": "layer_norm",
    ".scale": "rms_norm",
    ".normal": "noise",
    ".uniform": "dropout",
}


def _distinctive(ops: list[str]) -> list[str]:
    """The distinct ops without arithmetic."""
    return [name for name in dict.fromkeys(ops) if name not in (*_QUIET, *_ARITHMETIC)]


def _activation(head: Node) -> str:
    """The activation of a layer that is one op, or none that is known here."""
    name = head.op.name if isinstance(head, Operation) else ""
    return name if name in ACTIVATIONS else "custom"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    name, what, shape, count, reads = (
        f"{cell:>{width}}" if column == 3 else f"{cell:<{width}}"
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((name, what, shape, count, reads)).rstrip()


def _size(count: int) -> str:
    """A number of bytes with its unit: 512 bytes, 1.5 KiB, 20 MiB."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.3g} {units[0]}" if units[0] != "bytes" else f"{count} bytes"
