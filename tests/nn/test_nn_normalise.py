"""Normalisation: training against prediction, running statistics, single rows, gradients."""

import numpy as np
import pytest
from nn_check import assert_gradient, run

from chainrule.autodiff import gradients
from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.graph import Graph, check
from chainrule.graph.leaves import input
from chainrule.interpret import initial_value
from chainrule.nn import batch_norm, dense, layer_norm, rms_norm
from chainrule.ops import reduce
from chainrule.passes.specialise import specialise, tracked_updates

R = np.random.default_rng(7)
RUNNING = ("running_mean", "running_var", "steps")


def standard(x, axes, epsilon=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def train(y, batches):
    """The running statistics after each minibatch, by the updates of the specialised graph."""
    graph = Graph(y)
    place = specialise(graph, training=True)
    updates = tracked_updates(graph, place)
    state: dict[str, np.ndarray] = {}
    for batch in batches:
        new = run(list(updates.values()), {"x": batch}, state, training=True)
        state |= {graph.name(p): v for p, v in zip(updates, new, strict=True)}
    return state


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 2, 3)])
def test_batch_norm_in_training(shape):
    x = input("x", shape, "float64")
    y = batch_norm(x, name="n")
    check(Graph(y))
    data = 5 + 3 * R.normal(size=(6, *shape))
    values = {"n.scale": [1.0, 2.0, 3.0], "n.shift": [0.0, 1.0, -1.0]}
    expected = standard(data, tuple(range(data.ndim - 1))) * [1, 2, 3] + [0, 1, -1]
    np.testing.assert_allclose(run(y, {"x": data}, values, training=True), expected, rtol=1e-9)


def test_batch_norm_in_prediction():
    x = input("x", (2,), "float64")
    y = batch_norm(x, name="n", epsilon=1e-3)
    values = {"n.running_mean": [1.0, 2.0], "n.running_var": [4.0, 9.0], "n.steps": 5.0}
    data = R.normal(size=(3, 2))
    expected = (data - [1, 2]) / np.sqrt([4.001, 9.001])
    np.testing.assert_allclose(run(y, {"x": data}, values), expected, rtol=1e-12)
    np.testing.assert_allclose(run(y, {"x": data[:1]}, values), expected[:1], rtol=1e-12)


def test_training_and_prediction_through_the_pass():
    x = input("x", (2,), "float64")
    y = batch_norm(x, name="n")
    graph, data = Graph(y), R.normal(size=(5, 2))
    for training in (True, False):
        alone = specialise(graph, training=training)[y]
        ops = {n.op.name for n in Graph(alone).operations}
        assert not ops & {"when_training", "tracked"}
        assert ("var" in ops) == training
        np.testing.assert_array_equal(
            run(alone, {"x": data}), run(y, {"x": data}, training=training)
        )


@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_running_statistics(shape):
    x = input("x", shape, "float64")
    batches = [R.normal(size=(rows, *shape)) + rows for rows in (5, 5, 5, 5, 2)]
    state = train(batch_norm(x, momentum=0.7, name="n"), batches)
    mean, var = np.zeros(2), np.ones(2)
    for step, batch in enumerate(batches, start=1):
        rows = batch.reshape(-1, 2)
        share = max(0.3, 1 / step)
        mean = (1 - share) * mean + share * rows.mean(0)
        var = (1 - share) * var + share * rows.var(0, ddof=1)
    np.testing.assert_allclose(state["n.running_mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(state["n.running_var"], var, rtol=1e-12)
    assert state["n.steps"] == 5


def test_running_statistics_hold_after_one_step():
    x = input("x", (2,), "float64")
    batch = 100 + R.normal(size=(8, 2))
    state = train(batch_norm(x, name="n", momentum=0.99), [batch])
    np.testing.assert_allclose(state["n.running_mean"], batch.mean(0))
    np.testing.assert_allclose(state["n.running_var"], batch.var(0, ddof=1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_of_one_row(dtype):
    x = input("x", (2,), dtype)
    y = batch_norm(x, name="n")
    loss = reduce.sum(y * y)
    row = np.array([[3.0, -4.0]], dtype)
    value, slope = run([y, *gradients(loss, [x])], {"x": row}, {"n.shift": [1, 2]}, training=True)
    np.testing.assert_array_equal(value, [[1, 2]])
    np.testing.assert_array_equal(slope, [[0, 0]])
    state = train(y, [row])
    np.testing.assert_array_equal(state["n.running_mean"], row[0])
    np.testing.assert_array_equal(state["n.running_var"], [1, 1])


def test_one_row_of_a_sequence_has_a_variance():
    x = input("x", (4, 2), "float64")
    row = R.normal(size=(1, 4, 2))
    state = train(batch_norm(x, name="n"), [row])
    np.testing.assert_allclose(state["n.running_var"], row[0].var(0, ddof=1))


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_gradient(training):
    x = input("x", (3,), "float64")
    y = batch_norm(dense(x, 3, "tanh", name="h"), name="n")
    graph = Graph(y)
    wrt = [x, graph["h.w"], graph["n.scale"], graph["n.shift"]]
    values = {"n.scale": R.normal(size=3), "n.running_var": [2.0, 3.0, 4.0]}
    loss = reduce.sum(y * y * y)
    assert_gradient(loss, wrt, {"x": R.normal(size=(6, 3))}, values, training=training)


def test_what_batch_norm_trains():
    graph = Graph(batch_norm(input("x", (3,)), name="n"))
    assert {graph.name(p): p.trainable for p in graph.parameters} == {
        "n.scale": True, "n.shift": True, **{f"n.{part}": False for part in RUNNING},
    }  # fmt: skip


def test_batch_norm_of_large_equal_offsets():
    x = input("x", (1,))
    data = (1e4 + np.array([[0.0], [1.0], [2.0], [3.0]])).astype("float32")
    value = run(batch_norm(x), {"x": data}, training=True)
    np.testing.assert_allclose(value, standard(data.astype(float), 0), rtol=1e-5)


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_layer_norm(shape, training):
    x = input("x", shape, "float64")
    y = layer_norm(x, name="n")
    data = 5 + 3 * R.normal(size=(2, *shape))
    values = {"n.scale": [1.0, 2.0, 3.0, 4.0], "n.shift": [1.0, 0.0, 0.0, 0.0]}
    expected = standard(data, -1) * [1, 2, 3, 4] + [1, 0, 0, 0]
    feeds = {"x": data}
    np.testing.assert_allclose(run(y, feeds, values, training=training), expected, rtol=1e-9)
    graph = Graph(y)
    assert_gradient(reduce.sum(y * y * y), [x, graph["n.scale"], graph["n.shift"]], feeds, values)


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_rms_norm(shape):
    x = input("x", shape, "float64")
    y = rms_norm(x, name="n")
    data = R.normal(size=(2, *shape))
    values = {"n.scale": [1.0, 2.0, 3.0, 4.0]}
    expected = data / np.sqrt((data**2).mean(-1, keepdims=True) + 1e-6) * [1, 2, 3, 4]
    np.testing.assert_allclose(run(y, {"x": data}, values), expected, rtol=1e-12)
    assert_gradient(reduce.sum(y * y * y), [x, Graph(y)["n.scale"]], {"x": data}, values)


@pytest.mark.parametrize("norm", [layer_norm, rms_norm])
def test_rows_of_zeros_and_of_equals(norm):
    x = input("x", (3,))
    y = norm(x)
    data = np.array([[0, 0, 0], [1e4, 1e4, 1e4]], "float32")
    value, slope = run([y, *gradients(reduce.sum(y), [x])], {"x": data})
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: batch_norm(input("x", ())), ShapeError, "no axis of features"),
        (lambda: batch_norm(input("x", (3,), batch=False)), ShapeError, "statistics over"),
        (lambda: batch_norm(input("x", (3,), "int32")), DTypeError, "floating-point"),
        (lambda: batch_norm(input("x", (3,)), momentum=1.0), SettingError, "momentum"),
        (lambda: batch_norm(input("x", (3,)), epsilon=0), SettingError, "epsilon"),
        (lambda: layer_norm(input("x", (1,))), ShapeError, "one feature"),
        (lambda: layer_norm(input("x", (3,)), epsilon=-1), SettingError, "epsilon"),
        (lambda: rms_norm(input("x", (3,)), epsilon="a"), SettingError, "epsilon"),
    ],
)
def test_mistakes(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_the_count_of_steps_is_a_scalar_from_the_start():
    graph = Graph(batch_norm(input("x", (3,)), name="n"))
    (steps,) = [p for p in graph.parameters if graph.name(p) == "n.steps"]
    assert initial_value(steps, "n.steps").shape == steps.shape == ()
