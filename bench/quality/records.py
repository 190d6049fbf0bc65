"""Records: a run of one learner on one set with one seed, and summaries of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.quality.scores import mean_and_error, ranks


@dataclass(frozen=True)
class Run:
    """One learner on one set with one seed.

    Attributes:
        set, seed, learner: what ran.
        error: on the test rows: the share of wrong classes, or the root mean squared error.
        log_loss: where there are probabilities.
        seconds: of learning, by the clock, from rows in memory to a model that can predict.
        processor_seconds: of the same, of all threads.
        prediction_seconds: for all test rows.
        memory: the most bytes of the process, libraries and table among them.
        rows: that train, and that test.
        settings: as set and as chosen.
        versions: of what the process had.
        threads: that it might use.
        load: of the machine when it began.
        commit: of this repository.
        date: when it ended.
    """

    set: str
    seed: int
    learner: str
    error: float
    log_loss: float | None
    seconds: float
    processor_seconds: float
    prediction_seconds: float
    memory: int
    rows: Sequence[int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    load: float = 0.0
    commit: str = ""
    date: str = ""

    @property
    def key(self) -> tuple[str, int, str]:
        """The identity of a run."""
        return self.set, self.seed, self.learner


@dataclass(frozen=True)
class Cell:
    """All seeds of a learner on a set.

    Attributes:
        seeds: that ran.
        error, spread: the mean of the test errors and its standard error.
        log_loss: the mean.
        seconds, processor_seconds, memory: the means.
    """

    seeds: tuple[int, ...]
    error: float
    spread: float | None
    log_loss: float | None
    seconds: float
    processor_seconds: float
    memory: float


def cells(runs: Iterable[Run]) -> dict[str, dict[str, Cell]]:
    """By set and learner."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.set, run.learner), []).append(run)
    found: dict[str, dict[str, Cell]] = {}
    for (name, learner), some in groups.items():
        error, spread = mean_and_error([x.error for x in some])
        losses = [x.log_loss for x in some if x.log_loss is not None]

        def mean(values: Iterable[float]) -> float:
            return mean_and_error(list(values))[0]

        found.setdefault(name, {})[learner] = Cell(
            tuple(sorted(x.seed for x in some)), error, spread, mean(losses) if losses else None,
            mean(x.seconds for x in some), mean(x.processor_seconds for x in some),
            mean(x.memory for x in some),
        )  # fmt: skip
    return found


def mean_ranks(runs: Sequence[Run], learners: Sequence[str]) -> tuple[dict[str, float], int]:
    """The mean rank of each learner over the sets, and the number of sets.

    The place on a set is by the mean error over the seeds that all of the learners ran with; a
    set that they do not share a seed on does not count.
    """
    places: list[dict[str, float]] = []
    for name in dict.fromkeys(x.set for x in runs):
        own = {(x.learner, x.seed): x.error for x in runs if x.set == name}
        seeds = {s for _, s in own if all((learner, s) in own for learner in learners)}
        if seeds:
            means = {x: mean_and_error([own[x, s] for s in seeds])[0] for x in learners}
            places.append(ranks(means))
    if not places:
        return {}, 0
    return {x: mean_and_error([p[x] for p in places])[0] for x in learners}, len(places)
