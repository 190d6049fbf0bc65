"""Single training steps of a model: where the next one begins, and the program that runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from chainrule.engine.compile import build_explained
from chainrule.engine.devices import AUTO
from chainrule.engine.interpreted import step_inputs
from chainrule.engine.minibatch import all_rows
from chainrule.engine.program import check_precision
from chainrule.engine.split import SplitStep
from chainrule.engine.step import Objective
from chainrule.engine.totals import with_means
from chainrule.errors import GraphError, SettingError
from chainrule.explain.trace import Trace
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node
from chainrule.graph.step import STEP_INPUTS
from chainrule.interpret import initial_value
from chainrule.model.fit import optimizer_for
from chainrule.model.lastrun import LastRun
from chainrule.model.prepare import refuse_impossible_targets
from chainrule.model.state import Data, ModelState
from chainrule.passes.totals import means_of_rows
from chainrule.system.ranks.world import SERIAL
from chainrule.system.settings import require_integer
from chainrule.train.callbacks import BestTracker, PlateauTracker
from chainrule.train.fitsettings import FitSettings
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import Optimizer
from chainrule.train.schedules import Schedule, rates

Given: TypeAlias = tuple[
    "Optimizer | LBFGS | str | None", "int | None", "float | None", "float | None",
    "tuple[str, ...] | None", str, str, "int | None", str,
]  # fmt: skip
"""The arguments of `Model.step` but the batch, in its order."""


def given(
    optimizer: Optimizer | LBFGS | str | None,
    total_steps: int | None,
    clip_norm: float | None,
    clip_value: float | None,
    trainable: Iterable[str] | None,
    precision: str,
    backend: str = "interpreter",
    threads: int | None = None,
    device: str = "cpu",
) -> Given:
    """The arguments as one value; of the patterns, one that is text is the only one."""
    patterns = (trainable,) if isinstance(trainable, str) else trainable
    chosen = None if patterns is None else tuple(patterns)
    return (
        optimizer,
        total_steps,
        clip_norm,
        clip_value,
        chosen,
        precision,
        backend,
        threads,
        device,
    )


def step(state: ModelState, batch: Data, given: Given) -> float:
    """One minibatch update; see Model.step."""
    arrays, rows = state.arrays(batch)
    refuse_impossible_targets(state, arrays)
    with state.lock:
        live = state.live
        if not isinstance(live, Live) or not live.continues(state, given):
            live = Live(state, given, arrays, rows)
        before = live.program.steps
        try:
            return live.run(arrays, rows)
        finally:
            if live.program.steps != before:  # also after Ctrl-C, or where a device was lost
                live.commit(state)


def trace(state: ModelState, batch: Data, given: Given) -> Trace:
    """The step that `step` would do, with all of its numbers; see Model.trace_step."""
    chosen, total, clip_norm, clip_value, trainable, precision, *_ = given
    check_precision(precision, "interpreter")
    loss, optimizer = require_loss(state), minibatch_optimizer(state, chosen)
    arrays, rows = state.arrays(batch)
    refuse_impossible_targets(state, arrays)
    begin = next_step(state, optimizer, total)
    explained = build_explained(
        Objective(
            state.graph, loss, optimizer, clip_norm, clip_value, trainable, every=True,
            precision=precision,
        ), state.outputs,
    )  # fmt: skip
    arrays = with_means(state.graph, arrays, step=begin.steps + 1)
    outputs = [explained.built.loss, *explained.updates.values(), *explained.updates]
    nodes = Graph([*outputs, *explained.forward.outputs], like=state.graph)
    values = {x: nodes.name(x) for x in nodes.parameters}
    known: dict[Node, Array] = {
        x: begin.values[name] if name in begin.values else initial_value(x, name, state.seed)
        for x, name in values.items()
    }
    known |= {x: arrays[nodes.name(x)] for x in nodes.inputs if x not in STEP_INPUTS}
    known |= step_inputs(state.seed, begin.steps, begin.rate, rows)
    return Trace.of_step(explained, state.graph, known, rows)


@dataclass(frozen=True)
class Next:
    """The place in training at which the next step stands.

    Attributes:
        values, steps: parameters and slots by name, and the number of updates so far.
        first_step: the number of updates before the run that it belongs to.
        plateau: the scale of a rate that depends on a criterion.
        rate: of this step.
    """

    values: Mapping[str, Array]
    steps: int
    first_step: int
    plateau: PlateauTracker | None
    rate: float


def next_step(state: ModelState, optimizer: Optimizer, total_steps: int | None) -> Next:
    """The place of the next step: that of the last run, or the first of a new one.

    Raises:
        SettingError: the schedule has spans that are fractions of an unknown number of steps.
    """
    values, steps, first, plateau = state.values | state.slots, state.steps, state.steps, None
    last = state.last_run
    if steps and type(state.optimizer) is not type(optimizer):
        values, steps, first = state.values, 0, 0  # as in fit: Adam's averages begin with step 1
    elif last is not None and state.optimizer == optimizer:
        first, plateau = last.first_step, last.plateau
    require_length(optimizer, total_steps)
    return Next(
        values, steps, first, plateau, rate_of(optimizer, steps - first, plateau, total_steps)
    )


def rate_of(
    optimizer: Optimizer, step: int, plateau: PlateauTracker | None, total_steps: int | None
) -> float:
    """The rate of a step of a run, counted from 0."""
    scale = 1.0 if plateau is None else plateau.scale
    return rates(optimizer.rate, step, 1, total_steps or step + 1, scale)[0]


def require_length(optimizer: Optimizer, total_steps: int | None) -> None:
    """Raises SettingError where the rate depends on the length of a run that is not known."""
    if total_steps is not None:
        require_integer("step.total_steps", total_steps, 1)
    elif isinstance(optimizer.rate, Schedule):
        steps = np.arange(10.0)
        if not np.array_equal(optimizer.rate.at(steps, 10), optimizer.rate.at(steps, 10_000)):
            raise SettingError(
                "step", "the schedule has spans that are fractions of the run, whose length is "
                "not known", got=repr(optimizer.rate),
                fix="total_steps=1000, or a schedule whose spans are numbers of steps",
            )  # fmt: skip


def minibatch_optimizer(state: ModelState, given: Optimizer | LBFGS | str | None) -> Optimizer:
    """The optimizer of a step. Raises SettingError for one that has no minibatch step."""
    optimizer = optimizer_for(state, given)
    if isinstance(optimizer, LBFGS):
        raise SettingError(
            "step", "LBFGS takes all rows at once, and has no minibatch step",
            fix="optimizer=cr.Adam(1e-3), or model.fit(..., optimizer=cr.LBFGS())",
        )  # fmt: skip
    return optimizer


def require_loss(state: ModelState) -> Node:
    """The loss of a model. Raises GraphError where it has none."""
    if state.loss is None:
        raise GraphError("step", "the model has no loss", fix="Model(outputs=..., loss=...)")
    return state.loss


class Live:
    """A program that holds the state of a model between its single steps.

    Args:
        state: of the model; it is not changed before `commit`.
        given: the arguments of the steps.
        arrays, rows: the first minibatch, and the number of its rows.
    """

    def __init__(
        self, state: ModelState, given: Given, arrays: Mapping[str, Array], rows: int
    ) -> None:
        chosen, total, clip_norm, clip_value, trainable = given[:5]
        precision, backend, threads, device = given[5:]
        loss = require_loss(state)
        self.optimizer = minibatch_optimizer(state, chosen)
        settings = FitSettings(
            optimizer=self.optimizer, clip_norm=clip_norm, clip_value=clip_value,
            trainable=trainable, precision=precision, backend=backend, threads=threads,
            device=device,
        )  # fmt: skip
        begin = next_step(state, self.optimizer, total)
        self._given, self._total, self._graph = given, total, state.graph
        self._first, self._plateau = begin.first_step, begin.plateau
        self._weighted = bool(means_of_rows(state.graph))
        self._tracker = BestTracker() if state.last_run is None else state.last_run.tracker
        old = state.live
        if isinstance(old, Live) and old._is(given) and old.optimizer == self.optimizer:
            split = old.split  # only values were set
        else:
            split = state.step_cache.step(state.graph, loss, self.optimizer, settings)
        state.release()
        self.split: SplitStep = split
        auto = device == AUTO
        if auto:
            from chainrule.model import automatic  # noqa: PLC0415  (few programs need it)

            settings = automatic.of_single_steps(settings, split, arrays, rows)
        self.program = state.step_cache.program(split, begin.values, state.seed, settings, SERIAL)
        if auto:
            automatic.guard(self.program)
        self.program.write({}, begin.steps)
        self._end: LastRun | None = None

    def continues(self, state: ModelState, given: Given) -> bool:
        """Whether the next step of the model is that of this program."""
        last = state.last_run
        return last is not None and last is self._end and self._is(given)

    def _is(self, given: Given) -> bool:
        return given == self._given or (given[0] is None and given[1:] == self._given[1:])

    def run(self, arrays: Mapping[str, Array], rows: int) -> float:
        """The loss of a minibatch before its update, which is done. Raises NotFinite."""
        steps = self.program.steps
        rate = rate_of(self.optimizer, steps - self._first, self._plateau, self._total)
        if self._weighted:
            arrays = with_means(self._graph, arrays, step=steps + 1)
        return float(self.program.run(arrays, [all_rows(rows)], [rate])[0])

    def commit(self, state: ModelState) -> None:
        """Make the model that after the last step; its arrays are read when they are asked for."""
        steps = self.program.steps
        self._end = LastRun(self._first, steps, self._tracker, None, self._plateau)
        state.follow(self.program.read, steps)
        state.optimizer, state.last_run, state.live = self.optimizer, self._end, self
