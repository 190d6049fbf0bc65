"""A training run that pages look on: nothing in it is changed by them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from chainrule.errors import SettingError
from chainrule.live.feed import Feed
from chainrule.live.hub import Event, Hub, table_form
from chainrule.live.lane import FRAME_SECONDS
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
        self._training = training
        self._feed: Feed | None = None
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
        if self._feed is None:
            return [hello]
        return [hello, self._feed.document() | {"lane": 0}, self._everything_learned()]

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
        self._feed = Feed(self._training)
        if self.watched:  # by pages that came before there was a network
            self._emit(self._feed.document())
        self._record(0)

    def on_epoch(self, state: State) -> None:
        """Record an epoch, so often that it takes a fifth of the time at most."""
        self._epochs = state.epoch
        if time.monotonic() >= self._next:
            self._record(state.epoch)

    def on_finish(self, state: State) -> None:
        """Record the model as it remains, and say what follows that is not shown."""
        if again := self._training.refit_in_words:
            self._message = f"Now the model is trained {again}; this page does not follow that run."
        if self._feed is not None and self._feed.recorder.epochs[-1] != state.epoch:
            self._record(state.epoch)
        elif again:
            self._emit({"kind": "state", "state": self._state})

    def end(self, message: str) -> None:
        """Tell the pages that the run has ended, and whether another followed it."""
        if self._training.refitted:
            again = self._training.refit_in_words
            message += f" The model was then trained {again}; that run is not shown."
        self._status, self._message = "paused", message
        self.send({"kind": "end", "message": message})

    def _record(self, epoch: int) -> None:
        assert self._feed is not None
        begun = time.monotonic()
        self._emit(self._feed.record(epoch, self._state))
        taken = time.monotonic() - begun
        self._next = begun + max(FRAME_SECONDS, taken / SHARE)

    def _everything_learned(self) -> Event:
        """The event with all records."""
        assert self._feed is not None
        return self._feed.frame(self._state) | {"lane": 0}

    def _emit(self, event: Event) -> None:
        self.send(event | {"lane": 0})

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
