"""Random search over the recipe's settings, with successive halving."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np

from chainrule.data.predictions import Predictions
from chainrule.data.readers.sources import read
from chainrule.data.table import Table
from chainrule.display.format import counted, listed, number, words
from chainrule.display.tables import Section, as_html, facts_html
from chainrule.errors import ChainruleError, SettingError, WorkerDied
from chainrule.model.many import Task, train_many
from chainrule.model.model import Model
from chainrule.recipe.config import Config, config, require_known, resolve
from chainrule.recipe.fit import raise_unkept
from chainrule.recipe.length import LENGTHS, default_length
from chainrule.recipe.options import Options
from chainrule.recipe.runfolder import kept_folder
from chainrule.recipe.training import Training
from chainrule.system.settings import require_integer
from chainrule.train.checkpoint import Checkpoint, as_checkpoint, within
from chainrule.train.metrics import direction
from chainrule.train.progress import Progress, choose

MAX_ROUNDS = 3
"""The first round trains for a ninth of the epochs; shorter runs are not informative."""
DEFAULT_METRICS = {"classification": "log_loss", "regression": "rmse"}
"""The default metrics: unlike accuracy they vary continuously with each prediction."""

OWN = ("trials", "space", "factor", "metric", "jobs", "checkpoint", "verbose")
"""The arguments of `search` besides the settings of the recipe."""

Space = Mapping[str, Any]


@dataclass
class Trial:
    """A trial: a choice of settings and its score.

    Attributes:
        settings: the drawn settings; empty for the unchanged recipe.
        config: all settings.
        epochs: the maximum in its last training.
        score: on the validation rows, after its last training; NaN where training failed.
        error: the reason why it failed.
        number: in the order of the draws, from 0.
    """

    settings: dict[str, Any]
    config: Config
    epochs: int = 0
    score: float = math.nan
    error: Exception | None = None
    number: int = 0

    @property
    def drawn(self) -> str:
        """The drawn settings as text."""
        text = ", ".join(f"{key}={_shown(x)}" for key, x in self.settings.items())
        return text or "the recipe as it is"

    def _repr_html_(self) -> str:
        return facts_html(self.drawn, ("score", number(self.score)), ("epochs", self.epochs),
                          ("failed", self.error))  # fmt: skip


@dataclass(frozen=True)
class Search:
    """The result of a search.

    Attributes:
        model: the best one, trained to the end, and once more on all rows, but with `refit="no"`.
        metric: the name of the metric that ranks the trials.
        trials: all of them, the best first.
    """

    model: Model[Predictions]
    metric: str
    trials: tuple[Trial, ...]

    @property
    def config(self) -> Config:
        """The settings of the best trial."""
        return self.trials[0].config

    def __repr__(self) -> str:
        lines = [f"{words(self.metric):>12}  epochs  settings"]
        for trial in self.trials:
            lines.append(f"{number(trial.score):>12}  {trial.epochs:>6}  {trial.drawn}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = tuple(
            (number(x.score), f"{x.epochs:,}", x.drawn, str(x.error or "")) for x in self.trials
        )
        head = (words(self.metric), "epochs", "settings", "failed")
        failed = any(x.error for x in self.trials)
        title = f"{counted(len(self.trials), 'trial')}, the best first"
        kept = rows if failed else tuple(row[:-1] for row in rows)
        return as_html([Section(title, kept, head if failed else head[:-1], (0, 1))])


def search(
    source: Table | str | os.PathLike[str] | Any,
    target: str,
    *,
    trials: int = 27,
    space: Space | None = None,
    factor: int = 3,
    metric: str | None = None,
    jobs: int | None = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    verbose: bool | str | None = True,
    **settings: Unpack[Options],
) -> Search:
    """Try settings of the recipe on a table, many at once, and keep the best model.

    Successive halving: all trials are trained for a few epochs, the best third of them three
    times as long, and the best third of those to the end. The first is the recipe as it is. The
    best model is trained once more, on all rows, but with `refit="no"`.
    Ctrl-C ends the search with its best model so far.

    Args:
        source, target: as for `train`.
        trials: the number of settings to try.
        space: the values to draw from, by setting: a list, (low, high) for a number drawn
            log-uniformly, or an object with `rvs(random_state=...)`, such as the distributions
            of SciPy. None: sizes and strengths around those of the recipe.
        factor: one of this number of trials enters the next round; 1 trains all to the end.
        metric: computed on the validation rows; None: log_loss, or rmse.
        jobs: the number trained at a time; None: one on each processor.
        checkpoint: as for `train`: the same call goes on, and ends with the same bits.
        verbose: as for `Model.fit`.
        settings: as in `Config`, for all trials; `seed` is also that of the draws.

    Scores are those of the validation rows, taken before these are trained on. The best of many
    is optimistic, as it was selected: evaluate the model on rows that the search has not seen.

    Raises:
        DataError: the table cannot be used. SettingError: a setting is not valid.
    """
    require_integer("search.trials", trials, 1)
    require_integer("search.factor", factor, 1)
    table = read(source)
    require_known("search", settings, OWN)
    if twice := [key for key in space or () if key in settings]:
        raise SettingError("search", f"{listed(twice)} cannot be set and be drawn from the space",
                           fix=f"leave out {twice[0]}=, or {twice[0]!r} of the space")  # fmt: skip
    given: dict[str, Any] = {"refit": "yes", **settings}
    given = {key: x for key, x in given.items() if key not in (space or ())}
    chosen = config(target=target, **given)
    if chosen.validation == 0:
        raise SettingError("search", "trials are scored on validation rows", fix="validation=0.2")
    base = Training.of(table, chosen)
    metric = metric or DEFAULT_METRICS[base.config.task or "classification"]
    better = -1.0 if direction(metric) == "max" else 1.0
    ranges = around(base.config) if space is None else space
    ranges = {key: x for key, x in ranges.items() if key not in given}
    random = np.random.default_rng(base.config.seed)
    tried = [Trial({}, default_length(base.config))]
    for _ in range(trials - 1):
        drawn = {key: draw(key, x, random) for key, x in ranges.items()}
        every = {"mixed": base.config.mixed} | given | drawn
        resolved = resolve(config(target=target, **every), base.schema)
        tried.append(Trial(drawn, default_length(resolved), number=len(tried)))
    study = _Study(base, metric, better, jobs, choose(verbose))
    with kept_folder(as_checkpoint(checkpoint)) as kept:
        if kept is not None:
            draws = "; ".join(x.drawn for x in tried)
            more = {"metric": metric, "factor": str(factor), "trials": draws}
            kept.begin(chosen, base, more=more)
            for note in kept.notes:
                study.tell(note)
        return study.run(tried, factor)


def around(base: Config) -> dict[str, Any]:
    """The default space: around the settings that the recipe has chosen."""
    width, batch = max(base.hidden or (64,)), base.batch_size or 64
    ranges: dict[str, Any] = {
        "hidden": [(width,), (width // 2,) * 2, (width,) * 2, (2 * width,) * 2, (width,) * 3],
        "dropout": [0.0, 0.1, 0.2, 0.35],
        "batch_size": [max(batch // 2, 1), batch, 2 * batch],
    }
    if base.epochs is None:
        ranges["epochs"] = sorted({epochs for epochs, _ in LENGTHS})
    for key in ("rate", "decay"):
        default = getattr(default_length(base), key)
        if default:
            ranges[key] = (default / 5, default * 5)
    return ranges


def draw(key: str, values: Any, random: np.random.Generator) -> Any:
    """Draws a value of a setting. Raises SettingError for a space that is not valid."""
    if hasattr(values, "rvs"):
        return values.rvs(random_state=random)
    if isinstance(values, tuple) and len(values) == 2 and all(map(_positive, values)):
        low, high = values
        drawn = math.exp(random.uniform(math.log(low), math.log(high)))
        return round(drawn) if isinstance(low, int) and isinstance(high, int) else drawn
    if isinstance(values, list) and values:
        return values[random.integers(len(values))]
    raise SettingError(
        "search", f"the space of {key!r} is not valid", got=repr(values),
        expected="a list of values, (low, high) above 0, or a distribution with rvs()",
    )  # fmt: skip


def _positive(x: object) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and x > 0


def _shown(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _of_settings(error: Exception) -> bool:
    """Whether drawn settings cannot be trained, as in each run."""
    return (
        isinstance(error, ChainruleError)
        and error.where != "fit.checkpoint"
        and not isinstance(error, WorkerDied)
    )


class _Study:
    """The rounds of a search on one table."""

    def __init__(
        self, base: Training, metric: str, better: float, jobs: int | None, progress: Progress
    ) -> None:  # fmt: skip
        self._base, self._progress = base, progress
        self._metric, self._better, self._jobs = metric, better, jobs

    def tell(self, note: str) -> None:
        """Show a note."""
        self._progress.note(note)

    def run(self, tried: Sequence[Trial], factor: int) -> Search:
        """Train in rounds, each with the best trials of the last one."""
        rounds = 1
        while factor > 1 and rounds < MAX_ROUNDS and len(tried) >= factor**rounds:
            rounds += 1
        going, out, best = list(tried), list[Trial](), None
        for left in reversed(range(rounds)):
            text = f"round {rounds - left} of {rounds}: {counted(len(going), 'trial')}"
            self._progress.note(text + (f", 1/{factor**left} of the epochs" if left else ""))
            try:
                best = self._train(going, 1 / factor**left, f"round-{rounds - left}")
            except KeyboardInterrupt:
                if best is None:
                    raise
                return Search(best.model, self._metric, (*going, *out))
            going.sort(key=self._rank)
            keep = max(len(going) // factor, 1) if left else len(going)
            going, out = going[:keep], going[keep:] + out
        assert best is not None
        self._refit(best)
        return Search(best.model, self._metric, (*going, *out))

    def _refit(self, best: Training) -> None:
        """Train the best model on all rows; it is not changed where that is interrupted."""
        if best.config.refit != "yes":
            return
        self._progress.note("the best settings once more, on all rows")
        with suppress(KeyboardInterrupt):
            train_many([Task(best.model, best.refit)], 1, self._progress)

    def _rank(self, trial: Trial) -> float:
        return math.inf if math.isnan(trial.score) else self._better * trial.score

    def _train(self, trials: Sequence[Trial], share: float, name: str) -> Training:
        """Train all trials for a share of their epochs and score them; returns the best.

        `name` is that of the round.

        Raises the error of the first one where all fail.
        """
        trainings = [self._training(trial.config, share) for trial in trials]
        for trial, training in zip(trials, trainings, strict=True):
            training.checkpoint = within(self._base.checkpoint, name, f"trial-{trial.number:03d}")
        tasks = [Task(training.model, training.fit) for training in trainings]
        failed = train_many(tasks, self._jobs, self._progress)
        if self._base.checkpoint is not None:
            raise_unkept(x for x in failed.values() if not _of_settings(x))
        if len(failed) == len(tasks):
            raise failed[0]
        for place, (trial, training) in enumerate(zip(trials, trainings, strict=True)):
            trial.epochs, trial.error = training.config.epochs or 0, failed.get(place)
            trial.score = math.nan if trial.error else self._score(training)
        return trainings[min(range(len(trainings)), key=lambda k: self._rank(trials[k]))]

    def _training(self, config: Config, share: float) -> Training:
        """A run for a share of the epochs, with the split of rows that all trials share."""
        assert config.epochs is not None
        config = replace(config, epochs=max(round(share * config.epochs), 1))
        training = Training(self._base.table, self._base.schema, config)
        training.data = self._base.data
        training.encoded = self._base.encoded
        training.digest = self._base.digest
        return training

    def _score(self, training: Training) -> float:
        data = training.data
        assert data.held_arrays is not None
        scores = training.model.score(data.held_arrays, data.held_rows, [self._metric])
        return scores[self._metric]
