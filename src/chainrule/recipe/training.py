"""Training by a recipe, stage by stage: from a table and the name of a target to a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.data.blocks import Encoded
from chainrule.data.check import Finding, check_table
from chainrule.data.features import Features, features
from chainrule.data.readers.sources import read
from chainrule.data.schema import Schema
from chainrule.data.table import Table
from chainrule.errors import SettingError
from chainrule.model.model import Model
from chainrule.model.prepare import Prepared, divide, encode, prepare
from chainrule.recipe.calibration import calibrate, temperature_of
from chainrule.recipe.config import Config, config, resolve
from chainrule.recipe.fit import ANNEALED_SCHEDULES, fit, keeps_best
from chainrule.recipe.length import choose_length
from chainrule.recipe.network import build
from chainrule.train.progress import Progress, choose

Verbose = bool | str | Progress | None


@dataclass(eq=False)
class Training:
    """The stages of a training run on a table, in order, each with its results.

    `of` learns the columns and resolves the settings; `model` and `data` are made when they are
    first read; `fit` and `refit` train the model. A caller may show each result before the next.

    Attributes:
        table: the training data.
        schema: of its columns.
        config: all settings; `fit` chooses epochs and rate where they are open.
    """

    table: Table
    schema: Schema
    config: Config

    @classmethod
    def of(cls, table: Table, chosen: Config) -> Training:
        """Learn the columns of a table, and resolve the settings.

        Raises:
            SettingError: a setting is not valid. DataError: the table cannot be used.
        """
        if chosen.target is None:
            raise SettingError(
                "train", "no target is given",
                got="columns " + ", ".join(table.columns),
                fix="name the column to predict: target=...",
            )  # fmt: skip
        for name in (chosen.groups, chosen.time):
            if name is not None:
                _ = table[name]  # the error names the nearest column
        schema = Schema.learn(table, chosen.target, kinds=_kinds(chosen), task=chosen.task)
        return cls(table, schema, resolve(chosen, schema))

    @cached_property
    def findings(self) -> list[Finding]:
        """The findings of the data check, the worst first; other stages do not need them."""
        kinds, task = _kinds(self.config), self.config.task
        return check_table(self.table, self.config.target, kinds=kinds, task=task)

    @cached_property
    def features(self) -> Features:
        """The columns as nodes of the graph."""
        return features(self.schema, scaling=self.config.scaling)

    @cached_property
    def model(self) -> Model:
        """The model: untrained before `fit`."""
        return build(self.config, self.schema, self.features)

    @cached_property
    def encoded(self) -> Encoded:
        """The rows that have a target, as arrays."""
        encoded: Encoded = self._encoded[0]
        return encoded

    @cached_property
    def data(self) -> Prepared:
        """The rows as arrays for the model, split into training rows and rows held out."""
        encoded, groups, time = self._encoded
        return prepare(self.model, encoded, self.config.validation or None, groups, time)

    @cached_property
    def _encoded(self) -> tuple[Any, ...]:
        return encode(self.schema, self.table, self.config.groups, self.config.time)

    def fit(self, verbose: Verbose = True) -> None:
        """Train on the training rows, and calibrate; then `config` has all settings."""
        model, data = self.model, self.data
        self.config = resolved = choose_length(model, data, self.config, verbose)
        model.notes["config"] = asdict(resolved)
        fit(model, data, resolved, verbose)
        best, last = model.history.best, model.history.last_epoch
        if best is not None and last != resolved.epochs and resolved.schedule in ANNEALED_SCHEDULES:
            self._fit_shorter(best, verbose)
        calibrate(model, data)

    def _fit_shorter(self, best: int, verbose: Verbose) -> None:
        """Train anew where patience ended the training before the rate was annealed.

        It takes up to twice the best number of epochs; the better of both models remains.
        """
        model, resolved = self.model, self.config
        assert resolved.epochs is not None
        again, epochs = build(resolved, self.schema), min(2 * best, resolved.epochs)
        fit(again, self.data, replace(resolved, epochs=epochs, patience=epochs), verbose)
        losses = [np.nanmin(x.history["validation_loss"]) for x in (model, again)]
        if losses[1] < losses[0]:
            model.restore(again.values | again.slots, again.steps)
            model.history = again.history

    def refit(self, verbose: Verbose = True) -> bool:
        """Train anew on all rows, for the best number of epochs; returns whether it did.

        The history remains. Scores on rows that were held out are invalid afterwards.
        """
        model, data, resolved = self.model, self.data, self.config
        if resolved.refit != "yes" or not len(data.held_rows):
            return False
        again = build(resolved, self.schema)
        rows = np.sort(np.concatenate([data.rows, data.held_rows]))
        sentence = f"once more on all {len(rows):,} rows"
        epochs = model.history.best if keeps_best(data, resolved) else model.history.last_epoch
        with choose(verbose) as progress:
            progress.note(sentence)
        all_rows = divide(data.arrays, rows, None, resolved.seed)
        fit(again, all_rows, replace(resolved, epochs=epochs, patience=None), verbose)
        model.restore(again.values | again.slots | temperature_of(model), again.steps)
        model.split += f"; then {sentence}"
        return True


def _kinds(chosen: Config) -> Mapping[str, str]:
    """The given kinds of columns, including those left out."""
    groups = [chosen.groups] if chosen.groups is not None else []
    ignored = dict.fromkeys(chosen.ignore, "ignore")
    return dict.fromkeys(groups, "ignore") | dict(chosen.kinds) | ignored


def train(
    source: Table | str | os.PathLike[str] | Any, target: str, *,
    verbose: bool | str | None = True, **settings: Any,
) -> Model:  # fmt: skip
    """A trained model from a table: `cr.train("penguins", target="species")`.

    Args:
        source: a file (CSV, TSV, Parquet, JSON), a SQL query, the name of a data set, or a table
            in memory: pandas, polars, Arrow, NumPy, a dict of columns.
        target: the column to predict.
        settings: as in `Config`; the others are chosen by the data.
        verbose: as in `Model.fit`.

    Raises:
        DataError: the table cannot be used. SettingError: a setting is not valid.
    """
    training = Training.of(read(source), config(target=target, **settings))
    training.fit(verbose)
    training.refit(verbose)
    return training.model
