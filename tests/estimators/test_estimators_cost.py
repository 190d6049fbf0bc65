"""The cost of many small calls, counted in instructions of Python: no times."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network

import chainrule as cr
from chainrule.engine import compile, native

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 10))
DATA = {"MLPRegressor": (X, X[:, 0]), "MLPClassifier": (X, X[:, 0] > 0)}


def instructions(call: Callable[[], object]) -> int:
    """The number of Python's instructions that a call takes."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def started(model: Any, kind: str, times: int = 3) -> Callable[[], object]:
    """A call of `partial_fit`, after some others."""
    more = {"classes": [False, True]} if kind == "MLPClassifier" else {}

    def call() -> None:
        model.partial_fit(*DATA[kind], **more)

    for _ in range(times):
        call()
    return call


@pytest.mark.parametrize("kind", DATA)
def test_a_small_partial_fit_costs_little_more_than_theirs(kind: str) -> None:
    ours, theirs = (started(getattr(x, kind)(random_state=0), kind) for x in (cr, neural_network))
    assert instructions(ours) < 2 * instructions(theirs)


def test_the_cost_of_partial_fit_does_not_grow_with_the_history() -> None:
    call = started(cr.MLPRegressor(random_state=0), "MLPRegressor")
    early = instructions(call)
    for _ in range(300):
        call()
    assert instructions(call) < 1.05 * early


def test_the_cost_of_a_model_that_is_fitted_epoch_by_epoch_does_not_grow() -> None:
    x, y = cr.input("x", (10,)), cr.input("y", (1,))
    model = cr.Model(z := cr.dense(x, 1), cr.squared_error(z, y))
    data = {"x": X, "y": X[:, :1]}

    def call() -> None:
        model.fit(data, epochs=1, validation=None, verbose=False)

    for _ in range(3):
        call()
    early = instructions(call)
    for _ in range(100):
        call()
    assert instructions(call) < 1.05 * early


def test_calls_in_a_row_share_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    model = cr.MLPRegressor(random_state=0)
    call = started(model, "MLPRegressor", 1)
    made: list[str] = []
    monkeypatch.setattr(compile, "run", lambda *given: made.append("plan"))
    begin = native.NativeProgram.__init__
    monkeypatch.setattr(
        native.NativeProgram, "__init__", lambda *given: (made.append("program"), begin(*given))[1]
    )
    before = model.coefs_[0]
    for _ in range(3):
        call()
    assert np.abs(model.coefs_[0] - before).max() > 0
    assert made == []


def test_a_kept_program_holds_no_data_and_follows_the_parameters() -> None:
    model = cr.MLPRegressor(random_state=0, shuffle=False)
    call = started(model, "MLPRegressor")
    (program,) = model.model_.step_cache._resting
    assert program._given == ({}, {})
    assert program._runner._given._bound == {}
    twin = cr.MLPRegressor(random_state=0, shuffle=False)
    other = started(twin, "MLPRegressor")
    twin.model_.step_cache._resting.clear()
    for x in (model, twin):
        x.coefs_ = [w / 2 for w in x.coefs_]
    call()
    other()
    np.testing.assert_array_equal(model.coefs_[1], twin.coefs_[1])
    model.model_.restore(model.model_.values, 0)  # without the averages of Adam
    twin.model_.restore(twin.model_.values, 0)
    twin.model_.step_cache._resting.clear()
    call()
    other()
    np.testing.assert_array_equal(model.coefs_[1], twin.coefs_[1])


def test_a_large_program_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "MAX_RESTING_BYTES", 1000)
    model = cr.MLPRegressor(random_state=0)
    started(model, "MLPRegressor")
    assert not model.model_.step_cache._resting
