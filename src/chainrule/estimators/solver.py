"""From the parameters of an estimator to an optimizer with its learning rate."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.estimators.convergence import FACTOR
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import SGD, Adam, Optimizer
from chainrule.train.optim.registry import optimizer as optimizer_named
from chainrule.train.schedules import InversePower, ReduceOnPlateau, Schedule, schedule

MIN_RELATIVE_DECREASE = 2.220446049250313e-09
"""The relative decrease of the loss at which L-BFGS in SciPy and scikit-learn ends."""


def is_lbfgs(optimizer: Any) -> bool:
    """Whether an optimizer, or its name, is L-BFGS."""
    return isinstance(optimizer, LBFGS) or optimizer == LBFGS.name


def build_optimizer(
    estimator: Any, rows: int, per_epoch: int, incremental: bool, scale: float
) -> Optimizer | LBFGS:
    """The optimizer of an estimator.

    Args:
        estimator: with all its parameters.
        rows: the number of training rows.
        per_epoch: the number of steps in an epoch.
        incremental: whether it is one epoch of partial_fit.
        scale: of an adaptive rate in that epoch.
    """
    e = estimator
    if isinstance(e.optimizer, LBFGS):
        return e.optimizer
    if is_lbfgs(e.optimizer) or (e.optimizer is None and e.solver == "lbfgs"):
        return LBFGS(
            iterations=e.max_iter,
            tolerance=e.tol,
            progress=MIN_RELATIVE_DECREASE,
            evaluations=e.max_fun,
        )
    rate = _rate(e, rows, per_epoch, incremental, scale)
    if isinstance(e.optimizer, Optimizer):
        return e.optimizer if e.schedule is None else replace(e.optimizer, rate=rate)
    if e.optimizer is not None:
        return optimizer_named(e.optimizer, rate=rate)
    if e.solver == "adam":
        return Adam(rate, beta1=e.beta_1, beta2=e.beta_2, epsilon=e.epsilon, epsilon_first=True)
    momentum = min(float(e.momentum), float(np.nextafter(1, 0)))  # scikit-learn allows 1
    nesterov = bool(e.nesterovs_momentum and momentum)
    return SGD(rate, momentum=momentum, nesterov=nesterov, rate_inside=True)


def _rate(e: Any, rows: int, per_epoch: int, incremental: bool, scale: float) -> float | Schedule:
    """The learning rate, or its schedule."""
    start = float(e.learning_rate_init)
    if isinstance(e.schedule, str):
        return schedule(e.schedule, rate=start)
    if e.schedule is not None:
        given: Schedule = e.schedule
        return given
    if e.solver != "sgd" or e.optimizer is not None or e.learning_rate == "constant":
        return start
    if e.learning_rate == "invscaling":
        if incremental:
            return start / float((e.t_ + 1) ** e.power_t)
        return InversePower(start, e.power_t, speed=rows / per_epoch, every=per_epoch)
    if incremental:
        return start * scale
    if math.isinf(e.n_iter_no_change):
        return start
    return ReduceOnPlateau(
        start, factor=FACTOR, patience=e.n_iter_no_change + 1, minimum_improvement=e.tol,
        best_of_all=True,
    )  # fmt: skip
