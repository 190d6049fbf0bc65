"""scikit-learn's rule for when a run has converged, as a callback."""

from __future__ import annotations

import math

from chainrule.train.callbacks import Callback, State

MIN_RATE = 1e-6
"""The rate below which an adaptive rate is not reduced."""


class Convergence(Callback):
    """Stop after more than `patience` epochs in a row without an improvement by `tol`.

    An epoch is compared with the best one so far, also where that was better by less than `tol`.

    Args:
        column: of the history.
        sign: 1 where lower is better, -1 where higher is.
        tol: the smallest difference to the best that counts as improvement.
        patience: the number of epochs without improvement that are allowed; may be infinite.
        best: of earlier runs; None for a new one.
        adaptive: continue while the rate can still be reduced.

    Attributes:
        column: of the history, the criterion.
        reason: for an early stop; None where there was none.
    """

    def __init__(
        self, column: str, sign: int, tol: float, patience: float, best: float | None = None,
        adaptive: bool = False,
    ) -> None:  # fmt: skip
        self.column, self._sign, self._tol, self._patience = column, sign, tol, patience
        self._best = math.inf if best is None else sign * best
        self._adaptive, self._stale = adaptive, 0
        self.reason: str | None = None

    def on_finish(self, state: State) -> None:
        """See Callback."""
        self.reason = state.stop_reason

    def on_epoch(self, state: State) -> None:
        """See Callback."""
        value = self._sign * state.row[self.column]
        self._stale = 0 if value <= self._best - self._tol else self._stale + 1
        self._best = min(self._best, value) if value == value else self._best
        if self._stale <= self._patience:
            return
        if self._adaptive and state.row["rate"] > MIN_RATE:
            self._stale = 0
            return
        state.stop(f"no improvement by {self._tol:g} in {self._patience:g} epochs")
