"""The sentences on a run of `fit` at its end."""

from __future__ import annotations

from chainrule.display.format import duration, number, words
from chainrule.model.prepare import Prepared
from chainrule.train.loop import Run

SLOW = 0.1
"""The share of the time that a run waits for its data from which that is told."""


def kept(run: Run) -> str:
    """The words on what a run that was interrupted leaves."""
    best = run.state.tracker.best_epoch
    if run.settings.keep_best and best is not None:
        return f"keeps epoch {best}, the best so far"
    return f"is as after step {run.program.steps:,}"


def summary(run: Run, reason: str | None) -> str:
    """A sentence on a run at its end, which came early for a reason, or not."""
    if not run.state.epochs:
        return "no epochs to train"
    tracker = run.state.tracker
    ran = run.state.epoch - run.state.first_epoch
    if not ran and reason is not None:
        return (
            f"no epochs: {reason}; to go on: a larger patience; to begin anew: "
            "fit(..., new_run=True)"
        )
    text = f"{ran:,} epoch{'s' if ran != 1 else ''} in {duration(run.view.row['seconds'])}"
    if run.settings.keep_best and tracker.best_epoch is not None and tracker.best is not None:
        best = f"{words(tracker.criterion)} {number(tracker.best)}"
        text += f"; kept epoch {tracker.best_epoch}, the best: {best}"
    return text + (f"; stopped: {reason}" if reason else "")


def waited(prepared: Prepared) -> str:
    """The words on a run that waited for its stream more than a tenth of the time."""
    share = None if prepared.stream is None else prepared.stream.stream.waiting
    if share is None or share < SLOW:
        return ""
    return f"; waited for data {100 * share:.0f} % of the time: reading is slower than training"
