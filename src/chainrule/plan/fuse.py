"""Loop fusion: the nodes of a graph to kernels, in an order in which they can run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation
from chainrule.graph.op import View
from chainrule.ir.index import Place
from chainrule.ir.kernel import At, Axis, Buffer, Expr, Kernel, Reduction, Write
from chainrule.plan.elements import Elements, stored_at
from chainrule.plan.lower import is_called, is_constant, is_exchanged
from chainrule.plan.materialize import MAX_FUSED_DEPTH, roots_of
from chainrule.plan.separate import (
    is_cumsum,
    is_last_equal,
    is_scatter_add,
    is_separate,
    scatter_loops,
    separate_kernels,
)
from chainrule.types import N

CALL = 1 << 20
"""Estimated phases from a call of a user's op to the next: more than a step has."""

MAX_SCALAR_NESTS = 8
"""The number of latest scalar nests that another scalar may join."""


@dataclass(eq=False)
class LoopNest:
    """A kernel under construction.

    Attributes:
        number: nests are numbered in order of creation.
        axes: its loops.
        phase: an estimate of the phase in which it runs, so that joining it delays nothing; the
            schedule is computed from the kernels, not from this.
        loop: whether the first of its nodes is a reduction.
        nodes: those that it computes, in order.
    """

    number: int
    axes: tuple[Axis, ...]
    phase: int
    loop: bool
    nodes: list[Node] = field(default_factory=list)

    @property
    def row_parallel(self) -> bool:
        """Whether the threads share its rows."""
        return _row_parallel(self.nodes[0], self.axes)

    @property
    def replicated(self) -> bool:
        """Whether it is computed at the start of a phase, before all else: cheap scalars."""
        return not self.axes and not self.loop


class Fusion:
    """The kernels of a graph.

    Args:
        graph: decomposed; its outputs are computed.
        targets: for an output, the buffers that take its value: state, loss, results.
        step_inputs: inputs whose values come with each step.
        known: buffers of parameters, where they exist already, and of results of calls.

    The nodes that are materialized ("roots") are visited in the order of the graph. Each joins the
    latest nest that it reads from, if the loops are the same, if it reads only elements at its own
    index there, and if this does not delay the nest to a later phase; or it begins a nest. A root
    that reads no materialized node, such as the mask of a dropout, is pending until its first
    consumer and joins the nest of that. The buffer of a node with N in its shape has N as its
    first axis.
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
        self._joined = found.joined
        self._elements = Elements(graph, step_inputs, known or {}, self._loops, self._joined)
        self._nest_of: dict[Node, LoopNest] = {}
        self._nests: list[LoopNest] = []
        self._external: set[Node] = set()
        self._readers: dict[Node, set[LoopNest]] = {}
        self._scalar_nests: list[LoopNest] = []
        self._pending: dict[Node, None] = {}
        for node in graph:
            if node in self._roots:
                self._place_root(node)
            elif is_called(node):
                self._place_call(node)
        for output in dict.fromkeys(graph.outputs):
            if output not in self._roots:
                self._place_root(output)
        for node in list(self._pending):
            self._new_nest(node, self._elements.place(node)[0], [])

    # ------------------------------------------------------------ nests

    def _place_call(self, node: Operation) -> None:
        """A call of a user's op: a nest without a kernel, after all that it reads."""
        read: list[tuple[Node, Place]] = []
        for x in node.operands:
            read += self._reads(x, self._elements.place(x)[1])
        for x, _ in read:
            if x in self._pending:
                self._new_nest(x, self._elements.place(x)[0], [])
        phase = max((self._earliest_phase(x, at, (), False) for x, at in read), default=0)
        axes = self._elements.place(node)[0]
        self._nest_of[node] = LoopNest(-1, axes, (phase // CALL + 1) * CALL, True, [node])

    def _place_root(self, root: Node) -> None:
        """Append `root` to a nest that it can join, or to a new one."""
        axes, place = self._elements.place(root)
        reads = self._reads(root, place)
        if root in self._roots:
            self._elements.materialize(root)
            if not reads and axes and root not in self._loops and not is_exchanged(root):
                self._pending[root] = None
                return
        producers = self._pending_producers(root, axes, reads)
        for x, _ in reads:
            if x in self._pending and x not in producers:
                self._new_nest(x, self._elements.place(x)[0], [])
        read = [(x, at) for x, at in reads if x not in producers]
        nest = None if root in self._loops else self._find_nest(root, axes, read)
        if nest is None:
            nest = self._new_nest(root, axes, read, producers)
        else:
            self._append(nest, *producers, root)
        self._depth[root] = self._fused_depth(root, nest, reads)
        for x, _ in read:
            if self._nest_of[x] is not nest:
                self._external.add(x)
                self._readers.setdefault(x, set()).add(nest)

    def _new_nest(
        self,
        root: Node,
        axes: tuple[Axis, ...],
        reads: list[tuple[Node, Place]],
        producers: Iterable[Node] = (),
    ) -> LoopNest:
        """A new nest with `root` and its pending producers."""
        rows = _row_parallel(root, axes)
        phase = max((self._earliest_phase(x, at, axes, rows) for x, at in reads), default=0)
        loop = root in self._loops  # a scatter-add runs after its zeros are written
        nest = LoopNest(len(self._nests), axes, max(phase, int(is_scatter_add(root))), loop)
        self._nests.append(nest)
        self._append(nest, *producers, root)
        if nest.replicated:
            self._scalar_nests.append(nest)
        return nest

    def _append(self, nest: LoopNest, *nodes: Node) -> None:
        nest.nodes.extend(nodes)
        for node in nodes:
            self._pending.pop(node, None)
            if node in self._roots:
                self._nest_of[node] = nest

    def _pending_producers(
        self, root: Node, axes: tuple[Axis, ...], reads: list[tuple[Node, Place]]
    ) -> dict[Node, None]:
        """The pending nodes that `root` reads only at its own index: they join its nest."""
        if root in self._loops:
            return {}
        found: dict[Node, None] = {}
        for x in dict.fromkeys(x for x, _ in reads if x in self._pending):
            own, place = self._elements.place(x)
            near = own == axes and all(at == place for y, at in reads if y is x)
            if near and self._depth[x] + self._depth.get(root, 0) <= MAX_FUSED_DEPTH:
                found[x] = None
        return found

    def _reads(self, root: Node, place: Place) -> list[tuple[Node, Place]]:
        """(node, index) of the materialized nodes that the expression of `root` reads."""
        found: list[tuple[Node, Place]] = []

        def value(node: Node, at: Place) -> Expr:
            if node in self._joined.parts:
                assert isinstance(node, Operation)
                found.extend(self._joined.seen(node, at))
            elif node in self._nest_of or node in self._pending:
                found.append((node, at))
            return self._elements.expression(node, at, value)

        if root in self._elements.buffers:
            value(root, place)
        elif is_scatter_add(root):
            scatter_loops(root, place, value)
        elif is_last_equal(root):
            value(root.operands[0], place)
        elif root in self._roots:
            self._elements.result(root, place, value)
        else:
            value(root, place)
        return found

    def _earliest_phase(self, node: Node, at: Place, axes: tuple[Axis, ...], rows: bool) -> int:
        """The first phase in which a nest with the loops `axes` can read `node` at an index."""
        source = self._nest_of[node]
        if source.replicated:
            return source.phase
        own = (
            rows
            and source.row_parallel
            and stored_at(self._elements.buffers[node], node, at)[0] == At(axes[0])
        )
        return source.phase + (not own)

    def _find_nest(
        self, root: Node, axes: tuple[Axis, ...], reads: list[tuple[Node, Place]]
    ) -> LoopNest | None:
        candidates = {self._nest_of[x] for x, _ in reads}
        if not axes:  # scalars are computed together
            candidates |= set(self._scalar_nests[-MAX_SCALAR_NESTS:])
        for x, _ in reads:  # and so are other readers of the same arrays
            candidates |= self._readers.get(x, set()) if self._nest_of[x].axes else set()
        for nest in sorted(candidates, key=lambda x: (x.phase, x.number), reverse=True):
            first = nest.nodes[0]
            if nest.axes != axes or is_called(first) or is_separate(first):
                continue
            if (
                self._can_join(nest, reads)
                and self._fused_depth(root, nest, reads) <= MAX_FUSED_DEPTH
            ):
                return nest
        return None

    def _fused_depth(self, root: Node, nest: LoopNest, reads: list[tuple[Node, Place]]) -> int:
        """The depth of the expression of `root` in a nest, including those that it reads there."""
        joined = (self._depth[x] for x, _ in reads if self._nest_of[x] is nest)
        return self._depth.get(root, 0) + max(joined, default=0)

    def _can_join(self, nest: LoopNest, reads: list[tuple[Node, Place]]) -> bool:
        """Whether a root with these reads can join `nest`: same index, no delay, right order."""
        latest = 0
        for node, at in reads:
            source = self._nest_of[node]
            if source is nest:
                if at != self._elements.place(node)[1] or is_exchanged(node):
                    return False
                continue
            phase = self._earliest_phase(node, at, nest.axes, nest.row_parallel)
            if phase > nest.phase or (source.phase == nest.phase and source.number > nest.number):
                return False
            latest = max(latest, phase)
        follows = any(self._nest_of[x] is nest for x, _ in reads)
        return follows or latest == nest.phase  # else its own readers would be delayed needlessly

    # ------------------------------------------------------------ kernels

    def kernels(self) -> list[Kernel]:
        """The kernels in an order in which they can run."""
        order = sorted(self._nests, key=lambda nest: (nest.phase, nest.number))
        return [kernel for nest in order for kernel in self._kernels_of(nest)]

    def _kernels_of(self, nest: LoopNest) -> list[Kernel]:
        first = nest.nodes[0]
        read = any(self._destinations(x) for x in nest.nodes)
        if not read:
            return []  # what reads them has no elements
        if is_separate(first):
            name = self._graph.name(first)
            return separate_kernels(
                first, name, nest.axes, self._destinations(first), self._elements
            )
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
            for buffer in self._destinations(node):
                writes.append(Write(*self._elements.stored(buffer, node, place), result))
        name = self._graph.name(nest.nodes[-1])
        return [Kernel(name, nest.axes, tuple(writes), loop, self._computed(nest, known))]

    def _computed(self, nest: LoopNest, known: Iterable[tuple[Node, Place]]) -> tuple[str, ...]:
        """The names of all operations in a nest but those without cost."""
        inlined = (
            x for x, _ in known if x not in self._elements.buffers and isinstance(x, Operation)
        )
        costly = (x for x in inlined if not (is_constant(x) or isinstance(x.op.lower, View)))
        inside = {*nest.nodes, *costly}
        return tuple(map(self._graph.name, sorted(inside, key=self._order.__getitem__)))

    def _destinations(self, node: Node) -> list[Buffer]:
        own = (node in self._external and not is_called(node)) or is_exchanged(node)
        return [*([self._elements.buffers[node]] if own else []), *self._targets.get(node, [])]


# ---------------------------------------------------------------- rows


def _over_rows(axes: tuple[Axis, ...]) -> bool:
    return bool(axes) and axes[0].size is N


def _row_parallel(first: Node, axes: tuple[Axis, ...]) -> bool:
    """Whether threads can share the rows of a nest whose first node is `first`."""
    across = is_cumsum(first) and first.shape[first.attributes["axis"]] is N
    return (
        _over_rows(axes) and not is_scatter_add(first) and not is_last_equal(first) and not across
    )
