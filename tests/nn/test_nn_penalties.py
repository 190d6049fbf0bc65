"""Penalties on weights."""

import numpy as np
import pytest
from nn_check import assert_gradient, run

from chainrule.errors import GraphError, SettingError
from chainrule.graph import Graph
from chainrule.graph.leaves import input, parameter
from chainrule.nn import batch_norm, dense, embedding, l1, l2, squared_error, weights_of
from chainrule.ops.shape import squeeze

R = np.random.default_rng(4)
A, B = R.normal(size=(3, 2)), R.normal(size=(2,))


@pytest.fixture
def pair():
    return parameter("a", A, dtype="float64"), parameter("b", B, dtype="float64")


@pytest.mark.parametrize(("penalty", "cost"), [(l1, np.abs), (l2, np.square)])
def test_value_and_gradient(pair, penalty, cost):
    node = penalty(*pair, strength=0.3)
    assert run(node, {}) == pytest.approx(0.3 * (cost(A).sum() + cost(B).sum()))
    assert_gradient(node, pair, {})
    assert run(penalty(*pair, strength=0), {}) == 0


def test_added_to_a_loss():
    x, t = input("x", (2,)), input("t", ())
    y = dense(x, 1, name="h")
    loss = squared_error(squeeze(y, -1), t) + l2(*weights_of(y), strength=0.5)
    value = run(loss, {"x": [[0.0, 0.0]], "t": [2.0]}, {"h.w": [[1.0], [3.0]]})
    assert value == pytest.approx(4 + 0.5 * 10)


def test_weights_of():
    x, c = input("x", (2,)), input("c", (), "int32")
    h = batch_norm(dense(x, 3, name="h"), name="n")
    frozen = dense(h, 3, name="kept", trainable=False)
    graph = Graph([frozen, embedding(c, 5, 4, name="e")])
    assert [graph.name(p) for p in weights_of(graph.outputs)] == ["h.w", "e.table"]
    assert weights_of(x) == []


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda a: l1(strength=0.1), GraphError, "needs the parameters"),
        (lambda a: l2([a], strength=0.1), GraphError, "needs the parameters"),
        (lambda a: l2(a, strength=-0.1), SettingError, "strength"),
        (lambda a: l2(a, strength="0.1"), SettingError, "strength"),
        (lambda a: l2(a, strength=np.nan), SettingError, "strength"),
    ],
)
def test_mistakes(pair, call, error, match):
    with pytest.raises(error, match=match):
        call(pair[0])
