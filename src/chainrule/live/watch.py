"""A training run that pages look on: nothing in it is changed by them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from chainrule.errors import SettingError
from chainrule.live.hub import Event, Hub, table_form
from chainrule.live.lane import FRAME_SECONDS
from chainrule.live.recorder import Recorder
from chainrule.live.server import Server
from chainrule.recipe.training import Training
from chainrule.train.callbacks import Callback, State

SHARE = 0.2
"""The share of the time that records may take."""


class Watch(Hub, Callback):
    """Records a training run as it goes on.

    Args:
        training: before its `fit`; pass this as one of the callbacks.
    """

    def __init__(self, training: Training) -> None:
        super().__init__()
        self._training, self._lock = training, threading.RLock()
        self._recorder: Recorder | None = None
        self._sent = self._row = 0
        self._next = 0.0
        self._epochs = 0
        self._status, self._message = "running", ""

    def everything(self) -> list[Event]:
        """The events by which a page that comes anew knows all."""
        hello = {
            "kind": "hello", "play": False,
            "table": table_form(self._training.schema, self._training.table),
            "choices": {}, "notes": [], "lanes": [self._state],
        }  # fmt: skip
        with self._lock:
            if self._recorder is None:
                return [hello]
            return [hello, self._document, self._frame(0, 0)]

    def command(self, given: object) -> None:
        """Raises SettingError: a run of `train` is only looked at."""
        raise SettingError(
            "command", "this run is not changed from its page", fix="chainrule play DATA"
        )

    def export(self, lane: int, form: str) -> str:
        """Raises SettingError: `train` writes the configuration itself."""
        raise SettingError("export", "the run writes its configuration into its folder")

    def on_start(self, state: State) -> None:
        """Record the model before training."""
        self._recorder = Recorder(self._training)
        if self.watched:  # by pages that came before there was a network
            self.send(self._document)
        self._record(0)

    def on_epoch(self, state: State) -> None:
        """Record an epoch, so often that it takes a fifth of the time at most."""
        self._epochs = state.epoch
        if time.monotonic() >= self._next:
            self._record(state.epoch)

    def on_finish(self, state: State) -> None:
        """Record the model as it remains."""
        if self._recorder is not None and self._recorder.epochs[-1] != state.epoch:
            self._record(state.epoch)

    def end(self, message: str) -> None:
        """Tell the pages that the run has ended."""
        self._status, self._message = "paused", message
        self.send({"kind": "end", "message": message})

    def _record(self, epoch: int) -> None:
        assert self._recorder is not None
        begun = time.monotonic()
        with self._lock:
            known = len(self._recorder.epochs)
            self._recorder.record(epoch)
            if len(self._recorder.epochs) <= known:
                self._sent = 0
            frame = self._frame(self._sent, self._row)
            self._sent = len(self._recorder.epochs)
            self._row = len(self._training.model.history)
        self.send(frame)
        taken = time.monotonic() - begun
        self._next = begun + max(FRAME_SECONDS, taken / SHARE)

    def _frame(self, record: int, row: int) -> Event:
        assert self._recorder is not None
        learning = self._recorder.section(record, row)
        return {
            "kind": "frame", "lane": 0, "state": self._state, "record": record, "row": row,
            "learning": learning,
        }  # fmt: skip

    @property
    def _document(self) -> Event:
        assert self._recorder is not None
        page = self._training.model.show(self._training.table, rows=self._recorder.shown)
        return {"kind": "document", "lane": 0, "document": page.document}

    @property
    def _state(self) -> dict[str, Any]:
        return {
            "design": None, "status": self._status, "message": self._message,
            "epoch": self._epochs, "step": self._training.model.steps, "batch": 0, "batches": 1,
            "loss": None,
        }  # fmt: skip


class Live:
    """The page of a run, served from its beginning on.

    Args:
        training: before its `fit`.

    Attributes:
        watch: a callback for the run.
        url: the address of the page.
    """

    def __init__(self, training: Training) -> None:
        self.watch = Watch(training)
        self._server = Server(self.watch)
        self.url = self._server.url
        self._thread = self._server.start()

    def finish(self, message: str, told: Callable[[], None]) -> None:
        """Tell the pages that the run has ended, and serve until all are closed, or Ctrl-C.

        Args:
            message: for the pages.
            told: called before waiting for a page.
        """
        self.watch.end(message)
        try:
            if self.watch.watched:
                told()
            while self.watch.watched:
                time.sleep(0.1)
        except KeyboardInterrupt:
            pass
        self._server.stop()
        self._thread.join(5)
