"""Optimizers by name, and from plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.errors import SettingError, did_you_mean
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim.base import OPTIMIZERS, Optimizer


def optimizer(name: str, **settings: Any) -> Optimizer | LBFGS:
    """The optimizer of that name: `optimizer("adamw", rate=1e-3)`; capitals do not matter.

    Raises:
        SettingError: the optimizer or a setting is unknown, or a value is not valid.
    """
    key = str(name).lower().replace("-", "").replace("_", "")
    if key not in OPTIMIZERS:
        raise SettingError(
            "optimizer", f"unknown optimizer {name!r}", fix=did_you_mean(key, OPTIMIZERS)
        )
    return OPTIMIZERS[key].from_settings(settings)


def optimizer_from_dict(data: Mapping[str, Any]) -> Optimizer | LBFGS:
    """The optimizer that `to_dict` wrote. Raises SettingError."""
    if not isinstance(data.get("name"), str):
        raise SettingError("optimizer", "the optimizer has no name", got=repr(dict(data)))
    return optimizer(**{str(key): value for key, value in data.items()})


def is_portable(optimizer: Optimizer | LBFGS) -> bool:
    """Whether plain data can restore it: neither it nor its schedule is a user's class."""
    try:
        return optimizer_from_dict(optimizer.to_dict()) == optimizer
    except SettingError:
        return False
