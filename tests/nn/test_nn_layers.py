"""Layers against NumPy: values, gradients, names, and what they refuse."""

import numpy as np
import pytest
from nn_check import assert_gradient, run

import chainrule as cr
from chainrule.errors import DTypeError, FeedError, GraphError, SettingError, ShapeError
from chainrule.graph import Graph, check
from chainrule.graph.leaves import input
from chainrule.nn import dense, dropout, embedding, flatten, init, noise
from chainrule.ops import activations, reduce
from chainrule.ops.activations import relu
from chainrule.types import N

R = np.random.default_rng(3)


@pytest.fixture
def x():
    return input("x", (3,), "float64")


def names(*nodes):
    graph = check(Graph(nodes))
    return {graph.name(n) for n in graph}


# ---------------------------------------------------------------- dense


@pytest.mark.parametrize("shape", [(5, 3), (0, 3), (1, 3), (4, 2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense_value(shape, dtype):
    x = input("x", shape[1:], dtype)
    y = dense(x, 4, "tanh", name="h", bias=0.5)
    data, w = R.normal(size=shape).astype(dtype), R.normal(size=(3, 4)).astype(dtype)
    value = run(y, {"x": data}, {"h.w": w})
    assert y.shape == (N, *shape[1:-1], 4)
    assert value.dtype == dtype
    np.testing.assert_allclose(value, np.tanh(data @ w + 0.5), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_dense_gradient(shape):
    x = input("x", shape, "float64")
    y = dense(x, 4, "gelu", name="h")
    graph = Graph(y)
    wrt = [x, graph["h.w"], graph["h.b"]]
    assert_gradient(reduce.sum(y * y), wrt, {"x": R.normal(size=(5, *shape))})


def test_dense_names(x):
    y = dense(x, 4, "relu", name="hidden")
    assert names(y) == {
        "x", "hidden", "hidden.w", "hidden.b", "hidden.matmul", "hidden.broadcast_to", "hidden.z",
    }  # fmt: skip
    assert names(dense(x, 4, name="h", bias=False)) == {"x", "h", "h.w"}
    assert Graph(y)["hidden.z"].shape == (N, 4)


def test_unnamed_layers_are_numbered(x):
    y = dense(dense(x, 4), 2)
    assert {"dense", "dense.w", "dense_2", "dense_2.w"} <= names(y)


def test_one_name_twice_is_an_error(x):
    with pytest.raises(GraphError, match="two nodes are named"):
        Graph(dense(dense(x, 4, name="h"), 4, name="h"))


@pytest.mark.parametrize("activation", ["gelu", "elu", "selu", "mish", "softmax", "leaky_relu"])
def test_composite_activations_have_unique_names(x, activation):
    y = dense(x, 4, activation, name="h")
    graph = check(Graph(y))
    assert all(n is x or n.scope is y.scope for n in graph)
    data = R.normal(size=(2, 3))
    w, z = run([graph["h.w"], graph["h.z"]], {"x": data})
    np.testing.assert_allclose(z, data @ w)


def test_own_activation_may_use_other_nodes(x):
    gate = relu(x)
    y = dense(x, 3, lambda z: z * gate, name="h")
    graph = check(Graph([y, gate]))
    assert [n.op.name for n in graph.operations].count("relu") == 1
    data = R.normal(size=(4, 3))
    z, value = run([graph["h.z"], y], {"x": data})
    np.testing.assert_allclose(value, z * np.maximum(data, 0))


def test_layers_do_not_copy_what_they_read(x):
    shared = relu(x)
    one, two = dense(shared, 2), dense(shared, 2)
    assert Graph([one, two]).consumers(x) == (shared,)


def test_dense_starts_by_activation(x):
    starts = {a: Graph(dense(x, 4, a, name="h"))["h.w"].initial for a in ("relu", "selu", "tanh")}
    assert starts == {
        "relu": init.HeNormal(), "selu": init.LeCunNormal(), "tanh": init.GlorotUniform(),
    }  # fmt: skip
    assert Graph(dense(x, 4, relu, name="h"))["h.w"].initial == init.HeNormal()


def test_dense_keeps_the_size_of_the_signal():
    x = input("x", (400,))
    h = x
    for _ in range(4):
        h = dense(h, 400, "relu")
    value = run(h, {"x": R.normal(size=(50, 400)).astype("float32")})
    assert 0.5 < np.mean(value**2) < 2


def test_dense_from_an_array(x):
    w = np.arange(6.0).reshape(3, 2)
    y = dense(x, 2, name="h", init=w, bias=[1, 2])
    w[:] = 0
    np.testing.assert_array_equal(run(y, {"x": np.eye(3)}), [[1, 3], [3, 5], [5, 7]])


def test_frozen_dense(x):
    assert not any(p.trainable for p in Graph(dense(x, 2, trainable=False)).parameters)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: dense(x, "relu"), SettingError, "width is not an integer"),
        (lambda x: dense(x, 0), SettingError, "width is not an integer"),
        (lambda x: dense(x, True), SettingError, "width is not an integer"),
        (lambda x: dense(x, 2.0), SettingError, "width is not an integer"),
        (lambda x: dense(x, 2, "rleu"), SettingError, "did you mean 'relu'"),
        (lambda x: dense(x, 2, 7), SettingError, "function from a node to a node"),
        (lambda x: dense(x, 2, lambda z: 1), SettingError, "which returned 1"),
        (lambda x: dense(x, 2, init="he"), SettingError, "no initializer is named"),
        (lambda x: dense(x, 2, init=np.ones((2, 3))), ShapeError, r"'dense.w' has another shape"),
        (lambda x: dense(x, 2, bias=[1.0]), ShapeError, r"'dense.b' has another shape"),
        (lambda x: dense(np.ones((2, 3)), 2), GraphError, "first argument is a node"),
        (lambda x: dense("x", 2), GraphError, "first argument is a node"),
        (lambda x: dense(input("n", ()), 2), ShapeError, r"expand_dims\(x, -1\)"),
        (lambda x: dense(input("n", (0,)), 2), ShapeError, "no features"),
        (lambda x: dense(input("c", (3,), "int32"), 2), DTypeError, "embedding"),
        (lambda x: dense(x, 2, name=3), GraphError, "name"),
        (lambda x: dropout(x, 1.0), SettingError, "rate"),
        (lambda x: dropout(input("c", (3,), "int32"), 0.5), DTypeError, "floating-point"),
        (lambda x: embedding(x, 4, 2), DTypeError, "integers"),
        (lambda x: embedding(input("c", (), "int32"), 0, 2), SettingError, "count"),
        (lambda x: embedding(input("c", (), "int32"), 4, None), SettingError, "width"),
        (lambda x: flatten([1.0]), GraphError, "first argument is a node"),
    ],
)
def test_mistakes(x, call, error, match):
    with pytest.raises(error, match=match):
        call(x)


# ---------------------------------------------------------------- dropout


def test_dropout_in_training_and_prediction():
    x = input("x", (50,), "float64")
    y = dropout(x, 0.3, name="drop")
    data = R.uniform(1, 2, size=(400, 50))
    np.testing.assert_array_equal(run(y, {"x": data}), data)
    value = run(y, {"x": data}, training=True)
    kept = value != 0
    np.testing.assert_allclose(value[kept], (data / 0.7)[kept], rtol=1e-12)
    assert kept.mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / kept.size))
    assert not np.array_equal(value, run(y, {"x": data}, training=True, step=1))
    np.testing.assert_array_equal(value, run(y, {"x": data}, training=True))


def test_dropout_gradient(x):
    y = dropout(activations.sigmoid(x), 0.5)
    assert_gradient(reduce.sum(y * y), [x], {"x": R.normal(size=(6, 3))}, training=True)


def test_two_dropouts_differ():
    x = input("x", (100,))
    one, two = run([dropout(x, 0.5), dropout(x, 0.5)], {"x": np.ones((3, 100))}, training=True)
    assert not np.array_equal(one, two)


def test_dropout_of_nothing_is_x(x):
    assert dropout(x, 0) is x


# ---------------------------------------------------------------- noise


def test_noise_in_training_and_prediction():
    x = input("x", (50,), "float64")
    y = noise(x, 0.3, name="hiss")
    data = R.uniform(1, 2, size=(400, 50))
    np.testing.assert_array_equal(run(y, {"x": data}), data)
    drawn = (run(y, {"x": data}, training=True) - data) / 0.3
    assert abs(drawn.mean()) < 4 / np.sqrt(drawn.size)
    assert abs(drawn.std() - 1) < 4 / np.sqrt(2 * drawn.size)
    again = (run(y, {"x": data}, training=True, step=1) - data) / 0.3
    assert abs((drawn * again).mean()) < 4 / np.sqrt(drawn.size)


def test_gradients_of_noise_pass_to_both_operands(x):
    deviation = activations.sigmoid(x)
    y = noise(x * x, deviation)
    assert_gradient(reduce.sum(y * y), [x], {"x": R.normal(size=(6, 3))}, training=True)


def test_noise_that_is_nothing_or_cannot_be(x):
    assert noise(x, 0) is x
    for wrong in (-1, float("nan"), "much", True):
        with pytest.raises(SettingError, match="deviation"):
            noise(x, wrong)
    with pytest.raises(ShapeError, match="larger than what it is added to"):
        noise(input("one", (1,), "float64"), x)
    with pytest.raises(ShapeError):
        noise(x, input("d", (4,), "float64"))


def test_noise_is_the_same_in_machine_code_and_on_threads():
    x = input("x", (6,))
    w = cr.parameter("w", np.ones(6))
    loss = reduce.sum(noise(x * w, 0.5, name="hiss") ** 2)
    data = {"x": R.normal(size=(32, 6))}
    found = []
    for settings in ({"backend": "interpreter"}, {"threads": 1}, {"threads": 2}):
        model = cr.Model(loss, loss, seed=3)
        model.fit(data, epochs=2, batch_size=8, validation=None, verbose=False, **settings)
        found.append(model.value("w"))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    np.testing.assert_array_equal(found[1], found[2])


# ---------------------------------------------------------------- embedding, flatten


@pytest.mark.parametrize("shape", [(), (4,), (2, 2)])
def test_embedding(shape):
    codes = input("c", shape, "int32")
    y = embedding(codes, 5, 3, name="e", dtype="float64")
    table, data = R.normal(size=(5, 3)), R.integers(0, 5, size=(6, *shape))
    assert y.shape == (N, *shape, 3)
    np.testing.assert_array_equal(run(y, {"c": data}, {"e.table": table}), table[data])
    assert_gradient(reduce.sum(y * y), [Graph(y)["e.table"]], {"c": data})


def test_embedding_rows_start_about_one_long():
    y = embedding(input("c", (), "int32"), 500, 32)
    rows = run(y, {"c": np.arange(500)})
    assert np.linalg.norm(rows, axis=1).mean() == pytest.approx(1, abs=0.02)


def test_embedding_beyond_the_table():
    y = embedding(input("c", (), "int32"), 5, 3)
    with pytest.raises(FeedError, match="0 to 4"):
        run(y, {"c": [5]})


@pytest.mark.parametrize(
    ("shape", "expected"), [((), (N, 1)), ((4,), (N, 4)), ((2, 3), (N, 6)), ((2, 3, 4), (N, 24))]
)
def test_flatten(shape, expected):
    y = flatten(input("x", shape), name="flat")
    data = R.normal(size=(3, *shape)).astype("float32")
    assert y.shape == expected
    np.testing.assert_array_equal(run(y, {"x": data}), data.reshape(3, -1))


def test_layers_are_numbered_as_they_follow(x):
    """Also where a later layer has nodes of its own that come early in the graph."""
    h, layers = x, []
    for _ in range(3):
        layers += [h := dense(h, 3, "gelu"), h := dropout(h, 0.5)]
    graph = Graph(h)
    expected = ["dense", "dropout", "dense_2", "dropout_2", "dense_3", "dropout_3"]
    assert [graph.name(layer) for layer in layers] == expected
