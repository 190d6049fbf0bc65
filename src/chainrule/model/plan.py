"""The forecast of `Model.plan`: the step that `fit` would run, stage by stage, and its costs."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from typing import Any

from chainrule.backend.base import Forecaster
from chainrule.backend.registry import forecaster
from chainrule.costs.cost import PlanCosts, best_threads
from chainrule.costs.forecast import Forecast, MemoryNeed, Pass
from chainrule.costs.shared import SharedCost
from chainrule.engine.compile import (
    GRAPH,
    KERNELS,
    SPLIT,
    Stage,
    build_step,
    plan_step,
    split_step,
    staged,
)
from chainrule.engine.split import SplitStep
from chainrule.errors import GraphError, SettingError
from chainrule.graph.graph import Graph, topological
from chainrule.graph.node import Operation
from chainrule.graph.step import STEP_INPUTS, Step
from chainrule.model.fit import optimizer_for
from chainrule.model.ranked import BLOCKS
from chainrule.model.state import ModelState
from chainrule.passes.hoist import row_bytes
from chainrule.passes.tables import treatments
from chainrule.plan.plan import Plan
from chainrule.plan.unit import unit_of_step
from chainrule.system.settings import Within, require_integer
from chainrule.train.fitsettings import FitSettings
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import Optimizer


@dataclass(frozen=True)
class Network:
    """Several processes that share a step, and what connects them.

    Attributes:
        ranks: the processes.
        bandwidth: bytes a second between two of them.
        latency: seconds of a message.
    """

    ranks: int
    bandwidth: float
    latency: float

    def __post_init__(self) -> None:
        require_integer("plan.ranks", self.ranks, 1)
        Within(above=0)("bandwidth", self.bandwidth)
        Within(least=0)("latency", self.latency)


def step_of(state: ModelState, settings: FitSettings) -> tuple[Step, Optimizer]:
    """The training step that `fit` would compile, and its optimizer."""
    if state.loss is None:
        raise GraphError("plan", "the model has no loss", fix="Model(outputs=..., loss=...)")
    chosen = optimizer_for(state, settings.optimizer)
    if isinstance(chosen, LBFGS):
        raise SettingError(
            "plan", "LBFGS takes all rows at once, and has no minibatch step", fix="such as 'adam'"
        )
    step = build_step(
        state.graph, state.loss, chosen,
        clip_norm=settings.clip_norm, clip_value=settings.clip_value,
        exchange=settings.blocks is not None, precision=settings.precision,
    )  # fmt: skip
    return step, chosen


def plan(
    state: ModelState, settings: FitSettings, rows: int | None = None,
    network: Network | None = None,
) -> Forecast:  # fmt: skip
    """See Model.plan."""
    step, optimizer = step_of(state, replace(settings, blocks=None))
    made = forecast(state, step, split_step(step), type(optimizer).__name__, settings, rows)
    return made if network is None else replace(made, shared=_shared(state, settings, network))


def _shared(state: ModelState, settings: FitSettings, network: Network) -> SharedCost:
    """The forecast of a step that several processes share."""
    blocks = settings.blocks or max(BLOCKS, network.ranks)
    step, _ = step_of(state, replace(settings, blocks=blocks))
    made, backend = plan_step(split_step(step).body), forecaster()
    rows = -(-settings.batch_size // blocks)
    speeds, most = backend.speeds(), backend.max_threads(settings.threads)
    threads = most if settings.threads else best_threads(made, rows, most, speeds)
    cost = PlanCosts(made, rows, speeds).at(threads)
    sums = tuple(
        sum(y.bytes for x in phase.tasks for y in x.writes if y.space == "gradient")
        for phase in made.phases
    )
    return SharedCost(
        network.ranks, blocks, rows, cost, made.cuts, sums, network.bandwidth, network.latency
    )


def forecast(
    state: ModelState,
    step: Step,
    split: SplitStep,
    rule: str,
    settings: FitSettings,
    rows: int | None,
) -> Forecast:
    """The forecast of a step that is split already.

    Args:
        state: of the model that is trained.
        step, split: as it was built, and split.
        rule: the optimizer's name.
        settings: its minibatch and threads.
        rows: of the data set.
    """
    size = settings.batch_size
    step_plan, backend = plan_step(split.body), forecaster()
    machine_speeds = backend.speeds()
    most = backend.max_threads(settings.threads)
    threads = most if settings.threads else best_threads(step_plan, size, most, machine_speeds)
    cost = PlanCosts(step_plan, size, machine_speeds).at(threads)
    what = f"A training step of {size:,} row{'s' * (size != 1)}, {rule}"
    what += ", products of bfloat16" * (settings.precision == "bfloat16")
    return Forecast(
        what, tuple(_passes(step, split.body)), step_plan, cost,
        _memory(backend, step_plan, size, threads, rows, split.body, state.values),
        backend.placed(step_plan, size), machine_speeds,
        own_names(split.body.graph), _once(split),
        {step.graph.name(x): how for x, how in treatments(step).items()},
    )  # fmt: skip


def final_graph(body: Step) -> Graph:
    """The graph that kernels are made of, after all passes."""
    *_, (_, unit) = _rewrites(body)
    graph: Graph = unit.graph
    return graph


def _rewrites(body: Step) -> Iterator[tuple[Stage, Any]]:
    """The stages from the body of a step to its kernels that rewrite the graph."""
    return staged(unit_of_step(body), (x for x in KERNELS if x.form is GRAPH))


def own_names(graph: Graph) -> frozenset[str]:
    """The names that a user gave, or that come from such: layers, gradients, new states."""
    return frozenset(graph.name(x) for x in graph if x.scope.given or "." in x.label)


def _once(split: SplitStep) -> tuple[str, ...]:
    """The nodes that are computed before the run, and not in its steps too."""
    graph, body = split.full.graph, set(split.body.graph.nodes)
    before = (x for x in topological(split.encoders.values()) if isinstance(x, Operation))
    return tuple(graph.name(x) for x in before if x not in body)


def _body(step: Step | SplitStep) -> Step:
    return step.body if isinstance(step, SplitStep) else step


def _passes(step: Step, body: Step) -> list[Pass]:
    passes = [Pass("step", "loss, gradients and updates, as they are built", len(step.graph))]
    for stage, unit in staged(step, SPLIT):
        passes.append(Pass(stage.name, stage.what, len(Graph(_body(unit).outputs))))
    for stage, unit in _rewrites(body):
        passes.append(Pass(stage.name, stage.what, len(unit.graph)))
    return passes


def _memory(
    backend: Forecaster, plan: Plan, size: int, threads: int, rows: int | None, body: Step,
    parameters: Container[str],
) -> MemoryNeed:  # fmt: skip
    """The memory of a run; `parameters` are the model's, other states are the optimizer's."""
    states = [b for b in plan.buffers if b.space == "state"]
    inputs = [x for x in body.graph.inputs if x.batch and x not in STEP_INPUTS]
    need = backend.memory(plan, size, threads)
    return MemoryNeed(
        state=need.state,
        copies=sum(b.bytes * (2 if b.name in parameters else 1) for b in states),
        work=need.work,
        scratch=need.scratch,
        row=sum(map(row_bytes, inputs)),
        rows=rows,
    )
