"""Training by a recipe, stage by stage: from a table and the name of a target to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from chainrule.data.blocks import Encoded, subset
from chainrule.data.check import Finding, check_table
from chainrule.data.columns.signals import signal_columns, with_signal
from chainrule.data.columns.target import ClassTarget
from chainrule.data.columns.texts import with_gaps
from chainrule.data.digest import TableDigest
from chainrule.data.features import Features, features
from chainrule.data.predictions import Predictions
from chainrule.data.repeats import Keys, keys_of
from chainrule.data.schema import Schema
from chainrule.data.table import Table, require_column
from chainrule.data.twins import check_pictures
from chainrule.display.format import counted
from chainrule.display.screen import Screen
from chainrule.errors import SettingError
from chainrule.graph.node import Array
from chainrule.model.model import Model
from chainrule.model.prepare import Prepared, divide, encode, prepare
from chainrule.model.ranked import usual_blocks
from chainrule.recipe.calibration import calibrate, crossfitted, temperature_of
from chainrule.recipe.config import Config, resolve
from chainrule.recipe.evaluation import evaluate, without_repeats
from chainrule.recipe.fit import ANNEALED_SCHEDULES, Recorded, fit, keeps_best
from chainrule.recipe.importance import importance
from chainrule.recipe.kinds import shares_in_words
from chainrule.recipe.length import FOLDS, Crossed, choose_length, work_after
from chainrule.recipe.made import Made
from chainrule.recipe.mixture import weights_of
from chainrule.recipe.network import build
from chainrule.recipe.remarks import AFTER_REFIT, on_choice, on_crossvalidation, on_weights
from chainrule.recipe.report import make_report
from chainrule.recipe.target import default_target, refuse_unlabelled
from chainrule.recipe.telling import print_config
from chainrule.report.page import Report
from chainrule.report.results import Evaluation, Importance
from chainrule.report.text import (
    ColumnRow,
    column_rows,
    print_columns,
    print_findings,
    print_notes,
)
from chainrule.system.ranks.world import speaks, world
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import Checkpoint, within
from chainrule.train.progress import Progress, choose
from chainrule.version import __version__

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
        checkpoint: of the run, whose fits each have a folder within; None: nothing is kept.
        device: that trains, as in `Model.fit`.
    """

    table: Table
    schema: Schema
    config: Config
    checkpoint: Checkpoint | None = None
    device: str = "cpu"
    _runs: int = field(default=0, init=False)
    _fits: int = field(default=0, init=False)
    _crossed: Crossed | None = field(default=None, init=False)
    _before_refit: tuple[dict[str, Array], int] | None = field(default=None, init=False)

    @classmethod
    def of(cls, table: Table, chosen: Config) -> Training:
        """Learn the columns of a table, and resolve the settings.

        Raises:
            SettingError: a setting is not valid. DataError: the table cannot be used.
        """
        if chosen.target is None:
            chosen = replace(chosen, target=default_target(table))
        if chosen.target is None:
            refuse_unlabelled(table)
            raise SettingError(
                "train", "no target is given",
                got="columns " + ", ".join(table.columns),
                fix="name the column to predict: target=...",
            )  # fmt: skip
        named = {"groups": [chosen.groups], "time": [chosen.time], "ignore": chosen.ignore}
        for key, names in named.items():
            for name in names:
                require_column(key, name, table)
        table = with_gaps(table, chosen.gaps)
        options: dict[str, dict[str, Any]] = {
            "picture": {"size": chosen.size or (), "colour": chosen.colour}
        }
        for name in chosen.signal:
            columns = signal_columns(table, name)
            if chosen.target in columns:
                raise SettingError(
                    "signal", f"the target {chosen.target!r} is one of its columns",
                    got=f"{name}, {counted(len(columns), 'column')}",
                    expected="columns that are there when the target is not known",
                    fix="name the columns before it and behind it as two signals, or move it",
                )  # fmt: skip
            table = with_signal(table, name, columns)
            options[name] = {"columns": columns if columns != [name] else ()}
        schema = Schema.learn(
            table, chosen.target, kinds=kinds_of(chosen), task=chosen.task, options=options
        )
        if isinstance(schema.target, ClassTarget) and chosen.class_weights == "balanced":
            schema = msgspec.structs.replace(schema, target=schema.target.balanced())
        resolved = resolve(chosen, schema)
        blocks = resolved.blocks or usual_blocks(world())  # so that one process can repeat it
        return cls(table, schema, replace(resolved, blocks=blocks))

    @cached_property
    def findings(self) -> list[Finding]:
        """The findings of the data check, the worst first; other stages do not need them."""
        kinds, task = kinds_of(self.config), self.config.task
        alike = self.config.time is None and self.config.groups is None
        found = check_table(
            self.table, self.config.target, kinds=kinds, task=task, shuffled_split=alike
        )
        return [*check_pictures(self.schema, self.encoded), *found]

    @cached_property
    def features(self) -> Features:
        """The columns as nodes of the graph."""
        return features(self.schema, scaling=self.config.scaling)

    @cached_property
    def model(self) -> Model[Predictions]:
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
    def digest(self) -> TableDigest:
        """The digest of the table, by which it is known again."""
        grids = {x.columns[0]: x.name for x in self.schema.blocks if x.kind == "grid"}
        arrays = self.encoded.arrays if grids else {}
        return TableDigest.of(self.table, {column: arrays[x] for column, x in grids.items()})

    @cached_property
    def _encoded(self) -> tuple[Any, ...]:
        return encode(self.schema, self.table, self.config.groups, self.config.time)

    def fit(
        self, verbose: Verbose = True, callbacks: Sequence[Callback] = (), record: Recorded = None
    ) -> None:
        """Train on the training rows, and calibrate; then `config` has all settings.

        Args:
            verbose, record: as in `Model.fit`.
            callbacks: of the run on the training rows.
        """
        model, data = self.model, self.data
        with choose(verbose) as progress:
            refits, maybe = self._refits, self._may_end_early
            if self.config.epochs is None:
                rows = f"{FOLDS}-fold cross-validation on the {len(data.rows):,} training rows"
                later = work_after(self.config, refits)
                self._announce(progress, f"how long to train, by {rows}", 1 + refits, maybe, later)
                # each rank trains all of these networks, and one alone keeps them
                kept = within(self.checkpoint, "cross-validation") if speaks() else None
                self.config, self._crossed = choose_length(
                    model, data, self.config, progress, kept, self.device
                )
            resolved = self.config
            model.notes |= {"config": asdict(resolved), "data": list(self.schema.notes)}
            model.notes |= Made.here(self.digest, complete=False).noted()
            what = (
                f"training on {counted(len(data.rows), 'row')}, {'up to ' * maybe}"
                f"{counted(resolved.epochs or 0, 'epoch')}"
            )
            self._announce(progress, what, refits, maybe, self._refit_share)
            kept = within(self.checkpoint, "training")
            fit(model, data, resolved, progress, callbacks, record, kept, self.device)
            best, self._fits = model.history.best, 1
            if best is not None and self._ended_early:
                self._fits = 2
                self._fit_shorter(best, progress, record)
        calibrate(model, data, self.config)
        model.trained_rows = self._trained
        model.notes |= Made.here(self.digest, complete=not self._refits).noted()

    def _fit_shorter(self, best: int, progress: Progress, record: Recorded) -> None:
        """Train anew where patience ended the training before the rate was annealed.

        It takes up to twice the best number of epochs; the better of both models remains.
        """
        model, resolved = self.model, self.config
        assert resolved.epochs is not None
        again, epochs = model.untrained(), min(2 * best, resolved.epochs)
        why = "the first run ended before its rate had fallen; the better one is kept"
        what = f"the same for {counted(epochs, 'epoch')}: {why}"
        self._announce(progress, what, self._refits, False, self._refit_share)
        shorter = replace(resolved, epochs=epochs, patience=epochs)
        kept = within(self.checkpoint, "shorter")
        fit(again, self.data, shorter, progress, (), record, kept, self.device)
        losses = [np.nanmin(x.history["validation_loss"]) for x in (model, again)]
        if losses[1] < losses[0]:
            model.restore(again.values | again.slots, again.steps)
            model.history = again.history
            model.record, model.learning = again.record, again.learning

    def refit(self, verbose: Verbose = True) -> bool:
        """Train anew on all rows, for the best number of epochs; returns whether it did.

        The history remains, and `scored` is the model before. Scores of the new one on rows that
        were held out are invalid.
        """
        model, data, resolved = self.model, self.data, self.config
        if not self._refits:
            return False
        again = model.untrained()
        rows = np.sort(np.concatenate([data.rows, data.held_rows]))
        sentence = self.refit_in_words
        epochs = self.kept
        all_rows = divide(data.arrays, rows, None, resolved.seed)
        with choose(verbose) as progress:
            self._announce(progress, f"{sentence}, for {counted(epochs or 0, 'epoch')}", 0)
            whole = replace(resolved, epochs=epochs, patience=None)
            kept = within(self.checkpoint, "all-rows")
            fit(again, all_rows, whole, progress, checkpoint=kept, device=self.device)
        self._before_refit = model.values, model.steps
        chosen = weights_of(model) | temperature_of(model)
        model.restore(again.values | again.slots | chosen, again.steps)
        model.split += f"; then {sentence}"
        if model.learning is not None:
            ran = counted(len(data.rows), "row")
            told = f"what was recorded is the run on {ran}; then {sentence}"
            model.learning = replace(model.learning, notes=[*model.learning.notes, told])
        model.trained_rows = keys_of(subset(self.encoded, rows))
        model.notes |= Made.here(self.digest, complete=True).noted()
        return True

    # ------------------------------------------------------------ results

    @property
    def refit_in_words(self) -> str:
        """The work of `refit`: "once more on all 344 rows"; empty where it does nothing."""
        count = len(self.data.rows) + len(self.data.held_rows)
        return f"once more on all {counted(count, 'row')}" if self._refits else ""

    @property
    def in_parts(self) -> bool:
        """Whether the data were read in parts."""
        return False

    @property
    def refitted(self) -> bool:
        """Whether the model is that of `refit`."""
        return self._before_refit is not None

    @cached_property
    def scored(self) -> Model:
        """The model before `refit`, which has not seen the rows held out."""
        if self._before_refit is None:
            return self.model
        before = self.model.untrained()
        before.restore(*self._before_refit)
        return before

    @property
    def kept(self) -> int | None:
        """The epoch whose parameters remained, before `refit`."""
        history = self.model.history
        return history.best if keeps_best(self.data, self.config) else history.last_epoch

    @cached_property
    def on_training(self) -> Evaluation:
        """The scores on the training rows."""
        return evaluate(self.scored, subset(self.encoded, self.data.rows), "training")

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """The scores on the rows held out; empty where none were.

        Rows that repeat training rows are left out of a second evaluation, where there are any.
        """
        held = self.data.held_rows
        if not len(held):
            return []
        encoded = subset(self.encoded, held)
        prediction = crossfitted(self.scored, self.data, self.config, encoded)
        found = evaluate(self.scored, encoded, "validation", prediction)
        remarks = [
            on_weights(shares_in_words(self.config, weights), len(held))
            for weights in weights_of(self.scored).values()
        ]
        if self.kept is not None and keeps_best(self.data, self.config):
            remarks += [on_choice(self.kept, self.model.history.last_epoch, self._fits)]
        if self._crossed is not None:
            remarks += on_crossvalidation(found, self._crossed, len(self.data.rows))
        if self._before_refit is not None:
            remarks += [AFTER_REFIT]
        return without_repeats(self.scored, replace(found, remarks=tuple(remarks)), self._trained)

    def test(self, encoded: Encoded, name: str = "test") -> list[Evaluation]:
        """The scores on further rows, and on those that do not repeat training rows."""
        found = evaluate(self.scored, encoded, name)
        remarks = () if self._before_refit is None else (AFTER_REFIT,)
        return without_repeats(self.scored, replace(found, remarks=remarks), self._trained)

    @cached_property
    def importance(self) -> Importance:
        """The importance of columns on the rows held out, or else on the training rows."""
        return importance(self.scored, (self.evaluations or [self.on_training])[0])

    @cached_property
    def _trained(self) -> Keys:
        return keys_of(subset(self.encoded, self.data.rows))

    @property
    def columns(self) -> list[ColumnRow]:
        """The name, kind, reason and treatment of each column."""
        return column_rows(self.schema, self.features.treatments)

    def number(self, row: int) -> int:
        """The number, from 1, of a row of the table in its source."""
        return row + 1

    def report(self, tests: Sequence[Evaluation] = (), **facts: Any) -> Report:
        """The report of the training.

        Args:
            tests: the scores on further rows.
            facts: further fields of Report.
        """
        return make_report(
            model=self.model, table=self.table, config=self.config, kept=self.kept,
            columns=self.columns, findings=self.findings, on_training=self.on_training,
            evaluations=[*self.evaluations, *tests], importance=self.importance,
            number=self.number,
            facts={"version": __version__, "notes": self.schema.notes} | facts,
        )  # fmt: skip

    def print_data(self, screen: Screen) -> None:
        """Print notes on the rows, the columns, and the findings of the data check."""
        print_notes(screen, [x for x in self.schema.notes if x not in self.table.notes])
        print_columns(screen, self.columns)
        print_findings(screen, self.findings)

    def print_settings(self, screen: Screen) -> None:
        """Print the split of the rows, and the configuration."""
        screen.heading("Split")
        screen.say(self.data.sentence, indent=2)
        print_config(screen, self.config)

    # ------------------------------------------------------------ the runs, in words

    @property
    def _refits(self) -> bool:
        return self.config.refit == "yes" and len(self.data.held_rows) > 0

    @property
    def _refit_share(self) -> float:
        """The work of a run on all rows, in units of one on the training rows."""
        data = self.data
        return (1 + len(data.held_rows) / len(data.rows)) if self._refits else 0.0

    @property
    def _may_end_early(self) -> bool:
        resolved = self.config
        return resolved.patience is not None and resolved.schedule in ANNEALED_SCHEDULES

    @property
    def _ended_early(self) -> bool:
        """Whether patience ended the training before the rate was annealed."""
        ended = self.model.history.last_epoch != self.config.epochs
        return ended and self.config.schedule in ANNEALED_SCHEDULES

    def _announce(
        self, progress: Progress, what: str, after: int, maybe: bool = False, later: float = 0.0
    ) -> None:
        """Show what the next run is for, and its number where there are several.

        Args:
            after: the number of runs that follow for certain.
            maybe: whether there may be one more.
            later: their work, in units of the next one.
        """
        self._runs += 1
        count = self._runs + after + maybe
        if count > 1:
            progress.stage(f"Run {self._runs} of {'up to ' * maybe}{count}: {what}", later)


def kinds_of(chosen: Config) -> Mapping[str, str]:
    """The given kinds of columns, including those left out."""
    groups = [chosen.groups] if chosen.groups is not None else []
    ignored = dict.fromkeys(chosen.ignore, "ignore")
    signals = dict.fromkeys(chosen.signal, "signal")
    return dict.fromkeys(groups, "ignore") | signals | dict(chosen.kinds) | ignored
