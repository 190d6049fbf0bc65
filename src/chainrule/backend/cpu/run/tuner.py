"""The number of threads of a step, tuned by measuring; results have the same bits for any."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.system.processors import processors, usual_threads

MAX_THREADS = 8
"""The most threads of a step: with more, barriers take too much of its time."""

TRIAL_SECONDS = 0.001
"""Seconds that a trial should take; on a busy machine it takes longer."""

MIN_TRIAL_STEPS = 3
"""Steps of a trial, at least, where one is shorter than that."""

MIN_INTERVAL, MAX_INTERVAL = 0.05, 4.0
"""Seconds of steps from one trial to the next: while trials succeed, and at most."""

TRIAL_SHARE = 0.02
"""The share of the time that trials may take from steps: those with fewer threads are slow."""

WIN_RATIO = 0.95
"""A trial wins where a step takes less than this share of the time."""


def max_threads(requested: int | None) -> int:
    """The most threads that a step may use; `requested` None leaves it to the machine."""
    return min(requested or min(MAX_THREADS, usual_threads()), processors())


class ThreadTuner:
    """Cuts calls into slices, each with a number of threads, and learns from their times.

    Args:
        limit: the most threads to use.
        initial: the number of threads to begin with.

    Attributes:
        threads: the number that is the fastest so far.
        limit: as given.
    """

    def __init__(self, limit: int, initial: int) -> None:
        self.threads, self.limit = initial, limit
        self._last = 0.0  # seconds of a step of the last slice
        self._up = initial < limit
        self._wait, self._since = MIN_INTERVAL, MIN_INTERVAL  # seconds of steps since a trial
        self._step = 0.0  # seconds of a step with `threads`

    def slices(self, steps: int) -> Iterator[tuple[int, int]]:
        """(steps, threads) of the slices of a call; `record` the time of each before the next."""
        trial = 0
        if self.limit > 1 and self._step and self._since >= self._wait:
            least = MIN_TRIAL_STEPS if self._step < TRIAL_SECONDS else 1
            trial = max(least, int(TRIAL_SECONDS / self._step))
        candidate = self._candidate()
        if trial > max(steps // 2, 1) or self._loss(trial, candidate) > TRIAL_SHARE * self._since:
            trial = 0
        if trial:
            self._up = not self._up
            yield trial, candidate
            self._evaluate(candidate)
        if steps > trial:
            yield steps - trial, self.threads
            self._step = self._last

    def record(self, steps: int, seconds: float) -> None:
        """Record the time of a slice."""
        self._last = seconds / max(steps, 1)
        self._since += seconds

    def _candidate(self) -> int:
        """Twice or half as many, in turn; within bounds."""
        choices = [min(2 * self.threads, self.limit), max(self.threads // 2, 1)]
        first, second = choices if self._up else choices[::-1]
        return first if first != self.threads else second

    def _loss(self, trial: int, candidate: int) -> float:
        """The seconds that a trial takes longer, where a step is as well shared as can be."""
        return trial * self._step * max(self.threads / candidate - 1, 0)

    def _evaluate(self, candidate: int) -> None:
        won = self._last < WIN_RATIO * self._step
        if won:
            self.threads, self._step = candidate, self._last
        self._wait = MIN_INTERVAL if won else min(2 * self._wait, MAX_INTERVAL)
        self._since = 0.0
