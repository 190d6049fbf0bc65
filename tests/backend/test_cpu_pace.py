"""How a run finds the number of threads that is quickest."""

from __future__ import annotations

import pytest

from chainrule.backend.cpu.run import tuner as cpu_pace
from chainrule.backend.cpu.run.tuner import LEAST, Pace
from chainrule.system import processors as cpu_threads


class Clock:
    """Time that passes only where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)


def run(pace: Pace, clock: Clock, step: dict[int, float], calls: int, steps: int = 100) -> list:
    """Calls of `steps` steps that take step[threads] seconds each: (steps, threads) of all."""
    done = []
    for _ in range(calls):
        for count, threads in pace.parts(steps):
            clock.now += count * step[threads]
            pace.took(count, count * step[threads])
            done.append((count, threads))
    return done


def test_all_steps_of_a_call_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace(4, 4)
    for steps in (1, 2, 7, 100):
        before = clock.now
        parts = run(pace, clock, dict.fromkeys((1, 2, 4), 1e-3), 1, steps)
        assert sum(count for count, _ in parts) == steps
        assert clock.now > before


@pytest.mark.parametrize("guess", [1, 2, 4, 8])
@pytest.mark.parametrize("best", [1, 2, 4, 8])
def test_the_quickest_is_found_from_any_guess(
    monkeypatch: pytest.MonkeyPatch, guess: int, best: int
) -> None:
    clock, pace = Clock(monkeypatch), Pace(8, guess)
    step = {k: 1e-3 * max(k / best, best / k) for k in (1, 2, 4, 8)}
    run(pace, clock, step, 60)
    assert pace.threads == best


def test_it_follows_when_the_machine_gets_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace(2, 2)
    run(pace, clock, {1: 1e-3, 2: 6e-4}, 50)
    assert pace.threads == 2
    run(pace, clock, {1: 1e-3, 2: 5e-2}, 20)
    assert pace.threads == 1
    run(pace, clock, {1: 1e-3, 2: 6e-4}, 100)
    assert pace.threads == 2


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_long_steps_are_tried_too(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    clock, pace = Clock(monkeypatch), Pace(2, 1)
    parts = run(pace, clock, {1: 0.06, 2: 0.03}, 20, steps)
    assert pace.threads == 2
    assert sum(count for count, _ in parts) == 20 * steps


def test_trials_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace(2, 1)
    parts = run(pace, clock, {1: 1e-3, 2: 1e-1}, 400)
    tried = sum(count for count, threads in parts if threads == 2)
    assert 0 < tried <= 20 * LEAST
    assert sum(count for count, _ in parts) == 40_000


def test_one_thread_is_never_left_for_none() -> None:
    pace = Pace(1, 1)
    assert list(pace.parts(10)) == [(10, 1)]


@pytest.mark.parametrize(
    ("told", "usual"), [("1", 1), ("0", 1), ("3", 3), ("9", 4), ("", 4), ("x", 4)]
)
def test_threads_are_those_that_the_environment_leaves_where_nobody_asks(
    told: str, usual: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    for module in (cpu_pace, cpu_threads):
        monkeypatch.setattr(module, "processors", lambda: 4)
    assert cpu_pace.allowed(None) == cpu_threads.usual_threads() == usual
    assert cpu_pace.allowed(2) == 2
