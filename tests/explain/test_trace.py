"""The trace: values and gradients at every node, again and for another loss, and its steps."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import DTypeError, FeedError, GraphError

X = np.array([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]])


def scalar(name: str) -> cr.Node:
    return cr.input(name, (), "float64", batch=False)


# ---------------------------------------------------------------- gradients


def test_another_loss_after_the_first() -> None:
    x = cr.input("x", (2,), dtype="float64")
    w = cr.parameter("w", [2.0, -1.0], dtype="float64")
    y = x * w
    first, second = cr.sum(y**2), cr.mean(cr.sin(y))
    trace = cr.run([first, second], {"x": X})
    trace.backward(first)
    w_first = trace.gradient(w)
    npt.assert_allclose(w_first, (2 * X * X * [2.0, -1.0]).sum(0))
    trace.backward(second)
    expected = np.cos(X * [2.0, -1.0]) / 6
    npt.assert_allclose(trace.gradient(y), expected)
    npt.assert_allclose(trace.gradient(w), (expected * X).sum(0))
    assert trace.gradient(second) == 1.0
    assert trace.gradient(first) == 0.0
    titles = [s.formula.split(" = ")[0] for s in trace.steps() if s.direction == "backward"]
    assert all(title.startswith("∂mean/∂") for title in titles)
    trace.backward("sum")
    npt.assert_array_equal(trace.gradient("w"), w_first)


def test_gradients_at_every_kind_of_node() -> None:
    x = cr.input("x", (2,), dtype="float64")
    t = cr.input("t", (2,), dtype="float64")
    i = cr.input("i", (), dtype="int32")
    c = cr.constant([3.0, 4.0], "float64")
    frozen = cr.parameter("frozen", [[1.0, 2.0], [5.0, 7.0]], dtype="float64", trainable=False)
    unused = cr.parameter("unused", [1.0], dtype="float64")
    stopped = cr.exp(x)
    y = x * c + cr.take(frozen, i) - t + cr.stop_gradient(stopped)
    loss = cr.sum(y)
    trace = cr.run([loss, unused, y > 0], {"x": X, "t": X * 0, "i": [0, 1, 1]})
    trace.backward(loss)
    npt.assert_array_equal(trace.gradient(x), np.tile([3.0, 4.0], (3, 1)))
    npt.assert_array_equal(trace.gradient(t), -np.ones((3, 2)))
    npt.assert_array_equal(trace.gradient(frozen), [[1.0, 1.0], [2.0, 2.0]])
    npt.assert_array_equal(trace.gradient(c), X.sum(0))
    npt.assert_array_equal(trace.gradient(unused), [0.0])
    npt.assert_array_equal(trace.gradient(stopped), np.zeros((3, 2)))
    assert trace.gradient(loss) == 1.0
    for node in (i, "greater"):
        with pytest.raises(GraphError, match="it has no gradient"):
            trace.gradient(node)


def test_every_floating_point_node_has_a_gradient_of_its_shape() -> None:
    x, t = cr.input("x", (2,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, 3, "gelu")), 0.5)
    loss = cr.cross_entropy(cr.dense(h, 4), t)
    for training in (False, True):
        trace = cr.run(loss, {"x": X, "t": [0, 1, 3]}, training=training)
        trace.backward(loss)
        for node in trace.graph:
            assert trace.value(node).dtype == node.dtype
            if node.type.floating:
                gradient = trace.gradient(node)
                assert gradient.shape == trace.value(node).shape, node
                assert gradient.dtype == node.dtype
                assert np.isfinite(gradient).all()


@pytest.mark.parametrize("leaf", ["parameter", "input"])
def test_a_loss_that_is_a_leaf(leaf: str) -> None:
    loss = cr.parameter("a", 3.0, dtype="float64") if leaf == "parameter" else scalar("a")
    other = scalar("b")
    trace = cr.run([loss, loss * other], {"b": 2.0} | ({} if leaf == "parameter" else {"a": 3.0}))
    trace.backward(loss)
    assert trace.gradient(loss) == 1.0
    assert trace.gradient(other) == 0.0
    assert [s.value.item() for s in trace.steps() if s.direction == "backward"] == [1.0]


def test_mistakes() -> None:
    x = cr.input("x", (2,), dtype="float64")
    y = cr.sum(x * 2.0)
    trace = cr.run([y, cr.argmax(x)], {"x": X})
    with pytest.raises(GraphError, match="no gradients yet"):
        trace.gradient(x)
    with pytest.raises(GraphError, match="a floating-point scalar"):
        trace.backward(x)
    with pytest.raises(GraphError, match="not a part of this graph"):
        trace.backward(cr.sum(x))
    with pytest.raises(GraphError, match="not a part of this graph"):
        trace.value(x + 1.0)
    with pytest.raises(GraphError, match="did you mean 'multiply'"):
        trace.value("multiplY")
    with pytest.raises(GraphError, match="a floating-point scalar"):
        trace.backward("argmax")


# ---------------------------------------------------------------- run


def test_values_of_parameters() -> None:
    x = cr.input("x", (2,))
    w = cr.parameter("weights", [1.0, 2.0])
    y = x * w
    assert cr.run(y, {"x": [[1, 1]]}).value(y).tolist() == [[1.0, 2.0]]
    assert cr.run(y, {"x": [[1, 1]]}, values={"weights": [3, 4]}).value(w).dtype == np.float32
    with pytest.raises(FeedError, match="did you mean 'weights'"):
        cr.run(y, {"x": [[1, 1]]}, values={"weight": [3, 4]})
    with pytest.raises(FeedError, match=r"\[parameter 'weights'\] the shape"):
        cr.run(y, {"x": [[1, 1]]}, values={"weights": 3.0})
    whole = cr.Graph([y, cr.parameter("other", [1.0])])
    cr.run(y, {"x": [[1, 1]]}, values={"weights": [3, 4], "other": [1.0]}, like=whole)


def test_a_trace_holds_arrays_of_its_own() -> None:
    x, w = cr.input("x", (2,), dtype="float64"), cr.parameter("w", [1.0, 2.0], dtype="float64")
    y = cr.sum(x * w)
    fed, weights = X.copy(), np.array([3.0, 4.0])
    trace = cr.run(y, {"x": fed}, values={"w": weights})
    fed[:], weights[:] = 0.0, 0.0
    trace.backward(y)
    npt.assert_array_equal(trace.value(x), X)
    npt.assert_array_equal(trace.gradient(w), X.sum(0))
    npt.assert_array_equal(trace.gradient(x), np.tile([3.0, 4.0], (3, 1)))


def test_several_outputs_and_one_listed_twice() -> None:
    x = cr.input("x", (2,), dtype="float64")
    y = x + 1.0
    trace = cr.run([y, x, y], {"x": X})
    npt.assert_array_equal(trace.value(y), X + 1)
    assert repr(trace) == f"<Trace of {len(trace.graph)} nodes on 3 rows>"


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (np.float64(2), 2 * X),
        (np.float32(2), 2 * X),
        (np.int64(2), 2 * X),
        (2, 2 * X),
        (np.array([10.0, 100.0]), X * [10.0, 100.0]),
        ([10, 100], X * [10.0, 100.0]),
    ],
)
def test_numbers_and_arrays_on_either_side(left: Any, expected: Any) -> None:
    for dtype in ("float32", "float64"):
        x = cr.input("x", (2,), dtype=dtype)
        for y in (left * x, x * left):
            assert y.dtype == dtype
            npt.assert_array_equal(cr.run(y, {"x": X}).value(y), expected)


def test_an_array_times_a_node_as_matrices() -> None:
    w = cr.parameter("w", np.arange(6.0).reshape(2, 3), dtype="float64")
    y = X @ w
    npt.assert_array_equal(cr.run(y, {}).value(y), X @ np.arange(6.0).reshape(2, 3))
    for y, expected in ((X - X @ w[:, :2], X - X @ [[0.0, 1.0], [3.0, 4.0]]), (1 / (w + 1), None)):
        assert cr.run(y, {}).value(y).shape == (expected if expected is not None else w).shape
        if expected is not None:
            npt.assert_array_equal(cr.run(y, {}).value(y), expected)


def test_what_nodes_are_not() -> None:
    x, y = cr.input("x", (2,)), cr.input("y", (2,), dtype="float64")
    with pytest.raises(TypeError, match="ufunc"):
        np.exp(x)
    with pytest.raises(TypeError, match="not iterable"):
        list(x)
    with pytest.raises(TypeError, match="not iterable"):
        1.0 in x  # noqa: B015
    with pytest.raises(GraphError, match="no truth value"):
        bool(x > 0)
    with pytest.raises(GraphError, match="no truth value"):
        0 < x < 1  # noqa: B015
    for other in (0, 0.5, True, np.float32(1), np.ones(2)):
        for compare in (lambda a, b: a == b, lambda a, b: a != b, lambda a, b: b == a):
            with pytest.raises(GraphError, match=r"equal\(a, b\)"):
                compare(x, other)
    assert x == x
    assert x != y
    assert x not in ("x", None, y)
    for function in (np.asarray, lambda n: np.stack([n, n]), lambda n: np.dot(np.ones(2), n)):
        with pytest.raises(DTypeError, match="no numbers while the graph is built"):
            function(x)
    with pytest.raises(DTypeError, match=r'cast\(x, "float32"\)'):
        (x > 0) * x
    with pytest.raises(DTypeError, match="float32 'x' and float64 'y'"):
        x + y
    with pytest.raises(DTypeError, match="does not fit in int32"):
        cr.input("i", (), dtype="int32") * 0.5
    with pytest.raises(DTypeError, match="not an array of numbers"):
        x + "a"
    with pytest.raises(DTypeError, match="float32"):
        x + 1e39


# ---------------------------------------------------------------- steps


def test_steps_of_a_shared_node() -> None:
    a, b = scalar("a"), scalar("b")
    s = (a * b).named("s")
    loss = (s * s + s).named("loss")
    trace = cr.run(loss, {"a": 3.0, "b": -2.0})
    assert [str(s) for s in trace.steps()] == [
        "s = a * b\n    = 3 * -2\n    = -6",
        "multiply = s * s\n    = -6 * -6\n    = 36",
        "loss = multiply + s\n    = 36 + -6\n    = 30",
    ]
    trace.backward(loss)
    back = [s for s in trace.steps() if s.direction == "backward"]
    assert [s.name for s in back] == ["loss", "s", "b", "a"]
    assert [s.value.item() for s in back] == [1.0, -11.0, -33.0, 22.0]
    assert back[0].formula == "∂loss/∂loss = ∂loss/∂multiply = 1"
    assert back[0].passed == ("multiply",)
    terms = ["∂loss/∂loss", "∂loss/∂multiply * s", "∂loss/∂multiply * s"]
    assert sorted(back[1].formula.removeprefix("∂loss/∂s = ").split(" + ")) == terms
    assert back[1].consumers == ("multiply", "multiply", "loss") or back[1].consumers == (
        "loss",
        "multiply",
        "multiply",
    )
    assert back[3].formula == "∂loss/∂a = ∂loss/∂s * b"
    assert back[3].numbers == "-11 * -2"
    assert back[3].consumers == ("s",)


def chain() -> cr.Trace:
    x, t = cr.input("x", (2,), "float64"), cr.input("t", (1,), "float64")
    w, b = (cr.parameter(n, v, dtype="float64") for n, v in (("w", [[3.0], [-1.0]]), ("b", [0.5])))
    y = ((x @ w).named("u") + b).named("y")
    q = cr.square((y - t).named("d")).named("q")
    error = (cr.sum(q).named("s") / 2).named("E")
    trace = cr.run(error, {"x": [[1.0, 2.0], [0.0, 1.0]], "t": [[1.0], [2.0]]})
    trace.backward("E")
    return trace


def test_each_gradient_is_made_of_those_of_its_own_readers() -> None:
    back = [s for s in chain().steps() if s.direction == "backward"]
    assert [s.formula for s in back] == [
        "∂E/∂E = 1",
        "∂E/∂s = ∂E/∂q = ∂E/∂E / 2",
        "∂E/∂d = ∂E/∂y = ∂E/∂u = 2 * ∂E/∂q * d",
        "∂E/∂t = -∂E/∂d",
        "∂E/∂b = sum(∂E/∂y)",
        "∂E/∂w = transpose(x) @ ∂E/∂u",
        "∂E/∂x = ∂E/∂u @ transpose(w)",
    ]
    numbers = {s.name: s.numbers for s in back}
    assert numbers["s"] == "1 / 2"
    assert numbers["d"] == "2 * [[0.5], [0.5]] * [[0.5], [-2.5]]"
    assert numbers["w"] == "transpose([[1, 2], [0, 1]]) @ [[0.5], [-2.5]]"


def test_every_gradient_that_is_named_has_a_step_or_stands_beside_one() -> None:
    steps = chain().steps()
    left = {x for s in steps for x in s.formula.split(" = ")[:-1]}
    used = {x for s in steps for x in re.findall(r"∂E/∂\w+", s.formula.split(" = ")[-1])}
    assert used <= left


def test_long_arrays_are_cut_where_it_is_asked_for() -> None:
    y = cr.square(cr.input("x", (41,), "float64"))
    at = {"x": np.ones((1, 41))}
    assert cr.run(y, at).steps()[0].numbers == "[1, 1, 1, ... 1x41]^2"
    assert "..." not in str(cr.run(y, at).steps(entries=41)[0])
    assert str(cr.run(y[:, :4], at).steps(entries=3)[0]).count("...") == 2


def test_steps_leave_out_constants_and_repetitions() -> None:
    x = cr.input("x", (2,), dtype="float64")
    b = cr.parameter("b", [1.0, -1.0], dtype="float64")
    loss = cr.squared_error(cr.stop_gradient(x) * 2.0 + b, x)
    trace = cr.run(loss, {"x": X[:1]})
    trace.backward(loss)
    steps = trace.steps()
    assert not {s.node.op.name for s in steps if s.direction == "forward"} & {
        "constant",
        "broadcast_to",
        "stop_gradient",
        "objective",
    }
    assert steps[0].formula == "multiply = x * 2"
    assert steps[0].numbers == "[1, -2] * 2"
    named = {s.name: s.value for s in steps if s.direction == "backward"}
    npt.assert_array_equal(named["b"], trace.gradient(b))


def test_the_value_of_each_step_is_that_of_the_trace() -> None:
    x, t = cr.input("x", (2,)), cr.input("t", (), dtype="int32")
    loss = cr.cross_entropy(cr.dense(cr.dropout(cr.dense(x, 3, "silu"), 0.3), 2), t)
    trace = cr.run(loss, {"x": X, "t": [0, 1, 1]}, training=True, seed=5)
    trace.backward(loss)
    for step in trace.steps():
        wanted = trace.value if step.direction == "forward" else trace.gradient
        npt.assert_array_equal(step.value, wanted(step.node))
        assert step.name == trace.graph.name(step.node)
