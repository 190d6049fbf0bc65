"""Training by a recipe: from a table and the name of a target to a trained model."""

from __future__ import annotations

import math
import os
from typing import Any

from chainrule.data.schema import Schema
from chainrule.data.sources import read
from chainrule.data.table import Table
from chainrule.errors import SettingError
from chainrule.fitting import Prepared
from chainrule.graph.graph import Graph
from chainrule.model import Model
from chainrule.recipe.config import Config, config
from chainrule.recipe.network import build
from chainrule.recipe.settle import settle
from chainrule.train import schedules
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import AdamW, Optimizer
from chainrule.train.optim.registry import optimizer

USUAL_INPUTS = 256
RATES = {".b": 1.6, ".scale": 96.0, ".f": 1.6, ".p": 1.6}
BETA2 = 0.95


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
    factors = rate_factors(graph)
    more: dict[str, Any] = {}
    if settled.optimizer == AdamW.name:
        more = {"beta2": BETA2, "decays": {name: 1 / x for name, x in factors.items()}}
        for x in graph.parameters:
            if x.ndim < 2 or x.suffix in (".f", ".p"):
                more["decays"].pop(graph.name(x), None)
    return optimizer(settled.optimizer, rate=rate, decay=settled.decay, rates=factors, **more)


def rate_factors(graph: Graph) -> dict[str, float]:
    """By parameter, what its rate is times that of a layer with 256 inputs."""
    factors = {}
    for x in graph.parameters:
        if not x.trainable:
            continue
        if x.suffix == ".w" and x.ndim == 2:
            factors[graph.name(x)] = math.sqrt(USUAL_INPUTS / int(x.shape[0]))
        elif x.suffix == ".w":
            factors[graph.name(x)] = RATES[".p"]
        elif x.suffix in RATES:
            factors[graph.name(x)] = RATES[x.suffix]
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


def run(
    model: Model, data: Table | Prepared, settled: Config, verbose: bool | str | None = True
) -> Model:
    """Train the model on a table, or on what is divided already, as settled."""
    assert settled.batch_size is not None
    assert settled.epochs is not None
    model.fit(
        data, optimizer=build_optimizer(settled, model.graph), batch_size=settled.batch_size,
        epochs=settled.epochs, validation=settled.validation or None, groups=settled.groups,
        time=settled.time, patience=settled.patience, clip_norm=settled.clip_norm,
        verbose=verbose,
    )  # fmt: skip
    return model


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
    return run(build(settled, schema), table, settled, verbose)
