"""The training step: what it trains, clips, tracks, names and refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.compile import build_step
from chainrule.engine.interpreted import Interpreted
from chainrule.errors import GraphError, NotFinite, SettingError
from chainrule.graph import Graph, check
from chainrule.graph.keys import step_key
from chainrule.graph.step import KEY
from chainrule.interpret import evaluate
from chainrule.train.optim import OPTIMIZERS, SGD, Adam, AdamW, Optimizer

ONE = [np.arange(1)]


def fed(shapes: dict[str, tuple[int, ...]], dtypes: dict[str, str] | None = None) -> Any:
    """A loss whose gradients are what it is fed: sum(w * g) for each parameter, added up."""
    terms = []
    for name, shape in shapes.items():
        dtype = (dtypes or {}).get(name, "float64")
        w = cr.parameter(name, np.zeros(shape), dtype=dtype)
        g = cr.input(f"g_{name}", shape, dtype, batch=False)
        terms.append(cr.cast(cr.sum(w * g), "float64"))
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def moved(loss: Any, feeds: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """How far one step of plain descent at rate 1 goes."""
    run = Interpreted(build_step(Graph(loss), loss, SGD(), **settings), {})
    run.run({f"g_{name}": g for name, g in feeds.items()}, ONE, [1.0])
    return {name: -value for name, value in run.read().items()}


def test_the_first_step_of_the_lecture() -> None:
    x = cr.input("x", (2,), dtype="float64")
    t = cr.input("t", (1,), dtype="float64")
    w1 = cr.parameter("W1", [[3.7, 2.9], [3.7, 2.9]], dtype="float64")
    b1 = cr.parameter("b1", [-1.5, -4.5], dtype="float64")
    w2 = cr.parameter("W2", [[4.5], [-5.2]], dtype="float64")
    b2 = cr.parameter("b2", [-2.0], dtype="float64")
    y = cr.sigmoid(cr.sigmoid(x @ w1 + b1) @ w2 + b2)
    error = cr.sum((t - y) ** 2) / 2
    run = Interpreted(build_step(Graph([y, error]), error, SGD(10.0)), {})
    losses = run.run({"x": np.array([[1.0, 0.0]]), "t": np.array([[1.0]])}, ONE, [10.0])
    assert losses.tolist() == pytest.approx([0.027725576], abs=1e-9)
    state = run.read()
    assert state["W2"].ravel().tolist() == pytest.approx([4.881647072, -5.128786752], abs=1e-9)
    assert state["b2"].tolist() == pytest.approx([-1.576065228], abs=1e-9)
    assert state["W1"][0].tolist() == pytest.approx([3.871312669, 2.591896197], abs=1e-9)
    assert state["W1"][1].tolist() == [3.7, 2.9]  # its input is 0
    assert state["b1"].tolist() == pytest.approx([-1.328687331, -4.808103803], abs=1e-9)


# ---------------------------------------------------------------- clipping


def test_clipping_by_value_cuts_each_entry() -> None:
    loss = fed({"a": (3,), "b": (1, 2)})
    feeds = {"a": np.array([3.0, -0.5, -9.0]), "b": np.array([[2.0, 1.0]])}
    found = moved(loss, feeds, clip_value=2.0)
    assert found["a"].tolist() == [2.0, -0.5, -2.0]
    assert found["b"].tolist() == [[2.0, 1.0]]


def test_clipping_by_norm_takes_all_gradients_together() -> None:
    loss = fed({"a": (2,), "b": (1, 1)})
    feeds = {"a": np.array([3.0, 0.0]), "b": np.array([[-4.0]])}
    found = moved(loss, feeds, clip_norm=1.0)
    assert found["a"].tolist() == pytest.approx([0.6, 0.0])
    assert found["b"].ravel().tolist() == pytest.approx([-0.8])
    assert moved(loss, feeds, clip_norm=5.0)["a"].tolist() == [3.0, 0.0]
    assert moved(loss, feeds, clip_norm=1e9)["b"].tolist() == [[-4.0]]


def test_clipping_by_value_comes_before_clipping_by_norm() -> None:
    found = moved(fed({"a": (2,)}), {"a": np.array([300.0, 4.0])}, clip_value=3.0, clip_norm=1.0)
    assert found["a"].tolist() == pytest.approx([3 / np.hypot(3, 3)] * 2)


def test_clipping_gradients_of_zero_and_of_two_element_types() -> None:
    loss = fed({"a": (2,), "b": (3,)}, {"a": "float32"})
    zeros = {"a": np.zeros(2, np.float32), "b": np.zeros(3)}
    assert not moved(loss, zeros, clip_norm=1.0)["a"].any()
    huge = {"a": np.full(2, 3e37, np.float32), "b": np.zeros(3)}
    found = moved(loss, huge, clip_norm=1.0)  # squares of float32 would overflow
    assert found["a"].dtype == np.float32
    np.testing.assert_allclose(found["a"], np.sqrt(0.5), rtol=1e-6)


def test_clipping_does_not_hide_a_gradient_that_is_not_finite() -> None:
    a = cr.parameter("a", [0.0], dtype="float64")
    loss = cr.sum(cr.sqrt(a))
    run = Interpreted(build_step(Graph(loss), loss, SGD(), clip_norm=1.0), {})
    with pytest.raises(NotFinite):
        run.run({}, ONE, [1.0])
    assert run.read()["a"].tolist() == [0.0]


@pytest.mark.parametrize("bound", [0, -1.0, float("nan"), float("inf"), "1", True])
@pytest.mark.parametrize("setting", ["clip_norm", "clip_value"])
def test_bounds_that_make_no_sense_are_refused(setting: str, bound: Any) -> None:
    loss = fed({"a": (2,)})
    with pytest.raises(SettingError, match=setting):
        build_step(Graph(loss), loss, SGD(), **{setting: bound})


# ---------------------------------------------------------------- what is trained


def network(name: str = "t") -> tuple[Graph, Any]:
    x, t = cr.input("x", 3), cr.input(name, 1)
    h = cr.dense(x, 4, activation="tanh", name="hidden")
    y = cr.dense(h, 1, name="out")
    loss = cr.mean((y - t) ** 2)
    return Graph([y, loss]), loss


DATA = {
    "x": np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32),
    "t": np.ones((8, 1), np.float32),
}


def changed(graph: Graph, loss: Any, kind: Optimizer, **settings: Any) -> set[str]:
    run = Interpreted(build_step(graph, loss, kind, **settings), {})
    before = run.read()
    run.run(DATA, [np.arange(8)] * 2, [0.1] * 2)
    return {name for name, value in run.read().items() if not np.array_equal(value, before[name])}


def test_trainable_takes_names_and_patterns() -> None:
    everything = {"hidden.w", "hidden.b", "out.w", "out.b"}
    assert changed(*network(), SGD()) == everything
    assert changed(*network(), SGD(), trainable=["out.*"]) == {"out.w", "out.b"}
    assert changed(*network(), SGD(), trainable="*.w") == {"hidden.w", "out.w"}
    assert changed(*network(), SGD(), trainable=["out.b", "hidden.?"]) == everything - {"out.w"}
    with pytest.raises(SettingError, match="did you mean 'out"):
        build_step(*network(), SGD(), trainable=["outt.w"])


def test_frozen_parameters_have_no_slots_and_cost_no_gradient() -> None:
    graph, loss = network()
    step = build_step(graph, loss, Adam(), trainable=["out.b"])
    assert {step.graph.name(x) for x in step.updates} == {"out.b", "out.b.mean", "out.b.square"}
    assert len(step.graph) < len(build_step(graph, loss, Adam(), trainable=["hidden.b"]).graph)


def test_a_parameter_that_the_loss_does_not_reach_is_left_alone() -> None:
    a = cr.parameter("a", np.ones((2, 2)))
    unused = cr.parameter("unused", np.ones((2, 2)))
    stopped = cr.parameter("stopped", np.ones((2, 2)))
    fixed = cr.parameter("fixed", np.ones((2, 2)), trainable=False)
    loss = cr.sum(a * cr.stop_gradient(stopped) * fixed)
    assert changed(Graph([loss, unused * 2]), loss, AdamW(0.1, decay=0.5)) == {
        "a", "a.mean", "a.square",
    }  # fmt: skip


def test_a_parameter_used_twice_gets_both_gradients() -> None:
    a = cr.parameter("a", [3.0], dtype="float64")
    loss = cr.sum(a * a + 5.0 * a)
    run = Interpreted(build_step(Graph(loss), loss, SGD()), {})
    run.run({}, ONE, [1.0])
    assert run.read()["a"].tolist() == [3.0 - (2 * 3.0 + 5.0)]


def _nothing(kind: str) -> Any:
    a = cr.parameter("a", [1.0], trainable=kind != "frozen")
    x = cr.input("x", 1)
    if kind == "no parameter":
        return cr.mean(x)
    return cr.sum(cr.floor(a)) if kind == "no gradient" else cr.sum(a) + cr.mean(x)


@pytest.mark.parametrize(
    ("loss", "match"),
    [
        (lambda: _nothing("no parameter"), "no parameters"),
        (lambda: _nothing("frozen"), r"a \(not trainable\)"),
        (lambda: _nothing("no gradient"), "not differentiable"),
        (lambda: cr.parameter("a", [1.0]) * 2, "a floating-point scalar"),
        (lambda: cr.sum(cr.cast(cr.parameter("a", [1.0]), "int32")), "a floating-point scalar"),
    ],
)
def test_nothing_to_train_is_an_error(loss: Callable[[], Any], match: str) -> None:
    made = loss()
    with pytest.raises(GraphError, match=match):
        build_step(Graph(made), made, SGD())


def test_a_loss_of_another_graph_is_an_error() -> None:
    with pytest.raises(GraphError, match="not a part of this graph"):
        build_step(network()[0], network()[1], SGD())


# ---------------------------------------------------------------- modes, names, form


def test_statistics_are_tracked_and_not_trained() -> None:
    x = cr.input("x", 1, dtype="float64")
    w = cr.parameter("w", [2.0], dtype="float64")
    running = cr.parameter("running", [10.0], dtype="float64", trainable=False)
    seen = cr.mean(x * w, axis=0)
    present = cr.tracked(running, 0.5 * running + 0.5 * seen)
    loss = cr.sum(cr.mean((x * w - cr.when_training(seen, present)) ** 2, axis=0))
    graph = Graph(loss)
    run = Interpreted(build_step(graph, loss, SGD()), {})
    losses = run.run({"x": np.array([[1.0], [3.0]])}, [np.arange(2)], [0.25])
    assert losses.tolist() == [4.0]  # about the minibatch's own mean: the spread of 2 and 6
    assert run.read()["running"].tolist() == [0.5 * 10 + 0.5 * 4]
    assert run.read()["w"].tolist() == [2.0 - 0.25 * 2 * 2.0]  # the loss is w**2


def test_batch_normalisation_and_dropout_run_as_in_training() -> None:
    x, t = cr.input("x", 3), cr.input("t", 1)
    h = cr.dropout(cr.batch_norm(cr.dense(x, 6, name="h"), name="bn"), 0.5)
    loss = cr.mean((cr.dense(h, 1, name="y") - t) ** 2)
    graph = Graph(loss)
    step = build_step(graph, loss, Adam())
    run = Interpreted(step, {}, seed=7)
    start = run.read()
    losses = run.run(DATA, [np.arange(8)], [0.1])
    known: dict[Any, Any] = {p: start[graph.name(p)] for p in graph.parameters}
    known |= {graph["x"]: DATA["x"], graph["t"]: DATA["t"], KEY: step_key(7, 0)}
    env = evaluate(graph, known, rows=8, training=True)
    assert losses[0] == env[loss]
    changed = {n for n, v in run.read().items() if not np.array_equal(v, start[n])}
    tracked = {graph.name(p) for p in graph.parameters if not p.trainable}
    assert "bn.running_mean" in tracked
    assert tracked <= changed


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_step_is_a_well_formed_graph_that_keeps_all_names(name: str) -> None:
    kind = OPTIMIZERS[name]()
    if not isinstance(kind, Optimizer):
        return
    x, t = cr.input("x", 3), cr.input("t", 1)
    h = cr.dense(cr.dense(x, 4), 4)  # named by the graph: dense, dense_2
    loss = cr.mean((cr.dense(h, 1) - t) ** 2)
    graph = Graph([h, loss])
    step = build_step(graph, loss, kind, clip_norm=1.0, clip_value=2.0)
    check(step.graph)
    assert step.graph.name(step.loss) == graph.name(loss)
    for node in graph.parameters:
        assert step.graph.name(node) == graph.name(node)
        assert node in step.updates
    for slot, new in step.updates.items():
        assert slot.type == new.type
        assert any(step.graph.name(slot).startswith(graph.name(p)) for p in graph.parameters)


def test_a_thousand_layers_make_a_step() -> None:
    x = cr.input("x", 2)
    for _ in range(1000):
        x = x + cr.parameter("b", [0.0, 0.0]).within(cr.graph.Scope("layer"), ".b")
    loss = cr.mean(x**2)
    step = build_step(Graph(loss), loss, SGD())
    assert len(step.updates) == 1000
