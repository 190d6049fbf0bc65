"""Trains a model: its settings, its step and program, and the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, TypeAlias

from chainrule.engine.devices import AUTO
from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import Rows
from chainrule.engine.native import NativeProgram
from chainrule.engine.pauses import pauses_of
from chainrule.engine.program import Program
from chainrule.errors import DeviceError, GraphError
from chainrule.graph.node import Array, Node
from chainrule.graph.step import Step
from chainrule.model.beginning import Beginning, beginning, plateau, resumed
from chainrule.model.fitdata import divided, feed, fixed_data, order
from chainrule.model.fitwords import kept, summary, waited
from chainrule.model.lastrun import LastRun
from chainrule.model.prepare import Prepared
from chainrule.model.ranked import blocks_of, first_reason, require_equal
from chainrule.model.state import Data, ModelState
from chainrule.passes.tables import MOVING, treatments
from chainrule.system.ranks.communicator import Communicator, from_first, gather, together
from chainrule.system.ranks.world import world
from chainrule.train.callbacks import (
    BestTracker,
    State,
    as_callbacks,
    watches_steps,
)
from chainrule.train.epochends import EpochEnds, Requested
from chainrule.train.fitsettings import FitSettings, as_optimizer
from chainrule.train.fullbatch import FullBatch, FullBatchProgram
from chainrule.train.history import History
from chainrule.train.lbfgs import LBFGS
from chainrule.train.loop import Run
from chainrule.train.metrics import Metric
from chainrule.train.metrics.registry import Function
from chainrule.train.optim import Adam, Optimizer
from chainrule.train.progress import Progress, choose
from chainrule.train.record import Record
from chainrule.train.runstate import RunState
from chainrule.train.schedules import ReduceOnPlateau
from chainrule.types import static_size

if TYPE_CHECKING:
    from chainrule.model.resume import Survival

EPOCHS = 20
"""The default number of epochs of a run."""


def fit(state: ModelState, data: Data | Prepared, settings: FitSettings) -> History:
    """Train a model; see Model.fit."""
    if state.loss is None:
        raise GraphError("fit", "the model has no loss", fix="Model(outputs=..., loss=...)")
    ranks = world()
    with together(ranks):
        prepared = divided(state, data, settings)
        optimizer = optimizer_for(state, settings.optimizer)
        settings = _resolved(state, prepared, optimizer, settings, ranks)
        # else they are reported already
        notes = [] if prepared is data else [*prepared.notes, prepared.sentence]
        state.release()
        begin = beginning(state, prepared, optimizer, settings)
        with _survival(state, prepared, begin, settings, ranks) as survival:
            begin = begin if survival is None else resumed(begin, survival)
            return _train(state, prepared, begin, survival, settings, [*notes, *begin.notes])


def _train(
    state: ModelState,
    prepared: Prepared,
    begin: Beginning,
    survival: Survival | None,
    settings: FitSettings,
    notes: list[str],
) -> History:
    """Train a model from where a run begins, with resolved settings."""
    optimizer = settings.optimizer
    assert state.loss is not None
    assert isinstance(optimizer, (Optimizer, LBFGS))
    settings = _recorded(state, prepared, begin, settings, survival)
    arrays = fixed_data(state, prepared, begin.steps + 1)
    program, told = _program(state, state.loss, begin, arrays, prepared.rows, optimizer, settings)
    notes += told
    program.write({}, begin.steps)
    if survival is not None:
        survival.restore(program)
    if not begin.best:  # else they may be needed at the end; they take memory all the time
        begin.values = {}
    state.optimizer, state.split = optimizer, prepared.sentence
    with choose(settings.verbose) as progress:
        for note in notes:
            progress.note(note)
        if settings.device == AUTO:
            from chainrule.model.automatic import guard  # noqa: PLC0415  (few programs need it)

            guard(program, progress)
        run, end = _run(state, begin, prepared, arrays, program, settings, progress, survival)
        try:
            with run.feed or nullcontext():
                reason = run.train()
        except KeyboardInterrupt:
            state.last_run = end()
            progress.finish(f"interrupted; the model {kept(run)}")
            raise
        state.last_run = end()
        progress.finish(summary(run, reason) + waited(prepared))
    state.step_cache.rest(program)
    return state.history


def optimizer_for(state: ModelState, given: Optimizer | LBFGS | str | None) -> Optimizer | LBFGS:
    """Returns an optimizer, also by its name; None: the model's last one, or the default."""
    return (state.optimizer or Adam(1e-3)) if given is None else as_optimizer(given)


def _resolved(
    state: ModelState, prepared: Prepared, optimizer: Optimizer | LBFGS, settings: FitSettings,
    ranks: Communicator,
) -> FitSettings:  # fmt: skip
    """The settings with values for all that were left open, for this model, data and ranks."""
    epochs, size = EPOCHS, settings.batch_size
    if isinstance(optimizer, LBFGS):
        epochs, size = optimizer.iterations, len(prepared.rows)
    evaluated = prepared.held_arrays is not None or settings.patience is not None
    return replace(
        settings,
        optimizer=optimizer,
        epochs=epochs if settings.epochs is None else settings.epochs,
        batch_size=size,
        blocks=1 if isinstance(optimizer, LBFGS) else blocks_of(settings, ranks),
        verbose=settings.verbose if ranks.rank == 0 else False,
        keep_best=settings.keep_best and evaluated,
        metrics=_metrics(state, settings.metrics),
    )


def _metrics(
    state: ModelState, metrics: Iterable[str | Metric | Function] | None
) -> list[str | Metric | Function]:
    """The metrics of every epoch. Raises SettingError where one does not fit the loss."""
    if metrics is None:
        return list(state.objectives.each_epoch)
    chosen = list(metrics)
    state.objectives.metrics(chosen)
    return chosen


def _survival(
    state: ModelState, prepared: Prepared, begin: Beginning, settings: FitSettings,
    ranks: Communicator,
) -> AbstractContextManager[Survival | None]:  # fmt: skip
    """The checkpoints of a run, which hold their folder; None where it has none.

    Ranks agree on the run that they begin; the first alone reads and writes the folder.
    """
    if settings.checkpoint is None and ranks.size == 1:
        return nullcontext()
    from chainrule.model import resume  # noqa: PLC0415  (few programs need it)

    beginning = begin.last, begin.tracker, begin.best
    same = resume.identity(state, prepared, settings, begin.values, begin.steps, beginning)
    require_equal(ranks, same)
    if settings.checkpoint is None:
        return nullcontext()
    if ranks.rank > 0:
        return resume.Following(state, from_first(ranks, None))
    survival = resume.Survival(state, settings, same)
    from_first(ranks, survival.found)
    return survival


def _recorded(
    state: ModelState, prepared: Prepared, begin: Beginning, settings: FitSettings,
    survival: Survival | None,
) -> FitSettings:  # fmt: skip
    """The settings with the callback that records the run, if it is to be."""
    state.learning = None
    if not isinstance(settings.record, Record):
        return settings
    from chainrule.model.recorder import Recorder  # noqa: PLC0415  (few programs record)

    recorder = Recorder(state, settings.record, prepared, settings.epochs or 0)
    kept = None
    if survival is not None:
        survival.recorded = recorder.kept
        kept = None if survival.found is None else survival.found.recorded
    if kept is None:
        recorder.begin(state, begin.values, begin.steps)
    else:
        recorder.go_on(state, kept)
    callbacks = as_callbacks(settings.callbacks)
    return replace(settings, callbacks=(recorder, *callbacks))


# ---------------------------------------------------------------- program and run


def _program(
    state: ModelState,
    loss: Node,
    begin: Beginning,
    data: Mapping[str, Array],
    rows: Rows,
    optimizer: Optimizer | LBFGS,
    settings: FitSettings,
) -> tuple[Program, list[str]]:
    """The program that runs the steps, by minibatches or on all rows at once, and notes on it."""
    step, told = None, list[str]()
    if isinstance(optimizer, Optimizer):
        step = state.step_cache.step(state.graph, loss, optimizer, settings)
        told += _table_notes(step.body)
    if settings.device == AUTO:
        from chainrule.model.automatic import chosen  # noqa: PLC0415  (few programs need it)

        settings, why = chosen(settings, step, data, len(rows), settings.epochs or 0)
        told.insert(0, why)
    if isinstance(optimizer, LBFGS):
        function = FullBatch(
            state.graph, loss, begin.values, _rows_of(state, data, rows), optimizer,
            trainable=settings.trainable, seed=state.seed, backend=settings.backend,
            device=settings.device,
        )  # fmt: skip
        return FullBatchProgram(function, optimizer, rows), told
    assert step is not None
    program = state.step_cache.program(step, begin.values, state.seed, settings, world())
    return program, told


def _table_notes(step: Step) -> list[str]:
    """A note on each large table of which every step updates all rows."""
    return [
        f"{step.graph.name(x)!r}, {static_size(x.shape[:1]):,} rows: each step updates {how}"
        for x, how in treatments(step).items()
        if how == MOVING
    ]


def _rows_of(state: ModelState, data: Mapping[str, Array], rows: Rows) -> dict[str, Array]:
    """The data set with copies of the training rows alone."""
    batched = {state.graph.name(x) for x in state.graph.inputs if x.batch}
    return {name: array[rows] if name in batched else array for name, array in data.items()}


def _run(
    state: ModelState,
    begin: Beginning,
    prepared: Prepared,
    data: Mapping[str, Array],
    program: Program,
    settings: FitSettings,
    progress: Progress,
    survival: Survival | None,
) -> tuple[Run, Callable[[], LastRun]]:
    """The run of a program, with resolved settings, and what gives its end."""
    tracker, last = begin.tracker, begin.last
    state.history.judge_by(settings.stopping.criterion, tracker.better)
    told = (survival and survival.progress()) or RunState.start(
        state.history.begin_run(), settings.epochs or 0, begin.steps, tracker,
        plateau(begin, settings), None if last is None else last.first_step,
    )  # fmt: skip
    if begin.best and settings.keep_best and told.best_values is None:
        told.best_values, told.best_step = state.values | state.slots, state.steps
    ended: list[tuple[Mapping[str, Array], int]] = []
    ranks = world()

    def lend(ready: bool) -> None:
        state.follow(program.read if ready else None, program.steps)
        state.last_run = LastRun(told.first_step, program.steps, tracker, None, told.plateau)

    def sync() -> dict[str, Array]:
        state.follow(None, program.steps)
        state.slots = {}  # memory may not suffice for the old and the new ones
        present = program.read()
        state.restore(present, program.steps)
        return present

    def before_best() -> None:
        ran = told.epoch > told.first_epoch  # else the model is at the best of earlier calls
        present = state.values | state.slots, state.steps
        ended.append(present if ran else (begin.values, begin.steps))

    def end() -> LastRun:
        values, steps = ended[-1] if ended else (None, state.steps)
        return LastRun(
            told.first_step, steps, tracker, begin.judged, told.plateau,
            None if values is None or steps == state.steps else dict(values),
        )  # fmt: skip

    by = cache(partial(_computation, state, program, settings))
    scored = _scorer(state, program, settings, by)
    run = Run(
        program=program, data=data, rows=prepared.rows, settings=settings, seed=state.seed,
        score=partial(_scores, state, prepared, tracker, settings, scored), sync=sync,
        view=State(state, state.history), progress=progress, lend=lend,
        before_best=before_best, state=told, alone=_alone(prepared, tracker, settings),
        ends=partial(_ends, state, prepared, tracker, program, settings, by),
        agree=None if ranks.size == 1 else partial(first_reason, ranks),
        watched=any(gather(ranks, any(map(watches_steps, as_callbacks(settings.callbacks))))),
        feed=feed(prepared, program, data, settings, told.last_epoch), order=order(prepared),
    )  # fmt: skip
    if survival is not None:
        survival.attach(run)
        run.keep = survival.keep
    return run, end


_Scorer: TypeAlias = "Callable[[Mapping[str, Array], Rows, Requested], Mapping[str, float]]"
"""Computes loss and metrics over some rows."""


def _computation(state: ModelState, program: Program, settings: FitSettings) -> Forward:
    """The pass that scores are made of, where the steps are done."""
    device = program.device if isinstance(program, NativeProgram) else settings.device
    return state._scored_on("cpu" if device == AUTO else device)


def _scorer(
    state: ModelState, program: Program, settings: FitSettings, there: Callable[[], Forward]
) -> _Scorer:
    """Computes scores where the steps are done, by `there`, or else here."""

    def score(arrays: Mapping[str, Array], rows: Rows, metrics: Requested) -> Mapping[str, float]:
        lost = isinstance(program, NativeProgram) and program.device == "cpu"
        try:
            return state.score(arrays, rows, metrics, None if lost else there())
        except DeviceError:
            if settings.device != AUTO:
                raise
        return state.score(arrays, rows, metrics)

    return score


def _scores(
    state: ModelState, prepared: Prepared, tracker: BestTracker, settings: FitSettings,
    scored: _Scorer,
) -> Mapping[str, float]:  # fmt: skip
    """The scores after an epoch, of the rows held out, or else of the training rows."""
    metrics = list(settings.metrics or ())
    judged_loss = settings.keep_best and tracker.criterion == "loss"
    found: dict[str, float] = {}
    if prepared.held_arrays is not None:
        scores = scored(prepared.held_arrays, prepared.held_rows, metrics)
        found = {f"validation_{name}": value for name, value in scores.items()}
    if judged_loss or (metrics and not found and tracker.criterion != "loss"):
        scores = scored(prepared.arrays, prepared.rows, [] if found else metrics)
        found |= {name: x for name, x in scores.items() if name != "loss" or judged_loss}
    return found


def _alone(prepared: Prepared, tracker: BestTracker, settings: FitSettings) -> bool:
    """Whether nothing is done after an epoch that needs the model or the program."""
    scored = prepared.held_arrays is not None or (
        bool(settings.metrics) and tracker.criterion != "loss"
    )
    rate = getattr(settings.optimizer, "rate", None)  # L-BFGS, which may end, has none
    return not (scored or settings.keep_best or rate is None or isinstance(rate, ReduceOnPlateau))


def _ends(
    state: ModelState, prepared: Prepared, tracker: BestTracker, program: Program,
    settings: FitSettings, by: Callable[[], Forward],
) -> EpochEnds | None:  # fmt: skip
    """The scores of several epochs at once; None where an epoch needs the model or the program."""
    if prepared.held_arrays is None or not isinstance(program, NativeProgram):
        return None
    if tracker.criterion == "loss" and settings.keep_best:  # the training rows are scored too
        return None
    if isinstance(getattr(settings.optimizer, "rate", None), ReduceOnPlateau):
        return None
    metrics = list(settings.metrics or ())
    if not state.plainly_scored or (metrics and state.objective.together(metrics) is None):
        return None
    passes = by().repeated(state.values, prepared.held_arrays, prepared.held_rows)
    if passes is None:
        return None
    pauses = pauses_of(program, passes, states=settings.keep_best)
    return None if pauses is None else EpochEnds(pauses, state.objective, metrics)
