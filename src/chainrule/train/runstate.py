"""The progress of a run of `fit` as plain data: enough to go on from any minibatch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from chainrule.graph.node import Array
from chainrule.train.callbacks import BestTracker, PlateauTracker


@dataclass(slots=True)
class RunState:
    """The progress of a run. With the program's state and the history, it decides all later steps.

    Attributes:
        first_epoch, last_epoch: of the run.
        epoch: the one in progress; after the run, the one that would follow.
        first_step: the updates made before the run; schedules count from there.
        step: the updates made so far.
        losses: of the minibatches of this epoch that are done, in order: (minibatches,).
        rate: of the last update.
        seconds: that the run has taken.
        tracker: judges the epochs; its criterion is a column of the history.
        plateau: the scale of the learning rate, where it reacts to the criterion.
        best_values: the program's state after the best epoch, by name; None before there is one.
        best_step: the updates made until then.
    """

    first_epoch: int
    last_epoch: int
    epoch: int
    first_step: int
    step: int
    tracker: BestTracker
    plateau: PlateauTracker | None = None
    losses: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    rate: float = 0.0
    seconds: float = 0.0
    best_values: dict[str, Array] | None = None
    best_step: int = 0

    @classmethod
    def start(
        cls,
        epoch: int,
        epochs: int,
        step: int,
        tracker: BestTracker,
        plateau: PlateauTracker | None = None,
    ) -> Self:
        """The state before a run.

        Args:
            epoch: the first one.
            epochs: how many to train.
            step: the updates made so far.
            tracker, plateau: as they are before an epoch.
        """
        return cls(epoch, epoch + epochs - 1, epoch, step, step, tracker, plateau)

    @property
    def epochs(self) -> int:
        """The number of epochs that the run has in all."""
        return self.last_epoch - self.first_epoch + 1

    @property
    def ended(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch > self.last_epoch

    def to_dict(self) -> dict[str, Any]:
        """A copy as numbers, text, arrays, None, and dicts of them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The state that `to_dict` copied."""
        plateau = saved["plateau"]
        trackers = {
            "tracker": BestTracker(**saved["tracker"]),
            "plateau": None if plateau is None else PlateauTracker(**plateau),
        }
        return cls(**{**saved, **trackers})
