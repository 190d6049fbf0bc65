"""Trains a model: its step and program, the run, and its messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from chainrule.display.format import duration, number, words
from chainrule.engine.minibatch import Rows
from chainrule.engine.program import Program
from chainrule.engine.totals import with_means
from chainrule.errors import GraphError
from chainrule.graph.node import Array, Node
from chainrule.model.prepare import Prepared, prepare
from chainrule.model.state import Data, ModelState
from chainrule.train.callbacks import BestTracker, PlateauTracker, State
from chainrule.train.fitsettings import FitSettings, as_optimizer
from chainrule.train.fullbatch import FullBatch, FullBatchProgram
from chainrule.train.history import History
from chainrule.train.lbfgs import LBFGS
from chainrule.train.loop import Run
from chainrule.train.metrics import Metric, find_metrics
from chainrule.train.metrics.registry import Function
from chainrule.train.optim import Adam, Optimizer
from chainrule.train.progress import Progress, choose
from chainrule.train.runstate import RunState
from chainrule.train.schedules import ReduceOnPlateau

EPOCHS = 20
"""The default number of epochs of a run."""


def fit(state: ModelState, data: Data | Prepared, settings: FitSettings) -> History:
    """Train a model; see Model.fit."""
    if state.loss is None:
        raise GraphError("fit", "the model has no loss", fix="Model(outputs=..., loss=...)")
    prepared = prepare(state, data, settings.validation, settings.groups, settings.time)
    optimizer = optimizer_for(state, settings.optimizer)
    settings = _resolved(state, prepared, optimizer, settings)
    notes = [] if prepared is data else [prepared.sentence]  # else it is already reported
    notes += _continue_or_reset(state, optimizer)
    data = with_means(state.graph, prepared.arrays, prepared.rows)
    program = _program(state, state.loss, data, prepared.rows, optimizer, settings)
    program.write({}, state.steps)
    state.optimizer, state.split = optimizer, prepared.sentence
    with choose(settings.verbose) as progress:
        for note in notes:
            progress.note(note)
        run = _run(state, prepared, data, program, settings, progress)
        try:
            reason = run.train()
        except KeyboardInterrupt:
            progress.finish(f"interrupted; the model {_kept(run)}")
            raise
        progress.finish(_summary(run, reason))
    state.step_cache.rest(program)
    return state.history


def optimizer_for(state: ModelState, given: Optimizer | LBFGS | str | None) -> Optimizer | LBFGS:
    """Returns an optimizer, also by its name; None: the model's last one, or the default."""
    return (state.optimizer or Adam(1e-3)) if given is None else as_optimizer(given)


def _resolved(
    state: ModelState, prepared: Prepared, optimizer: Optimizer | LBFGS, settings: FitSettings
) -> FitSettings:
    """The settings with values for all that were left open, for this model and data."""
    epochs, size = EPOCHS, settings.batch_size
    if isinstance(optimizer, LBFGS):
        epochs, size = optimizer.iterations, len(prepared.rows)
    evaluated = prepared.held_arrays is not None or settings.patience is not None
    return replace(
        settings,
        optimizer=optimizer,
        epochs=epochs if settings.epochs is None else settings.epochs,
        batch_size=size,
        keep_best=settings.keep_best and evaluated,
        metrics=_metrics(state, settings.metrics),
    )


def _metrics(
    state: ModelState, metrics: Iterable[str | Metric | Function] | None
) -> list[str | Metric | Function]:
    """The metrics of every epoch. Raises SettingError where one does not fit the loss."""
    if metrics is None:
        return list(state.objective.each_epoch)
    chosen = list(metrics)
    if state.objective.task:
        find_metrics(chosen, state.objective.task)
    return chosen


def _continue_or_reset(state: ModelState, optimizer: Optimizer | LBFGS) -> list[str]:
    """Drop the state of another optimizer; returns messages where training continues."""
    if not len(state.history):
        return []
    last = state.history.last_epoch
    if state.optimizer is not None and type(state.optimizer) is type(optimizer):
        return [f"continues after epoch {last} (step {state.steps:,}), optimizer state kept"]
    steps, state.slots, state.steps = state.steps, {}, 0  # Adam's averages begin with step 1
    return [f"continues after epoch {last} (step {steps:,}) with a new optimizer"]


# ---------------------------------------------------------------- program and run


def _program(
    state: ModelState,
    loss: Node,
    data: Mapping[str, Array],
    rows: Rows,
    optimizer: Optimizer | LBFGS,
    settings: FitSettings,
) -> Program:
    """The program that runs the steps: by minibatches, or on all rows at once."""
    if isinstance(optimizer, LBFGS):
        function = FullBatch(
            state.graph, loss, state.values, _rows_of(state, data, rows), optimizer,
            trainable=settings.trainable, seed=state.seed, backend=settings.backend,
        )  # fmt: skip
        return FullBatchProgram(function, optimizer, rows)
    step = state.step_cache.step(state.graph, loss, optimizer, settings)
    return state.step_cache.program(step, state.values | state.slots, state.seed, settings)


def _rows_of(state: ModelState, data: Mapping[str, Array], rows: Rows) -> dict[str, Array]:
    """The data set with copies of the training rows alone."""
    batched = {state.graph.name(x) for x in state.graph.inputs if x.batch}
    return {name: array[rows] if name in batched else array for name, array in data.items()}


def _run(
    state: ModelState,
    prepared: Prepared,
    data: Mapping[str, Array],
    program: Program,
    settings: FitSettings,
    progress: Progress,
) -> Run:
    """The run of a program, with resolved settings."""
    tracker = _tracker(state, prepared, settings)
    state.history.judge_by(settings.stopping.criterion, tracker.better)
    schedule = getattr(settings.optimizer, "rate", None)
    plateau = PlateauTracker(tracker.better) if isinstance(schedule, ReduceOnPlateau) else None
    metrics = list(settings.metrics or ())

    def score() -> Mapping[str, float]:
        if prepared.held_arrays is not None:
            scores = state.score(prepared.held_arrays, prepared.held_rows, metrics)
            return {f"validation_{name}": value for name, value in scores.items()}
        if not metrics or tracker.criterion == "loss":
            return {}
        scores = state.score(prepared.arrays, prepared.rows, metrics)
        return {name: value for name, value in scores.items() if name != "loss"}

    def sync() -> None:
        state.slots = {}  # memory may not suffice for the old and the new ones
        state.restore(program.read(), program.steps)

    return Run(
        program=program, data=data, rows=prepared.rows, settings=settings,
        seed=state.seed, score=score, sync=sync, view=State(state, state.history),
        progress=progress,
        state=RunState.start(
            state.history.begin_run(), settings.epochs or 0, state.steps, tracker, plateau
        ),
    )  # fmt: skip


def _tracker(state: ModelState, prepared: Prepared, settings: FitSettings) -> BestTracker:
    """The tracker of the best epoch; without patience it never stops the run."""
    task = state.objective.task
    metrics = find_metrics(settings.metrics or (), task) if task else []
    tracker = settings.stopping.tracker(
        validation=prepared.held_arrays is not None, metrics=metrics
    )
    if settings.patience is None:
        tracker.patience = None
    return tracker


# ---------------------------------------------------------------- words


def _kept(run: Run) -> str:
    best = run.state.tracker.best_epoch
    if run.settings.keep_best and best is not None:
        return f"keeps epoch {best}, the best so far"
    return f"is as after step {run.program.steps:,}"


def _summary(run: Run, reason: str | None) -> str:
    if not run.state.epochs:
        return "no epochs to train"
    tracker = run.state.tracker
    ran = run.state.epoch - run.state.first_epoch
    text = f"{ran:,} epoch{'s' if ran != 1 else ''} in {duration(run.view.row['seconds'])}"
    if run.settings.keep_best and tracker.best_epoch is not None and tracker.best is not None:
        best = f"{words(tracker.criterion)} {number(tracker.best)}"
        text += f"; kept epoch {tracker.best_epoch}, the best: {best}"
    return text + (f"; stopped: {reason}" if reason else "")
