"""scikit-learn's rule for when a run has converged, and what it prints, as a callback."""

from __future__ import annotations

import math
from collections.abc import Mapping

from chainrule.train.callbacks import Callback, State

MIN_RATE = 1e-6
"""The rate below which an adaptive rate is not reduced."""

FACTOR = 0.2
"""The factor by which an adaptive rate is reduced."""


class Convergence(Callback):
    """Stop after more than `patience` epochs in a row without an improvement by `tol`.

    An epoch is compared with the best one so far, also where that was better by less than `tol`.

    Args:
        column: of the history, the criterion.
        sign: 1 where lower is better, -1 where higher is.
        tol: the smallest difference to the best that counts as improvement.
        patience: the number of epochs without improvement that are allowed; may be infinite.
        adaptive: continue while the rate can still be reduced.
        prints: print the lines that scikit-learn prints with `verbose`.
        last: of the run that this one continues.

    Attributes:
        column: of the history, the criterion.
        rows: of this run's epochs in the history.
        scale: of an adaptive rate by now.
        reason: for an early stop; None where there was none.
    """

    def __init__(
        self, column: str, sign: int, tol: float, patience: float, *, adaptive: bool = False,
        prints: bool = False, last: Convergence | None = None,
    ) -> None:  # fmt: skip
        self.column, self._sign, self._tol, self._patience = column, sign, tol, patience
        self._adaptive, self._prints = adaptive, prints
        self.rows: list[Mapping[str, float]] = []
        self._best, self._stale, self.scale = math.inf, 0, 1.0
        if last is not None and last.column == column:
            self._best, self._stale, self.scale = last._best, last._stale, last.scale
        self.reason: str | None = None

    @property
    def validates(self) -> bool:
        """Whether the criterion is a validation score."""
        return self.column != "loss"

    def on_finish(self, state: State) -> None:
        """See Callback."""
        self.reason = state.stop_reason

    def on_epoch(self, state: State) -> None:
        """See Callback."""
        self.rows.append(state.row)
        value = self._sign * state.row[self.column]
        self._stale = 0 if value <= self._best - self._tol else self._stale + 1
        self._best = min(self._best, value) if value == value else self._best
        if self._prints:
            print(f"Iteration {len(self.rows)}, loss = {state.row['loss']:.8f}")
            if self.validates:
                print(f"Validation score: {-value:f}")
        if self._stale <= self._patience:
            return
        what = "Validation score" if self.validates else "Training loss"
        text = f"{what} did not improve more than tol={self._tol:f}"
        text += f" for {self._patience:.0f} consecutive epochs."
        if self._adaptive and state.row["rate"] > MIN_RATE:
            self._stale, self.scale = 0, self.scale * FACTOR
            text += f" Setting learning rate to {FACTOR * state.row['rate']:f}"
        else:
            text += " Learning rate too small. Stopping." if self._adaptive else " Stopping."
            state.stop(f"no improvement by {self._tol:g} in {self._patience:g} epochs")
        if self._prints:
            print(text)
