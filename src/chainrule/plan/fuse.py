"""Which nodes share a loop nest: a graph to kernels, in an order in which they can run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation
from chainrule.graph.op import View
from chainrule.ir.index import Place
from chainrule.ir.kernel import At, Axis, Buffer, Expr, Kernel, Reduction, Write
from chainrule.plan.elements import Elements, stored_at
from chainrule.plan.lower import is_constant, is_exchanged
from chainrule.plan.materialize import MAX_FUSED_DEPTH, roots_of
from chainrule.plan.separate import adds, marks, scans, scattered, separate, separate_kernels
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
            if not reads and axes and root not in self._loops and not is_exchanged(root):
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
        nest = _Nest(len(self._nests), axes, max(phase, int(adds(root))), loop)
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

        if adds(root):
            scattered(root, place, value)
        elif marks(root):
            value(root.operands[0], place)
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
            if nest.axes != axes or separate(nest.nodes[0]):
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
                if at != self._elements.place(node)[1] or is_exchanged(node):
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
        first = nest.nodes[0]
        if separate(first):
            name = self._graph.name(first)
            return separate_kernels(first, name, nest.axes, self._taken_by(first), self._elements)
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
        own = node in self._read_by_others or is_exchanged(node)
        return [*([self._elements.buffers[node]] if own else []), *self._targets.get(node, [])]


# ---------------------------------------------------------------- rows


def _by_rows(axes: tuple[Axis, ...]) -> bool:
    return bool(axes) and axes[0].size is N


def _apart(first: Node, axes: tuple[Axis, ...]) -> bool:
    """Whether threads can share the rows of a nest that begins with a node."""
    across = scans(first) and first.shape[first.attributes["axis"]] is N
    return _by_rows(axes) and not adds(first) and not marks(first) and not across
