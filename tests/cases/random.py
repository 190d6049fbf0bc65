"""Rows of the op cases: what training, prediction and differentiation see differently."""

from __future__ import annotations

import numpy as np

from cases.case import BINARY, UNARY, Bad, Case
from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.graph import Parameter, Scope
from chainrule.ops.build import constant
from chainrule.ops.mode import data_total, stop_gradient, when_training
from chainrule.ops.random import dropout, uniform
from chainrule.types import TensorType

FROZEN = Parameter(
    Scope("frozen"), TensorType((2,)), initial=np.zeros(2, "float32"), trainable=False
)

CASES = (
    Case(
        "when_training", when_training, lambda a, b: np.broadcast_arrays(a, b)[1], BINARY,
        ops=("when_training",),
        bad=(
            Bad(lambda: when_training(FROZEN, [1.0, 2.0, 3.0]), ShapeError, "broadcast"),
            Bad(lambda: when_training(FROZEN, constant([1, 2])), DTypeError, "one dtype"),
        ),
    ),
    Case("data_total", data_total, np.copy, UNARY, ops=("data_total",)),
    Case("stop_gradient", stop_gradient, np.copy, UNARY, ops=("stop_gradient",), wrt=()),
    Case(
        "dropout at rate 0", dropout, lambda x, rate: x, UNARY, {"rate": 0},
        bad=(
            Bad(lambda: dropout(FROZEN, 1), SettingError, "0 <= rate < 1"),
            Bad(lambda: dropout(FROZEN, -0.1), SettingError, "0 <= rate < 1"),
            Bad(lambda: dropout(FROZEN, "0.1"), SettingError, "0 <= rate < 1"),
            Bad(lambda: dropout(FROZEN, float("nan")), SettingError, "0 <= rate < 1"),
            Bad(lambda: dropout([1, 2], 0.5), DTypeError, "float32 or float64"),
            Bad(lambda: uniform((2,), "int32"), DTypeError, "float32 or float64"),
        ),
    ),
)  # fmt: skip
