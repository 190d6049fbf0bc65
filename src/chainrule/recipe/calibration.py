"""Calibration by rows held out: weights of members, and the temperature of probabilities."""

from __future__ import annotations

import numpy as np

from chainrule.data.blocks import Encoded, subset
from chainrule.data.columns.target import NumberTarget
from chainrule.data.split import folds
from chainrule.engine.minibatch import Rows
from chainrule.graph.node import Array, Node
from chainrule.model.model import Model
from chainrule.model.prepare import Prepared, classes_of
from chainrule.nn.arguments import new_parameter
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops.softmax import LOG_SOFTMAX, SOFTMAX
from chainrule.recipe.config import Config
from chainrule.recipe.mixture import best_weights, parts_of, weights_of
from chainrule.recipe.targetscale import on_scale
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


def calibrate(model: Model, data: Prepared, resolved: Config, rows: Rows | None = None) -> None:
    """Set what rows held out choose: weights of members, and the temperature of a classifier.

    Args:
        rows: of those held out; None: all.
    """
    rows = data.held_rows if rows is None else rows
    if not len(rows):
        return
    assert data.held_arrays is not None
    schema = model.schema
    assert schema is not None
    assert schema.target is not None
    for name in weights_of(model):
        truth = data.held_arrays[schema.target.name][rows]
        if isinstance(schema.target, NumberTarget):
            truth = on_scale(truth, schema.target.stats, resolved.target_scaling or "standard")
        model.set_value(name, best_weights(parts_of(model, data.held_arrays, rows), truth))
    for name, present in temperature_of(model).items():
        classes = model.outputs[0].shape[1]
        assert isinstance(classes, int)
        some = rows[:: 1 + len(rows) * classes // MAX_PROBABILITIES]
        _, logits, truth = model.scoring_outputs(data.held_arrays, some)
        model.set_value(name, present * temperature(logits, truth))


def crossfitted(model: Model, data: Prepared, resolved: Config, encoded: Encoded) -> Array | None:
    """Predictions for the rows held out, as other rows choose: scores without optimism.

    The rows are divided into parts; each is predicted at the weights and the temperature that are
    best for all others. None where rows held out choose nothing.

    Args:
        encoded: the rows held out.
    """
    assert data.held_arrays is not None
    if not weights_of(model):
        if not temperature_of(model):
            return None
        _, logits, truth = model.scoring_outputs(data.held_arrays, data.held_rows)
        return SOFTMAX.forward(crossfitted_logits(logits, truth, resolved.seed), axis=(-1,))
    chosen = weights_of(model) | temperature_of(model)
    predicted = np.array(model.predict(encoded).values)
    rows, classes = data.held_rows, classes_of(model, data.held_arrays)
    try:
        for part in _parts(len(rows), resolved.seed, None if classes is None else classes[rows]):
            calibrate(model, data, resolved, np.delete(rows, part))
            predicted[part] = model.predict(subset(encoded, part)).values
    finally:
        for name, value in chosen.items():
            model.set_value(name, value)
    return predicted


def crossfitted_logits(logits: Array, truth: Array, seed: int) -> Array:
    """Logits (n, classes), each part of the rows at the temperature that is best for the others."""
    z = logits.astype(np.float64)
    if z.size > MAX_PROBABILITIES:  # no optimism is left
        return z
    for part in _parts(len(z), seed, truth):
        others = np.delete(np.arange(len(z)), part)
        z[part] = logits[part] / temperature(logits[others], truth[others])
    return z


def _parts(rows: int, seed: int, classes: Array | None) -> list[Rows]:
    """The parts of rows; none where there are too few."""
    return folds(rows, PARTS, seed, stratify=classes) if rows >= 2 * PARTS else []


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
