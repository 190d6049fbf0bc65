"""The training loop: epochs of minibatches through a Program, scored, reported and stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from chainrule.engine.minibatch import Minibatches, Rows
from chainrule.engine.native import NativeProgram
from chainrule.engine.program import Program
from chainrule.errors import RankLost, SettingError
from chainrule.graph.node import Array
from chainrule.system.signals import often_uninterrupted, uninterrupted
from chainrule.train.callbacks import Callback, State, as_callbacks, watches_steps
from chainrule.train.epochends import EpochEnds
from chainrule.train.feeding import Feed, HeldFeed
from chainrule.train.fitsettings import FitSettings
from chainrule.train.minibatch import Order, order_of
from chainrule.train.progress import Progress
from chainrule.train.runstate import RunState
from chainrule.train.schedules import ReduceOnPlateau, rates

if TYPE_CHECKING:
    from chainrule.train.streaming import StreamFeed

SLICE_SECONDS = 0.03
"""The target duration of one call of the program, between progress updates and Ctrl-C."""

MOST_ROWS = 1 << 18
"""The most rows of several epochs that run in one call."""


@dataclass(kw_only=True)
class Run:
    """A run of `fit`: its program, data, settings and progress.

    Attributes:
        program: runs the steps; it holds parameters and optimizer slots.
        data: the arrays of the complete data set, by input; empty where `feed` has them.
        rows: the training rows; empty likewise.
        feed: gives the minibatches of a stream; None: they are rows of `data`.
        order: of the rows in the epochs; None: shuffled, or as they are, as the settings say.
        settings: of the run; batch size, shuffle, keep_best, callbacks and learning rate are used.
        seed: of the order of the rows.
        state: the progress of the run.
        score: returns the scores after an epoch, with the present parameters, for its row.
        sync: copies the program's state to the model, and returns it; called before the model is
            read.
        view: the view of the run that callbacks receive.
        progress: reports the run.
        lend: called with True when a callback may read the model after a step, and with False
            when the program goes on.
        before_best: called at the end, before the parameters of the best epoch are put back.
        alone: whether an epoch ends with its losses alone: no scores, no scale of the rate, and
            no end of the program. Short ones then run several in a call, unless callbacks look.
        ends: makes what takes the scores and states of epochs that are not alone, so that they
            too may run several in a call, where they are short; None: each has a call of its own.
        keep: called where the run may be written to disk, as it is now: between calls of the
            program, and with True at its end or at Ctrl-C, before the best state is put back.
        agree: the reason to stop that all ranks go by, of this one's, which they exchange after
            each epoch; None for a process alone.
        watched: whether callbacks of any rank are called after each step: then it is exchanged
            after each step too.
    """

    program: Program
    data: Mapping[str, Array]
    rows: Rows
    settings: FitSettings
    seed: int
    state: RunState
    score: Callable[[], Mapping[str, float]]
    sync: Callable[[], dict[str, Array]]
    view: State
    progress: Progress
    lend: Callable[[bool], None] = lambda _: None
    before_best: Callable[[], None] = lambda: None
    alone: bool = False
    ends: Callable[[], EpochEnds | None] = lambda: None
    keep: Callable[[bool], None] = lambda _: None
    agree: Callable[[str | None], str | None] | None = None
    watched: bool = False
    feed: StreamFeed | None = None
    order: Order | None = None
    callbacks: Sequence[Callback] = field(init=False)
    _watching: Sequence[Callback] = field(init=False)  # those called after each step
    _order: Order = field(init=False)
    _feed: Feed = field(init=False)
    _room: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0), init=False)
    _slice: int = field(default=1, init=False)  # steps in the next call of the program
    _goes_on: bool = field(default=False, init=False)  # since its last call nothing was changed
    _synced: dict[str, Array] = field(default_factory=dict, init=False)  # at the end of an epoch

    def __post_init__(self) -> None:
        self.callbacks = as_callbacks(self.settings.callbacks)
        self._watching = [x for x in self.callbacks if watches_steps(x)]
        seed = self.seed if self.settings.shuffle else None
        native = self.settings.backend == "native"
        self._order = self.order or order_of(self.rows, seed, self.state.epochs, native=native)
        self._feed = self.feed or HeldFeed(self.data, self._order)

    def train(self) -> str | None:
        """Run all remaining epochs; returns the reason for an early stop, or None.

        Raises:
            NotFinite: the loss is not finite; the state is the one before the step, or that of
                the best epoch.
            SettingError: the criterion is not a column of the history.
            KeyboardInterrupt: after the best state was put back.
        """
        with often_uninterrupted():
            return self._train()

    def _train(self) -> str | None:
        state = self.state
        begun = time.perf_counter() - state.seconds
        self.progress.start(
            state.last_epoch, first_epoch=state.first_epoch, criterion=state.tracker.criterion
        )
        for callback in self.callbacks:
            callback.on_start(self.view)
        if state.epochs and state.tracker.should_stop:  # patience was used up before
            self.view.stop(state.tracker.reason)
        try:
            while not state.ended and self.view.stop_reason is None:
                count = self._at_once()
                if count > 1:
                    self._epochs(count, begun)
                else:
                    row = self._epoch(begun)
                    state.seconds = row["seconds"] = time.perf_counter() - begun
                    self._end_epoch(row)
                self._agree()
                self.keep(False)
            self.keep(True)
        except (KeyboardInterrupt, SystemExit, RankLost):
            self.keep(True)
            raise
        finally:
            if state.best_values is not None and self.settings.keep_best:
                self.before_best()
                self.program.write(state.best_values, state.best_step)
            self.sync()
        for callback in self.callbacks:
            callback.on_finish(self.view)
        return self.view.stop_reason

    def _epoch(self, begun: float) -> dict[str, float]:
        """Train on the epoch's remaining minibatches; returns its row without the time."""
        state = self.state
        batches = self._feed.epoch(state.epoch, self.settings.batch_size)
        total, summed = 0.0, 0
        while len(state.losses) < len(batches) and self.view.stop_reason is None:
            (self._watched_steps if self._watching or self.watched else self._steps)(batches)
            state.seconds = time.perf_counter() - begun
            total, summed = total + float(state.losses[summed:].sum()), len(state.losses)
            self.progress.update(
                state.epoch, summed / len(batches), loss=total / summed, rate=state.rate
            )
            self.keep(False)
        if self.callbacks or not self.alone:
            self._synced = self.sync()
        return self._row(batches[: len(state.losses)]) | dict(self.score())

    def _at_once(self) -> int:
        """The number of epochs for the next call of the program."""
        state, rows = self.state, len(self.rows)
        if self.feed is not None or self.agree is not None:  # `_slice` differs between ranks
            return 1
        count = min(self._slice // -(-rows // self.settings.batch_size), MOST_ROWS // rows)
        if count < 2 or self.callbacks or len(state.losses):
            return 1
        if not self.alone:
            count = min(count, 1 if self._ends is None else self._ends.most)
        if state.tracker.patience is not None:
            count = min(count, state.tracker.patience - state.tracker.stale)
        return min(count, state.last_epoch - state.epoch + 1)

    @cached_property
    def _ends(self) -> EpochEnds | None:
        return None if self.alone else self.ends()

    def _epochs(self, count: int, begun: float) -> None:
        """Train on several epochs in one call; then append their rows, and report them.

        After an error or Ctrl-C those of all complete epochs are appended.
        """
        done: list[tuple[Mapping[str, float], bool]] = []
        try:
            self._train_epochs(count, begun, done)
        finally:
            for row, best in done:
                self.progress.epoch(row, best=best)
        self._stop_if_stale()
        state = self.state
        for row, _ in done[-1:]:  # there is none where the processor took over from a device
            self.progress.update(state.epoch - 1, 1.0, loss=row["loss"], rate=state.rate)

    def _train_epochs(
        self, count: int, begun: float, done: list[tuple[Mapping[str, float], bool]]
    ) -> None:
        """Train on several epochs in one call.

        The rows of those that are complete go to `done`, each with whether it is the best.
        """
        state, program = self.state, self.program
        batches = Minibatches(self._order(state.epoch, count), self.settings.batch_size, count)
        each, first = len(batches) // count, program.steps
        chosen, losses = self._rates(len(batches), each), np.empty(len(batches))
        before = state.seconds
        with uninterrupted():
            start = time.perf_counter()
            try:
                self._call(batches, chosen, losses)
                self._adapt(len(batches), time.perf_counter() - start)
            finally:
                steps = max(program.steps - first, 0)
                pace = (time.perf_counter() - begun - before) / max(steps, 1)
                scores = (
                    {} if self._ends is None else dict(enumerate(self._ends.scores(steps // each)))
                )
                for k in range(steps // each):
                    end = (k + 1) * each
                    state.losses = losses[end - each : end]
                    state.step, state.rate = first + end, chosen[end - 1]
                    state.seconds = before + pace * end
                    row = self._row(batches.epoch(k)) | scores.get(k, {})
                    row = self.view.history.append(row | {"seconds": state.seconds})
                    done.append((row, self._complete(row)))
                if self._ends is not None and (best := [k for k, (_, x) in enumerate(done) if x]):
                    state.best_values = self._ends.state(best[-1])
                    state.best_step = first + (best[-1] + 1) * each
                state.losses, state.step = losses[steps - steps % each : steps], program.steps
                self.sync()

    def _call(
        self, batches: Minibatches, chosen: list[float], losses: npt.NDArray[np.float64]
    ) -> None:
        """Run the steps of several epochs."""
        if self._ends is None:
            self.program.run(self.data, batches, chosen, losses)
            return
        assert isinstance(self.program, NativeProgram)
        self._ends.begin(batches.epochs)
        pauses = len(batches) // batches.epochs, self._ends.take
        self.program.run(self.data, batches, chosen, losses, pauses)

    def _row(self, trained: Minibatches) -> dict[str, float]:
        """The row of an epoch, without scores and time."""
        state, loss = self.state, trained.mean(self.state.losses)
        return {"epoch": state.epoch, "step": state.step, "rate": state.rate, "loss": loss}

    def _watched_steps(self, batches: Minibatches) -> None:
        """Train on the next minibatches one by one, and call those who watch after each."""
        until = time.perf_counter() + SLICE_SECONDS
        state, view = self.state, self.view
        while True:
            self._slice = 1
            self._steps(batches)
            view.epoch, view.step, view.losses = state.epoch, state.step, state.losses
            self.lend(True)
            for callback in self._watching:
                callback.on_step(view)
            self.lend(False)
            self._agree()
            ended = len(state.losses) == len(batches) or view.stop_reason is not None
            if ended or time.perf_counter() > until:
                return

    def _steps(self, batches: Minibatches) -> None:
        """Train on the next slice of the minibatches."""
        state, done = self.state, len(self.state.losses)
        data, some = self._feed.take(state.epoch, batches[done : done + self._slice])
        chosen, losses = self._rates(len(some), len(batches)), np.empty(len(some))
        first, start = self.program.steps, time.perf_counter()
        try:
            follows = self._goes_on and not self._watching  # who might change data
            self.program.run(data, some, chosen, losses, follows=follows)
            self._goes_on = True
            self._adapt(len(some), time.perf_counter() - start)
        finally:
            new = losses[: max(self.program.steps - first, 0)]  # fewer after an error or Ctrl-C
            if len(new):
                self._append(new, len(batches))
                state.step, state.rate = self.program.steps, chosen[len(new) - 1]

    def _append(self, new: npt.NDArray[np.float64], each: int) -> None:
        """Add to the losses of the epoch, which has `each` minibatches; earlier ones stay there."""
        state, done = self.state, len(self.state.losses)
        if not done:
            state.losses = new
            return
        if state.losses.base is not self._room:
            self._room = np.empty(each)
            self._room[:done] = state.losses
        self._room[done : done + len(new)] = new
        state.losses = self._room[: done + len(new)]

    def _adapt(self, steps: int, elapsed: float) -> None:
        """Choose the length of the next call, after so many seconds for some steps."""
        pace = steps / max(elapsed, 1e-9)
        self._slice = max(1, min(int(SLICE_SECONDS * pace), 4 * self._slice))

    def _rates(self, count: int, per_epoch: int) -> list[float]:
        """The learning rates of the next steps."""
        state = self.state
        schedule = getattr(self.settings.optimizer, "rate", 1.0)
        scale = 1.0 if state.plateau is None else state.plateau.scale
        total = state.begun + per_epoch * state.epochs
        if self.settings.total_epochs is not None:
            total = per_epoch * self.settings.total_epochs
        return rates(schedule, self.program.steps - state.first_step, count, total, scale)

    def _end_epoch(self, row: Mapping[str, float]) -> None:
        """Complete an epoch, report it, and decide whether to stop."""
        with uninterrupted():  # all of it, or nothing
            row = self.view.history.append(row)
            best = self._complete(row)
            if best:
                self.state.best_values = self._synced
                self.state.best_step = self.state.step
            self._synced = {}
        self.progress.epoch(row, best=best)
        self._goes_on = not self.callbacks
        for callback in self.callbacks:
            callback.on_epoch(self.view)
        if self.program.ended is not None:
            self.view.stop(self.program.ended)
        self._stop_if_stale()

    def _complete(self, row: Mapping[str, float]) -> bool:
        """Go on to the next epoch; returns whether this one is the best, of which the state is to
        be kept."""
        state = self.state
        epoch, criterion = state.epoch, _criterion(row, state.tracker.criterion)
        best = state.tracker.update(criterion, epoch)
        schedule = getattr(self.settings.optimizer, "rate", None)
        if state.plateau is not None and isinstance(schedule, ReduceOnPlateau):
            state.plateau.update(criterion, schedule)
        self.view.losses = state.losses
        state.epoch, state.losses = epoch + 1, np.empty(0)
        self.view.epoch, self.view.step, self.view.row = epoch, state.step, row
        return best and self.settings.keep_best

    def _agree(self) -> None:
        """Stop where another rank has been stopped, by a callback of its own."""
        reason = None if self.agree is None else self.agree(self.view.stop_reason)
        if reason is not None and self.view.stop_reason is None:
            self.view.stop(reason)

    def _stop_if_stale(self) -> None:
        if self.state.tracker.should_stop:
            self.view.stop(self.state.tracker.reason)


def _criterion(row: Mapping[str, float], name: str) -> float:
    """The criterion in an epoch's row. Raises SettingError."""
    if name not in row:
        raise SettingError(
            "EarlyStopping",
            f"the history has no column {name!r}",
            expected=", ".join(row),
            fix="name it among the metrics too: fit(..., metrics=[...])",
        )
    return row[name]
