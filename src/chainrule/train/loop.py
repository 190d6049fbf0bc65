"""The loop: epochs of minibatches through a Program, judged, shown and stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from chainrule.engine.minibatch import Minibatches, Rows
from chainrule.engine.program import Program
from chainrule.errors import SettingError
from chainrule.graph.node import Array
from chainrule.train.callbacks import BestTracker, Callback, State
from chainrule.train.minibatch import shuffle
from chainrule.train.progress import Progress

SLICE = 0.03
"""Seconds that one call of the program should take: then progress moves and Ctrl-C works."""


@dataclass
class Run:
    """One run of `fit`: what it works on, and how.

    Attributes:
        program: does the steps; it holds parameters and optimizer slots.
        data: the arrays of the whole data set, by input.
        rows: those that train.
        batch_size, epochs, seed: of this run; `epochs` are added to those before.
        rates: the learning rates of some steps, from the first step of the run and their number.
        score: the scores after an epoch, with the present parameters: a part of its row.
        sync: called before anyone looks at the model: it takes the program's parameters.
        tracker: judges the epochs; its criterion is a column of the history.
        keep_best: whether to end with the state of the best epoch.
        on_score: told the criterion after each epoch; a rate that reacts to it listens here.
        shuffle: whether each epoch takes the rows in an order of its own.
    """

    program: Program
    data: Mapping[str, Array]
    rows: Rows
    batch_size: int
    epochs: int
    seed: int
    rates: Callable[[int, int], Sequence[float]]
    score: Callable[[], Mapping[str, float]]
    sync: Callable[[], None]
    tracker: BestTracker
    keep_best: bool
    state: State
    progress: Progress
    callbacks: Sequence[Callback]
    on_score: Callable[[float], None] = lambda value: None
    shuffle: bool = True
    _best: tuple[dict[str, Array], int] | None = field(default=None, init=False)
    _count: int = field(default=1, init=False)  # steps of the next call

    def train(self) -> str | None:
        """Run all epochs; returns why it stopped early, or None.

        Raises:
            NotFinite: the loss is not finite; the state is that before the step, or that of the
                best epoch.
            SettingError: the criterion is not a column of the history.
            KeyboardInterrupt: after the best state was put back.
        """
        history, begun = self.state.history, time.perf_counter()
        first = history.begin_run()
        last = first + self.epochs - 1
        self.progress.start(last, first_epoch=first, criterion=self.tracker.criterion)
        for callback in self.callbacks:
            callback.on_start(self.state)
        try:
            for epoch in range(first, last + 1):
                row = self._epoch(epoch)
                row["seconds"] = time.perf_counter() - begun
                self._judge(epoch, history.append(row))
                if self.state.stop_reason is not None:
                    break
        finally:
            if self._best is not None and self.keep_best:
                self.program.write(self._best[0], self._best[1])
            self.sync()
        for callback in self.callbacks:
            callback.on_finish(self.state)
        return self.state.stop_reason

    def _epoch(self, epoch: int) -> dict[str, float]:
        """Train on all rows once; the row of the epoch, without its time."""
        rows = shuffle(self.rows, self.seed, epoch) if self.shuffle else self.rows
        batches = Minibatches(rows, self.batch_size)
        losses = np.empty(len(batches))
        done, rate = 0, 0.0
        while done < len(batches):
            some = batches[done : done + self._count]
            rates = self.rates(self.program.steps, len(some))
            start = time.perf_counter()
            part = self.program.run(self.data, some, rates)
            elapsed = max(time.perf_counter() - start, 1e-9)
            losses[done : done + len(some)] = part
            done += len(some)
            self._count = max(1, min(int(SLICE / elapsed * len(some)), 4 * self._count))
            rate = rates[-1]
            self.progress.update(
                epoch, done / len(batches), loss=float(losses[:done].sum()) / done, rate=rate
            )
        self.sync()
        row = {"epoch": epoch, "step": self.program.steps, "rate": rate}
        return row | {"loss": batches.mean(losses), **self.score()}

    def _judge(self, epoch: int, row: Mapping[str, float]) -> None:
        """Keep the best, tell everybody, and see whether to stop."""
        criterion = row.get(self.tracker.criterion)
        if criterion is None:
            raise SettingError(
                "EarlyStopping",
                f"the history has no column {self.tracker.criterion!r}",
                expected=", ".join(row),
                fix="name it among the metrics too: fit(..., metrics=[...])",
            )
        best = self.tracker.update(criterion, epoch)
        if best and self.keep_best:
            self._best = (self.program.read(), self.program.steps)
        self.on_score(criterion)
        self.state.epoch, self.state.step, self.state.row = epoch, self.program.steps, row
        self.progress.epoch(row, best=best and self.keep_best)
        for callback in self.callbacks:
            callback.on_epoch(self.state)
        if self.program.ended is not None:
            self.state.stop(self.program.ended)
        if self.tracker.should_stop:
            self.state.stop(self.tracker.reason)
