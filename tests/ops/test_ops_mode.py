"""Ops that read the run and not numbers: counts, tracked parameters, the mark of a loss."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from chainrule.autodiff import gradients
from chainrule.errors import GraphError, ShapeError
from chainrule.graph import Graph, Input, Node, Parameter, Scope
from chainrule.interpret import evaluate
from chainrule.ops.build import sum_to
from chainrule.ops.mode import count, stop_gradient, tracked, when_training
from chainrule.ops.objective import objective
from chainrule.types import N, TensorType


def batch(*shape: int) -> Input:
    return Input(Scope("x", given=True), TensorType((N, *shape), "float64"))


def parameter(trainable: bool) -> Parameter:
    initial = np.array([1.0, 2.0])
    return Parameter(
        Scope("w", given=True), TensorType((2,), "float64"), initial=initial, trainable=trainable
    )


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_count_knows_the_rows_of_the_minibatch(rows: int) -> None:
    counted = count((N, 3), "float64")
    assert counted.type == TensorType((), "float64")
    assert evaluate(Graph(counted), {}, rows=rows)[counted] == 3 * rows


def test_count_of_a_static_shape_is_a_constant() -> None:
    counted = count((2, 3), "float32")
    assert [node.op.name for node in Graph(counted).operations] == ["constant"]
    assert evaluate(Graph(counted), {})[counted] == 6


def test_when_training_takes_sides_in_value_and_gradient() -> None:
    x = batch()
    y = when_training(2 * x, 5 * x)
    (gradient,) = gradients(sum_to(y, ()), [x])
    values: dict[Node, np.ndarray] = {x: np.array([1.0, 3.0])}  # type: ignore[type-arg]
    for training, slope in ((True, 2.0), (False, 5.0)):
        env = evaluate(Graph([y, gradient]), values, rows=2, training=training)
        npt.assert_array_equal(env[y], [slope, 3 * slope])
        npt.assert_array_equal(env[gradient], [slope, slope])


def test_stop_gradient_is_a_constant_to_differentiation() -> None:
    x = batch()
    y = stop_gradient(x * x) * x
    (gradient,) = gradients(sum_to(y, ()), [x])
    env = evaluate(Graph([y, gradient]), {x: np.array([3.0])}, rows=1)
    assert (env[y].item(), env[gradient].item()) == (27.0, 9.0)


def test_tracked_has_the_present_value_and_no_gradient() -> None:
    frozen, x = parameter(trainable=False), batch(2)
    node = tracked(frozen, sum_to(x, (2,)))
    (gradient,) = gradients(sum_to(node, ()), [x])
    values: dict[Node, np.ndarray] = {frozen: frozen.initial, x: np.ones((4, 2))}  # type: ignore[type-arg, dict-item]
    env = evaluate(Graph([node, gradient]), values, rows=4)
    npt.assert_array_equal(env[node], [1.0, 2.0])
    npt.assert_array_equal(env[gradient], np.zeros((4, 2)))


def test_tracked_refuses_what_the_optimizer_trains() -> None:
    for wrong in (parameter(trainable=True), batch(2)):
        with pytest.raises(GraphError, match="not trained"):
            tracked(wrong, wrong)
    with pytest.raises(ShapeError):
        tracked(parameter(trainable=False), [1.0, 2.0, 3.0])


def test_objective_is_the_loss_and_sends_all_gradient_to_it() -> None:
    x = batch()
    loss = sum_to(x * x, ())
    marked = objective(loss, x, x, kind="squared_error")
    (gradient,) = gradients(marked * 3, [x])
    env = evaluate(Graph([marked, gradient]), {x: np.array([1.0, -2.0])}, rows=2)
    assert env[marked] == 5.0
    npt.assert_array_equal(env[gradient], [6.0, -12.0])
    with pytest.raises(ShapeError, match="scalar with a prediction"):
        objective(x, x, x, kind="squared_error")
