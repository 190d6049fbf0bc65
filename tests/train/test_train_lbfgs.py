"""L-BFGS on functions whose minima are known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import NotFinite, SettingError
from chainrule.graph import Graph
from chainrule.train.fullbatch import FullBatch
from chainrule.train.lbfgs import LBFGS, Minimiser, minimise


def rosenbrock(x: Any) -> tuple[float, Any]:
    d = x[1:] - x[:-1] ** 2
    gradient = np.zeros_like(x)
    gradient[1:] += 200 * d
    gradient[:-1] -= 400 * x[:-1] * d + 2 * (1 - x[:-1])
    return float(np.sum(100 * d**2 + (1 - x[:-1]) ** 2)), gradient


@pytest.mark.parametrize("size", [2, 10, 60])
def test_finds_the_end_of_rosenbrocks_valley(size: int) -> None:
    start = np.where(np.arange(size) % 2, 1.0, -1.2)
    run = Minimiser(rosenbrock, start, LBFGS(tolerance=1e-8, progress=0))
    steps = list(run)
    assert run.converged
    assert run.reason == "the gradient is below 1e-08"
    np.testing.assert_allclose(steps[-1].point, 1.0, atol=1e-8)
    values = [step.value for step in steps]
    assert values == sorted(values, reverse=True)
    assert [step.number for step in steps] == list(range(len(steps)))
    assert steps[-1].evaluations < 10 * size + 60


def test_solves_a_quadratic_exactly_as_linear_algebra_does() -> None:
    generator = np.random.default_rng(0)
    root = generator.normal(size=(8, 8))
    a, b = root @ root.T + np.eye(8), generator.normal(size=8)
    found = minimise(lambda x: (0.5 * x @ a @ x - b @ x, a @ x - b), np.zeros(8),
                     LBFGS(tolerance=1e-7, progress=0))  # fmt: skip
    np.testing.assert_allclose(found.point, np.linalg.solve(a, b), rtol=1e-6)
    assert found.slope <= 1e-7
    assert found.evaluations < 60


def test_a_badly_scaled_quadratic_in_fewer_steps_than_its_condition() -> None:
    scale = np.logspace(0, 3, 30)
    run = Minimiser(lambda x: (0.5 * np.sum(scale * x * x), scale * x), np.ones(30),
                    LBFGS(progress=0, memory=20))  # fmt: skip
    last = list(run)[-1]
    assert run.converged
    assert last.number < 250
    assert np.abs(last.point).max() < 1e-5


def test_the_record_has_length_and_slope_of_each_step() -> None:
    steps = list(Minimiser(rosenbrock, [-1.2, 1.0], LBFGS(iterations=5)))
    assert len(steps) == 6
    assert steps[0].length == 0.0
    for before, after in pairwise(steps):
        assert after.length == pytest.approx(np.linalg.norm(after.point - before.point))
        assert after.slope == np.abs(rosenbrock(after.point)[1]).max()
        assert after.evaluations > before.evaluations


def test_steps_meet_the_strong_wolfe_conditions() -> None:
    steps = list(Minimiser(rosenbrock, [-1.2, 1.0], LBFGS(progress=0)))
    for before, after in pairwise(steps[:-1]):
        step = after.point - before.point
        slope = rosenbrock(before.point)[1] @ step
        assert after.value <= before.value + 1e-4 * slope
        assert abs(rosenbrock(after.point)[1] @ step) <= -0.9 * slope * (1 + 1e-9)


def test_stops_at_once_where_there_is_nothing_to_gain() -> None:
    run = Minimiser(rosenbrock, [1.0, 1.0], LBFGS())
    assert [step.number for step in run] == [0]
    assert run.converged
    empty = Minimiser(lambda x: (3.0, x), [], LBFGS())
    assert [step.value for step in empty] == [3.0]


def test_stops_at_the_limit_of_iterations_and_for_lack_of_progress() -> None:
    run = Minimiser(rosenbrock, [-1.2, 1.0], LBFGS(iterations=3))
    assert len(list(run)) == 4
    assert run.reason == "the limit of 3 iterations is reached"
    few = Minimiser(rosenbrock, [-1.2, 1.0], LBFGS(evaluations=6))
    assert 6 <= list(few)[-1].evaluations < 12
    assert few.reason == "the limit of 6 evaluations is reached"
    assert not run.converged
    slow = Minimiser(rosenbrock, [-1.2, 1.0], LBFGS(progress=0.5))
    list(slow)
    assert slow.reason is not None
    assert "fell by less than 0.5" in slow.reason


def test_backs_off_from_where_the_function_is_not_finite() -> None:
    def barrier(x: Any) -> tuple[float, Any]:
        if x[0] <= 0:
            return float("nan"), np.array([np.nan])
        return float(x[0] - np.log(x[0])), 1 - 1 / x

    assert minimise(barrier, [1e-3], LBFGS()).point == pytest.approx([1.0], abs=1e-5)
    assert minimise(barrier, [50.0], LBFGS()).point == pytest.approx([1.0], abs=1e-5)


@pytest.mark.parametrize("bad", [(np.nan, [1.0]), (np.inf, [1.0]), (1.0, [np.nan])])
def test_a_start_that_is_not_finite_is_an_error(bad: tuple[float, list[float]]) -> None:
    with pytest.raises(NotFinite, match="at the start"):
        minimise(lambda x: (bad[0], np.array(bad[1])), [0.0], LBFGS())


def test_a_gradient_that_points_uphill_ends_with_a_message() -> None:
    run = Minimiser(lambda x: (float(x @ x), -2 * x), [1.0, 2.0], LBFGS())
    assert [step.value for step in run] == [5.0]
    assert run.reason is not None
    assert "no lower loss was found" in run.reason
    assert not run.converged


def test_a_kink_is_left_or_ends_the_run_but_never_raises_the_value() -> None:
    scale = np.array([1.0, 30.0, 0.2])
    run = Minimiser(lambda x: (float(np.abs(scale * x).sum()), scale * np.sign(x)),
                    [3.0, -2.0, 0.7], LBFGS(iterations=200))  # fmt: skip
    values = [step.value for step in run]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.05 * values[0]
    assert run.reason is not None


@pytest.mark.parametrize("steep", [1e-3, 1.0, 1e3])
def test_the_first_step_that_is_tried_has_length_1(steep: float) -> None:
    tried: list[float] = []

    def bowl(x: Any) -> tuple[float, Any]:
        tried.append(float(x[0]))
        return float(steep * (x @ x)), 2 * steep * x

    minimise(bowl, [5.0], LBFGS(iterations=1))
    assert tried[:2] == pytest.approx([5.0, 4.0])


def test_a_function_without_a_minimum_ends_at_the_limit() -> None:
    run = Minimiser(lambda x: (-float(x.sum()), -np.ones_like(x)), [0.0, 0.0], LBFGS(iterations=5))
    assert len(list(run)) == 6


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: LBFGS(memory=0), "of at least 1"),
        (lambda: LBFGS(iterations=0), "of at least 1"),
        (lambda: LBFGS(tolerance=-1), "0 <= tolerance"),
        (lambda: Minimiser(rosenbrock, [[1.0, 2.0]], LBFGS()), "a vector"),
    ],
)
def test_settings_that_are_not_valid_are_refused(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(SettingError, match=match):
        make()


# ---------------------------------------------------------------- networks


def newton(x: Any, t: Any, decay: float) -> tuple[Any, Any]:
    """Logistic regression by Newton's method: weights and bias; decay on the weights alone."""
    rows, columns = x.shape
    design = np.hstack([x, np.ones((rows, 1))])
    penalty = decay * np.diag([1.0] * columns + [0.0])
    w = np.zeros(columns + 1)
    for _ in range(30):
        p = 1 / (1 + np.exp(-design @ w))
        gradient = design.T @ (p - t) / rows + penalty @ w
        hessian = design.T @ (design * (p * (1 - p))[:, None]) / rows + penalty
        w -= np.linalg.solve(hessian, gradient)
    return w[:-1], w[-1]


def classes(dtype: str) -> tuple[Any, Any]:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(80, 3)).astype(dtype)
    t = (x @ [1.0, -2.0, 0.5] + generator.normal(size=80) > 0.3).astype(dtype)
    return x, t


@pytest.mark.parametrize(("dtype", "digits"), [("float64", 1e-7), ("float32", 2e-3)])
def test_logistic_regression_is_that_of_newtons_method(dtype: str, digits: float) -> None:
    x, t = classes(dtype)
    node, target = cr.input("x", 3, dtype=dtype), cr.input("t", 1, dtype=dtype)
    w = cr.parameter("w", np.zeros((3, 1)), dtype=dtype)
    b = cr.parameter("b", [0.0], dtype=dtype)
    z = node @ w + b
    loss = cr.mean(cr.softplus(z) - target * z)
    settings = LBFGS(decay=0.01, tolerance=1e-9 if dtype == "float64" else 1e-6, progress=0)
    function = FullBatch(Graph(loss), loss, {}, {"x": x, "t": t[:, None]}, settings)
    last = minimise(function, function.start, settings)
    state = function.state(last.point)
    weights, bias = newton(x.astype(np.float64), t.astype(np.float64), 0.01)
    np.testing.assert_allclose(state["w"].ravel(), weights, rtol=digits)
    np.testing.assert_allclose(state["b"], bias, rtol=digits, atol=digits)
    assert state["w"].dtype == dtype
    assert function.penalty(last.point) == pytest.approx(0.005 * np.sum(weights**2), rel=1e-2)


def test_the_vector_follows_the_named_arrays() -> None:
    x = cr.input("x", 2, dtype="float64")
    w = cr.parameter("w", [[1.0], [2.0]], dtype="float64")
    kept = cr.parameter("kept", [9.0], dtype="float64", trainable=False)
    b = cr.parameter("b", [3.0], dtype="float32")
    loss = cr.sum((x @ w + kept * cr.cast(b, "float64")) ** 2)
    settings = LBFGS(decays={"b": 2.0}, decay=0.5)
    function = FullBatch(Graph(loss), loss, {"w": np.array([[5.0], [6.0]])},
                         {"x": np.array([[1.0, 0.0]])}, settings)  # fmt: skip
    order = function.start.tolist()
    assert sorted(order) == [3.0, 5.0, 6.0]
    value, gradient = function(function.start)
    residual = 5.0 + 27.0
    decay = 0.5 * (0.5 * (25 + 36) + 1.0 * 9)
    assert value == pytest.approx(residual**2 + decay)
    want = {5.0: 2 * residual + 2.5, 6.0: 3.0, 3.0: 18 * residual + 3.0}
    assert gradient.tolist() == pytest.approx([want[entry] for entry in order])
    state = function.state(function.start + 1)
    assert state["w"].tolist() == [[6.0], [7.0]]
    assert state["b"].tolist() == [4.0]
    assert state["b"].dtype == np.float32
    assert state["kept"].tolist() == [9.0]


def test_frozen_parameters_and_patterns() -> None:
    x = cr.input("x", 2)
    h = cr.dense(x, 4, activation="tanh", name="hidden")
    y = cr.dense(h, 1, name="out")
    loss = cr.mean(y**2)
    data = {"x": np.ones((3, 2), np.float32)}
    function = FullBatch(Graph(loss), loss, {}, data, LBFGS(), trainable=["out.*"])
    assert function.start.shape == (5,)
    with pytest.raises(SettingError, match=r"LBFGS\.decays"):
        FullBatch(Graph(loss), loss, {}, data, LBFGS(decays={"*.weight": 0.0}))


def test_a_relu_network_with_dropout_falls_and_sees_one_draw() -> None:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(60, 4)).astype(np.float32)
    t = np.maximum(x[:, :1], x[:, 1:2])
    node, target = cr.input("x", 4), cr.input("t", 1)
    h = cr.dropout(cr.dense(node, 16, activation="relu", name="h"), 0.1)
    loss = cr.mean((cr.dense(h, 1, name="y") - target) ** 2)
    function = FullBatch(Graph(loss), loss, {}, {"x": x, "t": t}, LBFGS(), seed=5)
    assert function(function.start)[0] == function(function.start)[0]
    run = Minimiser(function, function.start, LBFGS(iterations=60))
    values = [step.value for step in run]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.2 * values[0]


def test_running_statistics_follow_on_request() -> None:
    x = cr.input("x", 1, dtype="float64")
    mean = cr.parameter("mean", [0.0], dtype="float64", trainable=False)
    w = cr.parameter("w", [2.0], dtype="float64")
    seen = x * w
    present = cr.tracked(mean, 0.5 * mean + 0.5 * cr.mean(seen, axis=0))
    centred = cr.when_training(seen - cr.mean(seen, axis=0), seen - present)
    loss = cr.mean((centred - 1) ** 2)
    data = {"x": np.array([[1.0], [3.0]])}
    function = FullBatch(Graph(loss), loss, {}, data, LBFGS())
    function(np.array([2.0]))
    assert function.state(function.start)["mean"].tolist() == [0.0]
    function.advance(np.array([2.0]))
    assert function.state(function.start)["mean"].tolist() == [2.0]
    function.advance(np.array([2.0]))
    assert function.state(function.start)["mean"].tolist() == [3.0]
