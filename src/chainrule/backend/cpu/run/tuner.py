"""How many threads to use, as a run finds out by measuring: results are the same bits for any."""

from __future__ import annotations

import time
from collections.abc import Iterator

from chainrule.system.processors import processors, usual_threads

MOST_THREADS = 8
"""That a step is shared by: with more, barriers take too much of it."""

TRIAL = 0.001
"""Seconds that a trial should take; on a busy machine it takes more."""

LEAST = 3
"""Steps of a trial, at least, where one is shorter than that."""

SOON, LATE = 0.05, 4.0
"""Seconds from one trial to the next: while trials succeed, and at most."""

BETTER = 0.95
"""A trial wins where a step takes less than this share of the time."""


def allowed(asked: int | None) -> int:
    """How many threads a step may have, where so many are asked for, or no number."""
    return min(asked or min(MOST_THREADS, usual_threads()), processors())


class Pace:
    """Cuts calls into parts, each with a number of threads, and learns from their times.

    Args:
        most: threads that there are.
        guess: how many to begin with.
    """

    def __init__(self, most: int, guess: int) -> None:
        self.threads, self._most = guess, most
        self._last = 0.0  # seconds that a step of the last part took
        self._up = guess < most
        self._wait, self._due = SOON, 0.0
        self._step = 0.0  # seconds that one takes with `threads`

    def parts(self, steps: int) -> Iterator[tuple[int, int]]:
        """(steps, threads) of the parts of a call; tell the time of each before the next."""
        trial = 0
        if self._most > 1 and self._step and time.perf_counter() >= self._due:
            least = LEAST if self._step < TRIAL else 1
            trial = max(least, int(TRIAL / self._step))
        if trial > max(steps // 2, 1):
            trial = 0
        if trial:
            other = self._other()
            yield trial, other
            self._judge(other)
        if steps > trial:
            yield steps - trial, self.threads
            self._step = self._last

    def took(self, steps: int, seconds: float) -> None:
        """The time of a part."""
        self._last = seconds / max(steps, 1)

    def _other(self) -> int:
        """Twice or half as many, in turn; within bounds."""
        choices = [min(2 * self.threads, self._most), max(self.threads // 2, 1)]
        first, second = choices if self._up else choices[::-1]
        self._up = not self._up
        return first if first != self.threads else second

    def _judge(self, other: int) -> None:
        won = self._last < BETTER * self._step
        if won:
            self.threads, self._step = other, self._last
        self._wait = SOON if won else min(2 * self._wait, LATE)
        self._due = time.perf_counter() + self._wait
