"""A graph with the buffers that take its outputs, on its way to a plan."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from chainrule.errors import GraphError
from chainrule.graph.graph import Graph, topological
from chainrule.graph.node import Node, Operation, Parameter
from chainrule.graph.step import STEP_INPUTS, Step
from chainrule.ir.index import call, clamp, const
from chainrule.ir.kernel import At, Axis, Buffer, Kernel, Read, Write
from chainrule.ops.rows import PUT_ROWS
from chainrule.plan import schedule as scheduling
from chainrule.plan.fuse import Fusion
from chainrule.plan.linearize import ROWS
from chainrule.plan.plan import Phase, Plan, UserCall
from chainrule.types import Shape, rows_first

GraphPass = Callable[[Iterable[Node]], Mapping[Node, Node]]
"""A rewrite: the replacement of every node of a graph."""


@dataclass(frozen=True)
class Called:
    """A node of a user's op that has no lowering, with the buffers of its operands and result."""

    node: Operation
    operands: tuple[Buffer, ...]
    result: Buffer


@dataclass(frozen=True)
class Unit:
    """A graph on its way to a plan.

    Attributes:
        source: the original graph, which names nodes and states.
        targets: buffers, each with the node whose value it takes.
        state: the buffers of parameters.
        nodes: those of the graph after the passes so far, operands first.
        updates, results, loss: the buffers of the plan, see Plan.
        commits: kernels that put new rows into states, at the end.
        calls: of the user's ops that have no lowering, operands first.
        kernels: the fused kernels; None before fusion.
    """

    source: Graph
    targets: tuple[tuple[Buffer, Node], ...]
    state: Mapping[Parameter, Buffer]
    nodes: tuple[Node, ...]
    updates: tuple[Buffer, ...] = ()
    results: tuple[Buffer, ...] = ()
    loss: Buffer | None = None
    commits: tuple[Kernel, ...] = ()
    calls: tuple[Called, ...] = ()
    kernels: tuple[Kernel, ...] | None = None

    def through(self, rewrite: GraphPass) -> Unit:
        """The unit after a pass over its graph."""
        place = rewrite(self.nodes)
        targets = tuple((buffer, place[node]) for buffer, node in self.targets)
        return replace(self, targets=targets, nodes=_nodes(targets))

    def calling(self) -> Unit:
        """The unit with buffers for what is called: its operands become targets."""
        nodes = [x for x in self.nodes if isinstance(x, Operation) and x.op.lower is None]
        if not nodes:
            return self
        graph = self.graph
        operands = dict.fromkeys(x for node in nodes for x in node.operands)
        taken = {x: _called(x, f"{graph.name(x)}.taken") for x in operands}
        calls = tuple(
            Called(x, tuple(taken[y] for y in x.operands), _called(x, graph.name(x)))
            for x in nodes
        )  # fmt: skip
        targets = (*self.targets, *((buffer, x) for x, buffer in taken.items()))
        return replace(self, targets=targets, calls=calls)

    @property
    def graph(self) -> Graph:
        """The graph after the passes so far, made anew."""
        return Graph([node for _, node in self.targets], like=self.source)


def unit_of_step(step: Step, keep: Sequence[Node] = ()) -> Unit:
    """A training step: its loss, and the new value, or new rows, of every state that it updates.

    Args:
        step: loss and updates as a graph.
        keep: other nodes, whose values the plan puts into `outputs`.
    """
    graph = step.graph
    parameters = dict.fromkeys([*graph.parameters, *step.updates])
    state = {x: _state(graph, x) for x in parameters}
    loss = Buffer("loss", (), step.loss.dtype, "loss")
    results = [Buffer(f"result.{k}", _stored(x), x.dtype) for k, x in enumerate(keep)]
    targets = [(loss, step.loss), *zip(results, keep, strict=True)]
    updates: list[Buffer] = []
    staged: dict[tuple[Node, Shape], list[tuple[Buffer, Buffer]]] = {}
    for x, new in step.updates.items():
        if isinstance(new, Operation) and new.op is PUT_ROWS:
            _, indices, rows = new.operands
            made = Buffer(graph.name(new), rows.shape, rows.dtype, "staged")
            targets.append((made, rows))
            staged.setdefault((indices, rows.shape), []).append((state[x], made))
        else:
            targets.append((state[x], new))
            updates.append(state[x])
    commits = []
    for (indices, _), pairs in staged.items():
        made = Buffer(f"{pairs[0][1].name}.indices", indices.shape, indices.dtype)
        targets.append((made, indices))
        commits.append(_commit(made, pairs))
    return Unit(
        graph, tuple(targets), state, _nodes(targets), tuple(updates), tuple(results), loss,
        tuple(commits),
    )  # fmt: skip


def _commit(indices: Buffer, pairs: Sequence[tuple[Buffer, Buffer]]) -> Kernel:
    """The kernel that writes rows of states in place.

    Args:
        indices: the indices of the rows, (N, l).
        pairs: states, with their new rows, (N, l, ...).
    """
    axes = tuple(Axis(f"i{k}" if k else "n", dim) for k, dim in enumerate(pairs[0][1].shape))
    at = tuple(const(0) if axis.size == 1 else At(axis) for axis in axes)
    index = call("cast", "int64", Read(indices, at[:2]))
    writes = tuple(
        Write(state, (clamp(index, state.shape[0]), *at[2:]), Read(rows, at))
        for state, rows in pairs
    )
    nodes = tuple(rows.name for _, rows in pairs)
    loops = tuple(axis for axis in axes if axis.size != 1)
    return Kernel(nodes[0], loops, writes, None, nodes, commit=True)


def unit_of_forward(graph: Graph, outputs: Sequence[Node]) -> Unit:
    """A prediction, specialised already: a buffer for each output.

    An output with N on another axis than the first has a buffer with N as its first axis.
    """
    state = {x: _state(graph, x) for x in graph.parameters}
    results = [Buffer(f"result.{k}", _stored(x), x.dtype) for k, x in enumerate(outputs)]
    targets = tuple(zip(results, outputs, strict=True))
    return Unit(graph, targets, state, _nodes(targets), (), tuple(results), None)


def fuse(unit: Unit) -> Unit:
    """Turn nodes into kernels, in an order in which they can run."""
    unit = unit.calling()
    targets: dict[Node, list[Buffer]] = {}
    for buffer, node in unit.targets:
        targets.setdefault(node, []).append(buffer)
    graph = unit.graph
    known: dict[Node, Buffer] = {x: unit.state[x] for x in graph.parameters}
    known |= {x.node: x.result for x in unit.calls}
    fused = Fusion(graph, targets, STEP_INPUTS, known).kernels()
    return replace(unit, kernels=(*fused, *unit.commits))


def schedule(unit: Unit) -> Plan:
    """Turn kernels into phases, with a barrier after each."""
    assert unit.kernels is not None
    first, *rest = scheduling.between_exchanges(unit.kernels)
    if rest and unit.calls:
        raise GraphError("plan", "a step with a user's op cannot exchange sums",
                         at=f"node {unit.calls[0].result.name!r}")  # fmt: skip
    before, levels = scheduling.between_calls(first, [(x.operands, x.result) for x in unit.calls])
    ends = list(itertools.accumulate(map(len, before)))
    stretches = [tuple(itertools.chain(*before))]
    if rest:
        *summing, last = first, *rest
        stretches = [x for each in summing for x in scheduling.before_exchange(each)]
        stretches.append(scheduling.schedule(last))
    made = tuple(itertools.chain(*stretches))
    starts = tuple(itertools.accumulate(map(len, stretches[:-1])))
    sums, cuts = starts[::2], starts[1::2]
    calls = tuple(
        UserCall(x.result.name, ends[level], x.operands, x.result)
        for x, level in zip(unit.calls, levels, strict=True)
    )
    others = [*unit.updates, *unit.results, *([unit.loss] if unit.loss else [])]
    others += [y for x in unit.calls for y in (*x.operands, x.result)]
    used = _used(made, others)
    return Plan(made, used, unit.updates, unit.results, unit.loss, cuts, sums, calls)


def _nodes(targets: Iterable[tuple[Buffer, Node]]) -> tuple[Node, ...]:
    return tuple(topological([node for _, node in targets]))


def _stored(node: Node) -> Shape:
    return tuple(node.shape[a] for a in rows_first(node.shape))


def _called(node: Node, name: str) -> Buffer:
    return Buffer(name, _stored(node), node.dtype, "called")


def _state(graph: Graph, parameter: Parameter) -> Buffer:
    return Buffer(graph.name(parameter), parameter.shape, parameter.dtype, "state")


def _used(made: Sequence[Phase], others: Sequence[Buffer]) -> tuple[Buffer, ...]:
    """The buffers that kernels touch, and others."""
    tasks = (task for phase in made for task in phase.tasks)
    touched = (buffer for task in tasks for buffer, _ in task.operands if buffer is not ROWS)
    found = dict.fromkeys([*touched, *others])
    return tuple(dict.fromkeys(y for x in found for y in (x.whole, x)))
