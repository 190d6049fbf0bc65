"""Search over the recipe's settings: random ones, of which the best are trained longer."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from chainrule import recipe
from chainrule.data.readers.sources import read
from chainrule.data.schema import Schema
from chainrule.data.table import Table
from chainrule.display.format import number, words
from chainrule.errors import SettingError
from chainrule.model import fit as fitting
from chainrule.model.fit import Prepared
from chainrule.model.many import Task, train_many
from chainrule.model.model import Model
from chainrule.recipe import LENGTHS, Config, usual_length
from chainrule.system.checks import integer
from chainrule.train.metrics import direction
from chainrule.train.progress import Progress, choose

ROUNDS = 3
"""The first of them trains for a ninth of the epochs; shorter runs tell too little."""
METRICS = {"classification": "log_loss", "regression": "rmse"}
"""The default criteria: they move with every row, as accuracy does not."""

Space = Mapping[str, Any]


@dataclass
class Trial:
    """One of the settings that were tried.

    Attributes:
        settings: what was drawn; nothing for the recipe as it is.
        config: all settings.
        epochs: for how many it was last trained, at most.
        score: on the validation rows, of the last time; NaN where training failed.
        error: why it failed.
    """

    settings: dict[str, Any]
    config: Config
    epochs: int = 0
    score: float = math.nan
    error: Exception | None = None


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        model: the best one, trained to the end, and once more on all rows where so settled.
        metric: what it was judged by.
        trials: all of them, the best first.
    """

    model: Model
    metric: str
    trials: tuple[Trial, ...]

    @property
    def config(self) -> Config:
        """The settings of the best one."""
        return self.trials[0].config

    def __repr__(self) -> str:
        lines = [f"{words(self.metric):>12}  epochs  settings"]
        for trial in self.trials:
            told = ", ".join(f"{key}={_told(x)}" for key, x in trial.settings.items())
            line = f"{number(trial.score):>12}  {trial.epochs:>6}  "
            lines.append(line + (told or "the recipe as it is"))
        return "\n".join(lines)


def search(
    source: Table | str | os.PathLike[str] | Any,
    target: str,
    *,
    trials: int = 27,
    space: Space | None = None,
    factor: int = 3,
    metric: str | None = None,
    jobs: int | None = None,
    verbose: bool | str | None = True,
    **settings: Any,
) -> Search:
    """Try settings of the recipe on a table, many at once, and keep the best model.

    Successive halving: all trials are trained for a few epochs, the best third of them three
    times as long, and the best third of those to the end. The first is the recipe as it is. The
    best model is trained once more, on all rows, but with `refit="no"`.
    Ctrl-C ends the search with what it has found.

    Args:
        source, target: as for `train`.
        trials: how many settings to try.
        space: what to draw from, by setting: a list of values, (low, high) for a number drawn
            evenly on a logarithmic scale, or what has `rvs(random_state=...)`, as the
            distributions of SciPy have. None: sizes and strengths around those of the recipe.
        factor: one of so many goes on to the next round; 1 trains all to the end: random search.
        metric: judges on the validation rows; None: log_loss, or rmse.
        jobs: how many are trained at a time; None: one on each processor.
        verbose: as for `Model.fit`.
        settings: as in `Config`, for all trials; `seed` is also that of the draws.

    Scores are those of the validation rows, taken before these train too. That of the best one of
    many is too good: they were chosen by it. Judge the model on rows that the search has not seen.

    Raises:
        DataError: the table cannot be used. SettingError: a setting makes no sense.
    """
    integer("search", "trials", trials, 1)
    integer("search", "factor", factor, 1)
    table = read(source)
    settings = {"refit": "yes"} | settings
    chosen = recipe.config(target=target, **settings)
    if chosen.validation == 0:
        raise SettingError("search", "trials are judged on validation rows", fix="validation=0.2")
    schema = recipe.learn(table, chosen)
    base = recipe.settle(chosen, schema)
    metric = metric or METRICS[base.task or "classification"]
    better = -1.0 if direction(metric) == "max" else 1.0
    ranges = around(base) if space is None else space
    ranges = {key: x for key, x in ranges.items() if key not in settings}
    random = np.random.default_rng(base.seed)
    tried = [Trial({}, usual_length(base))]
    for _ in range(trials - 1):
        drawn = {key: draw(key, x, random) for key, x in ranges.items()}
        config = recipe.config(target=target, **settings, **drawn)
        tried.append(Trial(drawn, usual_length(recipe.settle(config, schema))))
    study = _Study(table, schema, metric, better, jobs, choose(verbose))
    return study.run(tried, factor)


def around(base: Config) -> dict[str, Any]:
    """The default search space: around the settings that the recipe has chosen."""
    width, batch = max(base.hidden or (64,)), base.batch_size or 64
    ranges: dict[str, Any] = {
        "hidden": [(width,), (width // 2,) * 2, (width,) * 2, (2 * width,) * 2, (width,) * 3],
        "dropout": [0.0, 0.1, 0.2, 0.35],
        "batch_size": [max(batch // 2, 1), batch, 2 * batch],
    }
    if base.epochs is None:
        ranges["epochs"] = sorted({epochs for epochs, _ in LENGTHS})
    for key in ("rate", "decay"):
        usual = getattr(usual_length(base), key)
        if usual:
            ranges[key] = (usual / 5, usual * 5)
    return ranges


def draw(key: str, values: Any, random: np.random.Generator) -> Any:
    """One of the values of a setting. Raises SettingError where they are none."""
    if hasattr(values, "rvs"):
        return values.rvs(random_state=random)
    if isinstance(values, tuple) and len(values) == 2 and all(map(_positive, values)):
        low, high = values
        drawn = math.exp(random.uniform(math.log(low), math.log(high)))
        return round(drawn) if isinstance(low, int) and isinstance(high, int) else drawn
    if isinstance(values, list) and values:
        return values[random.integers(len(values))]
    raise SettingError(
        "search", f"the space of {key!r} is nothing to draw from", got=repr(values),
        expected="a list of values, (low, high) above 0, or a distribution with rvs()",
    )  # fmt: skip


def _positive(x: object) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and x > 0


def _told(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


class _Study:
    """The rounds of a search on one table."""

    def __init__(
        self, table: Table, schema: Schema, metric: str, better: float, jobs: int | None,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._table, self._schema = table, schema
        self._metric, self._better, self._jobs = metric, better, jobs
        self._progress = progress
        self._prepared: dict[object, Prepared] = {}

    def run(self, tried: Sequence[Trial], factor: int) -> Search:
        """Train in rounds, each with the best of the last one."""
        rounds = 1
        while factor > 1 and rounds < ROUNDS and len(tried) >= factor**rounds:
            rounds += 1
        going, out, best = list(tried), list[Trial](), None
        for left in reversed(range(rounds)):
            told = f"round {rounds - left} of {rounds}: {len(going)} settings"
            self._progress.note(told + (f", 1/{factor**left} of the epochs" if left else ""))
            try:
                best = self._train(going, 1 / factor**left)
            except KeyboardInterrupt:
                if best is None:
                    raise
                return Search(best, self._metric, (*going, *out))
            going.sort(key=self._rank)
            keep = max(len(going) // factor, 1) if left else len(going)
            going, out = going[:keep], going[keep:] + out
        assert best is not None
        self._refit(best, going[0].config)
        return Search(best, self._metric, (*going, *out))

    def _refit(self, model: Model, config: Config) -> None:
        """Train the best model on all rows; it stays as it is where that is cut short."""
        if config.refit != "yes":
            return
        self._progress.note("the best settings once more, on all rows")
        again = partial(recipe.refit, model, self._data(model, config), config)
        with suppress(KeyboardInterrupt):
            train_many([Task(model, again)], 1, self._progress)

    def _rank(self, trial: Trial) -> float:
        return math.inf if math.isnan(trial.score) else self._better * trial.score

    def _train(self, trials: Sequence[Trial], share: float) -> Model:
        """Train all of them for a share of their epochs, and judge them; the best model.

        Raises what the first one raised where all fail.
        """
        tasks, configs = [], []
        for trial in trials:
            assert trial.config.epochs is not None
            config = replace(trial.config, epochs=max(round(share * trial.config.epochs), 1))
            model = recipe.build(config, self._schema)
            data = self._data(model, config)
            tasks.append(Task(model, partial(recipe.run, model, data, config)))
            configs.append(config)
        failed = train_many(tasks, self._jobs, self._progress)
        if len(failed) == len(tasks):
            raise failed[0]
        models = [task.model for task in tasks]
        for place, (trial, model) in enumerate(zip(trials, models, strict=True)):
            trial.epochs, trial.error = configs[place].epochs or 0, failed.get(place)
            trial.score = math.nan if trial.error else self._score(model, trial.config)
        return models[min(range(len(models)), key=lambda k: self._rank(trials[k]))]

    def _score(self, model: Model, config: Config) -> float:
        data = self._data(model, config)
        held = data.held_arrays
        assert held is not None
        return model.score(held, data.held_rows, [self._metric])[self._metric]

    def _data(self, model: Model, config: Config) -> Prepared:
        """The table as the model wants it, with the division that all trials have."""
        key = tuple(sorted((model.graph.name(x), x.dtype) for x in model.graph.inputs))
        if key not in self._prepared:
            self._prepared[key] = fitting.prepare(
                model, self._table, config.validation, config.groups, config.time
            )
        return self._prepared[key]
