"""One design in training: a run in a thread of its own, which can be paused at every step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import isfinite
from typing import Any

from chainrule.data.table import Table
from chainrule.errors import ChainruleError
from chainrule.live.design import MAX_EPOCHS, Design
from chainrule.live.feed import Feed
from chainrule.live.hub import Event
from chainrule.recipe.fit import build_optimizer, fit
from chainrule.recipe.training import Training
from chainrule.train.callbacks import Callback, State

Send = Callable[[dict[str, Any]], None]
Pace = Callable[["Lane"], None]

FRAME_SECONDS = 0.05
"""The least time between two records of a run that is not paused."""


class Stopped(Exception):
    """Ends a run from within."""


class Gate:
    """Lets a run go on, wait, do a number of steps, or end.

    Attributes:
        waiting: whether the run waits.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._allowed: float = 0
        self._until: int | None = None
        self._ended = False
        self.waiting = False

    def open(self) -> None:
        """Let the run go on."""
        self._set(float("inf"), None)

    def shut(self) -> None:
        """Let the run wait before its next step."""
        self._set(0, None)

    def steps(self, count: int) -> None:
        """Let the run do so many steps."""
        self._set(count, None)

    def until(self, epoch: int) -> None:
        """Let the run go on to the end of an epoch."""
        self._set(float("inf"), epoch)

    def end(self) -> None:
        """End the run."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _set(self, allowed: float, until: int | None) -> None:
        with self._changed:
            self._allowed, self._until = allowed, until
            self._changed.notify_all()

    @property
    def shut_now(self) -> bool:
        """Whether the next step has to wait."""
        return self._allowed < 1

    def pass_step(self, told: Callable[[], None]) -> None:
        """Wait until a step is allowed, and use it up. Raises Stopped."""
        with self._changed:
            if not self._ended and self._allowed < 1:
                self.waiting = True
                told()
                while not self._ended and self._allowed < 1:
                    self._changed.wait()
                self.waiting = False
            if self._ended:
                raise Stopped
            self._allowed -= 1

    def pass_epoch(self, epoch: int) -> None:
        """Shut where this epoch was the last one allowed."""
        with self._changed:
            if self._until is not None and epoch >= self._until:
                self._allowed, self._until = 0, None


class Lane(Callback):
    """A design with its run.

    Args:
        table, target: that is learned.
        design: the network and its training.
        send: takes each event for the page; it is called from the thread of the run.
        pace: called after each epoch; it returns when the next may begin.

    Attributes:
        training: with the model; None where the design cannot be built, and so is `feed`.
        feed: the records.
        status: "paused", "running" or "failed".
        closing: whether the run is to end.
    """

    def __init__(
        self, table: Table, target: str, design: Design, task: str, send: Send,
        pace: Pace = lambda lane: None,
    ) -> None:  # fmt: skip
        self.design, self._send, self._pace = design, send, pace
        self.closing = False
        self._loss: float | None = None
        self.training: Training | None = None
        self.feed: Feed | None = None
        self.status, self.message = "paused", ""
        self.epoch = self.step = 0
        self.batches = 1
        self._gate = Gate()
        self._recorded = time.monotonic()
        self._thread: threading.Thread | None = None
        try:
            training = Training.of(table, design.config(target, MAX_EPOCHS, task))
            training.model.optimizer = build_optimizer(training.config, training.model.graph)
            rows, size = len(training.data.rows), training.config.batch_size or 1
            self.batches = -(-rows // size)
            feed = Feed(training)
            feed.recorder.record(0)
            self.training, self.feed = training, feed
        except ChainruleError as error:
            self._fail(error)

    # ------------------------------------------------------------ commands

    def start(self) -> None:
        """Let the run go on."""
        self._running(self._gate.open)

    def pause(self) -> None:
        """Let the run wait before its next step."""
        self._gate.shut()

    def one_step(self) -> None:
        """Train on one minibatch."""
        self._running(lambda: self._gate.steps(1))

    def one_epoch(self) -> None:
        """Train to the end of the epoch."""
        self._running(lambda: self._gate.until(self.epoch + 1))

    def train_to(self, epoch: int) -> None:
        """Train up to the end of an epoch to come."""
        self._running(lambda: self._gate.until(epoch))

    def close(self) -> None:
        """End the run, and wait for its thread."""
        self.closing = True
        self._gate.end()
        if self._thread is not None:
            self._thread.join()

    def _running(self, release: Callable[[], None]) -> None:
        if self.training is None or self.status == "failed":
            return
        self.status = "running"  # at once: another design waits for those that run
        release()
        if self._thread is None:
            self._thread = threading.Thread(target=self._train, daemon=True)
            self._thread.start()

    # ------------------------------------------------------------ the run

    def _train(self) -> None:
        assert self.training is not None
        training = self.training
        try:
            fit(training.model, training.data, training.config, False, [self])
        except Stopped:
            return
        except (ChainruleError, ArithmeticError, MemoryError) as error:
            self._fail(error)
            self._send({"kind": "state", "state": self.state})

    def on_start(self, state: State) -> None:
        """Wait for the first step."""
        self._gate.pass_step(self._paused)
        self.status = "running"

    def on_step(self, state: State) -> None:
        """Wait for the next step of the epoch; where it has to, what the step did is recorded."""
        self.step, self._loss = state.step, state.loss
        if self.step % self.batches:
            if self._gate.shut_now:
                self._record(self.epoch + self.step % self.batches / self.batches)
            self._gate.pass_step(self._paused)
            self.status = "running"

    def on_epoch(self, state: State) -> None:
        """Record the epoch, and wait for the next."""
        self.epoch, self.step = state.epoch, state.step
        self._pace(self)
        self._gate.pass_epoch(state.epoch)
        if self._gate.shut_now or time.monotonic() - self._recorded >= FRAME_SECONDS:
            self._record(state.epoch)
        self._gate.pass_step(self._paused)
        self.status = "running"

    def _record(self, epoch: float) -> None:
        """Record an epoch, or a part of one, and send what is new."""
        assert self.feed is not None
        frame = self.feed.record(epoch, self.state)
        self._recorded = time.monotonic()
        self._send(frame)

    def _paused(self) -> None:
        self.status = "paused"
        self._send({"kind": "state", "state": self.state})

    def _fail(self, error: BaseException) -> None:
        self.status, self.message = "failed", str(error)

    # ------------------------------------------------------------ what the page is told

    @property
    def state(self) -> dict[str, Any]:
        """The state as `Lane` of web/src/sections.ts, without what was recorded."""
        return {
            "design": self.design.to_dict(), "status": self.status, "message": self.message,
            "epoch": self.epoch, "step": self.step, "batch": self.step % self.batches,
            "batches": self.batches,
            "loss": self._loss if self._loss is not None and isfinite(self._loss) else None,
        }  # fmt: skip

    def events(self) -> list[Event]:
        """The events by which a page that comes anew knows the network and all records."""
        if self.feed is None:
            return []
        return [self.feed.document(), self.feed.frame(self.state)]
