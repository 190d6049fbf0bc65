"""Which nodes share a loop nest: a graph to kernels, in an order in which they can run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation
from chainrule.graph.op import LastEqual, Scan, ScatterAdd, Values, View
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
from chainrule.plan.lower import has_loop, is_constant
from chainrule.plan.materialize import MAX_FUSED_DEPTH, roots_of
from chainrule.types import N

TRIED = 8
"""How many of the latest nests of numbers another number may join."""


@dataclass(eq=False)
class _Nest:
    """A kernel that is being put together.

    Attributes:
        number: nests are numbered as they are begun.
        axes: its loops.
        phase: an estimate of when it runs, so that what joins it does not delay it; the schedule
            is made of the kernels, not of this.
        loop: whether the first of its nodes is one.
        nodes: all that it computes, in order.
    """

    number: int
    axes: tuple[Axis, ...]
    phase: int
    loop: bool
    nodes: list[Node] = field(default_factory=list)

    @property
    def by_rows(self) -> bool:
        """Whether the threads share its rows."""
        return _apart(self.nodes[0], self.axes)

    @property
    def everywhere(self) -> bool:
        """Whether every thread computes all of it for itself: numbers that are quickly made."""
        return not self.axes and not self.loop


class Fusion:
    """The kernels of a graph.

    Args:
        graph: decomposed; its outputs are computed.
        targets: for an output, the buffers that take its value: state, loss, results.
        step_inputs: inputs that a step brings.
        known: buffers of parameters, where they are made already.

    The nodes that are computed once and kept ("roots") are met in the order of the graph. Each
    joins the latest nest that it reads from, if it has the same loops, reads there only what
    stands at its own place, and is not kept waiting for what another phase computes; or it begins
    a nest. One that reads nothing kept, such as the mask of a dropout, waits for its first reader
    and joins the nest of that. A buffer of a node with N in its shape has N as its first axis.
    """

    def __init__(
        self,
        graph: Graph,
        targets: Mapping[Node, list[Buffer]],
        step_inputs: Iterable[Node],
        known: Mapping[Node, Buffer] | None = None,
    ) -> None:
        self._graph, self._targets = graph, targets
        self._order = {node: number for number, node in enumerate(graph)}
        found = roots_of(graph)
        self._roots, self._loops, self._depth = found.roots, found.loops, found.depth
        self._elements = Elements(graph, step_inputs, known or {}, self._loops)
        self._home: dict[Node, _Nest] = {}
        self._nests: list[_Nest] = []
        self._read_by_others: set[Node] = set()
        self._readers: dict[Node, set[_Nest]] = {}
        self._numbers: list[_Nest] = []
        self._waiting: dict[Node, None] = {}
        for node in graph:
            if node in self._roots:
                self._settle(node)
        for output in dict.fromkeys(graph.outputs):
            if output not in self._roots:
                self._settle(output)
        for node in list(self._waiting):
            self._begin(node, self._elements.place(node)[0], [])

    # ------------------------------------------------------------ who shares a nest

    def _settle(self, root: Node) -> None:
        """Find a nest that `root` can join, or begin one."""
        axes, place = self._elements.place(root)
        reads = self._reads(root, place)
        if root in self._roots:
            self._elements.keep(root)
            if not reads and axes and root not in self._loops:
                self._waiting[root] = None
                return
        along = self._taken_along(root, axes, reads)
        for x, _ in reads:
            if x in self._waiting and x not in along:
                self._begin(x, self._elements.place(x)[0], [])
        kept = [(x, at) for x, at in reads if x not in along]
        nest = None if root in self._loops else self._joinable(root, axes, kept)
        if nest is None:
            nest = self._begin(root, axes, kept, along)
        else:
            self._enter(nest, *along, root)
        self._depth[root] = self._deep(root, nest, reads)
        for x, _ in kept:
            if self._home[x] is not nest:
                self._read_by_others.add(x)
                self._readers.setdefault(x, set()).add(nest)

    def _begin(
        self,
        root: Node,
        axes: tuple[Axis, ...],
        reads: list[tuple[Node, Place]],
        along: Iterable[Node] = (),
    ) -> _Nest:
        """A new nest with `root`, and what it takes along."""
        rows = _apart(root, axes)
        phase = max((self._earliest(x, at, axes, rows) for x, at in reads), default=0)
        loop = root in self._loops  # and what is added to zeros comes after them
        nest = _Nest(len(self._nests), axes, max(phase, int(_adds(root))), loop)
        self._nests.append(nest)
        self._enter(nest, *along, root)
        if nest.everywhere:
            self._numbers.append(nest)
        return nest

    def _enter(self, nest: _Nest, *nodes: Node) -> None:
        nest.nodes.extend(nodes)
        for node in nodes:
            self._waiting.pop(node, None)
            if node in self._roots:
                self._home[node] = nest

    def _taken_along(
        self, root: Node, axes: tuple[Axis, ...], reads: list[tuple[Node, Place]]
    ) -> dict[Node, None]:
        """What has waited, and is only read at the place of `root`."""
        if root in self._loops:
            return {}
        found: dict[Node, None] = {}
        for x in dict.fromkeys(x for x, _ in reads if x in self._waiting):
            own, place = self._elements.place(x)
            near = own == axes and all(at == place for y, at in reads if y is x)
            if near and self._depth[x] + self._depth.get(root, 0) <= MAX_FUSED_DEPTH:
                found[x] = None
        return found

    def _reads(self, root: Node, place: Place) -> list[tuple[Node, Place]]:
        """The kept nodes that the expression of `root` reads, and where."""
        found: list[tuple[Node, Place]] = []

        def value(node: Node, at: Place) -> Expr:
            if node in self._home or node in self._waiting:
                found.append((node, at))
            return self._elements.expression(node, at, value)

        if _marks(root):
            value(root.operands[0], place)
        elif _adds(root):
            _scattered(root, place, value)
        elif root in self._roots:
            self._elements.result(root, place, value)
        else:
            value(root, place)
        return found

    def _earliest(self, node: Node, at: Place, axes: tuple[Axis, ...], rows: bool) -> int:
        """The phase in which a nest with the loops `axes` can read `node` at a place."""
        home = self._home[node]
        if home.everywhere:
            return home.phase
        own = (
            rows
            and home.by_rows
            and stored_at(self._elements.buffers[node], node, at)[0] == At(axes[0])
        )
        return home.phase + (not own)

    def _joinable(
        self, root: Node, axes: tuple[Axis, ...], reads: list[tuple[Node, Place]]
    ) -> _Nest | None:
        homes = {self._home[x] for x, _ in reads}
        if not axes:  # numbers are computed together
            homes |= set(self._numbers[-TRIED:])
        for x, _ in reads:  # and so is what is made of the same, numbers aside
            homes |= self._readers.get(x, set()) if self._home[x].axes else set()
        for nest in sorted(homes, key=lambda x: (x.phase, x.number), reverse=True):
            if nest.axes != axes or _alone(nest.nodes[0]):
                continue
            if self._fits(nest, reads) and self._deep(root, nest, reads) <= MAX_FUSED_DEPTH:
                return nest
        return None

    def _deep(self, root: Node, nest: _Nest, reads: list[tuple[Node, Place]]) -> int:
        """How deep the expression of `root` is in a nest, with those that it joins."""
        joined = (self._depth[x] for x, _ in reads if self._home[x] is nest)
        return self._depth.get(root, 0) + max(joined, default=0)

    def _fits(self, nest: _Nest, reads: list[tuple[Node, Place]]) -> bool:
        """Whether a root with these reads can join `nest`: in place, in time, in order."""
        latest = 0
        for node, at in reads:
            home = self._home[node]
            if home is nest:
                if at != self._elements.place(node)[1]:
                    return False
                continue
            phase = self._earliest(node, at, nest.axes, nest.by_rows)
            if phase > nest.phase or (home.phase == nest.phase and home.number > nest.number):
                return False
            latest = max(latest, phase)
        follows = any(self._home[x] is nest for x, _ in reads)
        return follows or latest == nest.phase  # else its own readers would wait for nothing

    # ------------------------------------------------------------ kernels

    def kernels(self) -> list[Kernel]:
        """The kernels in an order in which they can run."""
        order = sorted(self._nests, key=lambda nest: (nest.phase, nest.number))
        return [kernel for nest in order for kernel in self._kernels_of(nest)]

    def _kernels_of(self, nest: _Nest) -> list[Kernel]:
        if _adds(nest.nodes[0]):
            return self._scattering(nest)
        if _scans(nest.nodes[0]):
            return [self._scanning(nest)]
        if _marks(nest.nodes[0]):
            return self._marking(nest)
        known: dict[tuple[Node, Place], Expr] = {}

        def value(node: Node, at: Place) -> Expr:
            key = (node, at)
            if key not in known:
                known[key] = self._elements.expression(node, at, value)
            return known[key]

        loop: Reduction | None = None
        writes: list[Write] = []
        for node in nest.nodes:
            place = self._elements.place(node)[1]
            if node in self._roots:
                result, made = self._elements.result(node, place, value)
                loop = made or loop
                known[node, place] = result
            else:
                result = value(node, place)
            for buffer in self._taken_by(node):
                writes.append(Write(buffer, stored_at(buffer, node, place), result))
        name = self._graph.name(nest.nodes[-1])
        return [Kernel(name, nest.axes, tuple(writes), loop, self._computed(nest, known))]

    def _computed(self, nest: _Nest, known: Iterable[tuple[Node, Place]]) -> tuple[str, ...]:
        """The names of all operations in a nest, those that cost nothing left out."""
        inlined = (
            x for x, _ in known if x not in self._elements.buffers and isinstance(x, Operation)
        )
        costly = (x for x in inlined if not (is_constant(x) or isinstance(x.op.lower, View)))
        inside = {*nest.nodes, *costly}
        return tuple(map(self._graph.name, sorted(inside, key=self._order.__getitem__)))

    def _taken_by(self, node: Node) -> list[Buffer]:
        own = [self._elements.buffers[node]] if node in self._read_by_others else []
        return [*own, *self._targets.get(node, [])]

    def _scanning(self, nest: _Nest) -> Kernel:
        """A running sum, in float64 as the interpreter's; its axis is the inner loop."""
        (node,) = nest.nodes
        assert isinstance(node, Operation)
        along, places = node.attributes["axis"], list(self._elements.place(node)[1])
        at = places[along]
        assert isinstance(at, At)
        if node.attributes["reverse"]:
            size = call("count", "int64") if at.axis.size is N else const(node.shape[along])
            places[along] = call("sub", "int64", call("sub", "int64", size, const(1)), at)
        place = tuple(places)

        def value(x: Node, at: Place) -> Expr:
            return self._elements.expression(x, at, value)

        term: Expr = value(node.operands[0], place)
        result: Expr = Acc(node.dtype)
        if node.dtype == "float32":
            term = call("cast", "float64", term)
            result = call("cast", "float32", Acc("float64"))
        writes = [Write(b, stored_at(b, node, place), result) for b in self._taken_by(node)]
        axes = tuple(axis for axis in nest.axes if axis is not at.axis)
        name = self._graph.name(node)
        return Kernel(name, axes, tuple(writes), Reduction((at.axis,), "scan", term), (name,))

    def _marking(self, nest: _Nest) -> list[Kernel]:
        """Positions, written to a buffer where the indices say, and read there: the last ones."""
        (node,) = nest.nodes
        assert isinstance(node, Operation)
        name, place = self._graph.name(node), self._elements.place(node)[1]
        size = node.attributes["size"]
        marks = Buffer(f"{name}.marks", (size,), node.dtype)

        def value(x: Node, at: Place) -> Expr:
            return self._elements.expression(x, at, value)

        to = (clamp(call("cast", "int64", value(node.operands[0], place)), size),)
        position = call("cast", node.dtype, flatten_index(place, node.shape))
        mark = Write(marks, to, position, repeats=True)
        taken = self._taken_by(node)
        reads = [Write(b, stored_at(b, node, place), Read(marks, to)) for b in taken]
        return [
            Kernel(f"{name}.marks", nest.axes, (mark,), None, (name,)),
            Kernel(name, nest.axes, tuple(reads), None, (name,)),
        ]

    def _scattering(self, nest: _Nest) -> list[Kernel]:
        """Zeros, to which slices are added in the order of their indices."""
        (node,) = nest.nodes
        assert isinstance(node, Operation)
        name, place = self._graph.name(node), self._elements.place(node)[1]

        def value(x: Node, at: Place) -> Expr:
            return self._elements.expression(x, at, value)

        axes, to, added = _scattered(node, place, value)
        taken = self._taken_by(node)
        zeros = [Write(b, stored_at(b, node, place), Const(0, node.dtype)) for b in taken]
        adds = [Write(b, stored_at(b, node, to), added, add=True) for b in taken]
        return [
            Kernel(f"{name}.zeros", nest.axes, tuple(zeros), None, (name,)),
            Kernel(name, axes, tuple(adds), None, (name,)),
        ]


def _scattered(
    node: Operation, place: Place, value: Values
) -> tuple[tuple[Axis, ...], Place, Expr]:
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


# ---------------------------------------------------------------- rows


def _by_rows(axes: tuple[Axis, ...]) -> bool:
    return bool(axes) and axes[0].size is N


def _apart(first: Node, axes: tuple[Axis, ...]) -> bool:
    """Whether threads can share the rows of a nest that begins with a node."""
    across = _scans(first) and first.shape[first.attributes["axis"]] is N
    return _by_rows(axes) and not _adds(first) and not _marks(first) and not across


def _alone(node: Node) -> bool:
    """Whether nothing may join a nest that begins with a node."""
    return _adds(node) or _scans(node) or _marks(node)


def _scans(node: Node) -> TypeGuard[Operation]:
    return isinstance(node, Operation) and isinstance(node.op.lower, Scan) and has_loop(node)


def _adds(node: Node) -> TypeGuard[Operation]:
    return isinstance(node, Operation) and isinstance(node.op.lower, ScatterAdd)


def _marks(node: Node) -> TypeGuard[Operation]:
    return isinstance(node, Operation) and isinstance(node.op.lower, LastEqual)
