"""The beginning of a call of `fit`: a new run, the last one that goes on, or a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chainrule.graph.node import Array
from chainrule.model.lastrun import LastRun, judged
from chainrule.model.prepare import Prepared
from chainrule.model.state import ModelState
from chainrule.train.callbacks import BestTracker, PlateauTracker
from chainrule.train.fitsettings import FitSettings
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import Optimizer
from chainrule.train.schedules import ReduceOnPlateau

if TYPE_CHECKING:
    from chainrule.model.resume import Survival


@dataclass(slots=True)
class Beginning:
    """The beginning of a call of `fit`.

    Attributes:
        values, steps: parameters and slots by name, and the number of updates so far.
        tracker: of the best epoch.
        judged: names what it judges; None where nothing depends on it.
        last: the run that goes on; None where a new one begins.
        best: whether the model holds the best epoch of `last`, of the same score.
        notes: messages where training continues.
    """

    values: Mapping[str, Array]
    steps: int
    tracker: BestTracker
    judged: str | None
    last: LastRun | None
    best: bool
    notes: list[str]


def beginning(
    state: ModelState, prepared: Prepared, optimizer: Optimizer | LBFGS, settings: FitSettings
) -> Beginning:
    """The state from which training starts; that of another optimizer is dropped."""
    tracker = _tracker(state, prepared, settings)
    name = _judged(state, prepared, tracker, settings)
    begun = len(state.history) > 0 or state.last_run is not None  # by single steps
    another = begun and type(state.optimizer) is not type(optimizer)
    goes_on = begun and not settings.new_run and state.optimizer == optimizer
    last = state.last_run if goes_on and not another else None
    values, steps = state.values | state.slots, state.steps
    same = last is not None and name is not None and last.judged == name
    if last is not None and same:
        tracker = replace(last.tracker, patience=tracker.patience)
        if last.values is not None:
            values, steps = last.values, last.steps
    notes = []
    if begun:
        how = " with a new optimizer" if another else _continued(optimizer, last is None)
        notes = [f"continues after {_place(state, steps)}{how}"]
    if another:
        values, steps = state.values, 0  # Adam's averages begin with step 1
    return Beginning(values, steps, tracker, name, last, same and tracker.best is not None, notes)


def resumed(begin: Beginning, survival: Survival) -> Beginning:
    """The beginning of a run that has checkpoints: from the last of them, where there is one."""
    found = survival.found
    if found is None:
        return replace(begin, notes=begin.notes + survival.notes)
    now = found.state
    best = now.epoch == now.first_epoch and now.best_values is not None  # of earlier calls
    return replace(
        begin, values=found.values, steps=now.step, tracker=now.tracker, last=None, best=best,
        notes=survival.notes,
    )  # fmt: skip


def _place(state: ModelState, steps: int) -> str:
    """The epoch and step that a model has reached; single steps may come before any epoch."""
    epoch = state.history.last_epoch
    return f"epoch {epoch} (step {steps:,})" if epoch else f"step {steps:,}"


def _continued(optimizer: Optimizer | LBFGS, new_run: bool) -> str:
    """The words on what is kept of the optimizer where training continues."""
    kept = ", optimizer state kept"
    if isinstance(optimizer, LBFGS):
        kept = "; L-BFGS begins without its memory of earlier steps"
    return f"{kept}, as a new run" if new_run else kept


def _judged(
    state: ModelState, prepared: Prepared, tracker: BestTracker, settings: FitSettings
) -> str | None:
    """The name of what the tracker judges, where a stop or the end depends on it."""
    if not settings.keep_best and tracker.patience is None:
        return None
    data, rows = prepared.arrays, prepared.rows
    if tracker.criterion.startswith("validation_") and prepared.held_arrays is not None:
        data, rows = prepared.held_arrays, prepared.held_rows
    return judged(tracker, settings.keep_best, state.graph, data, rows)


def plateau(begin: Beginning, settings: FitSettings) -> PlateauTracker | None:
    """The tracker of a rate that depends on the criterion; None for other rates."""
    if not isinstance(getattr(settings.optimizer, "rate", None), ReduceOnPlateau):
        return None
    last, tracker = begin.last, begin.tracker
    if last is None or last.plateau is None or last.tracker.criterion != tracker.criterion:
        return PlateauTracker(tracker.better)
    return replace(last.plateau)


def _tracker(state: ModelState, prepared: Prepared, settings: FitSettings) -> BestTracker:
    """The tracker of the best epoch; without patience it never stops the run."""
    metrics = state.objectives.metrics(settings.metrics or ())
    tracker = settings.stopping.tracker(
        validation=prepared.held_arrays is not None, metrics=metrics
    )
    if settings.patience is None:
        tracker.patience = None
    return tracker
