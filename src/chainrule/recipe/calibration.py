"""Calibration: one temperature that makes probabilities as confident as they are accurate."""

from __future__ import annotations

import numpy as np

from chainrule.data.split import folds
from chainrule.graph.node import Array, Node
from chainrule.model.model import Model
from chainrule.model.prepare import Prepared
from chainrule.nn.arguments import new_parameter
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops.softmax import LOG_SOFTMAX, SOFTMAX
from chainrule.types import TensorType

TEMPERATURE = ".temperature"
"""Suffix of the parameter by which logits are divided; 1 before calibration."""
MAX_TEMPERATURE = 16.0
"""Upper bound of temperatures; the lower one is its inverse."""
BISECTION_STEPS = 24
PARTS = 5
"""Of the rows held out, for scores of rows that did not choose the temperature."""
MAX_PROBABILITIES = 2_000_000
"""Calibration takes a part of the rows where they have more probabilities than this."""


def temperature_scaled(logits: Node) -> Node:
    """Logits divided by a temperature."""
    scope = layer_scope(None, "calibration")
    divisor = new_parameter(
        scope, TEMPERATURE, TensorType((), logits.dtype), "ones", trainable=False
    )
    return as_layer(scope, logits / divisor, (logits,))


def temperature_of(model: Model) -> dict[str, Array]:
    """The temperature by its name; empty where the model has none."""
    return {name: x for name, x in model.values.items() if name.endswith(TEMPERATURE)}


def calibrate(model: Model, data: Prepared) -> None:
    """Set a classifier's temperature to the one with the lowest log loss on the rows held out."""
    for name, present in temperature_of(model).items() if len(data.held_rows) else ():
        assert data.held_arrays is not None
        classes = model.outputs[0].shape[1]
        assert isinstance(classes, int)
        rows = data.held_rows[:: 1 + len(data.held_rows) * classes // MAX_PROBABILITIES]
        _, logits, truth = model.scoring_outputs(data.held_arrays, rows)
        model.set_value(name, present * temperature(logits, truth))


def crossfitted(logits: Array, truth: Array, seed: int) -> Array:
    """Logits (n, classes) at temperatures that other rows chose, for scores of these rows.

    The rows are divided into parts; each has the temperature that is best for all others.
    """
    z = logits.astype(np.float64)
    if len(z) < 2 * PARTS or z.size > MAX_PROBABILITIES:  # too few rows; or no optimism is left
        return z
    for part in folds(len(z), PARTS, seed, stratify=truth):
        others = np.delete(np.arange(len(z)), part)
        z[part] = logits[part] / temperature(logits[others], truth[others])
    return z


def calibrated_losses(logits: Array, truth: Array) -> Array:
    """The log loss of each row, (n,), at the best temperature."""
    log_p = LOG_SOFTMAX.forward(logits / temperature(logits, truth), axis=(-1,))
    return -np.take_along_axis(log_p, truth[:, None].astype(np.int64), axis=1)[:, 0]


def temperature(logits: Array, truth: Array) -> float:
    """The divisor of logits (n, classes) with the lowest log loss for class indices (n,).

    A row of unknown class is added: a few rows may all be right by chance. Source: C.
    Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On calibration of modern neural networks, ICML
    2017.
    """
    z = logits.astype(np.float64)
    if not np.ptp(z, axis=1).any():
        return 1.0
    true_logits = np.take_along_axis(z, truth[:, None].astype(np.int64), axis=1).sum() + z.mean()
    weight = 1 + 1 / len(z)

    def overconfident(sharpness: float) -> bool:
        p = SOFTMAX.forward(z * sharpness, axis=(-1,))
        return bool(weight * (p * z).sum() > true_logits)  # the slope of the loss: it is convex

    low, high = -np.log(MAX_TEMPERATURE), np.log(MAX_TEMPERATURE)
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if overconfident(np.exp(middle)) else (middle, high)
    return float(np.exp(-low))
