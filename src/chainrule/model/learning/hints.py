"""Hints on a run: what is wrong by its records, in a sentence, and one thing to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.display.format import number
from chainrule.train.history import History

DEAD_SHARE = 0.25
"""The share of dead or saturated units of a layer from which it is told."""

VANISHED = 1000.0
"""The ratio of the gradient at the last hidden layer to that at the first, to be told."""

MOST_TIMES = 10**9
"""The largest ratio that is told in full: beyond it most rows have no gradient there at all."""

FAST, SLOW = 0.1, 1e-6
"""The relative change of weights in a step above and below which the rate is told."""

SETTLED = 5
"""Epochs after which a loss is compared with that of a constant guess."""

RISEN = 1.2
"""The ratio of a validation loss to its lowest from which it is told."""


def hints(
    layers: Sequence[Mapping[str, Any]], guess: Mapping[str, Any], history: History, epoch: int
) -> list[str]:
    """Returns what a teacher would point at, the gravest first.

    Args:
        layers: as in `Learning` of web/src/sections.ts; the last record counts.
        guess: the loss of a constant guess, likewise.
        history: of all epochs.
        epoch: the last one.
    """
    if epoch == 0 or not layers or "loss" not in history:
        return []
    hidden = [x for x in layers if not x["what"].startswith("embedding")]  # tables have no units
    found = [*_against_guess(history, guess, epoch), *_vanishing(hidden), *_rates(layers)]
    for layer in hidden[:-1]:
        found += _dead(layer)
        found += _saturated(layer)
    return found + _overfitting(history)


def _against_guess(history: History, guess: Mapping[str, Any], epoch: int) -> list[str]:
    constant, loss = guess["loss"], float(history["loss"][-1])
    if constant is None or epoch < SETTLED or not loss >= 0.98 * constant:
        return []
    return [
        f"After {epoch} epochs the loss is {number(loss)}, no better than {number(constant)} of "
        f"{guess['told']}. Try another rate, first ten times higher, then lower."
    ]


def _vanishing(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    if len(layers) < 4:
        return []
    ends = layers[0], layers[-2]
    # the median of an image is 0 under pooling: most of its pixels are passed by
    measured = 4 if any("conv" in x["what"] for x in ends) else 2
    first, last = (x["gradients"][-1][measured] for x in ends)
    if not last or first is None or first * VANISHED > last:
        return []
    times = f"{last / first:,.0f}" if last < MOST_TIMES * first else f"over {MOST_TIMES:,}"
    smaller = f"{times} times smaller than" if first else "0, and not so"
    relu = "" if "relu" in layers[0]["what"] else "relu, "
    return [
        f"The gradient at the first hidden layer is {smaller} at the last one: the early layers "
        f"hardly learn. Try {relu}a normalisation, or fewer layers."
    ]


def _rates(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    changes = [(x["updates"][-1], x["name"]) for x in layers if x["updates"][-1] is not None]
    if not changes:
        return []
    most, name = max(changes)
    if most > FAST:
        return [
            f"The weights of {name} change by {100 * most:.0f} % in a step: the rate is probably "
            "too high. Try a tenth of it."
        ]
    if most < SLOW:
        return ["No weight changes by more than a millionth in a step. Try a higher rate."]
    return []


def _dead(layer: Mapping[str, Any]) -> list[str]:
    count, units = layer["dead"][-1], layer["units"]
    if count < max(1.0, DEAD_SHARE * units):
        return []
    since = max((x["epoch"] for x in layer["killed"]), default=0)
    when = f"since epoch {number(since)}" if since else "since before the first step"
    return [
        f"{count} of {units} units of {layer['name']} give the same number on every row, {when}: "
        "no gradient reaches their weights. Try a lower rate, or leaky_relu."
    ]


def _saturated(layer: Mapping[str, Any]) -> list[str]:
    count, units = layer["saturated"][-1], layer["units"]
    if count < max(1.0, DEAD_SHARE * units):
        return []
    return [
        f"{count} of {units} units of {layer['name']} lie at the ends of their activation on most "
        "rows, where its slope is nearly 0. Try smaller initial weights, or a lower rate."
    ]


def _overfitting(history: History) -> list[str]:
    if "validation_loss" not in history:
        return []
    held, losses = history["validation_loss"], history["loss"]
    if np.isfinite(held).sum() < SETTLED:
        return []
    best = int(np.argmin(np.where(np.isfinite(held), held, np.inf)))
    if not (0 < RISEN * held[best] <= held[-1] and losses[-1] < losses[best]):
        return []
    return [
        f"The validation loss was lowest in epoch {best + 1}, and is {held[-1] / held[best]:.1f} "
        "times as high now, while the training loss fell: the network learns its rows by heart. "
        "Try dropout, weight decay, a smaller network, or stop there."
    ]
