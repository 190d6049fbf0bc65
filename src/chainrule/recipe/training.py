"""Training by a recipe: from a table and the name of a target to a trained model."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from chainrule.data.readers.sources import read
from chainrule.data.schema import Schema
from chainrule.data.table import Table
from chainrule.errors import SettingError
from chainrule.model.model import Model
from chainrule.model.prepare import Prepared, divide, prepare
from chainrule.recipe.calibration import calibrate, temperature_of
from chainrule.recipe.config import Config, config
from chainrule.recipe.fit import FALLING, fit, keeps_best
from chainrule.recipe.length import choose_length
from chainrule.recipe.network import build
from chainrule.recipe.settle import settle
from chainrule.train.progress import Progress, choose


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
    model: Model, data: Prepared, settled: Config, verbose: bool | str | Progress | None = True
) -> Config:
    """Train the model as settled, on what is divided already, and calibrate it.

    Returns what it was trained with: epochs and rate may have been open.
    """
    settled = choose_length(model, data, settled, verbose)
    model.notes["config"] = asdict(settled)
    fit(model, data, settled, verbose)
    best, last = model.history.best, model.history.last_epoch
    if best is not None and last != settled.epochs and settled.schedule in FALLING:
        _fit_shorter(model, data, settled, best, verbose)
    calibrate(model, data)
    return settled


def _fit_shorter(
    model: Model, data: Prepared, settled: Config, best: int,
    verbose: bool | str | Progress | None,
) -> None:  # fmt: skip
    """Where patience ended the training before the rate had come down: train anew.

    It takes twice as long as it got better, now with the rate coming down; the better one is kept.
    """
    assert model.schema is not None
    assert settled.epochs is not None
    again, epochs = build(settled, model.schema), min(2 * best, settled.epochs)
    fit(again, data, replace(settled, epochs=epochs, patience=epochs), verbose)
    losses = [np.nanmin(x.history["validation_loss"]) for x in (model, again)]
    if losses[1] < losses[0]:
        model.restore(again.values | again.slots, again.steps)
        model.history = again.history


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
    with choose(verbose) as progress:
        progress.note(sentence)
    whole = divide(data.arrays, every, None, settled.seed)
    fit(again, whole, replace(settled, epochs=epochs, patience=None), verbose)
    model.restore(again.values | again.slots | temperature_of(model), again.steps)
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
    data = prepare(model, table, settled.validation or None, settled.groups, settled.time)
    settled = run(model, data, settled, verbose)
    refit(model, data, settled, verbose)
    return model
