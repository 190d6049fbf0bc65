"""The profiler of steps: each task is timed by the clock of the processor."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import cache

import numpy as np

from chainrule.backend.cpu.emit.steps import clock_function, run_function
from chainrule.backend.cpu.machine import Machine, host
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.jit import Code, compiled
from chainrule.costs.timing import Times, Timing

FASTEST = 4
"""Of the parts of a run one in this many counts: the shortest."""


class Clock:
    """The code that times a run, and the cost of a reading of the clock."""

    def __init__(self, machine: Machine | None = None) -> None:
        target = machine or host()
        text = run_function(target.triple, timed=True) + "\n" + clock_function()
        self.code = Code([compiled(text, target)], target)
        self._look = self.code.function("clock")
        self._words = np.zeros(2, np.int64)
        self.reading_cost = min(self.now()[1] for _ in range(200))

    def now(self) -> tuple[int, int]:
        """The current tick, and the ticks that a reading takes."""
        self._look(ctypes.c_void_p(self._words.ctypes.data), 0, 0)
        return int(self._words[0]), int(self._words[1])


@cache
def _clock() -> Clock:
    return Clock()


def timed(
    native: Runner, run: Callable[[], int], seconds: float = 0.3, *, best: bool = False
) -> Timing:
    """Time the tasks of a plan.

    Args:
        native: the runner to time; from now on it runs with the clock.
        run: runs some steps with it, a millisecond or more, and returns their number.
        seconds: the length of the run; at least two parts.
        best: take the fastest part, not the mean of the faster ones.
    """
    clock = _clock()
    ticks = native.enable_timing(clock.code)
    run()  # caches and pages are warm, as they are in a run
    parts: list[Times] = []
    steps = 0
    begun, first = time.perf_counter(), clock.now()[0]
    while len(parts) < 2 or time.perf_counter() - begun < seconds:
        ticks[:] = 0
        done = run()
        parts.append(ticks / done)
        steps += done
    rate = (time.perf_counter() - begun) / max(clock.now()[0] - first, 1)
    quick = _quickest(np.array(parts), 1 if best else -(-len(parts) // FASTEST))
    spent = np.maximum(quick.mean(axis=0) - clock.reading_cost, 0) * rate
    return _timing(native, spent, steps)


def _quickest(parts: Times, count: int) -> Times:
    """The quickest times of each task; whole parts where threads share them.

    A thread may have done little in a part because another did more.
    """
    if parts.shape[1] == 1:
        return np.sort(parts, axis=0)[:count]
    return parts[np.argsort(parts[:, 0].sum(axis=1))[:count]]


def _timing(native: Runner, spent: Times, steps: int) -> Timing:
    """The ticks of the table's entries, by the phases and launches that they belong to."""
    tasks, at = [], 0
    for phase, numbers in zip(native.program.phases, native.entries, strict=True):
        of_phase = [np.zeros(len(spent)) for _ in phase]
        for number in numbers:  # the loss is recorded by an entry of its own
            of_phase[number] += spent[:, at]
            at += 1
        tasks.append(tuple(of_phase))
    busy = np.array([np.sum(phase, axis=0) for phase in tasks]).reshape(len(tasks), len(spent))
    lengths = _lengths(busy.max(axis=1), spent[:, at:].mean(axis=0), float(spent[0].sum()))
    return Timing(tuple(tasks), tuple(lengths[:, None] - busy), float(lengths.sum()), steps)


def _lengths(longest: Times, waited: Times, step: float) -> Times:
    """The seconds of each phase.

    A thread that comes late waits once for several phases, so that what it waited in one is not
    the time that was left of it.

    Args:
        longest: of each phase, of the thread that worked longest.
        waited: of each phase, the mean of the threads.
        step: of a whole step.
    """
    rest = max(step - float(longest.sum()), 0.0)
    return longest + rest * waited / max(float(waited.sum()), 1e-12)
