"""Kernels that no other node joins: running sums, additions at indices, positions of indices."""

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
from chainrule.plan.elements import Elements, rows_first, stored_at
from chainrule.plan.lower import has_loop
from chainrule.types import N


def separate(node: Node) -> TypeGuard[Operation]:
    """Whether nothing may join the loops of a node."""
    return adds(node) or scans(node) or marks(node)


def scans(node: Node) -> TypeGuard[Operation]:
    """Whether a node is a running sum."""
    return isinstance(node, Operation) and isinstance(node.op.lower, Scan) and has_loop(node)


def adds(node: Node) -> TypeGuard[Operation]:
    """Whether a node adds slices to zeros."""
    return isinstance(node, Operation) and isinstance(node.op.lower, ScatterAdd)


def marks(node: Node) -> TypeGuard[Operation]:
    """Whether a node is the positions of the last equal indices."""
    return isinstance(node, Operation) and isinstance(node.op.lower, LastEqual)


def separate_kernels(
    node: Operation,
    name: str,
    axes: tuple[Axis, ...],
    taken: Sequence[Buffer],
    elements: Elements,
) -> list[Kernel]:
    """The kernels of a node that is `separate`.

    Args:
        node: what they compute.
        name: of the node.
        axes: the loops over its elements.
        taken: the buffers that take its value.
        elements: of the graph.
    """

    def value(x: Node, at: Place) -> Expr:
        return elements.expression(x, at, value)

    place = elements.place(node)[1]
    if scans(node):
        return [_scanning(node, name, axes, taken, place, value)]
    if marks(node):
        return _marking(node, name, axes, taken, place, value)
    return _scattering(node, name, axes, taken, place, value)


def _scanning(
    node: Operation, name: str, axes: tuple[Axis, ...], taken: Sequence[Buffer], place: Place,
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
    writes = [Write(b, stored_at(b, node, place), result) for b in taken]
    rest = tuple(axis for axis in axes if axis is not at.axis)
    return Kernel(name, rest, tuple(writes), Reduction((at.axis,), "scan", term), (name,))


def _marking(
    node: Operation, name: str, axes: tuple[Axis, ...], taken: Sequence[Buffer], place: Place,
    value: Values,
) -> list[Kernel]:  # fmt: skip
    """Positions, written to a buffer where the indices say, and read there: the last ones."""
    size = node.attributes["size"]
    marked = Buffer(f"{name}.marks", (size,), node.dtype)
    to = (clamp(call("cast", "int64", value(node.operands[0], place)), size),)
    position = call("cast", node.dtype, flatten_index(place, node.shape))
    mark = Write(marked, to, position, repeats=True)
    reads = [Write(b, stored_at(b, node, place), Read(marked, to)) for b in taken]
    return [
        Kernel(f"{name}.marks", axes, (mark,), None, (name,)),
        Kernel(name, axes, tuple(reads), None, (name,)),
    ]


def _scattering(
    node: Operation, name: str, axes: tuple[Axis, ...], taken: Sequence[Buffer], place: Place,
    value: Values,
) -> list[Kernel]:  # fmt: skip
    """Zeros, to which slices are added in the order of their indices."""
    loops, to, added = scattered(node, place, value)
    zeros = [Write(b, stored_at(b, node, place), Const(0, node.dtype)) for b in taken]
    sums = [Write(b, stored_at(b, node, to), added, add=True) for b in taken]
    return [
        Kernel(f"{name}.zeros", axes, tuple(zeros), None, (name,)),
        Kernel(name, loops, tuple(sums), None, (name,)),
    ]


def scattered(node: Operation, place: Place, value: Values) -> tuple[tuple[Axis, ...], Place, Expr]:
    """Loops over what is added, where it goes and what it is; the indices are the inner loops."""
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
