"""Timed runs: they compute the same, and their times add up."""

from __future__ import annotations

import numpy as np
import pytest
from test_cpu_steps import OFFSETS, RATES, ROWS, SIZES, arrays, ready, training

from chainrule.backend.cpu.emit.steps import run_function
from chainrule.backend.cpu.machine import machine
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.jit import assembly
from chainrule.backend.cpu.run.profile import timed
from chainrule.costs.timing import Timing


def steps(native: Runner) -> int:
    losses, _ = native.run(ROWS, OFFSETS, {"rate": RATES})
    return len(losses)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_timed_run_computes_the_same_bits(threads: int) -> None:
    plain, watched = (ready(training(), arrays(), threads=threads) for _ in range(2))
    timed(watched, lambda: steps(watched), seconds=0)
    for _ in range(3):  # once to warm up, and twice at least
        steps(plain)
    for name in ("w", "e"):
        assert plain.state[name].tobytes() == watched.state[name].tobytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_every_task_has_a_time_in_every_thread(threads: int) -> None:
    native = ready(training(), arrays(), threads=threads)
    found = timed(native, lambda: steps(native), seconds=0.02)
    phases = native.program.phases
    assert [len(x) for x in found.tasks] == [len(x) for x in phases]
    assert len(found.waiting) == len(phases)
    for phase, times in zip(phases, found.tasks, strict=True):
        for launch, time in zip(phase, times, strict=True):
            assert time.shape == (threads,)
            assert (time >= 0).all()
            assert time.max() > 0 or launch.split == "none"
    assert found.steps >= 2 * len(SIZES)


@pytest.mark.parametrize("threads", [1, 3])
def test_all_threads_are_as_long_in_a_phase(threads: int) -> None:
    native = ready(training(), arrays(), threads=threads)
    found = timed(native, lambda: steps(native), seconds=0.02)
    lengths = [
        np.sum(phase, axis=0) + waited
        for phase, waited in zip(found.tasks, found.waiting, strict=True)
    ]
    assert all(waited.min() >= 0 for waited in found.waiting)
    np.testing.assert_allclose(np.sum(lengths, axis=0), found.step)
    for length in lengths:
        np.testing.assert_allclose(length, length[0])


def test_the_times_of_one_thread_are_most_of_the_step() -> None:
    native = ready(training(), arrays())
    found = timed(native, lambda: steps(native), seconds=0.02)
    assert 0 < told(found) < found.step * 1.5  # what the clock costs is in neither


def told(timing: Timing) -> float:
    return sum(float(x[0]) for stage in timing.tasks for x in stage)


@pytest.mark.parametrize(
    ("triple", "clock"),
    [("x86_64-unknown-linux-gnu", "rdtsc"), ("aarch64-unknown-linux-gnu", "cntvct_el0")],
)
def test_every_processor_has_a_clock(triple: str, clock: str) -> None:
    text = assembly(run_function(triple, timed=True), machine(triple, "", {}))
    assert text.lower().count(clock) == 4  # around a task, and around waiting
