"""The search of a run for the quickest number of threads."""

from __future__ import annotations

import pytest

from chainrule.backend.cpu.run import tuner as cpu_tuner
from chainrule.backend.cpu.run.tuner import MIN_TRIAL_STEPS, ThreadTuner
from chainrule.system import processors as cpu_threads


class Clock:
    """Time that passes only where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)


def run(
    tuner: ThreadTuner, clock: Clock, step: dict[int, float], calls: int, steps: int = 100
) -> list:
    """Calls of `steps` steps that take step[threads] seconds each: (steps, threads) of all."""
    done = []
    for _ in range(calls):
        for count, threads in tuner.slices(steps):
            clock.now += count * step[threads]
            tuner.record(count, count * step[threads])
            done.append((count, threads))
    return done


def test_all_steps_of_a_call_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tuner = Clock(monkeypatch), ThreadTuner(4, 4)
    for steps in (1, 2, 7, 100):
        before = clock.now
        slices = run(tuner, clock, dict.fromkeys((1, 2, 4), 1e-3), 1, steps)
        assert sum(count for count, _ in slices) == steps
        assert clock.now > before


@pytest.mark.parametrize("guess", [1, 2, 4, 8])
@pytest.mark.parametrize("best", [1, 2, 4, 8])
def test_the_quickest_is_found_from_any_guess(
    monkeypatch: pytest.MonkeyPatch, guess: int, best: int
) -> None:
    clock, tuner = Clock(monkeypatch), ThreadTuner(8, guess)
    step = {k: 1e-3 * max(k / best, best / k) for k in (1, 2, 4, 8)}
    run(tuner, clock, step, 60)
    assert tuner.threads == best


def test_it_follows_when_the_machine_gets_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tuner = Clock(monkeypatch), ThreadTuner(2, 2)
    run(tuner, clock, {1: 1e-3, 2: 6e-4}, 50)
    assert tuner.threads == 2
    run(tuner, clock, {1: 1e-3, 2: 5e-2}, 20)
    assert tuner.threads == 1
    run(tuner, clock, {1: 1e-3, 2: 6e-4}, 100)
    assert tuner.threads == 2


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_long_steps_are_tried_too(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    clock, tuner = Clock(monkeypatch), ThreadTuner(2, 1)
    slices = run(tuner, clock, {1: 0.06, 2: 0.03}, 20, steps)
    assert tuner.threads == 2
    assert sum(count for count, _ in slices) == 20 * steps


def test_trials_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tuner = Clock(monkeypatch), ThreadTuner(2, 1)
    slices = run(tuner, clock, {1: 1e-3, 2: 1e-1}, 400)
    tried = sum(count for count, threads in slices if threads == 2)
    assert 0 < tried <= 20 * MIN_TRIAL_STEPS
    assert sum(count for count, _ in slices) == 40_000


def test_one_thread_is_never_left_for_none() -> None:
    tuner = ThreadTuner(1, 1)
    assert list(tuner.slices(10)) == [(10, 1)]


@pytest.mark.parametrize(
    ("told", "usual"), [("1", 1), ("0", 1), ("3", 3), ("9", 4), ("", 4), ("x", 4)]
)
def test_threads_are_those_that_the_environment_leaves_where_none_are_requested(
    told: str, usual: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    for module in (cpu_tuner, cpu_threads):
        monkeypatch.setattr(module, "processors", lambda: 4)
    assert cpu_tuner.max_threads(None) == cpu_threads.usual_threads() == usual
    assert cpu_tuner.max_threads(2) == 2
