"""The number of threads of a step, tuned by measuring; results have the same bits for any."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.system.processors import processors, usual_threads

MAX_THREADS = 8
"""The most threads of a step: with more, barriers take too much of its time."""

TRIAL_SECONDS = 0.001
"""Seconds that a trial should take; on a busy machine it takes longer."""

START_SECONDS = 0.003
"""Seconds that a trial of more threads should take: to wake them takes 0.2 ms of it."""

MIN_TRIAL_STEPS = 3
"""Steps of a trial, at least, where one is shorter than that."""

MIN_INTERVAL, MAX_INTERVAL = 0.02, 4.0
"""Seconds of steps from one trial to the next: while trials succeed, and at most."""

HEAD_START = 0.05
"""Seconds of steps that count as done when a run begins, so that its first trial comes at once."""

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
        self._wait, self._since = MIN_INTERVAL, HEAD_START  # seconds of steps since a trial
        self._step = 0.0  # seconds of a step with `threads`

    def slices(self, steps: int) -> Iterator[tuple[int, int]]:
        """(steps, threads) of the slices of a call; `record` the time of each before the next."""
        candidate = self._candidate()
        trial = self._trial(candidate, steps)
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

    def _trial(self, candidate: int, steps: int) -> int:
        """The steps of a trial, up to half of some; 0: none yet.

        With fewer threads a step is expected to take as much longer as it can be shared well.
        """
        if self.limit == 1 or not self._step or self._since < self._wait:
            return 0
        least = MIN_TRIAL_STEPS if self._step < TRIAL_SECONDS else 1
        if candidate > self.threads:
            wanted = max(TRIAL_SECONDS, min(START_SECONDS, self._since / 20))
        else:
            affordable = TRIAL_SHARE * self._since / (self.threads / candidate - 1)
            if affordable < least * self._step:
                return 0
            wanted = min(TRIAL_SECONDS, affordable)
        trial = max(least, int(wanted / self._step))
        return trial if trial <= max(steps // 2, 1) else 0

    def _evaluate(self, candidate: int) -> None:
        won = self._last < WIN_RATIO * self._step
        if won:
            self.threads, self._step = candidate, self._last
        self._wait = MIN_INTERVAL if won else min(2 * self._wait, MAX_INTERVAL)
        self._since = 0.0
