"""Calibration: one temperature that makes probabilities as sure as they are right."""

from __future__ import annotations

import numpy as np

from chainrule.graph.node import Array, Node
from chainrule.model.model import Model
from chainrule.model.prepare import Prepared
from chainrule.nn.arguments import new_parameter
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops.softmax import LOG_SOFTMAX, SOFTMAX
from chainrule.types import TensorType

TEMPERATURE = ".temperature"
"""Ends the name of the parameter by which logits are divided; 1 until it is known better."""
FARTHEST = 16.0
"""Temperatures stay between this and one over it."""
HALVINGS = 24
CHANCES = 2_000_000
"""Above so many chances to look at, some of the rows are enough."""


def cooled(logits: Node) -> Node:
    """Logits divided by a temperature."""
    scope = layer_scope(None, "calibration")
    divisor = new_parameter(
        scope, TEMPERATURE, TensorType((), logits.dtype), "ones", trainable=False
    )
    return as_layer(scope, logits / divisor, (logits,))


def temperature_of(model: Model) -> dict[str, Array]:
    """The temperature, by its name; nothing where the model has none."""
    return {name: x for name, x in model.values.items() if name.endswith(TEMPERATURE)}


def calibrate(model: Model, data: Prepared) -> None:
    """Give a classifier the temperature with the least log loss on the rows held out."""
    for name, present in temperature_of(model).items() if len(data.held_rows) else ():
        assert data.held_arrays is not None
        classes = model.outputs[0].shape[1]
        assert isinstance(classes, int)
        rows = data.held_rows[:: 1 + len(data.held_rows) * classes // CHANCES]
        _, logits, truth = model.judged(data.held_arrays, rows)
        model.set_value(name, present * temperature(logits, truth))


def calibrated_loss(logits: Array, truth: Array) -> float:
    """The log loss of class numbers (n,) by logits (n, classes), divided by what serves best."""
    chances = LOG_SOFTMAX.forward(logits / temperature(logits, truth), axis=(-1,))
    return -float(np.take_along_axis(chances, truth[:, None].astype(np.int64), axis=1).mean())


def temperature(logits: Array, truth: Array) -> float:
    """What to divide logits (n, classes) by, so that class numbers (n,) are least surprising.

    Besides the rows, one is counted whose class is unknown: all may be right by chance where they
    are few. Source: C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On calibration of modern
    neural networks, ICML 2017.
    """
    z = logits.astype(np.float64)
    if not np.ptp(z, axis=1).any():
        return 1.0
    own = np.take_along_axis(z, truth[:, None].astype(np.int64), axis=1).sum() + z.mean()
    weight = 1 + 1 / len(z)

    def too_sure(sharpness: float) -> bool:
        p = SOFTMAX.forward(z * sharpness, axis=(-1,))
        return bool(weight * (p * z).sum() > own)  # the slope of the loss: it is convex

    low, high = -np.log(FARTHEST), np.log(FARTHEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if too_sure(np.exp(middle)) else (middle, high)
    return float(np.exp(-low))
