"""What `Model.fit` does: data and split, step and program, the run, and what is told about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.data.readers.sources import read
from chainrule.data.schema import Encoded, Schema
from chainrule.data.split import holdout
from chainrule.display.format import duration, number, words
from chainrule.engine.compile import build_step
from chainrule.engine.minibatch import Rows
from chainrule.engine.program import Program, check_backend, compile_step
from chainrule.errors import FeedError, GraphError, SettingError
from chainrule.graph.node import Array, Node
from chainrule.system.checks import integer
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

if TYPE_CHECKING:
    from chainrule.model.model import Data, Model

Wanted = list[str | Metric | Function]


@dataclass(frozen=True)
class Prepared:
    """Data that is ready: checked arrays, the rows that train, and what validates.

    Attributes:
        arrays, rows: of the training data.
        held_arrays, held_rows: of the validation data; the same arrays where rows were held out.
        sentence: how it was divided.
    """

    arrays: dict[str, Array]
    rows: Rows
    held_arrays: dict[str, Array] | None
    held_rows: Rows
    sentence: str


def fit(
    model: Model,
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
    if model.loss is None:
        raise GraphError("fit", "the model has no loss", fix="Model(outputs=..., loss=...)")
    integer("fit", "batch_size", batch_size, 1)
    if threads is not None:
        integer("fit", "threads", threads, 1)
    check_backend(backend)
    listening = as_callbacks(callbacks)
    prepared = prepare(model, data, validation, groups, time)
    chosen = optimizer_for(model, optimizer)
    epochs = _epochs(chosen) if epochs is None else epochs
    integer("fit", "epochs", epochs, 0)
    notes = [] if prepared is data else [prepared.sentence]  # who prepared it has told it
    notes += _continues(model, chosen)
    program = _program(
        model, model.loss, prepared, chosen,
        clip_norm=clip_norm, clip_value=clip_value, trainable=trainable, backend=backend,
        threads=threads,
    )  # fmt: skip
    batch_size = len(prepared.rows) if isinstance(chosen, LBFGS) else batch_size
    program.write({}, model.steps)
    model.optimizer, model.split = chosen, prepared.sentence
    with choose(verbose) as progress:
        for note in notes:
            progress.note(note)
        run = _run(
            model, prepared, program, batch_size, epochs, patience, keep_best,
            _wanted(model, metrics), listening, progress,
        )  # fmt: skip
        run.shuffle = shuffle
        try:
            reason = run.train()
        except KeyboardInterrupt:
            progress.finish(f"interrupted; the model {_kept(run)}")
            raise
        progress.finish(_summary(run, reason))
    return model.history


def _program(
    model: Model,
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
            model.graph, loss, model.values, _rows_of(model, prepared), optimizer,
            trainable=trainable, seed=model.seed, backend=backend,
        )  # fmt: skip
        return FullBatchProgram(function, optimizer)
    step = build_step(
        model.graph, loss, optimizer,
        clip_norm=clip_norm, clip_value=clip_value, trainable=trainable,
    )  # fmt: skip
    state = model.values | model.slots
    return compile_step(step, state, model.seed, backend=backend, threads=threads)


def _run(
    model: Model,
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
    own = find_metrics(wanted, model.judge.task) if model.judge.task else []
    tracker = stopping.tracker(validation=validates, metrics=own)
    if patience is None:
        tracker.patience = None
    model.history.judge_by(stopping.criterion, tracker.better)

    def score() -> Mapping[str, float]:
        if prepared.held_arrays is not None:
            scores = model.score(prepared.held_arrays, prepared.held_rows, wanted)
            return {f"validation_{name}": value for name, value in scores.items()}
        if not wanted or tracker.criterion == "loss":
            return {}
        scores = model.score(prepared.arrays, prepared.rows, wanted)
        return {name: value for name, value in scores.items() if name != "loss"}

    def sync() -> None:
        model.slots = {}  # there is no room for the old ones and the new
        model.restore(program.read(), program.steps)

    per_epoch = -(-len(prepared.rows) // batch_size)
    rate, before = _rate(model, model.steps, per_epoch * epochs, tracker.better)
    return Run(
        program, prepared.arrays, prepared.rows, batch_size, epochs, model.seed, rate, score,
        sync, tracker,
        keep_best and (validates or patience is not None),
        State(model, model.history), progress, callbacks, before,
    )  # fmt: skip


def _rate(
    model: Model, before: int, total: int, better: Direction
) -> tuple[Callable[[int, int], list[float]], Callable[[float], None]]:
    """The rates of some steps of this run, and what listens to the criterion to change them."""
    schedule = getattr(model.optimizer, "rate", 1.0)
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


def _wanted(model: Model, metrics: Iterable[str | Metric | Function] | None) -> Wanted:
    if metrics is None:
        return list(model.judge.each_epoch)
    wanted: Wanted = [metrics] if isinstance(metrics, str) else list(metrics)
    if model.judge.task:
        find_metrics(wanted, model.judge.task)
    return wanted


# ---------------------------------------------------------------- data and split


def prepare(
    model: Model, data: Data | Prepared, validation: Any, groups: Any, time: Any
) -> Prepared:
    """Checked arrays, and which rows train and which validate; what is prepared stays as it is."""
    if isinstance(data, Prepared):
        return data
    if model.schema is not None:
        data, groups, time = encode(model.schema, data, groups, time)
    arrays, n = model.arrays(data)
    _refuse_impossible_targets(model, arrays)
    every = np.arange(n)
    if validation is not None and (
        isinstance(validation, bool) or not isinstance(validation, (int, float))
    ):
        held, m = model.arrays(validation)
        _refuse_impossible_targets(model, held)
        sentence = f"{n:,} rows to train, {m:,} of their own to validate"
        return Prepared(arrays, every, held, np.arange(m), sentence)
    stratify = classes_of(model, arrays) if groups is None and time is None else None
    return divide(
        arrays, every, validation, model.seed, stratify=stratify, groups=groups, time=time
    )


def encode(schema: Schema, data: Any, *columns: Any) -> tuple[Any, ...]:
    """Data as a schema encodes it, and columns of the table by name at the rows that are kept.

    What is encoded already, and what is not a name, stays as it is.
    """
    if isinstance(data, Encoded):
        return data, *columns
    table = read(data)
    encoded = schema.encode(table, "required")
    found = (table[x].take(encoded.rows) if isinstance(x, str) else x for x in columns)
    return encoded, *found


def divide(
    arrays: dict[str, Array], rows: Rows, fraction: float | None, seed: int, **ways: Any
) -> Prepared:
    """Some rows of the data, of which a fraction validates; see `holdout` for the ways."""
    if fraction is None:
        sentence = f"all {len(rows):,} rows train, none validate"
        return Prepared(arrays, rows, None, rows[:0], sentence)
    train, held, sentence = holdout(len(rows), fraction, seed, **ways)
    return Prepared(arrays, rows[train], arrays, rows[held], sentence)


def classes_of(model: Model, arrays: Mapping[str, Array]) -> Array | None:
    """The class of each row, by which a split is stratified; None where rows have none."""
    target = model.judge.target
    if model.judge.task != "classification" or target is None:
        return None
    array = arrays.get(model.graph.name(target))
    return array if array is not None and array.ndim == 1 else None


def _refuse_impossible_targets(model: Model, arrays: Mapping[str, Array]) -> None:
    """Targets at which the loss means nothing, told with the row of the data, not of a batch."""
    judge = model.judge
    bounds = judge.bounds
    if bounds is None or judge.target is None or judge.weights is not None:
        return
    numbers = arrays.get(model.graph.name(judge.target))
    if numbers is None:
        return
    low, high, what, fix = bounds
    beyond = np.argwhere((numbers < low) | (numbers > high))
    if len(beyond):
        place = tuple(beyond[0])
        raise FeedError(
            f"input {judge.target.label!r}",
            f"{what}: the loss is {judge.kind}",
            expected=f"from {max(low, 0):g}" + (f" to {high:g}" if high < np.inf else ""),
            got=numbers[place],
            at=f"row {place[0]}",
            fix=fix,
        )


def _rows_of(model: Model, prepared: Prepared) -> dict[str, Array]:
    """The training rows as arrays of their own."""
    batched = {model.graph.name(x): x.batch for x in model.graph.inputs}
    return {
        name: array[prepared.rows] if batched[name] else array
        for name, array in prepared.arrays.items()
    }


# ---------------------------------------------------------------- words


def _continues(model: Model, optimizer: Optimizer | LBFGS) -> list[str]:
    """What is told where a model is trained again; another optimizer's state is dropped."""
    if not len(model.history):
        return []
    last = model.history.last_epoch
    if model.optimizer is not None and type(model.optimizer) is type(optimizer):
        return [f"goes on after epoch {last} (step {model.steps:,}), optimizer state kept"]
    steps, model.slots, model.steps = model.steps, {}, 0  # Adam's averages begin with step 1
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


def optimizer_for(model: Model, given: Optimizer | LBFGS | str | None) -> Optimizer | LBFGS:
    """An optimizer, also by its name; or the model's last one, or the usual one."""
    if given is None:
        return model.optimizer or Adam(1e-3)
    if isinstance(given, (Optimizer, LBFGS)):
        return given
    if isinstance(given, str):
        return optimizer_named(given)
    raise SettingError(
        "fit", "this is not an optimizer", expected="such as cr.Adam(1e-3)", got=repr(given)
    )


def _epochs(optimizer: Optimizer | LBFGS) -> int:
    return optimizer.iterations if isinstance(optimizer, LBFGS) else 20
