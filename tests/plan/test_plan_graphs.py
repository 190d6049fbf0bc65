"""Random graphs and unusual ones: their plans compute what the interpreter does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import planned

import chainrule as cr
from chainrule.autodiff import gradients
from chainrule.engine.compile import plan_forward
from chainrule.graph import Graph, Input, Node, Scope
from chainrule.graph.step import KEY
from chainrule.interpret import evaluate
from chainrule.ops.build import constant, sum_to
from chainrule.ops.mode import count
from chainrule.ops.product import prod_others
from chainrule.ops.random import uniform
from chainrule.types import N, TensorType
from test_random_graphs import PROGRAMS, SIZE, WIDTH, Step, build

Array = np.ndarray[Any, Any]


def batch(name: str, *shape: int, dtype: str = "float64") -> Input:
    return Input(Scope(name, given=True), TensorType((N, *shape), dtype))


def assert_planned(
    outputs: Sequence[Node], values: dict[Node, Array], rows: int = 0, tolerance: float = 1e-12
) -> None:
    env = evaluate(Graph([*outputs, *values]), {KEY: np.zeros(3, "uint32"), **values}, rows=rows)
    for found, node in zip(planned(outputs, values, rows), outputs, strict=True):
        assert (found.shape, found.dtype) == (env[node].shape, env[node].dtype)
        npt.assert_allclose(found, env[node], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("batched", [False, True])
@settings(max_examples=30, deadline=None, derandomize=True)
@given(program=PROGRAMS, seed=st.integers(0, 2**32 - 1))
def test_value_and_gradient_of_random_graphs(
    batched: bool, program: list[tuple[Step, int, int]], seed: int
) -> None:
    """With `batched`, the 3 x 3 values of three rows are worked on by the rows' mean."""
    generator = np.random.default_rng(seed)
    inputs = [Input(Scope(n, given=True), WIDTH, batch=False) for n in "xyz"]
    values: dict[Node, Array] = {x: generator.normal(size=(SIZE, SIZE)) for x in inputs}
    starts = values
    if batched:
        rows = [batch(f"{n}s", SIZE, SIZE) for n in "xyz"]
        values = {x: generator.normal(size=(4, SIZE, SIZE)) for x in rows}
        starts = {cr.mean(x, 0): v.mean(0) for x, v in values.items()}
    output, _ = build(program, starts)
    loss = sum_to(output * generator.normal(size=(SIZE, SIZE)), ())
    found = gradients(loss, list(values))
    assert_planned([loss, output, *found], values, 4 if batched else 0, 1e-10)


def test_a_chain_of_5000_nodes() -> None:
    x = batch("x")
    y: Node = x
    for _ in range(5000):
        y = cr.sin(y)
    (gradient,) = gradients(sum_to(y, ()), [x])
    assert_planned([y, gradient], {x: np.array([0.3, -1.1, 2.0])}, 3, 1e-11)


@pytest.mark.parametrize(
    "longer",
    [
        lambda y: y + 0.01,
        lambda y: cr.square(y) * 0.5,
        lambda y: cr.reshape(cr.transpose(cr.reshape(y, (N, 2, 3)), (0, 2, 1)), (N, 6)),
        lambda y: cr.pad(y, ((0, 0), (1, 0)))[:, :6],
        lambda y: cr.flip(y, 1),
        lambda y: cr.concat([y[:, 3:], y[:, :3]], 1),
    ],
    ids=["map", "square", "reshape", "pad", "flip", "concat"],
)
def test_a_chain_of_cheap_nodes(longer: Any) -> None:
    x = batch("x", 6)
    y: Node = x
    for _ in range(300):
        y = longer(y)
    values = {x: np.random.default_rng(0).uniform(-1, 1, (3, 6))}
    assert_planned([y], values, 3)


def test_a_graph_with_two_to_the_sixty_paths() -> None:
    x = batch("x")
    y: Node = x
    for _ in range(60):
        y = y + y
    z: Node = constant(np.float64(1.0))
    for _ in range(60):
        z = z + z
    (gradient,) = gradients(sum_to(y, ()), [x])
    assert_planned([y, gradient, z], {x: np.array([1.0, 0.5])}, 2)


def test_outputs_that_are_leaves_views_and_numbers() -> None:
    x = batch("x", 2)
    w = Input(Scope("w", given=True), TensorType((3,), "float64"), batch=False)
    outputs = [
        x,
        w,
        constant(np.arange(3.0)),
        constant(np.float64(2.0)),
        count((N, 2), "float64"),
        1 / count((N,), "float32"),
        cr.transpose(x),
        cr.reshape(w, (3, 1)),
        cr.broadcast_to(w, (N, 3)),
        x,
    ]
    assert_planned(outputs, {x: np.arange(10.0).reshape(5, 2), w: np.array([1.0, 2.0, 3.0])}, 5)


def test_the_batch_axis_elsewhere_and_twice() -> None:
    x, y = batch("x", 3), batch("y", 3)
    generator = np.random.default_rng(1)
    values = {x: generator.normal(size=(4, 3)), y: generator.normal(size=(4, 3))}
    square = x @ cr.transpose(y)
    outputs = [
        cr.transpose(x) * 2,
        cr.transpose(cr.softmax(x)) + cr.transpose(y),
        square,
        cr.softmax(square, 0),
        cr.sum(square, 1),
        cr.transpose(square) @ x,
        cr.transpose(x) @ square,
        count((N, N, 2), "float64"),
    ]
    assert_planned([*outputs, *gradients(cr.sum(cr.tanh(square)), [x, y])], values, 4)


def test_axes_without_elements() -> None:
    x = batch("x", 0, 3)
    outputs = [
        cr.sum(x, 1),
        cr.sum(x, 2),
        cr.softmax(x, 1),
        cr.log_softmax(x, 1),
        cr.logsumexp(x, 1),
        cr.norm(x, 1),
        cr.reshape(x, (N, 3, 0)),
        cr.concat([x, x], 1),
        cr.pad(x, ((0, 0), (1, 1), (0, 0)), 7.0),
        cr.cumsum(x, 1),
        cr.prod(x, 1),
    ]
    assert_planned(outputs, {x: np.zeros((2, 0, 3))}, 2)


def test_a_minibatch_without_rows() -> None:
    x = batch("x", 3)
    w = constant(np.arange(6.0).reshape(3, 2))
    assert_planned([x @ w, cr.sum(x, 0), cr.softmax(x)], {x: np.zeros((0, 3))}, 0)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_softmax_and_its_kin_where_elements_are_not_finite(value: float) -> None:
    x = batch("x", 3)
    rows = np.array([[value, 1.0, 2.0], [value, value, value], [-np.inf, value, 0.5]])
    outputs = [cr.softmax(x), cr.log_softmax(x), cr.logsumexp(x, 1), cr.norm(x, 1), cr.max(x, 1)]
    outputs += [cr.argmax(x), cr.argmin(x), cr.relu(x), cr.sign(x), cr.isfinite(x), cr.isnan(x)]
    outputs += [cr.maximum(x, 0.5), cr.clip(x, -1, 1), cr.min(x, 0)]
    assert_planned(outputs, {x: rows}, 3)


def test_statistics_of_large_numbers() -> None:
    x = batch("x", 50, dtype="float32")
    values = {x: np.random.default_rng(2).normal(1000, 1, (3, 50)).astype("float32")}
    assert_planned([cr.var(x, 1), cr.std(x, 1, ddof=1), cr.mean(x, 1)], values, 3, 1e-5)


def test_a_spread_without_enough_rows_is_nan() -> None:
    x = batch("x", 2)
    outputs = [cr.var(x, 0, ddof=1), cr.std(x, 0, ddof=2), cr.var(x, 0)]
    assert_planned(outputs, {x: np.array([[1.0, 2.0]])}, 1)


@pytest.mark.parametrize("axis", [(0,), (1,), (0, 1), (1, 2)])
def test_derivatives_of_products_of_any_order(axis: tuple[int, ...]) -> None:
    generator = np.random.default_rng(3)
    values = {batch(n, 3, 2): generator.normal(size=(2, 3, 2)) for n in "xst"}
    x, s, t = values
    values[x][0, 1] = 0.0
    assert_planned([prod_others(x, axis=axis), prod_others(x, s, axis=axis)], values, 2)
    assert_planned([prod_others(x, s, t, axis=axis)], values, 2)


def test_random_numbers_are_those_of_the_interpreter() -> None:
    shapes: list[tuple[Any, ...]] = [(N, 7), (N, 2, 3), (N,), (5,), (), (3, 4)]
    outputs = [uniform(shape, dtype) for shape in shapes for dtype in ("float32", "float64")]
    x = batch("x")
    assert_planned([*outputs, x], {x: np.zeros(6)}, 6, 0.0)


def test_names_of_work_are_those_of_nodes() -> None:
    x = batch("x", 3)
    y = cr.exp(x).named("grown")
    total = cr.sum(y, 0) + cr.sum(y * y, 0)
    plan = plan_forward(Graph(total), [total])
    assert "grown" in {b.name for b in plan.buffers}
