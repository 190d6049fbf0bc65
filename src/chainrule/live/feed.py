"""The records of a run as events for its pages: all of them, or what is new."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from chainrule.live.hub import Event
from chainrule.model.learning.learner import Learner
from chainrule.recipe.training import Training


class Feed:
    """Records a training run, and makes the events that tell of it.

    It may be asked from other threads than that of the run.

    Args:
        training: with its table, its model and its rows.

    Attributes:
        recorder: holds the records.
    """

    def __init__(self, training: Training) -> None:
        self.recorder = Learner(training.model, training.data)
        self._training, self._lock = training, threading.RLock()
        self._sent = self._row = 0

    def record(self, epoch: float, state: Mapping[str, Any]) -> Event:
        """Records an epoch, or a part of one; returns the event with what is new.

        Args:
            epoch: 0 is before training.
            state: of the run, for the event.
        """
        with self._lock:
            self.recorder.record(epoch)
            thinned = self.recorder.thin()
            if thinned:  # some were dropped: all are sent again
                self._sent = 0
            frame = self.frame(state, self._sent, self._row)
            self._sent, self._row = len(self.recorder.epochs), len(self._training.model.history)
        return frame

    def frame(self, state: Mapping[str, Any], record: int = 0, row: int = 0) -> Event:
        """Returns the event with the records, from one and from a row of the history on."""
        with self._lock:
            learning = self.recorder.section(record, row)
        return {
            "kind": "frame", "state": state, "record": record, "row": row, "learning": learning,
        }  # fmt: skip

    def document(self) -> Event:
        """Returns the event with the network on the rows of the sample."""
        with self._lock:
            page = self._training.model.show(self._training.table, rows=self.recorder.shown)
        return {"kind": "document", "document": page.document}
