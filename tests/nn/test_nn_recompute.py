"""What is computed twice: the same values and gradients, and less that is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.testing as npt
import pytest
from nn_check import assert_gradient, assert_second, run

import chainrule as cr
from chainrule.autodiff import gradients
from chainrule.errors import SettingError
from chainrule.graph import Graph, Node
from chainrule.ops.again import again, recomputed

R = np.random.default_rng(0)
DATA = {"x": R.normal(size=(5, 4)), "t": R.normal(size=(5, 1))}

Way = Callable[[Callable[[Node], Node], Node], Node]


def network(way: Way, depth: int = 3) -> tuple[Node, Node, Node]:
    """Input, parameter and loss of some layers, each made in one of two ways."""
    x, t = cr.input("x", (4,), "float64"), cr.input("t", (1,), "float64")
    first = h = cr.dense(x, 6, "tanh", name="first")
    for k in range(depth):
        h = way(lambda h, k=k: h + cr.dense(cr.tanh(h) * first, 6, "tanh", name=f"d{k}"), h)
    y = cr.dense(h, 1, name="y")
    return x, y, cr.squared_error(y, t)


def plain(function: Callable[[Node], Node], h: Node) -> Node:
    return function(h)


def test_gradients_are_the_same_to_the_second_order() -> None:
    found = []
    for way in (plain, cr.recompute):
        x, y, loss = network(way)
        graph = Graph(loss)
        first = gradients(loss, [x, graph["first.w"], graph["d0.w"], graph["d2.b"]])
        second = gradients(cr.sum(first[0] * first[0]), [x, graph["d1.w"]])
        found.append(run([y, loss, *first, *second], DATA))
    for a, b in zip(*found, strict=True):
        npt.assert_allclose(a, b, rtol=1e-13, atol=1e-15)
    x, _, loss = network(cr.recompute)
    assert_gradient(loss, [x], DATA)
    assert_second(loss, x, DATA)


def test_training_gives_the_same_model() -> None:
    models = []
    for way in (plain, cr.recompute):
        _, y, loss = network(way)
        model = cr.Model(outputs=y, loss=loss, seed=0)
        model.fit(DATA, epochs=3, batch_size=2, validation=None, verbose=False)
        models.append(model)
    for name, value in models[0].values.items():
        npt.assert_allclose(models[1].values[name], value, rtol=1e-12, atol=1e-14)


def test_a_node_whose_gradient_is_asked_for_is_not_computed_again() -> None:
    x = cr.input("x", (4,), "float64")
    inner: list[Node] = []

    def layer(h: Node) -> Node:
        inner.append(cr.tanh(h))
        return inner[0] * h

    loss = cr.sum(cr.recompute(layer, x))
    got = run(gradients(loss, [inner[0], x]), DATA)
    npt.assert_allclose(got[0], DATA["x"])
    npt.assert_allclose(got[1], np.tanh(DATA["x"]) + DATA["x"] / np.cosh(DATA["x"]) ** 2)


def test_parts_in_parts_and_several_operands() -> None:
    found = []
    for way in (plain, cr.recompute):
        x = cr.input("x", (4,), "float64")
        w = cr.parameter("w", R.normal(size=(4, 4)) * 0 + np.eye(4), dtype="float64")

        def inner(h: Node, way: Way = way, w: Node = w) -> Node:
            return cr.sin(way(lambda z: cr.tanh(z @ w) * z, h))

        y = way(lambda h: inner(h) * h, x)
        both = cr.recompute(lambda a, b: a * cr.exp(b), y, x) if way is not plain else y * cr.exp(x)
        loss = cr.sum(both * both)
        found.append(run([loss, *gradients(loss, [x, w])], DATA))
    for a, b in zip(*found, strict=True):
        npt.assert_allclose(a, b, rtol=1e-13)


def test_dropout_draws_once() -> None:
    states = []
    for way in (plain, cr.recompute):
        x, t = cr.input("x", (4,)), cr.input("t", (1,))
        h = way(lambda h: cr.dropout(cr.dense(h, 8, "relu", name="h"), 0.5, name="drop"), x)
        y = cr.dense(h, 1, name="y")
        model = cr.Model(outputs=y, loss=cr.squared_error(y, t), seed=3)
        model.fit(DATA, epochs=2, batch_size=5, validation=None, verbose=False)
        states.append(model.values)
    for name, value in states[0].items():
        npt.assert_allclose(states[1][name], value, rtol=1e-5)


def peak(way: Way) -> int:
    x, t = cr.input("x", (64,)), cr.input("t", (1,))
    h = x
    for _ in range(8):
        h = way(lambda h: h + cr.dense(cr.gelu(cr.dense(h, 256)), 64), h)
    y = cr.dense(h, 1)
    model = cr.Model(outputs=y, loss=cr.squared_error(y, t), seed=0)
    return model.plan(batch_size=512).memory.work


def test_a_deep_network_takes_less_memory() -> None:
    assert peak(cr.recompute) < 0.7 * peak(plain)


def test_the_ops_are_what_they_name() -> None:
    x = cr.input("x", (4,), "float64")
    y = cr.exp(x)
    npt.assert_array_equal(run(again(y, [x, cr.sum(x)]), DATA), np.exp(DATA["x"]))
    npt.assert_array_equal(run(recomputed(y, [x]), DATA), np.exp(DATA["x"]))
    npt.assert_array_equal(run(gradients(cr.sum(again(x, [y])), [x]), DATA)[0], 1)


def test_misuse() -> None:
    x = cr.input("x", (4,))
    with pytest.raises(SettingError, match="no operand"):
        cr.recompute(lambda: x)
    with pytest.raises(SettingError, match="does not depend on its operands"):
        cr.recompute(lambda h: cr.exp(x), cr.input("z", (4,)))
    with pytest.raises(SettingError, match="function from a node"):
        cr.recompute(3, x)  # type: ignore[arg-type]


def test_the_table_of_layers_has_no_row_of_it() -> None:
    tables = []
    for way in (plain, cr.recompute):
        _, y, _ = network(way)
        tables.append(str(cr.summary(y)))
    assert tables[0] == tables[1]
