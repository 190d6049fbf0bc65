"""Callbacks of a run, early stopping, and the trackers of the best epoch and of plateaus."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.display.format import number, words
from chainrule.errors import SettingError
from chainrule.system.settings import NOT_NEGATIVE, AtLeast, refuse
from chainrule.train.history import History
from chainrule.train.metrics import Direction, Metric, direction, plain_name
from chainrule.train.schedules import ReduceOnPlateau


@dataclass(slots=True)
class State:
    """The view of a run that a callback receives, and by which it stops the run.

    Attributes:
        model: the model in training, holding the present parameters.
        history: all rows so far.
        epoch, step: the epoch, which `on_step` sees in progress, and the number of updates so far.
        row: the last row of the history.
        losses: of the minibatches of the epoch so far, each before its update: (minibatches,).
        stop_reason: the reason to stop; None while the run continues.
    """

    model: Any
    history: History
    epoch: int = 0
    step: int = 0
    row: Mapping[str, float] = field(default_factory=dict)
    losses: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    stop_reason: str | None = None

    @property
    def loss(self) -> float:
        """The loss of the last minibatch, before its update; NaN before the first."""
        return float(self.losses[-1]) if len(self.losses) else math.nan

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End the run after this epoch, or from `on_step` after this step.

        The row of an epoch that is cut short is that of its steps so far. The first reason given
        is reported.
        """
        self.stop_reason = self.stop_reason or reason


class Callback:
    """Code that runs during `fit`. Override the methods that you need; a plain function of the
    state serves as `on_epoch`. An error in a callback ends the run."""

    def on_start(self, state: State) -> None:
        """Called before the first epoch of a run."""

    def on_step(self, state: State) -> None:
        """Called after each update, with the loss of its minibatch in `state.loss`.

        A run in which a callback overrides it runs its steps one by one, which takes some tens of
        microseconds more for each; parameters are copied to the model only if they are read. The
        results are the same bits.
        """

    def on_epoch(self, state: State) -> None:
        """Called after each epoch, when its row is appended."""

    def on_finish(self, state: State) -> None:
        """Called after the last epoch, when the best parameters are restored."""


def watches_steps(callback: Callback) -> bool:
    """Whether a callback has an `on_step` of its own."""
    return getattr(callback.on_step, "__func__", None) is not Callback.on_step


class _Function(Callback):
    def __init__(self, function: Callable[[State], object]) -> None:
        self._function = function

    def on_epoch(self, state: State) -> None:
        self._function(state)


def as_callbacks(
    given: Iterable[Callback | Callable[[State], object]] | Callback | None,
) -> list[Callback]:
    """Returns callbacks as a list; functions of the state become callbacks.

    Raises:
        SettingError: an item is neither.
    """
    if given is None:
        return []
    if isinstance(given, Callback) or not isinstance(given, Iterable):
        given = [given]
    callbacks: list[Callback] = []
    for item in given:
        if isinstance(item, Callback):
            callbacks.append(item)
        elif callable(item) and not isinstance(item, type):
            callbacks.append(_Function(item))
        else:
            raise SettingError(
                "callbacks", "this is not a callback", got=repr(item),
                expected="a Callback object or a function of the state",
                fix=f"pass {item.__name__}()" if isinstance(item, type) else None,
            )  # fmt: skip
    return callbacks


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """Stop when a column of the history has not improved for a number of epochs.

    Attributes:
        criterion: the column; None takes validation_loss where there is validation data, else loss.
        patience: the number of consecutive epochs without improvement that are allowed.
        minimum_improvement: an epoch counts as better only if it improves by more, in the unit
            of the criterion; any improvement counts by default.
        better: "min" or "max"; None takes the metric's direction.
    """

    criterion: str | None = None
    patience: int = 10
    minimum_improvement: float = 0.0
    better: Direction | None = None

    def __post_init__(self) -> None:
        if self.criterion is not None:
            object.__setattr__(self, "criterion", plain_name(self.criterion))
        object.__setattr__(self, "patience", AtLeast(1)("EarlyStopping.patience", self.patience))
        NOT_NEGATIVE("EarlyStopping.minimum_improvement", self.minimum_improvement)
        if self.better not in (None, "min", "max"):
            raise refuse("EarlyStopping.better", "'min' or 'max'", self.better)

    def tracker(self, *, validation: bool = True, metrics: Iterable[Metric] = ()) -> BestTracker:
        """A new tracker for a run.

        Args:
            validation: whether the run has validation data.
            metrics: the metrics of the run, with their directions.

        Raises:
            SettingError: the criterion needs validation data, or its direction is unknown.
        """
        criterion = self.criterion or ("validation_loss" if validation else "loss")
        if criterion.startswith("validation_") and not validation:
            raise SettingError(
                "EarlyStopping",
                f"{words(criterion)!r} needs validation data",
                fix="give fit(validation=0.2), or EarlyStopping(criterion='loss')",
            )
        better = self.better or direction(criterion, metrics)
        return BestTracker(criterion, better, self.patience, self.minimum_improvement)


@dataclass(slots=True)
class BestTracker:
    """Tracks the best epoch so far, and decides when to stop.

    All fields are plain data: `dataclasses.asdict` saves it, `BestTracker(**saved)` restores it.
    """

    criterion: str = "loss"
    better: Direction = "min"
    patience: int | None = None
    minimum_improvement: float = 0.0
    best: float | None = None
    best_epoch: int | None = None
    epochs: int = 0
    stale: int = 0

    def update(self, value: float, epoch: int | None = None) -> bool:
        """Record an epoch's value; returns whether it is the best so far.

        NaN and infinities never improve. Epochs count from 1 where `epoch` is not given.
        """
        self.epochs = self.epochs + 1 if epoch is None else epoch
        if _improves(value, self.best, self.better, self.minimum_improvement):
            self.best, self.best_epoch, self.stale = float(value), self.epochs, 0
            return True
        self.stale += 1
        return False

    @property
    def should_stop(self) -> bool:
        """Whether patience is exhausted."""
        return self.patience is not None and self.stale >= self.patience

    @property
    def reason(self) -> str:
        """The reason why the run stops, a sentence without its full stop."""
        epochs = f"{self.stale} epoch{'s' if self.stale != 1 else ''}"
        if self.best is None:
            return f"{words(self.criterion)} was never finite in {epochs}"
        best = f"best {number(self.best)} in epoch {self.best_epoch}"
        return f"{words(self.criterion)} has not improved for {epochs} ({best})"


@dataclass(slots=True)
class PlateauTracker:
    """The scale of a rate that is reduced when the criterion stops improving; all plain fields.

    Attributes:
        better: as in `EarlyStopping`.
        scale: the present factor on the rate.
        best: the best criterion so far.
        stale: epochs without improvement since the last one, or since the last reduction.
        cooling: the number of next epochs that are not counted as stale.
    """

    better: Direction = "min"
    scale: float = 1.0
    best: float | None = None
    stale: int = 0
    cooling: int = 0

    def update(self, value: float, settings: ReduceOnPlateau) -> float:
        """Record an epoch's value; returns the scale for the next epoch."""
        if _improves(value, self.best, self.better, settings.minimum_improvement):
            self.best, self.stale = float(value), 0
        elif self.cooling == 0:
            self.stale += 1
        if settings.best_of_all and _improves(value, self.best, self.better, 0.0):
            self.best = float(value)
        self.cooling = max(self.cooling - 1, 0)
        if self.stale >= settings.patience:
            self.scale *= settings.factor
            self.stale, self.cooling = 0, settings.cooldown
        return self.scale


def _improves(value: float, best: float | None, better: str, threshold: float) -> bool:
    """Whether a value improves the best so far by more than `threshold`; never if not finite."""
    gain = math.inf
    if best is not None:
        gain = best - value if better == "min" else value - best
    return math.isfinite(value) and gain > threshold
