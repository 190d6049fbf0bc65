"""The ends of runs that did not converge: scikit-learn's warnings and errors, and their causes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from chainrule.errors import NotFinite
from chainrule.estimators.convergence import Convergence
from chainrule.model.model import Model
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import Optimizer

Array = npt.NDArray[Any]

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)
"""scikit-learn's sentence for a run that diverged."""


def limit_reached(optimizer: Optimizer | LBFGS, epochs: int, reason: str | None) -> str:
    """The warning of a run that reached a limit before it converged.

    Args:
        optimizer: of the run.
        epochs: the number that it had.
        reason: for its end; None where all epochs were done.
    """
    if not isinstance(optimizer, LBFGS):
        return (
            f"Stochastic Optimizer: Maximum iterations ({epochs}) reached and the optimization "
            "hasn't converged yet."
        )
    limit = "max_fun" if reason is not None and "evaluations" in reason else "max_iter"
    value = optimizer.evaluations if limit == "max_fun" else optimizer.iterations
    return (
        f"lbfgs failed to converge after {epochs} iteration(s): the limit {limit}={value} is "
        f"reached. Increase {limit}, or scale the data: a StandardScaler before the estimator."
    )


def in_words_of(estimator: str, error: NotFinite) -> NotFinite:
    """The error of a run that diverged, in scikit-learn's words and with our cause."""
    fix = error.fix
    if fix is not None and "clip_norm" in fix:
        fix = "lower learning_rate_init, scale the data, or bound the gradient: clip_norm=1.0"
    return NotFinite(
        estimator, f"{NOT_FINITE} In fact {error.what}",
        expected=error.expected, got=error.got, at=error.at, fix=fix,
    )  # fmt: skip


def end_with_best(model: Model, start: Mapping[str, Array], watch: Convergence) -> str:
    """End a run that diverged and is judged by validation: the model has its best epoch already.

    Where no epoch was complete it starts anew. The epoch without numbers gets its row.

    Args:
        model: after the run.
        start: its parameters before the run.
        watch: the callback that has seen the run.

    Returns:
        The epoch whose parameters it has, in words.
    """
    best = model.history.best if watch.rows else None
    if best is None:
        model.restore(start, 0)
    nothing = {"loss": math.nan, watch.column: math.nan}
    watch.rows.append(model.history.append({"step": model.steps} | nothing))
    return "the parameters are those before the run" if best is None else f"epoch {best} is kept"
