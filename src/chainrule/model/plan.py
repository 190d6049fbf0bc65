"""What `Model.plan` does: the step that `fit` would run, through all stages, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.layout import layout, strides
from chainrule.backend.cpu.machine import host
from chainrule.backend.cpu.run.microbench import speeds
from chainrule.backend.cpu.run.tuner import allowed
from chainrule.costs.cost import PlanCosts, best_threads
from chainrule.costs.forecast import Forecast, MemoryNeed, Pass, Placed
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
from chainrule.graph.graph import Graph
from chainrule.graph.step import STEP_INPUTS, Step
from chainrule.ir.kernel import Buffer
from chainrule.passes.hoist import row_bytes
from chainrule.plan.plan import Plan
from chainrule.plan.unit import unit_of_step
from chainrule.system.cachedir import code_folder
from chainrule.system.checks import integer
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import Adam, Optimizer
from chainrule.train.optim.registry import optimizer as optimizer_named

if TYPE_CHECKING:
    from chainrule.model.model import Model


@dataclass(frozen=True)
class Settings:
    """What a step depends on besides the model: arguments of `fit`.

    Raises:
        SettingError: one makes no sense.
    """

    batch_size: int = 32
    optimizer: Optimizer | LBFGS | str | None = None
    threads: int | None = None
    clip_norm: float | None = None
    clip_value: float | None = None

    def __post_init__(self) -> None:
        integer("plan", "batch_size", self.batch_size, 1)
        if self.threads is not None:
            integer("plan", "threads", self.threads, 1)


def step_of(model: Model, settings: Settings) -> tuple[Step, Optimizer]:
    """The training step that `fit` would compile, and its optimizer."""
    if model.loss is None:
        raise GraphError("plan", "the model has no loss", fix="Model(outputs=..., loss=...)")
    given = settings.optimizer
    chosen = optimizer_named(given) if isinstance(given, str) else given or model.optimizer
    chosen = chosen or Adam(1e-3)
    if isinstance(chosen, LBFGS):
        raise SettingError(
            "plan", "LBFGS takes all rows at once, and has no minibatch step", fix="such as 'adam'"
        )
    step = build_step(
        model.graph, model.loss, chosen,
        clip_norm=settings.clip_norm, clip_value=settings.clip_value,
    )  # fmt: skip
    return step, chosen


def plan(model: Model, settings: Settings, rows: int | None = None) -> Forecast:
    """See Model.plan."""
    step, optimizer = step_of(model, settings)
    return forecast(model, step, split_step(step), type(optimizer).__name__, settings, rows)


def forecast(
    model: Model, step: Step, parts: SplitStep, rule: str, settings: Settings, rows: int | None
) -> Forecast:
    """What a step that is split_step already will take.

    Args:
        model: what is trained.
        step, parts: as it was built, and split_step.
        rule: the optimizer's name.
        settings: its minibatch and threads.
        rows: of the data set.
    """
    size = settings.batch_size
    made = plan_step(parts.body)
    known = speeds(code_folder())
    most = allowed(settings.threads)
    threads = most if settings.threads else best_threads(made, size, most, known)
    cost = PlanCosts(made, size, known).at(threads)
    what = f"A training step of {size:,} row{'s' * (size != 1)}, {rule}"
    return Forecast(
        what, tuple(_passes(step, parts.full, parts.body)), made, cost,
        _memory(made, size, threads, rows, parts.body, model.values), _placed(made, size), known,
        own_names(final_graph(parts.body)),
    )  # fmt: skip


def final_graph(inner: Step) -> Graph:
    """The graph that kernels are made of, after all passes."""
    *_, (_, unit) = _rewrites(inner)
    graph: Graph = unit.graph
    return graph


def _rewrites(inner: Step) -> Iterator[tuple[Stage, Any]]:
    """The stages from the body of a step to its kernels that rewrite the graph."""
    return staged(unit_of_step(inner), (x for x in KERNELS if x.form is GRAPH))


def own_names(graph: Graph) -> frozenset[str]:
    """The names that a user gave, or that come from such: layers, gradients, new states."""
    return frozenset(graph.name(x) for x in graph if x.scope.given or "." in x.label)


def _passes(step: Step, whole: Step, inner: Step) -> list[Pass]:
    found = [Pass("step", "loss, gradients and updates, as they are built", len(step.graph))]
    for stage, made in zip(SPLIT, (whole, inner), strict=True):
        found.append(Pass(stage.name, stage.what, len(Graph(made.outputs))))
    for stage, unit in _rewrites(inner):
        found.append(Pass(stage.name, stage.what, len(unit.graph)))
    return found


def _memory(
    made: Plan, size: int, threads: int, rows: int | None, inner: Step, own: Container[str]
) -> MemoryNeed:
    """What a run allots; `own` are the model's parameters, other states are the optimizer's."""
    state = [b for b in made.buffers if b.space == "state"]
    others = [b for b in made.buffers if b.space != "state"]
    fixed, each_row = build(made, host(), size).scratch
    inputs = [x for x in inner.graph.inputs if x.batch and x not in STEP_INPUTS]
    return MemoryNeed(
        state=layout(state, made.updates, 0).end,
        copies=sum(_bytes(b) * (2 if b.name in own else 1) for b in state),
        work=layout(others, (), size).end,
        scratch=threads * (-(-(fixed + each_row * size + 128) // 128) * 128),
        row=sum(map(row_bytes, inputs)),
        rows=rows,
    )


def _bytes(buffer: Buffer) -> int:
    """Of a state as an array without gaps."""
    shape = [d for d in buffer.shape if isinstance(d, int)]
    return math.prod(shape) * np.dtype(buffer.dtype).itemsize


def _placed(made: Plan, size: int) -> tuple[Placed, ...]:
    """The buffers of ours, the largest first."""
    double = set(made.updates)
    found = [
        _place(b, size, 2 if b in double else 1)
        for b in made.buffers
        if b.space in ("state", "work", "constant") and b.shape
    ]
    return tuple(sorted(found, key=lambda x: -x.bytes))


def _place(buffer: Buffer, size: int, sides: int) -> Placed:
    kinds = {"state": "state, old and new" if sides == 2 else "state", "work": "between kernels"}
    total = layout([buffer], [buffer] if sides == 2 else [], size).end
    widths = [d if isinstance(d, int) else size for d in buffer.shape]
    step = strides(buffer, size)[0]
    width = int(np.prod(widths[1:], dtype=np.int64))
    shape = " x ".join(map(str, widths))
    return Placed(buffer.name, shape, kinds.get(buffer.space, buffer.space), total, width, step)
