"""Trains a model: its step and program, the run, and what is reported about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from chainrule.display.format import duration, number, words
from chainrule.engine.compile import check_backend, compile_step
from chainrule.engine.program import Program
from chainrule.engine.step import build_step
from chainrule.errors import GraphError, SettingError
from chainrule.graph.node import Array, Node
from chainrule.model.prepare import Prepared, prepare
from chainrule.model.state import Data, ModelState
from chainrule.system.settings import require_integer
from chainrule.train.callbacks import Callback, EarlyStopping, PlateauTracker, State, as_callbacks
from chainrule.train.fullbatch import FullBatch, FullBatchProgram
from chainrule.train.history import History
from chainrule.train.lbfgs import LBFGS
from chainrule.train.loop import Run
from chainrule.train.metrics import Direction, Metric, find_metrics
from chainrule.train.metrics.registry import Function
from chainrule.train.optim import Adam, Optimizer
from chainrule.train.optim.registry import optimizer as optimizer_named
from chainrule.train.progress import Progress, choose
from chainrule.train.schedules import ReduceOnPlateau, rates

EACH_EPOCH = {
    "classification": ("accuracy",),
    "multilabel": ("label_accuracy",),
    "regression": ("rmse",),
    "quantiles": ("pinball",),
}
"""The metrics of every epoch, where none are asked for; `evaluate` has them all."""

Wanted = list[str | Metric | Function]


def fit(
    state: ModelState,
    data: Data,
    *,
    optimizer: Optimizer | LBFGS | str | None,
    batch_size: int,
    epochs: int | None,
    validation: Any,
    groups: Any,
    time: Any,
    patience: int | EarlyStopping | None,
    keep_best: bool,
    shuffle: bool,
    metrics: Iterable[str | Metric | Function] | None,
    clip_norm: float | None,
    clip_value: float | None,
    trainable: Iterable[str] | None,
    callbacks: Iterable[Callback | Callable[[State], object]] | Callback | None,
    backend: str,
    threads: int | None,
    verbose: bool | str | Progress | None,
) -> History:
    """See Model.fit."""
    if state.loss is None:
        raise GraphError("fit", "the model has no loss", fix="Model(outputs=..., loss=...)")
    require_integer("fit.batch_size", batch_size, 1)
    if threads is not None:
        require_integer("fit.threads", threads, 1)
    check_backend(backend)
    listening = as_callbacks(callbacks)
    prepared = prepare(state, data, validation, groups, time)
    chosen = optimizer_for(state, optimizer)
    epochs = _epochs(chosen) if epochs is None else epochs
    require_integer("fit.epochs", epochs, 0)
    notes = [] if prepared is data else [prepared.sentence]  # who prepared it has told it
    notes += _continues(state, chosen)
    program = _program(
        state, state.loss, prepared, chosen,
        clip_norm=clip_norm, clip_value=clip_value, trainable=trainable, backend=backend,
        threads=threads,
    )  # fmt: skip
    batch_size = len(prepared.rows) if isinstance(chosen, LBFGS) else batch_size
    program.write({}, state.steps)
    state.optimizer, state.split = chosen, prepared.sentence
    with choose(verbose) as progress:
        for note in notes:
            progress.note(note)
        run = _run(
            state, prepared, program, batch_size, epochs, patience, keep_best,
            _wanted(state, metrics), listening, progress,
        )  # fmt: skip
        run.shuffle = shuffle
        try:
            reason = run.train()
        except KeyboardInterrupt:
            progress.finish(f"interrupted; the model {_kept(run)}")
            raise
        progress.finish(_summary(run, reason))
    return state.history


def _program(
    state: ModelState,
    loss: Node,
    prepared: Prepared,
    optimizer: Optimizer | LBFGS,
    *,
    clip_norm: float | None,
    clip_value: float | None,
    trainable: Iterable[str] | None,
    backend: str,
    threads: int | None,
) -> Program:
    """What does the steps: by minibatches, or on all rows at once."""
    if isinstance(optimizer, LBFGS):
        function = FullBatch(
            state.graph, loss, state.values, _rows_of(state, prepared), optimizer,
            trainable=trainable, seed=state.seed, backend=backend,
        )  # fmt: skip
        return FullBatchProgram(function, optimizer)
    step = build_step(
        state.graph, loss, optimizer,
        clip_norm=clip_norm, clip_value=clip_value, trainable=trainable,
    )  # fmt: skip
    given = state.values | state.slots
    return compile_step(step, given, state.seed, backend=backend, threads=threads)


def _run(
    state: ModelState,
    prepared: Prepared,
    program: Program,
    batch_size: int,
    epochs: int,
    patience: int | EarlyStopping | None,
    keep_best: bool,
    wanted: Wanted,
    callbacks: list[Callback],
    progress: Progress,
) -> Run:
    validates = prepared.held_arrays is not None
    stopping = (
        patience if isinstance(patience, EarlyStopping)
        else EarlyStopping() if patience is None
        else EarlyStopping(patience=patience)
    )  # fmt: skip
    own = find_metrics(wanted, state.judge.task) if state.judge.task else []
    tracker = stopping.tracker(validation=validates, metrics=own)
    if patience is None:
        tracker.patience = None
    state.history.judge_by(stopping.criterion, tracker.better)

    def score() -> Mapping[str, float]:
        if prepared.held_arrays is not None:
            scores = state.score(prepared.held_arrays, prepared.held_rows, wanted)
            return {f"validation_{name}": value for name, value in scores.items()}
        if not wanted or tracker.criterion == "loss":
            return {}
        scores = state.score(prepared.arrays, prepared.rows, wanted)
        return {name: value for name, value in scores.items() if name != "loss"}

    def sync() -> None:
        state.slots = {}  # there is no room for the old ones and the new
        state.restore(program.read(), program.steps)

    per_epoch = -(-len(prepared.rows) // batch_size)
    rate, before = _rate(state, state.steps, per_epoch * epochs, tracker.better)
    return Run(
        program, prepared.arrays, prepared.rows, batch_size, epochs, state.seed, rate, score,
        sync, tracker,
        keep_best and (validates or patience is not None),
        State(state, state.history), progress, callbacks, before,
    )  # fmt: skip


def _rate(
    state: ModelState, before: int, total: int, better: Direction
) -> tuple[Callable[[int, int], list[float]], Callable[[float], None]]:
    """The rates of some steps of this run, and what listens to the criterion to change them."""
    schedule = getattr(state.optimizer, "rate", 1.0)
    scale = 1.0
    plateau: PlateauTracker | None = None
    if isinstance(schedule, ReduceOnPlateau):
        plateau = PlateauTracker(schedule, better)

    def at(first: int, count: int) -> list[float]:
        return rates(schedule, first - before, count, total, scale)

    def listen(criterion: float) -> None:
        nonlocal scale
        if plateau is not None:
            scale = plateau.update(criterion)

    return at, listen


def _wanted(state: ModelState, metrics: Iterable[str | Metric | Function] | None) -> Wanted:
    if metrics is None:
        return list(EACH_EPOCH[state.judge.task]) if state.judge.task else []
    wanted: Wanted = [metrics] if isinstance(metrics, str) else list(metrics)
    if state.judge.task:
        find_metrics(wanted, state.judge.task)
    return wanted


def _rows_of(state: ModelState, prepared: Prepared) -> dict[str, Array]:
    """The training rows as arrays of their own."""
    batched = {state.graph.name(x): x.batch for x in state.graph.inputs}
    return {
        name: array[prepared.rows] if batched[name] else array
        for name, array in prepared.arrays.items()
    }


# ---------------------------------------------------------------- words


def _continues(state: ModelState, optimizer: Optimizer | LBFGS) -> list[str]:
    """What is told where a model is trained again; another optimizer's state is dropped."""
    if not len(state.history):
        return []
    last = state.history.last_epoch
    if state.optimizer is not None and type(state.optimizer) is type(optimizer):
        return [f"goes on after epoch {last} (step {state.steps:,}), optimizer state kept"]
    steps, state.slots, state.steps = state.steps, {}, 0  # Adam's averages begin with step 1
    return [f"goes on after epoch {last} (step {steps:,}) with a new optimizer"]


def _kept(run: Run) -> str:
    if run.keep_best and run.tracker.best_epoch is not None:
        return f"keeps epoch {run.tracker.best_epoch}, the best so far"
    return f"is as after step {run.program.steps:,}"


def _summary(run: Run, reason: str | None) -> str:
    if not run.epochs:
        return "no epochs to train"
    row, tracker = run.state.row, run.tracker
    ran = run.state.epoch - run.state.history.runs[-1] + 1
    text = f"{ran:,} epoch{'s' if ran != 1 else ''} in {duration(row['seconds'])}"
    if run.keep_best and tracker.best_epoch is not None and tracker.best is not None:
        best = f"{words(tracker.criterion)} {number(tracker.best)}"
        text += f"; kept epoch {tracker.best_epoch}, the best: {best}"
    return text + (f"; stopped: {reason}" if reason else "")


def optimizer_for(state: ModelState, given: Optimizer | LBFGS | str | None) -> Optimizer | LBFGS:
    """An optimizer, also by its name; or the model's last one, or the usual one."""
    if given is None:
        return state.optimizer or Adam(1e-3)
    if isinstance(given, (Optimizer, LBFGS)):
        return given
    if isinstance(given, str):
        return optimizer_named(given)
    raise SettingError(
        "fit", "this is no optimizer", expected="such as cr.Adam(1e-3)", got=repr(given)
    )


def _epochs(optimizer: Optimizer | LBFGS) -> int:
    return optimizer.iterations if isinstance(optimizer, LBFGS) else 20
