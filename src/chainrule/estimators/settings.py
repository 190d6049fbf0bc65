"""The checks of the estimators' parameters, those of scikit-learn included."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from chainrule.errors import SettingError
from chainrule.nn.arguments import ACTIVATIONS
from chainrule.nn.compose import NORMS
from chainrule.system.checks import as_integer, integer_words
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import Optimizer
from chainrule.train.schedules import Schedule

Check = tuple[Callable[[Any], bool], str]


def _one_of(*choices: Any) -> Check:
    return lambda x: isinstance(x, str | type(None)) and x in choices, ", ".join(map(repr, choices))


def _integer(least: int, *others: Any) -> Check:
    words = integer_words(least) + "".join(f", or {other!r}" for other in others)

    def check(x: Any) -> bool:
        number = as_integer(x)
        if number is None:
            return isinstance(x, float | str) and x in others
        return number >= least

    return check, words


def _number(low: float, high: float = math.inf, *, closed: str = "left") -> Check:
    left, right = closed in ("left", "both"), closed in ("right", "both")

    def check(x: Any) -> bool:
        number = isinstance(x, Real) and not isinstance(x, bool)
        return number and (low < x < high or (left and x == low) or (right and x == high))

    return check, f"a number {'from' if left else 'above'} {low:g}" + (
        "" if math.isinf(high) else f" {'to' if right else 'and below'} {high:g}"
    )


_FLAG: Check = (lambda x: isinstance(x, bool | np.bool_), "True or False")
_RATE = _number(0, 1)
_NAMES = ("identity", "logistic", *ACTIVATIONS)


def _each(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The check of a value or of a sequence of values."""
    return lambda x: check(x) or (_listed(x) and all(map(check, x)))


def _listed(x: Any) -> bool:
    return isinstance(x, Sequence | np.ndarray) and not isinstance(x, str)


CHECKS: dict[str, Check] = {
    "hidden_layer_sizes": (_each(_integer(1)[0]), "widths > 0: an integer or several"),
    "activation": (
        _each(lambda x: callable(x) or (isinstance(x, str) and x in _NAMES)),
        "a function from node to node or one of " + ", ".join(_NAMES) + "; or one a layer",
    ),
    "solver": _one_of("lbfgs", "sgd", "adam"),
    "alpha": _number(0),
    "batch_size": _integer(1, "auto"),
    "learning_rate": _one_of("constant", "invscaling", "adaptive"),
    "learning_rate_init": _number(0, closed="neither"),
    "power_t": _number(0),
    "max_iter": _integer(1),
    "shuffle": _FLAG,
    "tol": _number(0),
    "verbose": (lambda x: isinstance(x, bool | np.bool_ | Integral | str), "True, False or a word"),
    "warm_start": _FLAG,
    "momentum": _number(0, 1, closed="both"),
    "nesterovs_momentum": _FLAG,
    "early_stopping": _FLAG,
    "validation_fraction": _RATE,
    "beta_1": _RATE,
    "beta_2": _RATE,
    "epsilon": _number(0, closed="neither"),
    "n_iter_no_change": _integer(1, math.inf),
    "max_fun": _integer(1),
    "dropout": (_each(_RATE[0]), _RATE[1] + ", or one a layer"),
    "normalization": _one_of(None, *NORMS),
    "label_smoothing": _RATE,
    "quantile": _number(0, 1, closed="neither"),
    "huber_delta": _number(0, closed="neither"),
    "optimizer": (
        lambda x: x is None or isinstance(x, str | Optimizer | LBFGS),
        'None, a name such as "adamw", or such as cr.AdamW(1e-3)',
    ),
    "schedule": (
        lambda x: x is None or isinstance(x, str | Schedule),
        'None, a name such as "one_cycle", or one of cr.schedules',
    ),
    "preprocess": (
        lambda x: isinstance(x, bool) or (isinstance(x, str) and x == "auto"),
        "True, False or 'auto'",
    ),
    "precision": _one_of("auto", "single", "double", "bfloat16"),
    "categorical_features": (
        lambda x: x is None or (x == "from_dtype" if isinstance(x, str) else _listed(x)),
        "'from_dtype', None, or names, positions or a mask of columns",
    ),
}
"""For each parameter its check, and a description of the valid values."""


def check(name: str, parameters: dict[str, Any], losses: Sequence[str]) -> None:
    """Raise SettingError, a ValueError, for the first parameter that is not valid.

    Args:
        name: of the estimator.
        parameters: of it, by name.
        losses: of the estimator.
    """
    for key, (fits, words) in (CHECKS | {"loss": _one_of(*losses)}).items():
        if key in parameters and not fits(parameters[key]):
            raise SettingError(
                name, f"{key} is not valid", expected=f"{key} {words}",
                got=repr(parameters[key]),
            )  # fmt: skip


def per_layer(name: str, key: str, given: Any, layers: int) -> tuple[Any, ...]:
    """One value a hidden layer, from one for all or a sequence. Raises SettingError."""
    if not _listed(given):
        return (given,) * layers
    if len(given) != layers:
        raise SettingError(
            name, f"{key} has another number of layers",
            expected=f"{layers}, as hidden_layer_sizes", got=len(given),
        )  # fmt: skip
    return tuple(given)
