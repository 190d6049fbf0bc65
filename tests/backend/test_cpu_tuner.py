"""The search of a run for the quickest number of threads."""

from __future__ import annotations

import pytest

from chainrule.backend.cpu.run import tuner as cpu_tuner
from chainrule.backend.cpu.run.tuner import MIN_TRIAL_STEPS, ThreadTuner
from chainrule.system import processors as cpu_threads


def run(tuner: ThreadTuner, step: dict[int, float], calls: int, steps: int = 100) -> list:
    """Calls of `steps` steps that take step[threads] seconds each: (steps, threads) of all."""
    done = []
    for _ in range(calls):
        for count, threads in tuner.slices(steps):
            tuner.record(count, count * step[threads])
            done.append((count, threads))
    return done


def test_all_steps_of_a_call_are_done() -> None:
    tuner = ThreadTuner(4, 4)
    for steps in (1, 2, 7, 100):
        slices = run(tuner, dict.fromkeys((1, 2, 4), 1e-3), 1, steps)
        assert sum(count for count, _ in slices) == steps


@pytest.mark.parametrize("guess", [1, 2, 4, 8])
@pytest.mark.parametrize("best", [1, 2, 4, 8])
def test_the_quickest_is_found_from_any_guess(guess: int, best: int) -> None:
    tuner = ThreadTuner(8, guess)
    step = {k: 1e-3 * max(k / best, best / k) for k in (1, 2, 4, 8)}
    run(tuner, step, 60)
    assert tuner.threads == best


def test_it_follows_when_the_machine_gets_busy() -> None:
    tuner = ThreadTuner(2, 2)
    run(tuner, {1: 1e-3, 2: 6e-4}, 50)
    assert tuner.threads == 2
    run(tuner, {1: 1e-3, 2: 5e-2}, 20)
    assert tuner.threads == 1
    run(tuner, {1: 1e-3, 2: 6e-4}, 100)
    assert tuner.threads == 2


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_long_steps_are_tried_too(steps: int) -> None:
    tuner = ThreadTuner(2, 1)
    slices = run(tuner, {1: 0.06, 2: 0.03}, 20, steps)
    assert tuner.threads == 2
    assert sum(count for count, _ in slices) == 20 * steps


def test_trials_are_few() -> None:
    tuner = ThreadTuner(2, 1)
    slices = run(tuner, {1: 1e-3, 2: 1e-1}, 400)
    tried = sum(count for count, threads in slices if threads == 2)
    assert 0 < tried <= 20 * MIN_TRIAL_STEPS
    assert sum(count for count, _ in slices) == 40_000


@pytest.mark.parametrize("seconds", [1e-5, 1e-3, 0.03, 0.3])
def test_trials_with_fewer_threads_take_little_of_the_time(seconds: float) -> None:
    tuner, time = ThreadTuner(2, 2), {1: 2 * seconds, 2: seconds}
    done = tried = 0.0
    for _ in range(400):
        for count, threads in run(tuner, time, 1, 8 if seconds > 1e-3 else 1000):
            done += count * time[threads]
            tried += count * (threads == 1) * (time[1] - time[2])
            assert tried <= 0.021 * done + 1e-3
    assert tried > 0


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
