"""Gradients held against differences: what is wrong is found, what is right passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import FeedError, GraphError
from chainrule.explain.gradcheck import GradientReport
from chainrule.graph import Node
from chainrule.graph.node import apply
from chainrule.graph.op import REGISTRY, Op, op
from chainrule.ops.build import same

R = np.random.default_rng(0)


@pytest.fixture
def make() -> Iterator[Callable[..., Op]]:
    """Ops for one test, taken out of the registry after it."""
    made = []

    def temporary(name: str, forward: Any, gradient: Any) -> Op:
        made.append(name)
        return op(name, "map", infer=same, forward=forward, gradient=gradient)

    yield temporary
    for name in made:
        del REGISTRY[name]


def checked(
    function: Callable[[Node], Node], values: Any, **settings: Any
) -> tuple[GradientReport, Node]:
    x = cr.parameter("x", values, dtype="float64")
    return cr.check_gradients(cr.sum(function(x)), {}, **settings), x


# ---------------------------------------------------------------- what is right


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x,
        cr.square,
        cr.log,
        cr.sqrt,
        cr.sin,
        cr.tanh,
        cr.reciprocal,
        lambda x: x**3,
        lambda x: cr.log(x) * 1e6,
        lambda x: cr.log(x) * 1e-6,
        lambda x: cr.relu(x - 0.9 * 1e-6),
        lambda x: cr.norm(x, axis=0),
    ],
)
def test_right_gradients_pass_at_every_scale(function: Any, scale: float) -> None:
    report, _ = checked(function, scale * R.uniform(1.0, 2.0, (3,)))
    assert report, report
    assert not report.rows[0].kink


def test_a_float32_network_is_checked_as_the_same_in_float64() -> None:
    x, t = cr.input("x", (4,)), cr.input("t", (), dtype="int32")
    table = np.arange(4, dtype="float32")
    h = cr.dense(x * table + cr.constant(1.5), 5, "relu", name="h")
    loss = cr.cross_entropy(cr.dense(cr.layer_norm(h), 3), t)
    assert loss.dtype == "float32"
    report = cr.check_gradients(loss, {"x": R.normal(size=(6, 4)), "t": [0, 1, 2, 0, 1, 2]})
    assert report, report
    assert {row.name for row in report.rows} >= {"h.w", "h.b", "x"}
    assert max(row.error for row in report.rows) < 1e-6


def test_a_gradient_that_is_nothing_but_rounding_passes() -> None:
    """A bias before a normalisation: its gradient is 0, differences see rounding only."""
    x = cr.input("x", (3,), dtype="float64")
    b = cr.parameter("b", [0.3], dtype="float64")
    w = cr.parameter("w", R.normal(size=(3, 4)), dtype="float64")
    logits = x @ w + b
    loss = cr.mean(cr.square(cr.softmax(logits)[:, 0] - 0.3)) + 7.0
    report = cr.check_gradients(loss, {"x": R.normal(size=(5, 3))})
    assert report, report


def test_what_the_loss_does_not_depend_on_and_arrays_without_entries_pass() -> None:
    x = cr.parameter("x", np.zeros((0, 3)), dtype="float64")
    w = cr.parameter("w", [1.0, 2.0], dtype="float64")
    report = cr.check_gradients(cr.sum(x) + cr.sum(cr.stop_gradient(w) * 0.0), {})
    assert report, report
    assert [row.entries for row in report.rows] == [(0, 0), (2, 2)]


def test_integers_frozen_parameters_and_what_is_random_are_left_out() -> None:
    x = cr.input("x", (2,), dtype="float64")
    i = cr.input("i", (), dtype="int32")
    frozen = cr.parameter("frozen", np.eye(3, 2), dtype="float64", trainable=False)
    loss = cr.mean(cr.dropout(x * cr.take(frozen, i), 0.5))
    report = cr.check_gradients(loss, {"x": [[1.0, 2.0]], "i": [1]})
    assert report, report
    assert [row.name for row in report.rows] == ["x"]


def test_values_and_the_number_of_entries() -> None:
    x = cr.parameter("x", np.ones((5, 5)), dtype="float64")
    loss = cr.sum(cr.log(x - 2.0))
    report = cr.check_gradients(loss, {}, values={"x": np.full((5, 5), 4.0)}, entries=3)
    assert report, report
    assert report.rows[0].entries == (3, 25)
    assert report.rows[0].gradient == pytest.approx(0.5)
    assert not cr.check_gradients(loss, {})  # log of -1: NaN on both sides is no agreement


def test_mistakes() -> None:
    x = cr.input("x", (2,), dtype="float64")
    with pytest.raises(GraphError, match="a floating-point scalar"):
        cr.check_gradients(x * x, {"x": [[1.0, 2.0]]})
    with pytest.raises(FeedError, match="names do not match"):
        cr.check_gradients(cr.sum(x), {"y": [[1.0, 2.0]]})


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("factor", [0.0, -1.0, 0.5, 0.999, 1.001, 2.0, np.nan, np.inf])
def test_a_wrong_rule_is_found(make: Any, factor: float, scale: float) -> None:
    wrong = make("test_wrong", np.tanh, lambda gy, y, x: (gy * (1 - y * y) * factor,))
    report, _ = checked(lambda x: apply(wrong, x / scale), scale * np.array([0.3, -0.4, 1.1]))
    assert not report
    assert str(report).startswith("1 of 1 are wrong\nWRONG  x[")


@pytest.mark.parametrize("wrong_slope", [0.5, -0.5, 1e-3, 5.0])
def test_a_wrong_gradient_at_a_smooth_minimum_is_no_corner(make: Any, wrong_slope: float) -> None:
    """Both one-sided differences have opposite signs there, however small they are."""
    rule = make("test_bowl", np.square, lambda gy, y, x: (gy * (2 * x + wrong_slope),))
    for values in ([0.0], [1e-7], [0.0, 3.0]):
        for factor in (1.0, 1e6):
            report, _ = checked(lambda x, f=factor: apply(rule, x) * f, values)
            assert not report, report


def test_a_wrong_gradient_at_a_corner_is_wrong(make: Any) -> None:
    for slope in (-0.5, 1.5, 7.0):
        rule = make(
            f"test_relu{slope}",
            lambda x: np.maximum(x, 0),
            lambda gy, y, x, s=slope: (gy * cr.cast(cr.where(x > 0, 1.0, s), x.dtype),),
        )
        report, _ = checked(lambda x, r=rule: apply(r, x), [0.0, 1.0])
        assert not report, report


def test_one_wrong_entry_is_not_hidden_by_others(make: Any) -> None:
    """Neither by a right one after a NaN, nor by a corner with a larger error."""
    rule = make("test_nan", np.tanh, lambda gy, y, x: (gy * cr.where(x > 1, np.nan, 1 - y * y),))
    report, _ = checked(lambda x: apply(rule, x), [2.0, 0.1, 0.2])
    assert not report
    assert report.rows[0].worst == (0,)
    assert np.isnan(report.rows[0].gradient)
    assert report.rows[0].numeric == pytest.approx(1 - np.tanh(2.0) ** 2)

    slightly = make("test_slightly", np.tanh, lambda gy, y, x: (gy * (1 - y * y) * 1.001,))
    report, _ = checked(lambda x: apply(slightly, x) + cr.relu(x), [0.0, 0.5, -0.5])
    assert not report, report


def test_a_wrong_parameter_is_told_among_right_ones(make: Any) -> None:
    wrong = make("test_wrong", np.sin, lambda gy, y, x: (gy,))
    a = cr.parameter("a", [0.3], dtype="float64")
    b = cr.parameter("b", [[0.1, 2.0], [0.0, 0.2]], dtype="float64")
    report = cr.check_gradients(cr.sum(cr.cos(a)) + cr.sum(apply(wrong, b)), {})
    assert [row.ok for row in report.rows] == [True, False]
    assert report.rows[1].worst == (0, 1)
    text = str(report)
    assert text.splitlines()[0] == "1 of 2 are wrong"
    assert "WRONG  b[0,1]: gradient 1, numeric -0.416146837, relative error" in text
    assert "(4 of 4 entries tried)" in text
    assert repr(report) == text


def test_right_gradients_pass_among_thousands_of_kinks() -> None:
    """A bias of a layer with many units: each of the wider differences crosses some kinks."""
    x, bias = cr.input("x", (50_000,)), cr.parameter("bias", 0.0)
    loss = cr.mean(cr.relu(x + bias))
    values = np.linspace(-1.0, 1.0, 50_000)[None] + 1.3e-6
    assert cr.check_gradients(loss, {"x": values}, entries=1), "right"
    wrong = cr.mean(cr.relu(x + bias)) + 1e-4 * (bias - cr.stop_gradient(bias))
    assert not cr.check_gradients(wrong, {"x": values}, entries=1).rows[0].ok


# ---------------------------------------------------------------- corners and jumps


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (cr.relu, [0.0, 1.0, -1.0]),
        (lambda x: cr.clip(x, -1.0, 1.0), [1.0, -1.0, 0.5]),
        (lambda x: cr.clip(x, -1e-6, 1e-6) * 1e6, [1e-6]),
        (lambda x: cr.relu(x) * 1e-4 + 5.0, [0.0]),
        (cr.floor, [2.0]),
        (lambda x: x * cr.floor(x), [2.0]),
    ],
)
def test_corners_and_jumps_are_told_as_such(function: Any, values: Any) -> None:
    report, _ = checked(function, values)
    assert report, report
    assert report.rows[0].kink
    assert "corner x[" in str(report)


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (cr.abs, [0.0]),
        (lambda x: cr.maximum(x, cr.constant(2.0, "float64")), [2.0]),
        (lambda x: cr.max(x), [3.0, 3.0, 1.0]),
        (lambda x: cr.norm(x, axis=0), [0.0, 0.0]),
    ],
)
def test_the_mean_of_both_slopes_passes_at_a_corner(function: Any, values: Any) -> None:
    report, _ = checked(function, values)
    assert report, report


@pytest.mark.parametrize("near", [1e-2, 1e-4, 1e-6, 1e-9])
def test_near_a_corner_the_gradient_is_that_of_its_side(make: Any, near: float) -> None:
    report, _ = checked(cr.relu, [near, -near])
    assert report, report
    half = make("test_half", lambda x: np.maximum(x, 0), lambda gy, y, x: (gy * 0.5,))
    report, _ = checked(lambda x: apply(half, x), [near])
    assert not report or near < 1e-6, report  # differences cannot tell this from a corner
