"""From a graph to its plan: the stages in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from chainrule.graph.check import check
from chainrule.graph.graph import Graph, topological
from chainrule.graph.node import Node, Parameter
from chainrule.graph.step import STEP_INPUTS, Step
from chainrule.ir.kernel import Buffer
from chainrule.passes.decompose import decompose
from chainrule.passes.fold import fold
from chainrule.passes.merge import merge
from chainrule.passes.streams import fix_streams
from chainrule.plan.elements import rows_first
from chainrule.plan.fuse import Fusion
from chainrule.plan.linearize import ROWS
from chainrule.plan.plan import Phase, Plan
from chainrule.plan.schedule import schedule
from chainrule.types import Shape

STAGES: tuple[Callable[[Iterable[Node]], Mapping[Node, Node]], ...] = (decompose, fold, merge)
"""Nodes to nodes, in this order, after the random streams are fixed; what comes out is checked."""


def simplified(graph: Graph, outputs: Sequence[Node]) -> tuple[Graph, list[Node]]:
    """The graph after all passes, and what stands for `outputs` in it."""
    *_, (_, outputs) = staged(graph, outputs)
    return check(Graph(outputs, like=graph)), outputs


def staged(graph: Graph, outputs: Sequence[Node]) -> Iterator[tuple[str, list[Node]]]:
    """What stands for `outputs` after each pass, with the name of the pass."""
    place: Mapping[Node, Node] = fix_streams(graph)
    made = [place[x] for x in outputs]
    yield "fix_streams", made
    for stage in STAGES:
        place = stage(topological(made))
        made = [place[x] for x in made]
        yield stage.__name__, made


def plan_step(step: Step) -> Plan:
    """The plan of a training step: its loss, and the new side of every state that it updates."""
    graph, (loss, *new) = simplified(step.graph, [step.loss, *step.updates.values()])
    everywhere = dict.fromkeys([*graph.parameters, *step.updates])
    state: dict[Node, Buffer] = {x: _state(step.graph, x) for x in everywhere}
    loss_buffer = Buffer("loss", (), loss.dtype, "loss")
    targets: dict[Node, list[Buffer]] = {loss: [loss_buffer]}
    for parameter, node in zip(step.updates, new, strict=True):
        targets.setdefault(node, []).append(state[parameter])
    fusion = Fusion(graph, targets, STEP_INPUTS, state)
    made = schedule(fusion.kernels())
    updates = tuple(state[x] for x in step.updates)
    return Plan(made, _used(made, [*updates, loss_buffer]), updates, (), loss_buffer)


def plan_forward(graph: Graph, outputs: Sequence[Node]) -> Plan:
    """The plan of a prediction, specialised already: fills a buffer for each output.

    The buffer of an output with N elsewhere than in front has N in front all the same.
    """
    simple, nodes = simplified(graph, outputs)
    state: dict[Node, Buffer] = {x: _state(graph, x) for x in simple.parameters}
    results = [Buffer(f"result.{k}", _stored(x), x.dtype) for k, x in enumerate(nodes)]
    targets: dict[Node, list[Buffer]] = {}
    for node, buffer in zip(nodes, results, strict=True):
        targets.setdefault(node, []).append(buffer)
    fusion = Fusion(simple, targets, STEP_INPUTS, state)
    made = schedule(fusion.kernels())
    return Plan(made, _used(made, results), (), tuple(results), None)


def _stored(node: Node) -> Shape:
    return tuple(node.shape[a] for a in rows_first(node.shape))


def _state(graph: Graph, parameter: Parameter) -> Buffer:
    return Buffer(graph.name(parameter), parameter.shape, parameter.dtype, "state")


def _used(made: Sequence[Phase], others: Sequence[Buffer]) -> tuple[Buffer, ...]:
    """The buffers that kernels touch, and others."""
    tasks = (task for phase in made for task in phase.tasks)
    touched = (buffer for task in tasks for buffer, _ in task.operands if buffer is not ROWS)
    return tuple(dict.fromkeys([*touched, *others]))
