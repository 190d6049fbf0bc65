"""Kernels that no other node joins: running sums, scatter-adds, positions of last duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from chainrule.graph.node import Node, Operation
from chainrule.graph.op import LastEqual, Scan, ScatterAdd, Values
from chainrule.ir.index import Place, call, clamp, const, flatten_index
from chainrule.ir.kernel import (
    Acc,
    At,
    Axis,
    Buffer,
    Call,
    Const,
    Expr,
    Kernel,
    Read,
    Reduction,
    Write,
)
from chainrule.plan.elements import Elements, stored_at
from chainrule.plan.lower import has_loop
from chainrule.types import N, rows_first


def is_separate(node: Node) -> TypeGuard[Operation]:
    """Whether nothing may join the loops of a node."""
    return is_scatter_add(node) or is_cumsum(node) or is_last_equal(node)


def is_cumsum(node: Node) -> TypeGuard[Operation]:
    """Whether a node is a running sum."""
    return isinstance(node, Operation) and isinstance(node.op.lower, Scan) and has_loop(node)


def is_scatter_add(node: Node) -> TypeGuard[Operation]:
    """Whether a node adds slices to an array of zeros."""
    return isinstance(node, Operation) and isinstance(node.op.lower, ScatterAdd)


def is_last_equal(node: Node) -> TypeGuard[Operation]:
    """Whether a node holds the position of the last duplicate of each index."""
    return isinstance(node, Operation) and isinstance(node.op.lower, LastEqual)


def separate_kernels(
    node: Operation,
    name: str,
    axes: tuple[Axis, ...],
    targets: Sequence[Buffer],
    elements: Elements,
) -> list[Kernel]:
    """The kernels of a node that is `is_separate`.

    Args:
        node: the one to compute.
        name: that of the node.
        axes: the loops over its elements.
        targets: the buffers that take its value.
        elements: the elements of the graph.
    """

    def value(x: Node, at: Place) -> Expr:
        return elements.expression(x, at, value)

    place = elements.place(node)[1]
    if is_cumsum(node):
        return [_cumsum_kernel(node, name, axes, targets, place, value)]
    if is_last_equal(node):
        return _last_equal_kernels(node, name, axes, targets, place, value)
    return _scatter_add_kernels(node, name, axes, targets, place, value)


def _cumsum_kernel(
    node: Operation, name: str, axes: tuple[Axis, ...], targets: Sequence[Buffer], place: Place,
    value: Values,
) -> Kernel:  # fmt: skip
    """A running sum, in float64 as the interpreter's; its axis is the inner loop."""
    along, places = node.attributes["axis"], list(place)
    at = places[along]
    assert isinstance(at, At)
    if node.attributes["reverse"]:
        size = call("count", "int64") if at.axis.size is N else const(node.shape[along])
        places[along] = call("sub", "int64", call("sub", "int64", size, const(1)), at)
    place = tuple(places)
    term: Expr = value(node.operands[0], place)
    result: Expr = Acc(node.dtype)
    if node.dtype == "float32":
        term = call("cast", "float64", term)
        result = call("cast", "float32", Acc("float64"))
    writes = [Write(b, stored_at(b, node, place), result) for b in targets]
    rest = tuple(axis for axis in axes if axis is not at.axis)
    return Kernel(name, rest, tuple(writes), Reduction((at.axis,), "scan", term), (name,))


def _last_equal_kernels(
    node: Operation, name: str, axes: tuple[Axis, ...], targets: Sequence[Buffer], place: Place,
    value: Values,
) -> list[Kernel]:  # fmt: skip
    """Positions scattered to a buffer by index, then gathered: the last write wins."""
    size = node.attributes["size"]
    marked = Buffer(f"{name}.marks", (size,), node.dtype)
    to = (clamp(call("cast", "int64", value(node.operands[0], place)), size),)
    position = call("cast", node.dtype, flatten_index(place, node.shape))
    mark = Write(marked, to, position, repeats=True)
    reads = [Write(b, stored_at(b, node, place), Read(marked, to)) for b in targets]
    return [
        Kernel(f"{name}.marks", axes, (mark,), None, (name,)),
        Kernel(name, axes, tuple(reads), None, (name,)),
    ]


def _scatter_add_kernels(
    node: Operation, name: str, axes: tuple[Axis, ...], targets: Sequence[Buffer], place: Place,
    value: Values,
) -> list[Kernel]:  # fmt: skip
    """A fill with zeros, and the addition of slices in the order of their indices."""
    loops, to, added = scatter_loops(node, place, value)
    zeros = [Write(b, stored_at(b, node, place), Const(0, node.dtype)) for b in targets]
    sums = [Write(b, stored_at(b, node, to), added, add=True) for b in targets]
    return [
        Kernel(f"{name}.zeros", axes, tuple(zeros), None, (name,)),
        Kernel(name, loops, tuple(sums), None, (name,)),
    ]


def scatter_loops(
    node: Operation, place: Place, value: Values
) -> tuple[tuple[Axis, ...], Place, Expr]:
    """(loops, index, value) of a scatter-add; the loops over the indices are the inner ones."""
    x, indices = node.operands
    lower, axis = node.op.lower, node.attributes.get("axis", 0)
    assert isinstance(lower, ScatterAdd)
    ends = axis + indices.ndim
    axes = {a: Axis(f"x{a}", dim) for a, dim in enumerate(x.shape) if dim != 1}
    at: Place = tuple(At(axes[a]) if a in axes else const(0) for a in range(x.ndim))
    index = Call("cast", (value(indices, at[axis:ends]),), "int64")
    outer = [axes[a] for a in rows_first(x.shape) if a in axes and not axis <= a < ends]
    inner = [axes[a] for a in range(axis, ends) if a in axes]
    return (*outer, *inner), (*at[:axis], *lower.target(node, index), *at[ends:]), value(x, at)
