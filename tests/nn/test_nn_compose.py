"""Layers made of layers: order, shortcuts, the usual stack, and their names."""

import numpy as np
import pytest
from nn_check import assert_gradient, run

from chainrule.errors import GraphError, SettingError, ShapeError
from chainrule.graph import Graph, check
from chainrule.graph.leaves import input
from chainrule.nn import dense, init, layer, mlp, residual, sequential
from chainrule.ops import reduce
from chainrule.ops.activations import relu
from chainrule.types import N

R = np.random.default_rng(2)


@pytest.fixture
def x():
    return input("x", (3,), "float64")


def parameters(*nodes):
    graph = check(Graph(nodes))
    return {graph.name(p): p.shape for p in graph.parameters}


# ---------------------------------------------------------------- sequential


def test_sequential_is_the_layers_in_their_order(x):
    y = sequential(x, layer.dense(5, "tanh", name="a"), relu, lambda h: dense(h, 2, name="b"))
    data = R.normal(size=(4, 3))
    graph = Graph(y)
    a, b = run([graph["a.w"], graph["b.w"]], {})
    np.testing.assert_allclose(run(y, {"x": data}), np.maximum(np.tanh(data @ a), 0) @ b)


def test_sequential_of_nothing(x):
    assert sequential(x) is x


def test_every_call_of_a_layer_has_its_own_parameters(x):
    block = layer.dense(3)
    y = sequential(x, block, block)
    assert parameters(y) == {
        "dense.w": (3, 3), "dense.b": (3,), "dense_2.w": (3, 3), "dense_2.b": (3,),
    }  # fmt: skip


def test_layers_show_what_they_are():
    assert repr(layer.dense(64, "relu", name="h")) == "dense(64, 'relu', name='h')"
    assert layer.dropout.__doc__ == layer.layers.dropout.__doc__


def test_every_layer_waits(x):
    codes = input("c", (2,), "int32")
    y = sequential(codes, layer.embedding(5, 4), layer.flatten(), layer.batch_norm())
    z = sequential(x, layer.rms_norm(), layer.residual(layer.layer_norm()), layer.mlp((4, 5)))
    assert (y.shape, z.shape) == ((N, 8), (N, 5))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: sequential(x, relu, "relu"), SettingError, "layer 2 is a function"),
        (lambda x: sequential(x, dense(x, 3)), SettingError, "layer 1 is a function"),
        (lambda x: sequential(x, lambda h: None), SettingError, "which returned None"),
        (lambda x: sequential(layer.dense(3), relu), GraphError, "first argument is a node"),
        (lambda x: residual(x), SettingError, "no layers"),
        (lambda x: residual(x, layer.dense(4)), ShapeError, "project=True"),
        (
            lambda x: residual(input("image", (4, 4, 2)), layer.conv(2, 3, stride=2), project=True),
            ShapeError,
            r"(?s)\(N, 4, 4, 2\).*\(N, 2, 2, 2\).*cr\.conv\(x, filters, 1, stride=2\)",
        ),
        (lambda x: residual(x, lambda h: reduce.sum(h, 1, keepdims=True)), ShapeError, r"\(N, 1\)"),
        (lambda x: residual(x, layer.flatten(), lambda h: reduce.sum(h, 1)), ShapeError, r"\(N,\)"),
        (lambda x: mlp(x, (4, 0)), SettingError, "width"),
        (lambda x: mlp(x, "4"), SettingError, "width"),
        (lambda x: mlp(x, 4, "rleu"), SettingError, "'relu'"),
        (lambda x: mlp(x, 4, norm="bacth"), SettingError, "did you mean 'batch'"),
        (lambda x: mlp(x, 4, dropout=1), SettingError, "rate"),
        (lambda x: mlp(x, 4.5), SettingError, "width"),
    ],
)
def test_mistakes(x, call, error, match):
    with pytest.raises(error, match=match):
        call(x)


# ---------------------------------------------------------------- residual


def test_residual(x):
    y = residual(x, layer.dense(4, "tanh", name="a"), layer.dense(3, name="b"), name="block")
    data, graph = R.normal(size=(4, 3)), Graph(y)
    a, b = run([graph["a.w"], graph["b.w"]], {})
    np.testing.assert_allclose(run(y, {"x": data}), data + np.tanh(data @ a) @ b)
    assert graph.name(y) == "block"
    assert_gradient(reduce.sum(y * y), [x, graph["a.w"]], {"x": data})


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_residual_that_projects(shape):
    x = input("x", shape, "float64")
    y = residual(x, layer.dense(5, name="a"), project=True, name="block")
    data, graph = R.normal(size=(4, *shape)), Graph(y)
    a, s = run([graph["a.w"], graph["block.shortcut.w"]], {})
    np.testing.assert_allclose(run(y, {"x": data}), data @ a + data @ s)


def test_projection_is_left_out_where_shapes_agree(x):
    assert set(parameters(residual(x, layer.dense(3, name="a"), project=True))) == {"a.w", "a.b"}


# ---------------------------------------------------------------- mlp


def test_mlp(x):
    y = mlp(x, (5, 4), "tanh", name="h")
    data, graph = R.normal(size=(6, 3)), Graph(y)
    a, b = run([graph["h1.w"], graph["h2.w"]], {})
    np.testing.assert_allclose(run(y, {"x": data}), np.tanh(np.tanh(data @ a) @ b), rtol=1e-12)
    assert mlp(x, 5).shape == (N, 5)
    assert mlp(x, ()) is x


def test_mlp_without_a_name_can_be_built_twice(x):
    assert len(parameters(mlp(x, 4), mlp(x, 4, norm="batch", dropout=0.1))) == 8


@pytest.mark.parametrize(
    ("norm", "parts"),
    [
        ("batch", {".norm.scale", ".norm.shift", ".norm.running_mean", ".norm.running_var",
                   ".norm.steps"}),
        ("layer", {".norm.scale", ".norm.shift"}),
        ("rms", {".norm.scale", ".b"}),
        (None, {".b"}),
    ],
)  # fmt: skip
def test_mlp_with_normalisation(x, norm, parts):
    y = mlp(x, [4, 4], "gelu", norm=norm, dropout=0.5, name="h")
    expected = {f"h{k}{part}" for k in (1, 2) for part in {".w", *parts}}
    assert set(parameters(y)) == expected
    assert Graph(y).name(y) == "h2.dropout"
    assert Graph(y)["h1.w"].initial == init.HeNormal()


def test_mlp_normalises_before_the_activation(x):
    y = mlp(x, 4, "relu", norm="layer", name="h")
    data = R.normal(size=(5, 3))
    z = data @ run(Graph(y)["h1.w"], {})
    z = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(run(y, {"x": data}), np.maximum(z, 0), rtol=1e-10)


def test_mlp_takes_own_activation_and_initializer(x):
    y = mlp(x, 4, lambda z: z * z, norm="layer", init="orthogonal", name="h")
    assert Graph(y)["h1.w"].initial == init.Orthogonal()
