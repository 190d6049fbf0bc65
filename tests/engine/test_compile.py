"""The order of the stages: what is compiled computes what was meant."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.engine.compile import build_step
from chainrule.engine.forward import Forward
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.program import compile_step
from chainrule.graph import Graph
from chainrule.interpret import initial_value
from chainrule.passes.rows import rowwise

R = np.random.default_rng(1)


def network() -> tuple[Graph, cr.Node, cr.Node]:
    x, t = cr.input("x", (4,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, 6, "tanh", name="h")), 0.4)
    logits = cr.dense(h, 3, name="logits")
    loss = cr.cross_entropy(logits, t) + 0.01 * cr.sum(cr.square(cr.softmax(logits)))
    return Graph([logits, loss]), logits, loss


DATA = {"x": R.normal(size=(20, 4)).astype("float32"), "t": R.integers(0, 3, 20).astype("int32")}
BATCHES = [np.arange(0, 7), np.arange(7, 14), np.arange(14, 20)]
RATES = [0.1, 0.05, 0.02]


def test_a_compiled_step_has_the_bits_of_the_step_as_it_was_built() -> None:
    graph, _, loss = network()
    step = build_step(graph, loss, cr.Adam(0.1), clip_norm=1.0)
    compiled = compile_step(step, {}, seed=5, backend="interpreter")
    plain = Interpreted(step, {}, seed=5)
    npt.assert_array_equal(compiled.run(DATA, BATCHES, RATES), plain.run(DATA, BATCHES, RATES))
    one, two = compiled.read(), plain.read()
    assert one.keys() == two.keys()
    assert {"h.w", "h.b", "logits.w", "logits.b"} < one.keys()
    for name in one:
        assert one[name].tobytes() == two[name].tobytes(), name


def test_the_state_that_is_given_is_taken() -> None:
    graph, _, loss = network()
    step = build_step(graph, loss, cr.SGD(0.1))
    program = compile_step(step, {"h.b": np.full(6, 3.0, "float32")}, seed=5)
    assert program.read()["h.b"].tolist() == [3.0] * 6
    other = program.read()["h.w"]
    (w,) = [x for x in graph.parameters if graph.name(x) == "h.w"]
    npt.assert_array_equal(other, initial_value(w, "h.w", 5))


@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_prediction_drops_nothing_and_needs_no_targets(backend: str) -> None:
    graph, logits, loss = network()
    values = {graph.name(x): initial_value(x, graph.name(x), 0) for x in graph.parameters}
    forward = Forward(graph, [logits], backend=backend)
    assert forward.inputs == ["x"]
    (once,) = forward(values, {"x": DATA["x"]}, np.arange(20))
    trace = cr.run([logits, loss], DATA, like=graph)
    npt.assert_allclose(once, trace.value(logits), rtol=1e-5, atol=1e-6)
    rows = np.array([3, 19, 3, 0])
    (some,) = forward(values, {"x": DATA["x"]}, rows)
    npt.assert_allclose(some, once[rows], rtol=1e-6)
    (value,) = Forward(graph, [loss], backend=backend)(values, DATA, np.arange(20))
    assert value == pytest.approx(trace.value(loss), rel=1e-6)


@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_several_outputs_one_of_them_an_input_a_parameter_or_listed_twice(backend: str) -> None:
    x = cr.input("x", (2,))
    w = cr.parameter("w", [1.0, 2.0])
    y = x * w
    forward = Forward(Graph([y, x, w]), [y, x, w, y], backend=backend)
    data = np.ones((3, 2), "float32")
    values = forward({"w": np.array([5.0, 6.0], "float32")}, {"x": data}, np.arange(3))
    assert [v.tolist() for v in values] == [[[5, 6]] * 3, data.tolist(), [5, 6], [[5, 6]] * 3]


@pytest.mark.parametrize(
    ("build", "apart"),
    [
        (lambda x, w: x * w, True),
        (lambda x, w: cr.softmax(x), True),
        (lambda x, w: x - cr.mean(x, axis=0), False),
        (lambda x, w: cr.exp(w), False),
        (lambda x, w: x.T, False),
        (lambda x, w: x + cr.uniform((cr.N, 2)), False),
        (lambda x, w: cr.sum(x), False),
        (lambda x, w: cr.sum(x, axis=1), True),
        (lambda x, w: cr.take(w, cr.cast(x, "int32")), True),
        (lambda x, w: cr.take(cr.stack([w, w], 1), cr.cast(x[:, 0], "int32"), 1), False),
        (lambda x, w: cr.take(x, cr.constant([0, 0])), False),
        (lambda x, w: cr.take(x, cr.cast(x[:, 0], "int32")), False),
    ],
)
def test_what_is_computed_row_by_row(build, apart) -> None:  # type: ignore[no-untyped-def]
    x, w = cr.input("x", (2,)), cr.parameter("w", [1.0, 2.0])
    node = build(x, w)
    assert (node in rowwise(Graph(node))[0]) == apart
