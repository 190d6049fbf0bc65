"""The sums over rows of a step that programs share: each is exchanged, and becomes that of all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from chainrule.errors import GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation, Scope, rebuilt
from chainrule.graph.step import FIRST_ROW, ROW_COUNT, Step
from chainrule.ops.mode import COUNT, exchange
from chainrule.ops.random import UNIFORM
from chainrule.passes.decompose import decomposed, lowers
from chainrule.passes.rewrite import rewrite
from chainrule.passes.rows import batch_labels, mixes_rows
from chainrule.types import Dim, N

LINEAR = ("add", "subtract", "negative", "reshape", "transpose", "slice", "concat", "sum")
"""Ops of sums over rows that are such sums again: what they make is exchanged, not each operand."""


def exchange_rows(step: Step) -> Step:
    """The step with an exchange of every sum over rows, where programs share its rows.

    Each program has some rows of the minibatch. What is computed row by row, it computes for its
    own; a sum over rows is exchanged before anything else reads it, so that all programs go on
    with the sum of all. A mean then divides by the rows of all, and the random numbers of a row
    are those of its place among all: row count and offset become inputs.

    Raises:
        GraphError: rows meet otherwise than by a sum, or at a user's op without a lowering.
    """
    if not step.shared:
        return step
    simple = rewrite(step.graph, _decomposed)
    outputs = [simple[x] for x in step.outputs]
    place = _Exchanged(Graph([*outputs, *step.updates], like=step.graph)).place(outputs)
    total = {x: place[new] for x, new in simple.items() if new in place}
    made = Graph([*(total[x] for x in step.outputs), *step.updates], like=step.graph)
    return step.mapped(total, made)


def _decomposed(node: Operation, operands: tuple[Node, ...]) -> Node | None:
    """A node where rows meet, made of simpler ones."""
    return decomposed(node, operands) if mixes_rows(node) else None


class _Exchanged:
    """The rewrite of a graph in which rows meet by simple ops alone.

    Attributes:
        graph: the old one.
        partial: the new nodes that are sums over the rows of one program, with their names.
        totals: of them, those of all programs.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.partial: dict[Node, str] = {}
        self.totals: dict[Node, Node] = {}

    def place(self, outputs: Iterable[Node]) -> dict[Node, Node]:
        """The replacement of every node; of a sum over rows that is read otherwise, the total."""
        new = rewrite(self.graph, self._rule)
        for x in outputs:
            self._total(new[x])
        return {x: self.totals.get(y, y) for x, y in new.items()}

    def _total(self, node: Node) -> Node:
        if node not in self.partial:
            return node
        if node not in self.totals:
            self.totals[node] = exchange(node).within(Scope(f"{self.partial[node]}.total"))
        return self.totals[node]

    def _rule(self, node: Operation, operands: tuple[Node, ...]) -> Node | None:
        if (numbered := _numbered(node, operands)) is not None:
            return numbered
        sums = [x in self.partial for x in operands]
        if sums and all(sums) and node.op.name in LINEAR:
            made: Node = rebuilt(node, operands)
            self.partial[made] = self.graph.name(node)
            return made
        made = rebuilt(node, tuple(map(self._total, operands)))
        if not lowers(node) or (N in made.shape and mixes_rows(node)):
            raise _refused(node)
        if N not in made.shape and any(N in x.shape for x in operands):
            if not _sums_rows(node):
                raise _refused(node)
            self.partial[made] = self.graph.name(node)
        return made


def _refused(node: Operation) -> GraphError:
    what = f"the op {node.op.name!r} needs all rows of a minibatch at once"
    if not lowers(node):
        what = f"the op {node.op.name!r} of a user's code has no lowering"
    return GraphError(
        "fit.blocks", f"{what}: a minibatch in blocks cannot be trained on",
        expected="ops of each row by itself, and sums and means over rows",
        at=f"node {node.label!r}, line {node.source}",
        fix="blocks=1 and one process; or another layer in its place",
    )  # fmt: skip


def _numbered(node: Operation, operands: tuple[Node, ...]) -> Node | None:
    """A count of rows, or random numbers of each, among all; None for other nodes."""
    shape = node.attributes.get("shape", ())
    if shape.count(N) != 1 or operands[1:]:
        return None
    if node.op is COUNT and not operands:
        sizes = MappingProxyType(
            {**node.attributes, "shape": tuple(sorted(shape, key=_rows_first))}
        )
        return replace(node, operands=(ROW_COUNT,), attributes=sizes, source=node.source)
    if node.op is UNIFORM:
        return replace(node, operands=(*operands, FIRST_ROW), source=node.source)
    return None


def _rows_first(dim: Dim) -> bool:
    return dim is not N


def _sums_rows(node: Operation) -> bool:
    """Whether a node without rows is a sum of something of each row."""
    rows = [x.shape.count(N) for x in node.operands]
    if node.op.name == "scatter_add":
        return rows == [1, 1]
    if node.op.name == "einsum":
        return max(rows) == 1 and len(batch_labels(node)) == 1
    return node.op.name == "sum" and rows == [1]
