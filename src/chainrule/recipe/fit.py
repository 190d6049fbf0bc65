"""One fit of a recipe's model: its optimizer, and the rates of its parameters."""

from __future__ import annotations

import math
from typing import Any

from chainrule.graph.graph import Graph
from chainrule.model.fit import Prepared
from chainrule.model.model import Model
from chainrule.recipe.config import Config
from chainrule.recipe.settle import JUDGED_FROM
from chainrule.train import schedules
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import OPTIMIZERS, AdamW, Optimizer
from chainrule.train.optim.registry import optimizer
from chainrule.train.progress import Progress

USUAL_INPUTS = 256
"""Inputs of the layer whose rate is the one told; with more of them, each weight matters less."""
RATES = {".b": 1.6, ".scale": 96.0, ".f": 1.6, ".p": 1.6}
"""What the rate of other parameters is multiplied by: those of Holzmüller et al. 2024."""
FALLING = ("cosine", "log_cosine", "one_cycle")
"""Schedules whose rate comes down to 0 with the last epoch."""
BETA2 = 0.95
"""AdamW's memory of squares: a shorter one than usual, after the same source."""


def build_optimizer(settled: Config, graph: Graph) -> Optimizer | LBFGS:
    """The optimizer with its schedule, and the factors on the rate of each parameter."""
    assert settled.rate is not None
    assert settled.decay is not None
    rate: float | schedules.Schedule = settled.rate
    if settled.schedule == "cosine":
        rate = schedules.Cosine(settled.rate)
    elif settled.schedule == "log_cosine":
        rate = schedules.LogCosine(settled.rate)
    elif settled.schedule == "one_cycle":
        rate = schedules.OneCycle(settled.rate)
    elif settled.schedule == "reduce_on_plateau":
        rate = schedules.ReduceOnPlateau(
            settled.rate, patience=max(2, (settled.patience or 9) // 3)
        )
    if settled.optimizer == LBFGS.name:
        return LBFGS(decay=settled.decay)
    more: dict[str, Any] = {}
    kind = OPTIMIZERS.get(settled.optimizer, LBFGS)
    if issubclass(kind, Optimizer) and kind.adaptive:
        more["rates"] = factors = rate_factors(graph)
    if settled.optimizer == AdamW.name:  # each weight decays by rate * decay, whatever its factor
        weights = {graph.name(x) for x in graph.parameters if x.suffix == ".w"}
        more["decays"] = {name: 1 / x for name, x in factors.items() if name in weights}
        more["beta2"] = BETA2
    return optimizer(settled.optimizer, rate=rate, decay=settled.decay, **more)


def rate_factors(graph: Graph) -> dict[str, float]:
    """By parameter, what its rate is times that of a layer with 256 inputs."""
    factors = {}
    for x in graph.parameters:
        inputs = x.shape[0] if x.ndim else 1
        if x.trainable and x.suffix == ".w" and x.ndim == 2 and isinstance(inputs, int):
            factors[graph.name(x)] = math.sqrt(USUAL_INPUTS / inputs)
        elif x.trainable and (x.suffix in RATES or x.suffix == ".w"):
            factors[graph.name(x)] = RATES.get(x.suffix, RATES[".f"])
    return factors


def fit(
    model: Model, data: Prepared, settled: Config, verbose: bool | str | Progress | None = True
) -> None:
    """Train a model as settled, on what is divided already."""
    assert settled.batch_size is not None
    model.fit(
        data, optimizer=build_optimizer(settled, model.graph), batch_size=settled.batch_size,
        epochs=settled.epochs, patience=settled.patience, keep_best=keeps_best(data, settled),
        clip_norm=settled.clip_norm, verbose=verbose,
    )  # fmt: skip


def keeps_best(data: Prepared, settled: Config) -> bool:
    """Whether the rows held out tell the best epoch from others; few would pick one by chance."""
    return settled.patience is not None or len(data.held_rows) >= JUDGED_FROM
