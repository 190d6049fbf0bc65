"""The search of a run for the quickest number of threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import pytest

import chainrule as cr
from chainrule.backend.cpu.backend import CPU
from chainrule.backend.cpu.run import tuner as cpu_tuner
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.tuned import threads_for
from chainrule.backend.cpu.run.tuner import MIN_TRIAL_STEPS, ThreadTuner
from chainrule.costs.speeds import default_speeds
from chainrule.engine.compile import build_step, plan_step
from chainrule.graph import Graph
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


def simulated(tuner: ThreadTuner, took: Callable[[int, int], float], total: float) -> float:
    """The seconds of a step over some time, in calls of ever more steps, up to about 30 ms.

    Args:
        tuner: the one to try.
        took: the seconds of some steps on some threads.
        total: seconds of all calls.
    """
    passed, done, steps = 0.0, 0, 1
    while passed < total:
        for count, threads in tuner.slices(steps):
            seconds = took(count, threads)
            tuner.record(count, seconds)
            passed, done = passed + seconds, done + count
        steps = min(4 * steps, max(1, int(0.03 / took(1, 1))))
    return passed / done


@pytest.mark.parametrize("one", [3e-4, 1.03e-3, 5e-3])
def test_a_gain_is_found_though_threads_take_time_to_start(one: float) -> None:
    tuner = ThreadTuner(2, 1)
    times = {1: one, 2: 0.84 * one}
    simulated(tuner, lambda steps, k: steps * times[k] + 2e-4 * (k > 1), 2.0)
    assert tuner.threads == 2


@pytest.mark.parametrize("one", [3e-5, 1.4e-4, 3.3e-4])
def test_where_more_threads_are_slower_even_a_short_run_loses_little(one: float) -> None:
    times = {1: one, 2: 1.33 * one}
    mean = simulated(ThreadTuner(2, 2), lambda steps, k: steps * times[k], 0.2)
    assert mean < one / 0.95


def loaded(widths: tuple[int, ...], rows: int, exchange: float) -> Executable:
    """The step of dense layers, compiled where cores exchange data at this rate."""
    x, t = cr.input("x", (widths[0],)), cr.input("t", (), dtype="int32")
    loss = cr.cross_entropy(cr.dense(cr.mlp(x, widths[1:-1], "relu"), widths[-1]), t)
    plan = plan_step(build_step(Graph(loss), loss, cr.SGD(0.1)))
    speeds = replace(default_speeds(32, ((6, 2), (4, 3), (12, 1))), exchange=exchange)
    known = "chainrule.backend.cpu.run.microbench.cached_or_default"
    with patch(known, lambda folder: speeds):
        return CPU().load(CPU().emit(plan, rows).compile(), rows)


def test_threads_that_pay_where_cores_exchange_data_quickly_are_tried_elsewhere_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (cpu_tuner, cpu_threads):
        monkeypatch.setattr(module, "processors", lambda: 2)
    wide, small = (256, 256, 256, 10), (4, 16, 3)
    assert threads_for(loaded(wide, 64, 1e12), 2) == (2, 2)
    assert threads_for(loaded(wide, 64, 1e8), 2) == (1, 2)
    assert (
        threads_for(loaded(small, 16, 1e12), 2) == threads_for(loaded(small, 16, 1e8), 2) == (1, 1)
    )


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
