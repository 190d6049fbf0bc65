"""The lecture's own network, one step by hand: the figures that the documentation shows."""

import numpy as np
import pytest

import chainrule as cr

EXAMPLE = {"x": [[1.0, 0.0]], "t": [[1.0]]}


@pytest.fixture
def network():
    x = cr.input("x", (2,), dtype="float64")
    t = cr.input("t", (1,), dtype="float64")
    w1 = cr.parameter("W1", [[3.7, 2.9], [3.7, 2.9]], dtype="float64")
    b1 = cr.parameter("b1", [-1.5, -4.5], dtype="float64")
    w2 = cr.parameter("W2", [[4.5], [-5.2]], dtype="float64")
    b2 = cr.parameter("b2", [-2.0], dtype="float64")
    y = cr.sigmoid(cr.sigmoid(x @ w1 + b1) @ w2 + b2)
    error = cr.sum((t - y) ** 2) / 2
    return y, error, w2, b2


def near(*figures):
    return pytest.approx(np.array(figures), abs=5e-10)


def test_forward_and_backward(network):
    y, error, w2, b2 = network
    trace = cr.run([y, error], EXAMPLE)
    assert trace.value(y).ravel() == near(0.764519316)
    assert trace.value(error) == pytest.approx(0.027725576, abs=5e-10)
    trace.backward(error)
    assert -trace.gradient(w2).ravel() == near(0.038164707, 0.007121325)
    assert -trace.gradient(b2) == near(0.042393477)  # the delta of the output unit


def test_one_step_of_descent(network):
    y, error, *_ = network
    lesson = cr.Model(outputs=y, loss=error)
    lesson.fit(
        EXAMPLE, optimizer=cr.SGD(10.0), batch_size=1, epochs=1, validation=None, verbose=False
    )
    assert lesson.value("W2").ravel() == near(4.881647072, -5.128786752)
    assert lesson.value("b2") == near(-1.576065228)
    # The second input is 0, so its weights stay: the first row of W1 is the first input's.
    assert lesson.value("W1").ravel() == near(3.871312669, 2.591896197, 3.7, 2.9)
    assert lesson.value("b1") == near(-1.328687331, -4.808103803)


def test_steps_show_each_local_derivative_with_its_numbers(network):
    y, *_ = network
    named = cr.sum((cr.input("t", (1,), dtype="float64") - y.named("y")) ** 2) / 2
    trace = cr.run(named.named("E"), EXAMPLE)
    trace.backward("E")
    steps = {(s.direction, s.name): s for s in trace.steps()}
    assert steps["forward", "y"].formula == "y = sigmoid(add_2)"
    assert steps["forward", "y"].numbers == "sigmoid(1.17762)"
    delta = steps["backward", "add_2"]
    assert delta.formula == "∂E/∂add_2 = ∂E/∂matmul_2 = ∂E/∂y * y * (1 - y)"
    assert delta.numbers == "-0.235481 * 0.764519 * (1 - 0.764519)"
    assert delta.value.ravel() == near(-0.042393477)
    assert delta.consumers == ("y",)
    order = [s.direction for s in trace.steps()]
    assert order == sorted(order, key=["forward", "backward"].index)
