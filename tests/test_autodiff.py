"""Differentiation: shared nodes, several losses, higher orders, and wrong rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.autodiff import backward, gradients
from chainrule.errors import GraphError
from chainrule.graph import Graph, Node, check
from chainrule.graph.node import apply
from chainrule.graph.op import REGISTRY, op


def scalar(name: str, dtype: str = "float64") -> Node:
    return cr.input(name, (), dtype, batch=False)


def at(nodes: list[Node], **feeds: Any) -> list[Any]:
    """The values of nodes, some of which may not depend on all inputs."""
    used = {x.label for x in Graph(nodes).inputs}
    trace = cr.run(nodes, {k: v for k, v in feeds.items() if k in used})
    return [trace.value(x) for x in nodes]


# ---------------------------------------------------------------- shared nodes


def test_a_node_listed_twice_or_more_among_operands() -> None:
    x = scalar("x")
    cases = [
        (x * x, 6.0),
        (x + x, 2.0),
        (x - x, 0.0),
        (x / x, 0.0),
        (x**x, 27 * (np.log(3) + 1)),
        (cr.sum(cr.stack([x, x, x, x * x])), 9.0),
        (cr.where(x > 2, x, x), 1.0),
        (cr.maximum(x, x), 1.0),
        (x * x * x * x, 108.0),
    ]
    for y, expected in cases:
        (value,) = at(gradients(y, [x]), x=3.0)
        assert value == pytest.approx(expected), y


def test_a_matrix_times_itself() -> None:
    w = cr.parameter("w", np.arange(4.0).reshape(2, 2), dtype="float64")
    (g,) = at(gradients(cr.sum(w @ w.T @ w), [w]))
    eye = np.eye(4).reshape(4, 2, 2)
    a = np.arange(4.0).reshape(2, 2)
    expected = [np.sum(e @ a.T @ a + a @ e.T @ a + a @ a.T @ e) for e in eye]
    npt.assert_allclose(g.ravel(), expected)


def test_a_diamond_of_paths_is_added_up_once_each() -> None:
    x = scalar("x")
    a = cr.sin(x)
    b, c = a * 2.0, a * a
    d = b * c
    loss = d + a + b
    found = backward(Graph(loss), loss)
    (value,) = at([found.gradients[x]], x=0.7)
    s, k = np.sin(0.7), np.cos(0.7)
    assert value == pytest.approx((6 * s * s + 1 + 2) * k)
    assert [c.consumer.op.name for c in found.contributions[x]] == ["sin"]
    assert len(found.contributions[a]) == 4
    assert sorted(c.position for c in found.contributions[a]) == [0, 0, 1, 1]


def test_many_consumers() -> None:
    x = scalar("x")
    loss: Node = x
    for k in range(200):
        loss = loss + x * float(k)
    assert at(gradients(loss, [x]), x=1.0)[0] == 1 + sum(range(200))


# ---------------------------------------------------------------- which nodes


def test_what_the_loss_does_not_depend_on() -> None:
    x, y = scalar("x"), cr.input("y", (3,), "float64")
    through = cr.cast(cr.cast(y, "int32"), "float64")  # not differentiable on the way
    loss = x * 2.0 + cr.sum(cr.stop_gradient(y) * 2.0) + cr.sum(cr.floor(y)) + cr.sum(through)
    gx, gy, _ = at([*gradients(loss, [x, y]), y], x=1.0, y=np.ones((4, 3)))
    assert gx == 2.0
    npt.assert_array_equal(gy, np.zeros((4, 3)))
    z = cr.parameter("z", [1.0, 2.0])
    (gz,) = at(gradients(loss, [z]), x=1.0)
    assert gz.dtype == np.float32
    npt.assert_array_equal(gz, [0.0, 0.0])


def test_a_loss_that_is_a_leaf_and_a_loss_used_further() -> None:
    x = scalar("x")
    p = cr.parameter("p", 3.0, dtype="float64")
    assert at(gradients(x, [x]), x=5.0) == [1.0]
    assert at(gradients(p, [p, x]), x=1.0) == [1.0, 0.0]
    loss = x * x
    later = loss * 10.0
    g = gradients(loss, [x, later])
    assert at(g, x=2.0) == [4.0, 0.0]
    graph = Graph([later, loss])
    assert later not in backward(graph, loss).gradients


def test_one_node_an_empty_list_and_one_listed_twice() -> None:
    x = scalar("x")
    assert len(gradients(x * x, x)) == 1
    assert gradients(x * x, []) == []
    a, b = gradients(x * x, [x, x])
    assert a is b


def test_an_inner_node() -> None:
    x = scalar("x")
    h = cr.exp(x)
    y = h * h * x
    gh, gx = at(gradients(y, [h, x]), x=0.5)
    e = np.exp(0.5)
    assert gh == pytest.approx(2 * e * 0.5)
    assert gx == pytest.approx(e * e + 2 * e * e * 0.5)


def test_nothing_is_built_beyond_what_is_wanted() -> None:
    x, y = scalar("x"), scalar("y")
    loss = cr.exp(x) * cr.exp(y)
    (g,) = gradients(loss, [x])
    narrow = backward(Graph(loss), loss, [x])
    assert y not in narrow.gradients
    assert len(Graph([loss, g])) < len(Graph([loss, *gradients(loss, [x, y])]))


def test_integers_and_bools_on_the_path() -> None:
    x = cr.input("x", (3,), "float64")
    i = cr.argmax(x, -1)
    picked = cr.gather(x, cr.expand_dims(i, -1), -1)
    mask = x > 0
    loss = cr.sum(picked) + cr.sum(cr.cast(mask, "float64") * x) + cr.sum(cr.cast(i, "float64"))
    data = np.array([[1.0, 5.0, -2.0], [-1.0, -3.0, -7.0]])
    (g,) = at(gradients(loss, [x]), x=data)
    npt.assert_array_equal(g, [[1.0, 2.0, 0.0], [1.0, 0.0, 0.0]])
    with pytest.raises(GraphError, match="holds int") as caught:
        gradients(loss, [x, i])
    assert "test_autodiff.py" in str(caught.value)
    with pytest.raises(GraphError, match="holds bool"):
        gradients(loss, [mask])


def test_float32_and_float64_in_one_graph() -> None:
    x = cr.input("x", (), "float32", batch=False)
    wide = cr.cast(x, "float64") ** 2
    loss = wide * 3.0 + cr.cast(x * x, "float64")
    (g,) = gradients(loss, [x])
    assert g.dtype == "float32"
    assert at([g], x=2.0)[0] == 16.0


@pytest.mark.parametrize(
    "loss",
    [
        cr.input("x", (2,), "float64"),
        cr.input("i", (), "int32", batch=False),
        cr.parameter("p", [1.0]),
    ],
)
def test_a_loss_is_one_floating_point_number(loss: Node) -> None:
    with pytest.raises(GraphError, match="a floating-point scalar"):
        gradients(loss, [])


# ---------------------------------------------------------------- higher orders


@pytest.mark.parametrize(
    ("function", "derivatives"),
    [
        (lambda x: x**5, [5 * 0.7**4, 20 * 0.7**3, 60 * 0.7**2, 120 * 0.7]),
        (cr.sin, [np.cos(0.7), -np.sin(0.7), -np.cos(0.7), np.sin(0.7)]),
        (cr.exp, [np.exp(0.7)] * 4),
        (cr.log, [1 / 0.7, -1 / 0.7**2, 2 / 0.7**3, -6 / 0.7**4]),
        (lambda x: x * x * x, [3 * 0.49, 6 * 0.7, 6.0, 0.0]),
        (cr.reciprocal, [-(0.7**-2), 2 * 0.7**-3, -6 * 0.7**-4, 24 * 0.7**-5]),
        (lambda x: 2.0**x, [2**0.7 * np.log(2) ** k for k in (1, 2, 3, 4)]),
    ],
)
def test_four_orders(function: Any, derivatives: list[float]) -> None:
    x = scalar("x")
    node = function(x)
    nodes = []
    for _ in derivatives:
        (node,) = gradients(node, [x])
        nodes.append(node)
    npt.assert_allclose(at(nodes, x=0.7), derivatives, rtol=1e-12, atol=1e-12)


def test_third_order_of_several_variables() -> None:
    """d3/dx dy dx of x^2 y^3 sin(z)."""
    x, y, z = scalar("x"), scalar("y"), scalar("z")
    f = x**2 * y**3 * cr.sin(z)
    (fx,) = gradients(f, [x])
    (fxy,) = gradients(fx, [y])
    fxyx, fxyz = gradients(fxy, [x, z])
    values = at([fxyx, fxyz], x=1.5, y=2.0, z=0.3)
    npt.assert_allclose(values, [6 * 4 * np.sin(0.3), 2 * 1.5 * 3 * 4 * np.cos(0.3)])
    check(Graph([fxyx, fxyz]))


def test_a_hessian_times_a_vector_through_a_network() -> None:
    """Against differences of the first gradient."""
    generator = np.random.default_rng(0)
    start = generator.normal(size=(3, 2))
    data, v = generator.normal(size=(5, 3)), generator.normal(size=(3, 2))
    x = cr.input("x", (3,), "float64")
    w = cr.parameter("w", start, dtype="float64")
    loss = cr.mean(cr.logsumexp(cr.tanh(x @ w), axis=-1)) + cr.sum(w**4)
    (g,) = gradients(loss, [w])
    (hv,) = gradients(cr.sum(g * v), [w])

    def gradient(shift: float) -> Any:
        return cr.run(g, {"x": data}, values={"w": start + shift * v}).value(g)

    wanted = (gradient(1e-5) - gradient(-1e-5)) / 2e-5
    npt.assert_allclose(cr.run(hv, {"x": data}).value(hv), wanted, rtol=1e-7)


def test_a_gradient_penalty_can_be_trained() -> None:
    x = cr.input("x", (2,), "float64")
    w = cr.parameter("w", [[0.5], [-1.0]], dtype="float64")
    y = cr.sum(cr.tanh(x @ w))
    (gx,) = gradients(y, [x])
    loss = cr.sum(gx * gx)
    report = cr.check_gradients(loss, {"x": [[1.0, 2.0], [0.3, -0.4]]})
    assert report, report


# ---------------------------------------------------------------- wrong rules


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        (lambda gy, y, x: (gy, gy), "does not match its operands"),
        (lambda gy, y, x: (), "does not match its operands"),
        (lambda gy, y, x: (cr.sum(gy),), "returns the wrong type"),
        (lambda gy, y, x: (cr.cast(gy, "float32"),), "returns the wrong type"),
    ],
)
def test_a_rule_that_is_wrong_in_form_is_named(rule: Any, match: str) -> None:
    made = op("test_rule", "map", infer=lambda x: x, forward=lambda x: x, gradient=rule)
    try:
        x = cr.input("x", (2,), "float64")
        loss = cr.sum(apply(made, x))
        with pytest.raises(GraphError, match=match) as caught:
            gradients(loss, [x])
        assert "'test_rule'" in str(caught.value)
    finally:
        del REGISTRY["test_rule"]
