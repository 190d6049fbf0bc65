"""The progress of a run of `fit` as plain data: enough to continue from any minibatch."""

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
    """The progress of a run. With the program's state and history it determines all later steps.

    Attributes:
        first_epoch, last_epoch: of the run.
        epoch: the one in progress; after the run, the next one.
        first_step: the number of updates before the run; schedules count from there. It may have
            begun in an earlier call of `fit`.
        begun: the number of its updates in earlier calls.
        step: the number of updates so far.
        losses: of this epoch's completed minibatches, in order: (minibatches,).
        rate: of the last update.
        seconds: the duration of the run so far.
        tracker: tracks the best epoch; its criterion is a column of the history.
        plateau: the scale of the learning rate, where it depends on the criterion.
        best_values: the program's state after the best epoch, by name; None before the first.
        best_step: the number of updates until then.
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
    begun: int = 0

    @classmethod
    def start(
        cls,
        epoch: int,
        epochs: int,
        step: int,
        tracker: BestTracker,
        plateau: PlateauTracker | None = None,
        first_step: int | None = None,
    ) -> Self:
        """The state before a run, or before a part of it.

        Args:
            epoch: the first one.
            epochs: the number to train.
            step: the number of updates so far.
            tracker, plateau: their states before the first epoch.
            first_step: the number of updates before the run; None: it begins now.
        """
        first = step if first_step is None else first_step
        last_epoch, begun = epoch + epochs - 1, step - first
        return cls(epoch, last_epoch, epoch, first, step, tracker, plateau, begun=begun)

    @property
    def epochs(self) -> int:
        """The number of epochs of this call."""
        return self.last_epoch - self.first_epoch + 1

    @property
    def ended(self) -> bool:
        """Whether all epochs are complete."""
        return self.epoch > self.last_epoch

    def to_dict(self) -> dict[str, Any]:
        """A copy as numbers, text, arrays, None, and dicts of them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The state that `to_dict` wrote."""
        plateau = saved["plateau"]
        trackers = {
            "tracker": BestTracker(**saved["tracker"]),
            "plateau": None if plateau is None else PlateauTracker(**plateau),
        }
        return cls(**{**saved, **trackers})
