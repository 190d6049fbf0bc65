"""Many models trained at once: one on each processor, with shared data."""

from __future__ import annotations

import mmap
import os
import pickle
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from chainrule.backend.registry import find_backend
from chainrule.display.format import duration, number, words
from chainrule.engine.devices import settled
from chainrule.errors import ChainruleError, SettingError
from chainrule.graph.node import Array
from chainrule.model import fit as fitting
from chainrule.model.lastrun import LastRun
from chainrule.model.model import Model
from chainrule.model.prepare import Prepared, encode
from chainrule.model.state import Data, Interrupted
from chainrule.system.processors import usual_threads
from chainrule.system.ranks.world import SERIAL, acting_as
from chainrule.system.settings import require_integer
from chainrule.system.signals import uninterrupted
from chainrule.train.checkpoint import as_checkpoint, within
from chainrule.train.fitsettings import NAMES, FitSettings, require_known
from chainrule.train.history import History
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import Optimizer
from chainrule.train.progress import Progress, choose

SETTINGS = ("data", *(name for name in NAMES if name != "verbose"))
"""The settings that may differ from model to model."""


@dataclass(frozen=True)
class Task:
    """A model to train.

    Attributes:
        train: trains the model; called with `verbose`, the progress display that it uses.
        optimizer: of the trained model; None: a process sends it.
        here: whether it must run in this process, because callbacks act here, or on a device.
    """

    model: Model
    train: Callable[..., object]
    optimizer: Optimizer | LBFGS | None = None
    here: bool = False


def fit_many(
    models: Iterable[Model],
    data: Data,
    *,
    each: Sequence[Mapping[str, Any]] | None = None,
    jobs: int | None = None,
    verbose: bool | str | Progress | None = True,
    **settings: Any,
) -> list[History]:
    """Train many models at once, one on each processor; each ends with the same bits as alone.

    On Linux they train in forked processes, which share the data without a copy. Elsewhere,
    and with callbacks, they train in threads, which are little faster for small networks.

    Args:
        models: such as one for each seed; they may differ in structure.
        data: for all of them, as for `Model.fit`.
        each: for each model a dict of settings, which override those for all; "data" among
            them replaces the data for a model.
        jobs: the number that train at a time; None: one on each processor.
        verbose: one line reports all; as for `Model.fit`.
        settings: of `Model.fit`, for all. With `checkpoint` each model has a folder within, called
            model-0 and so on; the same call goes on with those that are not complete.

    Returns:
        The models' histories, in order.

    Raises:
        SettingError: a setting does not exist, or `each` does not fit the models.
        ChainruleError: what `fit` raises for the first model that fails, with its index in
            `models`. The others are trained all the same.
        KeyboardInterrupt: after all have stopped; each is then as after Ctrl-C in `fit`.
    """
    models = several("fit_many", models)
    _check(models, each, settings)
    _, threads = _shares(jobs, len(models))
    merged = [
        {"data": data, "threads": threads, **settings, **_kept(settings, k), **overrides}
        for k, overrides in enumerate(each or [{}] * len(models))
    ]
    failed = train_many(_tasks(models, merged), jobs, verbose)
    for index, error in failed.items():
        raise _with_index(error, index, list(failed))
    return [model.history for model in models]


def several(where: str, models: Any) -> list[Model]:
    """The models of a list or of another iterable. Raises SettingError for anything else."""
    given = list(models) if isinstance(models, Iterable) else [models]
    other = [x for x in given if not isinstance(x, Model)]
    if other or not isinstance(models, Iterable):
        raise SettingError(
            where, "models come first, then their data", expected="a list of untrained models",
            got=type(other[0] if other else models).__name__,
            fix="[make(seed) for seed in range(5)]; cr.train(table, target) scores a table",
        )  # fmt: skip
    return given


def train_many(
    tasks: Sequence[Task], jobs: int | None = None, verbose: bool | str | Progress | None = True
) -> dict[int, Exception]:
    """Train; returns the errors of the models that failed, by their indices.

    Args:
        tasks: of different models.
        jobs: the number that train at a time; None: one on each processor.
        verbose: as for `Model.fit`.
    """
    from chainrule.system import workers  # noqa: PLC0415  (few programs need it)

    if not tasks:
        return {}
    count, threads = _shares(jobs, len(tasks))
    forks = count > 1 and workers.can_fork() and not any(x.here for x in tasks)
    if forks:
        find_backend("native").warm_up()
    board = ProgressBoard(len(tasks))
    begun, failed, done = time.perf_counter(), dict[int, Exception](), 0

    def work(index: int) -> tuple[Exception | None, Trained | None]:
        if not forks:
            return _train(tasks[index], SharedProgress(board, index)), None
        os.environ["OMP_NUM_THREADS"] = str(threads)  # of this process alone
        return _train(tasks[index], SharedProgress(board, index)), Trained.of(tasks[index])

    with choose(verbose) as progress, uninterrupted(board.stop):
        progress.start(len(tasks), unit="model")
        run = workers.in_processes if forks else workers.in_threads
        for index, result in run(work, len(tasks), count, lambda: board.show(progress)):
            error, trained = (result, None) if isinstance(result, Exception) else result
            if trained is not None:
                trained.apply(tasks[index])
            if error is not None:
                failed[index] = error
            done += 1
            row = {} if error is not None or board.stopped else _row(tasks[index].model)
            progress.epoch({**row, "epoch": done, "seconds": time.perf_counter() - begun})
        seconds = time.perf_counter() - begun
        progress.finish(_summary([x.model for x in tasks], failed, board.stopped, seconds))
    return dict(sorted(failed.items()))


def _shares(jobs: int | None, models: int) -> tuple[int, int]:
    """The number of models that train at a time, and of threads that each may use."""
    if jobs is not None:
        require_integer("fit_many.jobs", jobs, 1)
    processors = usual_threads()
    count = max(min(jobs or processors, models), 1)
    return count, max(processors // count, 1)


def _train(task: Task, progress: SharedProgress) -> Exception | None:
    """Train one model; returns its error in a form that can be pickled."""
    try:
        progress.raise_if_cancelled()
        with acting_as(SERIAL):
            task.train(verbose=progress)
    except KeyboardInterrupt:
        return None
    except Exception as error:
        if not isinstance(error, ChainruleError):
            error.add_note("".join(traceback.format_exception(error)).rstrip())
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # any exception may occur
            return RuntimeError(f"{type(error).__name__}: {error}")
        return error
    return None


# ---------------------------------------------------------------- checks and data


def _check(
    models: Sequence[Model],
    each: Sequence[Mapping[str, Any]] | None,
    settings: Mapping[str, Any],
) -> None:
    repeated = [k for k, x in enumerate(models) if any(x is y for y in models[:k])]
    if repeated:
        raise SettingError("fit_many", "a model is given twice", at=f"models[{repeated[0]}]")
    if each is not None and len(each) != len(models):
        raise SettingError(
            "fit_many", "each= and models differ in length",
            expected=len(models), got=len(each),
        )  # fmt: skip
    for names in (settings, *(each or ())):
        require_known("fit_many", names, SETTINGS)


def _tasks(models: Sequence[Model], merged: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Tasks with checked settings and data, which models of equal inputs share."""
    shared, tasks = _SharedData(), []
    for index, (model, arguments) in enumerate(zip(models, merged, strict=True)):
        try:
            settings = FitSettings(**{k: x for k, x in arguments.items() if k != "data"})
            optimizer = fitting.optimizer_for(model, settings.optimizer)
            data, settings = shared.converted(model, arguments["data"], settings)
        except ChainruleError as error:
            raise error.within(f"models[{index}]") from None
        settings = replace(settings, optimizer=optimizer, device=settled(settings.device))
        train = partial(_fit, model, data, settings)
        here = bool(settings.callbacks or settings.record)
        here |= settings.device != "cpu"  # a driver does not survive a fork
        tasks.append(Task(model, train, optimizer, here=here))
    return tasks


def _kept(settings: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The checkpoint of one of the models, where all have one."""
    kept = within(as_checkpoint(settings.get("checkpoint")), f"model-{index}")
    return {} if kept is None else {"checkpoint": kept}


def _fit(model: Model, data: Data | Prepared, settings: FitSettings, verbose: Progress) -> None:
    fitting.fit(model, data, replace(settings, verbose=verbose))


class _SharedData:
    """Data converted for models; models with equal inputs share the arrays."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[int, str], Array] = {}
        self._encoded: dict[tuple[object, ...], tuple[Any, ...]] = {}

    def converted(self, model: Model, data: Any, settings: FitSettings) -> tuple[Any, FitSettings]:
        """Data and settings, converted such that `fit` does not convert them again."""
        if isinstance(data, Prepared):
            return data, settings
        data, groups, time = self._data(model, data, settings.groups, settings.time)
        validation = settings.validation
        if validation is not None and not isinstance(validation, (bool, int, float)):
            validation, *_ = self._data(model, validation)
        return data, replace(settings, groups=groups, time=time, validation=validation)

    def _data(self, model: Model, data: Any, *columns: Any) -> tuple[Any, ...]:
        """Data, and the named columns, for a model."""
        if model.schema is not None:
            names = (x if isinstance(x, str) else id(x) for x in columns)
            key = id(model.schema), id(data), *names
            if key not in self._encoded:
                self._encoded[key] = encode(model.schema, data, *columns)
            return self._encoded[key]
        if not isinstance(data, Mapping):
            return data, *columns  # `fit` raises what is wrong
        types = {model.graph.name(x): x.dtype for x in model.graph.inputs}
        keys = {name: (id(x), types.get(name, "")) for name, x in data.items()}
        converted = {name: self._arrays.get(keys[name], x) for name, x in data.items()}
        arrays, _ = model.arrays(converted)
        self._arrays |= {keys[name]: x for name, x in arrays.items()}
        return arrays, *columns


# ---------------------------------------------------------------- progress and results


class ProgressBoard:
    """The progress of models in training, in memory that processes share.

    Args:
        count: of the models.
    """

    def __init__(self, count: int) -> None:
        self._shares = np.frombuffer(mmap.mmap(-1, 8 * (count + 1)))

    def report(self, index: int, share: float) -> None:
        """Record that a model has completed this share of its training."""
        self._shares[index] = share

    def stop(self) -> None:
        """Make all models stop soon."""
        self._shares[-1] = 1

    @property
    def stopped(self) -> bool:
        """Whether the models must stop."""
        return bool(self._shares[-1])

    def show(self, progress: Progress) -> None:
        """Show the number of completed models."""
        done = float(self._shares[:-1].sum())
        progress.update(min(int(done) + 1, len(self._shares) - 1), done % 1)


class SharedProgress(Progress):
    """The progress of one model, written to the board; a cancelled board stops the model."""

    def __init__(self, board: ProgressBoard, index: int) -> None:
        self._board, self._index = board, index
        self._first, self._epochs = 1, 1

    def start(
        self, total_epochs: int | None, *, first_epoch: int = 1, criterion: str | None = None,
        unit: str = "epoch",
    ) -> None:  # fmt: skip
        self._first, self._epochs = first_epoch, max((total_epochs or 1) - first_epoch + 1, 1)

    def update(
        self, epoch: int, fraction: float, *, loss: float | None = None, rate: float | None = None
    ) -> None:
        self._board.report(self._index, (epoch - self._first + fraction) / self._epochs)
        self.raise_if_cancelled()

    def close(self) -> None:
        self._board.report(self._index, 1)

    def raise_if_cancelled(self) -> None:
        """Raises KeyboardInterrupt where all models must stop."""
        if self._board.stopped:
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Trained:
    """The part of a model that training changes, as a process sends it."""

    state: dict[str, Array]
    steps: int
    history: History
    split: str
    optimizer: Optimizer | LBFGS | None
    last_run: LastRun | None
    beginning: str | None = None  # of a run with checkpoints that was cut short

    @classmethod
    def of(cls, task: Task) -> Trained:
        """Returns the part of a trained model."""
        model, state = task.model, task.model.values | task.model.slots
        optimizer = model.optimizer if task.optimizer is None else None
        cut = None if model.interrupted is None else model.interrupted.beginning
        return cls(state, model.steps, model.history, model.split, optimizer, model.last_run, cut)

    def apply(self, task: Task) -> None:
        """Write the part to the model of this process."""
        model = task.model
        if self.split:  # then the training had begun
            model.optimizer = self.optimizer or task.optimizer
        model.restore(self.state, self.steps)
        model.history, model.split, model.last_run = self.history, self.split, self.last_run
        cut = self.beginning
        model.interrupted = None if cut is None else Interrupted(cut, model.mark)


# ---------------------------------------------------------------- words


def _row(model: Model) -> dict[str, float]:
    """The row of the history that describes the final model, without times and rates."""
    history = model.history
    if not len(history):
        return {}
    row = history.row(history.best or -1)
    return {name: x for name, x in row.items() if name not in ("epoch", "step", "rate", "seconds")}


def _summary(
    models: Sequence[Model], failed: Mapping[int, Exception], stopped: bool, seconds: float
) -> str:
    text = f"{len(models):,} model{'s' if len(models) != 1 else ''} in {duration(seconds)}"
    if failed:
        text += f"; {len(failed):,} failed"
    if stopped:
        return f"interrupted: {text}; each is at its best so far"
    histories = [x.history for k, x in enumerate(models) if k not in failed and len(x.history)]
    criteria = {x.criterion for x in histories}
    if len(criteria) == 1 and len(histories) > 1:
        name = criteria.pop()
        values = [x.row(x.best or -1)[name] for x in histories]
        text += f"; {words(name)} {number(min(values))} to {number(max(values))}"
    return text


def _with_index(error: Exception, index: int, failed: Sequence[int]) -> Exception:
    """The error with the index of its model, and those of the others that failed."""
    others = [f"models[{k}]" for k in failed if k != index]
    text = f"models[{index}]" + (f" ({', '.join(others)} failed too)" if others else "")
    if isinstance(error, ChainruleError):
        return error.within(text)
    error.add_note(f"in {text}")
    return error
