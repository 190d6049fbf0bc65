"""Many models trained at once: one on each processor, with data that they share."""

from __future__ import annotations

import inspect
import mmap
import os
import pickle
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from chainrule.backend.cpu.run.jit import load_compiler
from chainrule.backend.cpu.run.threads import usual_threads
from chainrule.display.format import duration, number, words
from chainrule.errors import ChainruleError, SettingError, did_you_mean
from chainrule.graph.node import Array
from chainrule.model import fit as fitting
from chainrule.model.fit import Prepared
from chainrule.model.model import Data, Model
from chainrule.system.checks import integer
from chainrule.system.signals import uninterrupted
from chainrule.train.history import History
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import Optimizer
from chainrule.train.progress import Progress, choose

SETTINGS = tuple(inspect.signature(Model.fit).parameters.keys() - {"self", "verbose"})


@dataclass(frozen=True)
class Task:
    """A model to train.

    Attributes:
        train: trains the model; called with `verbose`, a progress for it to tell.
        optimizer: of the model after that; None: a process sends it.
        here: whether it is for this process: what callbacks do is done here.
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

    On Linux they train in forked processes, which see the data and copy none of it. Elsewhere,
    and with callbacks, they train in threads, which are little quicker for small networks.

    Args:
        models: such as one for each seed; they may differ in structure.
        data: for all of them, as for `Model.fit`.
        each: for each model a dict of settings, which go before those for all; "data" among
            them gives a model data of its own.
        jobs: how many train at a time; None: one on each processor.
        verbose: one line tells of all; as for `Model.fit`.
        settings: of `Model.fit`, for all.

    Returns:
        The models' histories, in order.

    Raises:
        SettingError: a setting does not exist, or `each` does not fit the models.
        ChainruleError: what `fit` raises for the first model that fails, with its place in
            `models`. The others are trained all the same.
        KeyboardInterrupt: after all have stopped; each is then as after Ctrl-C in `fit`.
    """
    models = list(models)
    _check(models, each, settings)
    own = each or [{}] * len(models)
    _, threads = _shares(jobs, len(models))
    asked = [{"data": data, "threads": threads, **settings, **x} for x in own]
    failed = train_many(_tasks(models, asked), jobs, verbose)
    for place, error in failed.items():
        raise _placed(error, place, list(failed))
    return [model.history for model in models]


def train_many(
    tasks: Sequence[Task], jobs: int | None = None, verbose: bool | str | Progress | None = True
) -> dict[int, Exception]:
    """Train; returns what the models raised that failed, by their places.

    Args:
        tasks: of different models.
        jobs: how many train at a time; None: one on each processor.
        verbose: as for `Model.fit`.
    """
    from chainrule.system import workers  # noqa: PLC0415  (few programs ask)

    if not tasks:
        return {}
    count, threads = _shares(jobs, len(tasks))
    forks = count > 1 and workers.can_fork() and not any(x.here for x in tasks)
    if forks:
        load_compiler()
    board = Board(len(tasks))
    begun, failed, done = time.perf_counter(), dict[int, Exception](), 0

    def work(place: int) -> tuple[Exception | None, Trained | None]:
        if not forks:
            return _train(tasks[place], Told(board, place)), None
        os.environ["OMP_NUM_THREADS"] = str(threads)  # of this process alone
        return _train(tasks[place], Told(board, place)), Trained.of(tasks[place])

    with choose(verbose) as progress, uninterrupted(board.stop):
        progress.start(len(tasks), unit="model")
        run = workers.in_processes if forks else workers.in_threads
        for place, result in run(work, len(tasks), count, lambda: board.show(progress)):
            error, trained = (result, None) if isinstance(result, Exception) else result
            if trained is not None:
                trained.give(tasks[place])
            if error is not None:
                failed[place] = error
            done += 1
            row = {} if error is not None or board.stopped else _row(tasks[place].model)
            progress.epoch({**row, "epoch": done, "seconds": time.perf_counter() - begun})
        seconds = time.perf_counter() - begun
        progress.finish(_summary([x.model for x in tasks], failed, board.stopped, seconds))
    return dict(sorted(failed.items()))


def _shares(jobs: int | None, models: int) -> tuple[int, int]:
    """How many models train at a time, and how many threads each may use."""
    if jobs is not None:
        integer("fit_many", "jobs", jobs, 1)
    have = usual_threads()
    count = max(min(jobs or have, models), 1)
    return count, max(have // count, 1)


def _train(task: Task, told: Told) -> Exception | None:
    """Train one; what it raises is made ready to be sent."""
    try:
        told.heed()
        task.train(verbose=told)
    except KeyboardInterrupt:
        return None
    except Exception as error:
        if not isinstance(error, ChainruleError):
            error.add_note("".join(traceback.format_exception(error)).rstrip())
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # an exception may be anything
            return RuntimeError(f"{type(error).__name__}: {error}")
        return error
    return None


# ---------------------------------------------------------------- checks and data


def _check(
    models: Sequence[Model],
    each: Sequence[Mapping[str, Any]] | None,
    settings: Mapping[str, Any],
) -> None:
    twice = [k for k, x in enumerate(models) if any(x is y for y in models[:k])]
    if twice:
        raise SettingError("fit_many", "a model is there twice", at=f"models[{twice[0]}]")
    if each is not None and len(each) != len(models):
        raise SettingError(
            "fit_many", "each= has another length than the models",
            expected=len(models), got=len(each),
        )  # fmt: skip
    for name in (*settings, *(name for own in each or () for name in own)):
        if name not in SETTINGS:
            raise SettingError(
                "fit_many", f"Model.fit has no setting {name!r}", fix=did_you_mean(name, SETTINGS)
            )


def _tasks(models: Sequence[Model], asked: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Tasks with checked data, which is converted once for all models that want it alike."""
    common, tasks = _Common(), []
    for place, (model, settings) in enumerate(zip(models, asked, strict=True)):
        try:
            chosen = fitting.optimizer_for(model, settings.get("optimizer"))
            data = common.converted(model, settings)
        except ChainruleError as error:
            raise error.within(f"models[{place}]") from None
        fit = partial(model.fit, **{**settings, **data, "optimizer": chosen})
        tasks.append(Task(model, fit, chosen, here=bool(settings.get("callbacks"))))
    return tasks


class _Common:
    """Data as models want it; what several of them want alike is there once."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[int, str], Array] = {}
        self._encoded: dict[tuple[object, ...], tuple[Any, ...]] = {}

    def converted(self, model: Model, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the settings that bring data, so that `fit` has nothing left to convert."""
        data, validation = settings["data"], settings.get("validation")
        if isinstance(data, Prepared):
            return {}
        ways = settings.get("groups"), settings.get("time")
        found = self._data(model, data, *ways)
        converted = dict(zip(("data", "groups", "time"), found, strict=True))
        if validation is not None and not isinstance(validation, (bool, int, float)):
            converted["validation"], *_ = self._data(model, validation)
        return converted

    def _data(self, model: Model, data: Any, *columns: Any) -> tuple[Any, ...]:
        """Data, and columns that may be named, for a model."""
        if model.schema is not None:
            names = (x if isinstance(x, str) else id(x) for x in columns)
            key = id(model.schema), id(data), *names
            if key not in self._encoded:
                self._encoded[key] = fitting.encode(model.schema, data, *columns)
            return self._encoded[key]
        if not isinstance(data, Mapping):
            return data, *columns  # `fit` tells what is wrong
        types = {model.graph.name(x): x.dtype for x in model.graph.inputs}
        keys = {name: (id(x), types.get(name, "")) for name, x in data.items()}
        known = {name: self._arrays.get(keys[name], x) for name, x in data.items()}
        arrays, _ = model.arrays(known)
        self._arrays |= {keys[name]: x for name, x in arrays.items()}
        return arrays, *columns


# ---------------------------------------------------------------- what goes between


class Board:
    """What models tell while they train, in memory that processes share: how far each is.

    Args:
        count: of the models.
    """

    def __init__(self, count: int) -> None:
        self._shares = np.frombuffer(mmap.mmap(-1, 8 * (count + 1)))

    def tell(self, place: int, share: float) -> None:
        """A model has done this share of its training."""
        self._shares[place] = share

    def stop(self) -> None:
        """Let all models stop soon."""
        self._shares[-1] = 1

    @property
    def stopped(self) -> bool:
        """Whether they are to stop."""
        return bool(self._shares[-1])

    def show(self, progress: Progress) -> None:
        """The models done, in all."""
        done = float(self._shares[:-1].sum())
        progress.update(min(int(done) + 1, len(self._shares) - 1), done % 1)


class Told(Progress):
    """The progress of one model: written to the board; it stops where the board says so."""

    def __init__(self, board: Board, place: int) -> None:
        self._board, self._place = board, place
        self._first, self._epochs = 1, 1

    def start(
        self, total_epochs: int | None, *, first_epoch: int = 1, criterion: str | None = None,
        unit: str = "epoch",
    ) -> None:  # fmt: skip
        self._first, self._epochs = first_epoch, max((total_epochs or 1) - first_epoch + 1, 1)

    def update(
        self, epoch: int, fraction: float, *, loss: float | None = None, rate: float | None = None
    ) -> None:
        self._board.tell(self._place, (epoch - self._first + fraction) / self._epochs)
        self.heed()

    def close(self) -> None:
        self._board.tell(self._place, 1)

    def heed(self) -> None:
        """Raises KeyboardInterrupt where all are to stop."""
        if self._board.stopped:
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Trained:
    """What training changes of a model, as a process sends it."""

    state: dict[str, Array]
    steps: int
    history: History
    split: str
    optimizer: Optimizer | LBFGS | None

    @classmethod
    def of(cls, task: Task) -> Trained:
        """Take it from the model that was trained."""
        model, state = task.model, task.model.values | task.model.slots
        sent = model.optimizer if task.optimizer is None else None
        return cls(state, model.steps, model.history, model.split, sent)

    def give(self, task: Task) -> None:
        """Give it to the model that was not."""
        model = task.model
        if self.split:  # then the training had begun
            model.optimizer = self.optimizer or task.optimizer
        model.restore(self.state, self.steps)
        model.history, model.split = self.history, self.split


# ---------------------------------------------------------------- words


def _row(model: Model) -> dict[str, float]:
    """The row of the history that the model ends with."""
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
        return f"interrupted: {text}; each is the best that it was until now"
    histories = [x.history for k, x in enumerate(models) if k not in failed and len(x.history)]
    criteria = {x.criterion for x in histories}
    if len(criteria) == 1 and len(histories) > 1:
        name = criteria.pop()
        values = [x.row(x.best or -1)[name] for x in histories]
        text += f"; {words(name)} {number(min(values))} to {number(max(values))}"
    return text


def _placed(error: Exception, place: int, failed: Sequence[int]) -> Exception:
    """The error with the place of its model, and those of the others that failed."""
    others = [f"models[{k}]" for k in failed if k != place]
    text = f"models[{place}]" + (f" ({', '.join(others)} failed too)" if others else "")
    if isinstance(error, ChainruleError):
        return error.within(text)
    error.add_note(f"in {text}")
    return error
