"""Schedules at points computed by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import SettingError
from chainrule.train.optim import SGD
from chainrule.train.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Exponential,
    InversePower,
    LogCosine,
    OneCycle,
    Piecewise,
    Polynomial,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    WarmUp,
    rates,
    schedule,
    schedule_from_dict,
)

HALF = math.sqrt(0.5)

POINTS: list[tuple[Schedule, int, dict[int, float]]] = [
    (Constant(0.5), 10, {0: 0.5, 9: 0.5, 50: 0.5}),
    (StepDecay(1.0, factor=0.5, every=10), 40, {0: 1, 9: 1, 10: 0.5, 19: 0.5, 20: 0.25, 39: 0.125}),
    (StepDecay(1.0, factor=0.1, every=0.1), 30, {2: 1, 3: 0.1, 5: 0.1, 6: 0.01, 27: 1e-9}),
    (StepDecay(1.0), 9, {2: 1, 3: 0.1, 6: 0.01, 8: 0.01}),
    (Exponential(2.0, factor=0.25, every=10), 100, {0: 2, 5: 1, 10: 0.5, 20: 0.125}),
    (Exponential(1.0, factor=0.01), 200, {0: 1, 100: 0.1, 200: 0.01, 1000: 0.01}),
    (InversePower(2.0), 10, {0: 2, 3: 1, 8: 2 / 3}),
    (InversePower(1.0, power=1, speed=0.5, every=4), 9, {3: 1, 4: 1 / 3, 8: 0.2, 50: 0.2}),
    (Polynomial(1.0), 4, {0: 1, 1: 0.75, 2: 0.5, 3: 0.25, 4: 0, 9: 0}),
    (Polynomial(1.0, final=0.2, power=2), 4, {0: 1, 2: 0.4, 4: 0.2}),
    (Cosine(2.0), 4, {0: 2, 1: 1 + HALF, 2: 1, 3: 1 - HALF, 4: 0, 7: 0}),
    (Cosine(1.0, final=0.5), 2, {0: 1, 1: 0.75, 2: 0.5}),
    (Cosine(2.0, restarts=1), 8, {0: 2, 2: 1, 3: 1 - HALF, 4: 2, 6: 1, 8: 0}),
    (Cosine(2.0, restarts=2, growth=2), 28, {0: 2, 2: 1, 4: 2, 8: 1, 12: 2, 20: 1, 28: 0}),
    (WarmUp(1.0, steps=4), 10, {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.8, 4: 1, 9: 1}),
    (WarmUp(1.0, steps=0.1), 40, {0: 0.2, 3: 0.8, 4: 1}),
    (WarmUp(1.0, steps=4, start=0.5), 10, {0: 0.6, 3: 0.9, 4: 1}),
    (WarmUp(Cosine(2.0), steps=1), 5, {0: 1, 1: 2, 2: 1 + HALF, 3: 1, 5: 0}),
    (WarmUp(1.0, steps=9), 3, {0: 0.1, 2: 0.3}),
    (OneCycle(1.0, rise=4, start=0.2, final=0), 12, {0: 0.2, 2: 0.6, 4: 1, 8: 0.5, 12: 0}),
    (OneCycle(1.0, rise=1.0, start=0.5), 4, {0: 0.5, 2: 0.75, 4: 1.0}),
    (Piecewise([3, 2, 1], [5, 8]), 10, {0: 3, 4: 3, 5: 2, 7: 2, 8: 1, 50: 1}),
    (Piecewise([3, 1], [0.5]), 10, {4: 3, 5: 1}),
    (Piecewise([3], []), 10, {0: 3, 9: 3}),
    (ReduceOnPlateau(0.5), 10, {0: 0.5, 9: 0.5}),
    (ReduceOnPlateau(Polynomial(1.0)), 4, {0: 1, 2: 0.5}),
]


@pytest.mark.parametrize(("kind", "total", "points"), POINTS)
def test_at_points_computed_by_hand(kind: Schedule, total: int, points: dict[int, float]) -> None:
    for step, want in points.items():
        assert kind(step, total) == pytest.approx(want, rel=1e-12, abs=1e-15), step


@pytest.mark.parametrize(("kind", "total", "points"), POINTS)
def test_many_rates_are_those_of_the_single_steps(
    kind: Schedule, total: int, points: dict[int, float]
) -> None:
    found = rates(kind, 2, 7, total)
    assert found == [kind(step, total) for step in range(2, 9)]
    assert all(type(x) is float for x in found)


def test_a_number_is_a_constant_schedule() -> None:
    assert rates(0.5, 100, 3, 10) == [0.5, 0.5, 0.5]
    assert rates(0.5, 0, 2, 10, scale=0.1) == [0.05, 0.05]
    assert rates(Cosine(), 0, 0, 10) == []


def test_a_run_of_no_known_length_has_rates() -> None:
    for kind in SCHEDULES.values():
        assert all(np.isfinite(rates(kind(), 0, 3, 0)))


def test_the_scale_of_a_plateau_stops_at_its_minimum() -> None:
    kind = ReduceOnPlateau(1.0, minimum=0.02)
    assert rates(kind, 0, 1, 10, scale=0.1) == [0.1]
    assert rates(kind, 0, 1, 10, scale=0.01) == [0.02]
    already_below = ReduceOnPlateau(0.01, minimum=0.02)
    assert rates(already_below, 0, 1, 10, scale=0.5) == pytest.approx([0.01])


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    total=st.integers(1, 10_000),
    step=st.integers(0, 20_000),
    span=st.one_of(st.integers(1, 5000), st.floats(0.001, 1.0)),
)
def test_no_rate_is_negative_or_above_the_first(
    name: str, total: int, step: int, span: float
) -> None:
    spans = {"step": "every", "exponential": "every", "warm_up": "steps", "one_cycle": "rise"}
    kind = schedule(name, **({spans[name]: span} if name in spans else {}))
    top = (
        max(getattr(kind, "rates", ()))
        if name == "piecewise"
        else getattr(kind, "rate", getattr(kind, "schedule", None))
    )
    assert 0 <= kind(step, total) <= top * (1 + 1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_plain_data_round_trip(name: str) -> None:
    kind = SCHEDULES[name]()
    data = json.loads(json.dumps(kind.to_dict()))
    assert data["name"] == name
    assert schedule_from_dict(data) == kind


def test_steps_and_parts_of_the_run_survive_the_round_trip() -> None:
    for kind in (
        WarmUp(Cosine(0.1, restarts=2), steps=1),
        WarmUp(Cosine(0.1, restarts=2), steps=1.0),
        Piecewise((1.0, 0.5), (3,)),
        Piecewise((1.0, 0.5), (0.25,)),
        ReduceOnPlateau(OneCycle(0.2), patience=3),
    ):
        again = schedule_from_dict(json.loads(json.dumps(kind.to_dict())))
        assert again == kind
        assert rates(again, 0, 20, 20) == rates(kind, 0, 20, 20)


def test_one_step_is_not_the_whole_run() -> None:
    assert StepDecay(1.0, factor=0.5, every=1)(3, 10) == 0.125
    assert StepDecay(1.0, factor=0.5, every=1.0)(3, 10) == 1.0
    assert StepDecay(1.0, factor=0.5, every=5.0)(5, 10) == 0.5


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Constant(0.0), "0 < rate"),
        (lambda: Constant("0.1"), "finite number"),
        (lambda: StepDecay(factor=1.5), "0 < factor <= 1"),
        (lambda: StepDecay(every=0), "part of the run"),
        (lambda: StepDecay(every=2.5), "part of the run"),
        (lambda: Cosine(restarts=-1), "of at least 0"),
        (lambda: Cosine(restarts=1.5), "an integer"),
        (lambda: Cosine(growth=0.5), "1 <= growth"),
        (lambda: WarmUp(start=2), "0 <= start <= 1"),
        (lambda: WarmUp(Cosine), "finite number"),
        (lambda: OneCycle(start=0), "0 < start"),
        (lambda: Piecewise([1.0, 0.5], [2, 3]), "3 rates"),
        (lambda: Piecewise([1.0, 0.5, 0.1], [5, 3]), "ascending"),
        (lambda: Piecewise([1.0, 0.5, 0.1], [3, 0.9]), "ascending"),
        (lambda: Piecewise(0.5, [3]), "list"),
        (lambda: Piecewise([1.0, -0.5], [3]), "0 <= "),
        (lambda: ReduceOnPlateau(factor=1.0), "factor < 1"),
        (lambda: ReduceOnPlateau(patience=0), "of at least 1"),
        (lambda: schedule("cosinus"), "did you mean 'cosine'"),
        (lambda: schedule("cosine", restart=1), "did you mean 'restarts'"),
        (lambda: schedule_from_dict({"rate": 1.0}), "no name"),
        (lambda: schedule_from_dict({"name": "warm_up", "schedule": {"name": "x"}}), "'x'"),
    ],
)
def test_settings_that_are_not_valid_are_refused(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(SettingError, match=match):
        make()


@pytest.mark.parametrize("rate", [lambda step: 0.1, "0.1", 0, -1, float("nan"), None, True])
def test_what_is_not_a_rate_names_the_schedules(rate: Any) -> None:
    with pytest.raises(SettingError, match=r"\[SGD.rate\][\s\S]*subclass of cr\.schedules\.Sch"):
        SGD(rate)


@dataclass(frozen=True)
class Saw(Schedule):
    """A schedule of a user's own, with fields of plain types."""

    rate: float = 0.1
    teeth: int = 10

    def at(self, steps: Any, total: float) -> Any:
        return self.rate * (1 - steps % self.teeth / self.teeth)


def test_a_schedule_of_ones_own() -> None:
    optimizer = SGD(Saw(0.2, teeth=4))
    assert isinstance(optimizer.rate, Saw)
    assert optimizer.rate.to_dict() == {"name": "schedule", "rate": 0.2, "teeth": 4}
    assert rates(optimizer.rate, 2, 4, 100) == pytest.approx([0.1, 0.05, 0.2, 0.15])


def test_log_cosine_rises_and_falls_in_waves_that_double() -> None:
    rates = LogCosine(2.0).at(np.arange(15_000.0), 15_000)
    tops = (2 ** np.array([0.5, 1.5, 2.5, 3.5]) - 1) * 1000
    np.testing.assert_allclose(rates[tops.astype(int)], 2.0, atol=1e-3)
    np.testing.assert_allclose(rates[[0, 1000, 3000, 7000, -1]], 0.0, atol=1e-3)
