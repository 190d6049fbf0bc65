"""Training by a recipe: from a table and the name of a target to a trained model."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from chainrule import fitting
from chainrule.data.schema import Schema
from chainrule.data.sources import read
from chainrule.data.table import Table
from chainrule.errors import SettingError
from chainrule.fitting import Prepared
from chainrule.graph.graph import Graph
from chainrule.model import Model
from chainrule.recipe.calibration import TEMPERATURE, calibrate
from chainrule.recipe.config import Config, config
from chainrule.recipe.network import build
from chainrule.recipe.settle import JUDGED_FROM, settle
from chainrule.train import schedules
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import AdamW, Optimizer
from chainrule.train.optim.registry import optimizer

USUAL_INPUTS = 256
"""Inputs of the layer whose rate is the one told; with more of them, each weight matters less."""
RATES = {".b": 1.6, ".scale": 96.0, ".f": 1.6, ".p": 1.6}
"""What the rate of other parameters is multiplied by: those of Holzmüller et al. 2024."""
FALLING = ("cosine", "log_cosine", "one_cycle")
"""Schedules whose rate comes down to 0 with the last epoch."""
BETA2 = 0.95
"""AdamW's memory of squares: a shorter one than usual, after the same source."""
ADAPTIVE = ("adam", "adamw", "amsgrad", "nadam", "radam", "adamax", "lion")
"""Optimizers whose steps are about as long as the rate, whatever the gradient: factors fit them."""


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
    if settled.optimizer == "lbfgs":
        return LBFGS(decay=settled.decay)
    more: dict[str, Any] = {}
    if settled.optimizer in ADAPTIVE:
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


def learn(table: Table, chosen: Config) -> Schema:
    """What the table teaches about its columns. Raises SettingError, DataError."""
    if chosen.target is None:
        raise SettingError(
            "train", "which column is to be predicted?", got="columns " + ", ".join(table.columns),
            fix="name it: target=...",
        )  # fmt: skip
    left_out = [x for x in (chosen.groups,) if x is not None and x not in chosen.kinds]
    return Schema.learn(
        table, chosen.target, kinds=chosen.kinds, task=chosen.task,
        ignore=list(dict.fromkeys([*chosen.ignore, *left_out])),
    )  # fmt: skip


def run(model: Model, data: Prepared, settled: Config, verbose: bool | str | None = True) -> Model:
    """Train the model as settled, on what is divided already, and calibrate it."""
    _fit(model, data, settled, settled.epochs, settled.patience, verbose)
    best, last = model.history.best, model.history.last_epoch
    if best is not None and last != settled.epochs and settled.schedule in FALLING:
        _fit_shorter(model, data, settled, best, verbose)
    calibrate(model, data)
    return model


def _fit_shorter(
    model: Model, data: Prepared, settled: Config, best: int, verbose: bool | str | None
) -> None:
    """Where patience ended the training before the rate had come down: train anew.

    It takes twice as long as it got better, now with the rate coming down; the better one is kept.
    """
    assert model.schema is not None
    assert settled.epochs is not None
    again = build(settled, model.schema)
    _fit(again, data, settled, min(2 * best, settled.epochs), None, verbose)
    losses = [np.nanmin(x.history["validation_loss"]) for x in (model, again)]
    if losses[1] < losses[0]:
        model.restore(again.values | again.slots, again.steps)
        model.history = again.history


def _fit(
    model: Model, data: Prepared, settled: Config, epochs: int | None, patience: int | None,
    verbose: bool | str | None,
) -> None:  # fmt: skip
    assert settled.batch_size is not None
    model.fit(
        data, optimizer=build_optimizer(settled, model.graph), batch_size=settled.batch_size,
        epochs=epochs, patience=patience, keep_best=keeps_best(data, settled),
        clip_norm=settled.clip_norm, verbose=verbose,
    )  # fmt: skip


def keeps_best(data: Prepared, settled: Config) -> bool:
    """Whether the rows held out tell the best epoch from others; few would pick one by chance."""
    stops = (settled.patience or 0) < (settled.epochs or 0)
    return len(data.held_rows) >= JUDGED_FROM or stops


def refit(model: Model, data: Prepared, settled: Config, verbose: bool | str | None = True) -> bool:
    """Train the model anew on all rows, as long as served best; its history stays. Whether it did.

    Scores of the rows that were held out say no more what the model is worth: take them before.
    """
    assert model.schema is not None
    if settled.refit != "yes" or not len(data.held_rows):
        return False
    again = build(settled, model.schema)
    every = np.sort(np.concatenate([data.rows, data.held_rows]))
    sentence = f"once more on all {len(every):,} rows"
    epochs = model.history.best if keeps_best(data, settled) else model.history.last_epoch
    _fit(again, Prepared(data.arrays, every, None, every[:0], sentence), settled, epochs, None,
         verbose)  # fmt: skip
    kept = {TEMPERATURE: model.value(TEMPERATURE)} if TEMPERATURE in model.values else {}
    model.restore(again.values | again.slots | kept, again.steps)
    model.split += f"; then {sentence}"
    return True


def train(
    source: Table | str | os.PathLike[str] | Any, target: str, *,
    verbose: bool | str | None = True, **settings: Any,
) -> Model:  # fmt: skip
    """A trained model from a table: `cr.train("penguins", target="species")`.

    Args:
        source: a file (CSV, TSV, Parquet, JSON), a SQL query, the name of a data set, or a table
            in memory: pandas, polars, Arrow, NumPy, a dict of columns.
        target: the column to predict.
        settings: as in `Config`; what is not given is chosen by the data.
        verbose: as in `Model.fit`.

    Raises:
        DataError: the table cannot be used. SettingError: a setting makes no sense.
    """
    table = read(source)
    chosen = config(target=target, **settings)
    schema = learn(table, chosen)
    settled = settle(chosen, schema)
    model = build(settled, schema)
    data = fitting.prepare(model, table, settled.validation or None, settled.groups, settled.time)
    run(model, data, settled, verbose)
    refit(model, data, settled, verbose)
    return model
