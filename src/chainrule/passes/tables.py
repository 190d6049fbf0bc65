"""Updates by rows: a training step leaves the rows of large tables alone that no example uses.

Where a gradient of 0 changes neither a row nor its slots, as with plain SGD and Adagrad, that is
what an update of the whole table does: the update is exact. With others, such as Adam, the rows
that no example uses rest, and their averages with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from chainrule.errors import GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation, Parameter, apply
from chainrule.graph.step import Step
from chainrule.ops.build import broadcast_to, cast
from chainrule.ops.compare import where
from chainrule.ops.index import take
from chainrule.ops.join import concat
from chainrule.ops.reduce import sum
from chainrule.ops.rows import DENSE_ROWS, add_at, is_last, last_equal, put_rows, read_at
from chainrule.ops.shape import reshape
from chainrule.passes.rewrite import rewrite
from chainrule.types import N, Shape, static_size

MOVING = "the whole table, as its unused rows move too; sparse=True lets them rest"
"""The treatment of a large table whose update by rows would not be exact."""


def update_rows(step: Step) -> Step:
    """The step with updates by rows: with `sparse=True`, or of large tables where it is exact.

    That a table can be updated by rows takes two things. Its gradient is a sum of scatter_adds:
    the loss reads it by look-ups of examples alone. And the new values of it and its slots are
    computed element by element from them, the gradient and scalars; the only sum over the whole
    gradient may be one of terms that are 0 where it is 0, such as in clipping by norm. A step whose
    rows programs share updates whole tables.

    Raises:
        GraphError: programs share the rows of a step, and a table has `sparse=True`.
    """
    if step.shared:
        _refuse_sparse(step.gradients)
        return step
    for table, gradient in step.gradients.items():
        if table.sparse or (table.sparse is None and _large(table)):
            used = _used(table, gradient)
            step = (_Rows(step, table, gradient, used).step() if used else None) or step
    return step


def _refuse_sparse(tables: Iterable[Parameter]) -> None:
    for table in tables:
        if table.sparse:
            raise GraphError(
                "fit.blocks", "a minibatch in blocks updates whole tables, not the rows in use",
                got="sparse=True", at=f"table {table.label!r}, line {table.source}",
                fix="sparse=False, or blocks=1 and one process",
            )  # fmt: skip


def _large(table: Parameter) -> bool:
    return table.ndim > 0 and static_size(table.shape[:1]) > DENSE_ROWS


def treatments(step: Step) -> dict[Parameter, str]:
    """The tables of a step that examples look up, each with the way it is updated, in words."""
    looked_up = (x.operands[0] for x in step.graph.operations if x.op.name == "take")
    tables = (x for x in looked_up if isinstance(x, Parameter) and x.trainable)
    return {x: _treatment(x, step.updates[x]) for x in dict.fromkeys(tables)}


def _treatment(table: Parameter, new: Node) -> str:
    if isinstance(new, Operation) and new.op.name == "put_rows":
        if new.attributes["exact"]:
            return "the rows in use, as exact as the whole table"
        return "the rows in use; others rest, with their averages, until they are used"
    if table.sparse:
        return "the whole table, though sparse=True: it is read otherwise, or by the optimizer"
    if table.sparse is False or not _large(table):
        return "the whole table"
    return MOVING


@dataclass(frozen=True)
class _Used:
    """The rows of a table that a minibatch uses.

    Attributes:
        indices: of the rows, (N, l).
        positions: where the last equal one of them stands.
        gradient: of the row at each index, (N, l, ...).
    """

    indices: Node
    positions: Node
    gradient: Node


def _used(table: Parameter, gradient: Node) -> _Used | None:
    """The operand that a gradient is the scatter_add of; None if it is something else."""
    indices: list[Node] = []
    terms: list[Node] = []
    stack = [gradient]
    while stack:
        x = stack.pop()
        if not isinstance(x, Operation):
            return None
        if x.op.name == "add":
            stack.extend(reversed(x.operands))
        elif x.op.name == "scatter_add" and x.attributes["axis"] == 0 and _rows(x.operands[1]):
            term, index = x.operands
            several = static_size(index.shape[1:])
            indices.append(reshape(index, (N, several)))
            terms.append(reshape(term, (N, several, *table.shape[1:])))
        else:
            return None
    if len({x.dtype for x in indices}) > 1:
        indices = [cast(x, "int64") for x in indices]
    index, gy = (x[0] if len(x) == 1 else concat(x, axis=1) for x in (indices, terms))
    positions = last_equal(index, static_size(table.shape[:1]))
    return _Used(index, positions, read_at(add_at(gy, positions), positions))


def _rows(indices: Node) -> bool:
    """Whether the first axis is that of the examples, and the only one."""
    return indices.shape[:1] == (N,) and N not in indices.shape[1:]


class _Rows:
    """A step in which one table, and its slots, are to be updated by rows.

    Attributes:
        rows: of nodes of the table's shape, in their place, (N, l, ...).
        moved: those of them that depend on the gradient.
        zero: those that are 0 where the gradient is.
        same: those that are a state where the gradient is 0, with that state.
        fails: whether a node reads all of what depends on the gradient.
    """

    def __init__(self, step: Step, table: Parameter, gradient: Node, used: _Used) -> None:
        self.old, self.table, self.used = step, table, used
        self.rows: dict[Node, Node] = {gradient: used.gradient}
        self.moved, self.zero = {gradient}, {gradient}
        self.same: dict[Node, Node] = {}
        self.fails = False

    def step(self) -> Step | None:
        """The step with updates by rows; None where one needs the whole table."""
        old = self.old
        place = rewrite(old.graph, self._rule)
        if self.fails or old.updates[self.table] not in self.moved:
            return None
        moved = {x: new for x, new in old.updates.items() if new in self.moved}
        exact = all(self.same.get(new) is x for x, new in moved.items())
        if not (exact or self.table.sparse):
            return None
        updates = {x: place[new] for x, new in old.updates.items()}
        updates |= {x: self._put(x, new, exact) for x, new in moved.items()}
        graph = Graph([place[old.loss], *updates.values()], like=old.graph)
        gradients = {x: g for x, g in old.gradients.items() if x is not self.table}
        return Step(graph, place[old.loss], updates, gradients)

    def _put(self, state: Parameter, new: Node, exact: bool) -> Node:
        made = put_rows(state, self.used.indices, self.rows[new], exact=exact)
        return made.within(new.scope, new.suffix)

    def _rule(self, node: Operation, operands: tuple[Node, ...]) -> Node | None:
        if node in self.rows:
            return None
        moved = any(x in self.moved for x in node.operands)
        if moved and node.op.name == "sum" and not node.ndim and node.operands[0] in self.zero:
            return self._sum(node.operands[0]).within(node.scope, node.suffix)
        rows = self._elementwise(node, operands)
        if rows is not None:
            self.rows[node] = rows
            if moved:
                self.moved.add(node)
            if self._vanishes(node):
                self.zero.add(node)
            elif node.op.name in ("add", "subtract"):
                kept, change = node.operands
                if change in self.zero:
                    self.same[node] = self.same.get(kept, kept)
        self.fails |= moved and rows is None
        return None

    def _elementwise(self, node: Operation, operands: tuple[Node, ...]) -> Node | None:
        """The rows of a node of the table's shape; None where it is not made row by row."""
        if node.shape != self.table.shape:
            return None
        if node.op.name == "broadcast_to" and not operands[0].ndim:
            return broadcast_to(operands[0], self._shape())
        for x in node.operands:
            if isinstance(x, Parameter) and x.shape == self.table.shape and x not in self.rows:
                self.rows[x] = take(x, self.used.indices)
        if node.op.kind != "map" or not all(x in self.rows for x in node.operands):
            return None
        return apply(node.op, *(self.rows[x] for x in node.operands), **node.attributes)

    def _vanishes(self, node: Operation) -> bool:
        """Whether a node is 0 where the gradient is."""
        zero = [x in self.zero for x in node.operands]
        if node.op.name == "multiply":
            return any(zero)
        if node.op.name == "divide":
            return zero == [True, False]
        if not zero or not all(zero):
            return False
        zeros = (np.zeros(1, x.dtype) for x in node.operands)
        with np.errstate(all="ignore"):
            at_zero = node.op.forward(*zeros, **node.attributes)
        return not at_zero.any()

    def _sum(self, x: Node) -> Node:
        """The sum of a node that is 0 where no example uses a row: of each row in use, once."""
        indices = self.used.indices
        ones = (1,) * (self.table.ndim - 1)
        once = reshape(is_last(self.used.positions), (*indices.shape, *ones))
        return sum(where(broadcast_to(once, self._shape()), self.rows[x], 0.0))

    def _shape(self) -> Shape:
        return (*self.used.indices.shape, *self.table.shape[1:])
