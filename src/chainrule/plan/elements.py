"""The buffers of materialized nodes, and scalar expressions for the elements of all others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.node import Input, Node, Operation, Parameter
from chainrule.graph.op import Values
from chainrule.ir.index import Place, const
from chainrule.ir.kernel import (
    Acc,
    At,
    Axis,
    Buffer,
    Call,
    Const,
    Expr,
    Part,
    Read,
    Reduction,
    Row,
    Space,
)
from chainrule.plan.joined import Joined
from chainrule.plan.lower import constant_of, element, is_constant, is_exchanged, reduction
from chainrule.types import N, Shape, rows_first


class Elements:
    """The buffers of a graph's nodes, and expressions of their elements.

    Args:
        graph: decomposed.
        step_inputs: inputs whose values come with each step.
        known: buffers of parameters, where they exist already.
        loops: the nodes whose elements are reductions.
        joined: the arrays whose parts are written in their place.

    Attributes:
        buffers: the buffers of leaves, and of the nodes materialized so far.
    """

    def __init__(
        self,
        graph: Graph,
        step_inputs: Iterable[Node],
        known: Mapping[Node, Buffer],
        loops: Collection[Node],
        joined: Joined,
    ) -> None:
        self._graph, self._step, self._loops = graph, set(step_inputs), loops
        self._joined = joined
        self._parts: dict[tuple[Buffer, int], Buffer] = {}
        self._axes: dict[Shape, tuple[Axis, ...]] = {}
        self._places: dict[Node, tuple[tuple[Axis, ...], Place]] = {}
        self._streams: dict[Node, Buffer] = {}
        self._scalars: dict[Node, Const] = {}
        self.buffers: dict[Node, Buffer] = dict(known)
        for node in graph:
            if node not in self.buffers:
                self._leaf(node)

    def materialize(self, node: Node) -> None:
        """Give a node a buffer of its own, or that of the array in which it lies."""
        if node in self._joined.homes:
            whole = self._joined.homes[node].whole
            if whole not in self.buffers:
                self.materialize(whole)
            self.buffers[node] = self.buffers[whole]
            return
        shape = tuple(node.shape[a] for a in rows_first(node.shape))
        space: Space = "gradient" if is_exchanged(node) else "work"
        self.buffers[node] = Buffer(self._graph.name(node), shape, node.dtype, space)

    def _leaf(self, node: Node) -> None:
        name = self._graph.name(node)
        if isinstance(node, Parameter):
            self.buffers[node] = Buffer(name, node.shape, node.dtype, "state")
        elif isinstance(node, Input):
            space = "data" if node.batch and node not in self._step else "step"
            self.buffers[node] = Buffer(name, node.shape, node.dtype, space)  # type: ignore[arg-type]
        elif is_constant(node):
            number, value = constant_of(node), node.attributes["value"]
            if number is None:
                self.buffers[node] = Buffer(name, node.shape, node.dtype, "constant", value)
            else:
                self._scalars[node] = number

    def place(self, node: Node) -> tuple[tuple[Axis, ...], Place]:
        """The loops over a node's elements, and the index of an element in terms of them.

        Nodes with the same sizes, but for axes of size 1 and the position of N, share loops.
        """
        if node in self._places:
            return self._places[node]
        order = [a for a in rows_first(node.shape) if node.shape[a] != 1]
        key = tuple(node.shape[a] for a in order)
        if key not in self._axes:
            names = ("n" if dim is N else f"i{k}" for k, dim in enumerate(key))
            self._axes[key] = tuple(map(Axis, names, key))
        axes = self._axes[key]
        place: list[Expr] = [const(0)] * node.ndim
        for a, axis in zip(order, axes, strict=True):
            place[a] = At(axis)
        self._places[node] = axes, tuple(place)
        return self._places[node]

    def expression(self, node: Node, at: Place, value: Values) -> Expr:
        """An element, read from memory if the node is materialized."""
        buffer = self.buffers.get(node)
        if buffer is not None:
            return Read(*self.stored(buffer, node, at))
        assert isinstance(node, Operation)
        if is_constant(node):
            return self._scalars[node]
        return self._element(node, at, value)

    def stored(self, buffer: Buffer, node: Node, at: Place) -> tuple[Buffer, Place]:
        """A buffer of a node, or a part of it, and the index there of an element of the node."""
        if buffer is self.buffers.get(node):
            while node in self._joined.homes:
                home = self._joined.homes[node]
                node, at = home.whole, home.at(at)
        return self._part(buffer, stored_at(buffer, node, at))

    def _part(self, buffer: Buffer, place: Place) -> tuple[Buffer, Place]:
        """The part at one index of the first static axis: so kernels of all indices share code."""
        axis = int(buffer.shape[:1] == (N,))
        fixed = place[axis] if len(place) > axis else None
        if buffer.space != "work" or not isinstance(fixed, Const) or buffer.shape[axis] in (0, 1):
            return buffer, place
        key = buffer, int(fixed.value)
        if key not in self._parts:
            rest = (*buffer.shape[:axis], *buffer.shape[axis + 1 :])
            name = f"{buffer.name}[{key[1]}]"
            part = Part(buffer, axis, key[1])
            self._parts[key] = Buffer(name, rest, buffer.dtype, buffer.space, None, part)
        return self._parts[key], (*place[:axis], *place[axis + 1 :])

    def _element(self, node: Operation, at: Place, value: Values) -> Expr:
        """An element; random streams are read from memory, so that equal layers share code."""
        made = element(node, at, value)
        if not (isinstance(made, Call) and made.function == "philox"):
            return made
        stream = self._streams.get(node)
        if stream is None:
            number = np.asarray(node.attributes["stream"], "uint32")
            name = f"{self._graph.name(node)}.stream"
            stream = self._streams[node] = Buffer(name, (), "uint32", "constant", number)
        return made._replace(operands=(*made.operands[:-1], Read(stream, ())))

    def result(self, node: Node, place: Place, value: Values) -> tuple[Expr, Reduction | None]:
        """The expression of a node's element, with the reduction that it needs."""
        assert isinstance(node, Operation)
        if node not in self._loops:
            return self._element(node, place, value), None
        made = reduction(node, place, value)
        result: Expr = Acc("int64" if made.combine.startswith("arg") else made.value.dtype)
        if result.dtype != node.dtype:
            result = Call("cast", (result,), node.dtype)
        return result, made


def stored_at(buffer: Buffer, node: Node, at: Place) -> Place:
    """The index in a node's buffer of the element at the index `at` of the node."""
    if buffer.space == "data":
        return (Row(at[0]), *at[1:])
    return tuple(at[a] for a in rows_first(node.shape))
