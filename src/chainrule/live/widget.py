"""A run as a widget of a notebook: its page is fed by traits, and the same as that of a server."""

from __future__ import annotations

import json
import time
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from chainrule.inspector.page import packed, static
from chainrule.live.hub import Event
from chainrule.live.watch import Watch
from chainrule.recipe.training import Training
from chainrule.train.callbacks import State

BYTES_PER_SECOND = 2_000_000
"""The most that a run sends to its page."""


class RunWidget(anywidget.AnyWidget):
    """The page of a run.

    Attributes:
        begun: the events that begin a page: its table, and the network to look inside.
        learned: those that tell all that was learned so far.
        packed: the layout engine.
    """

    _esm = f"{static('inspector.js')}\nexport default {{ render: chainrule.render }};\n"
    _css = static("inspector.css")
    begun: Any = traitlets.List().tag(sync=True)
    learned: Any = traitlets.List().tag(sync=True)
    packed = traitlets.Unicode(packed("elk-worker.min.js")).tag(sync=True)


class NotebookWatch(Watch):
    """Shows a run in a widget.

    Args:
        training: before its `fit`; pass this as one of the callbacks.

    Attributes:
        widget: what a notebook displays.
    """

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self.widget = RunWidget()
        self._again = 0.0
        self._ended = "The run has ended: an error stopped it."

    def on_start(self, state: State) -> None:
        """Record the model before training, and display the page."""
        super().on_start(state)
        self._tell_all()
        display(self.widget)

    def send(self, event: Event) -> None:
        """Hand an event on: with all before it, so that a page that comes late lacks nothing."""
        super().send(event)
        if event["kind"] == "frame" and self.widget.begun and time.monotonic() >= self._again:
            self._tell()

    def on_finish(self, state: State) -> None:
        """Show the model as it remains."""
        super().on_finish(state)
        self._ended = f"The run has ended after {state.epoch} epochs."
        self._tell_all()

    def close(self) -> None:
        """Say on the page how the run has ended."""
        if self.widget.begun:
            self.end(self._ended)
            self._tell([{"kind": "end", "message": self._message}])

    def _tell_all(self, more: list[Event] | None = None) -> None:
        *begun, _ = self.everything()
        self.widget.begun = begun
        self._tell(more or [])

    def _tell(self, more: list[Event] | tuple[()] = ()) -> None:
        learned = [self._everything_learned(), *more]
        self.widget.learned = learned
        self._again = time.monotonic() + len(json.dumps(learned)) / BYTES_PER_SECOND


def displayed(training: Training) -> NotebookWatch:
    """Returns the callback that displays a run in the cell of the notebook."""
    return NotebookWatch(training)
