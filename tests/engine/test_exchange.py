"""A step that is cut where sums over rows are exchanged, and nodes that a plan keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from backend.runners import runnable
from chainrule.backend.cpu.run.driver import Runner
from chainrule.engine.compile import build_step, plan_step, split_step
from chainrule.engine.encoders import PrecomputedInputs
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.totals import with_means
from chainrule.graph import Graph
from chainrule.graph.keys import step_keys
from chainrule.graph.step import FIRST_ROW, KEY, RATE, ROW_COUNT, Step
from chainrule.interpret import evaluate, initial_value
from chainrule.types import N

Array = np.ndarray[Any, Any]
ROWS = 24
R = np.random.default_rng(8)
DATA = {
    "x": R.normal(size=(ROWS, 7)).astype("float32"),
    "t": R.integers(0, 3, ROWS).astype("int32"),
}
RULES = [cr.SGD(0.1), cr.SGD(0.1, momentum=0.9), cr.Adam(0.01), cr.LAMB(0.01), cr.Adagrad(0.1)]


def network(rule: cr.Optimizer, *, exchange: bool, **settings: Any) -> Step:
    x, t = cr.input("x", (7,)), cr.input("t", (), dtype="int32")
    h = cr.dense(x, 11, "tanh", name="h")
    shared = cr.parameter("shared", np.linspace(-1, 1, 11, dtype="float32"))
    y = cr.dense(h * shared + shared, 3, name="y")
    loss = cr.cross_entropy(y, t) + 0.01 * cr.sum(cr.square(shared)) + cr.sum(shared)
    return build_step(Graph(loss), loss, rule, exchange=exchange, **settings)


def native(step: Step, threads: int = 1) -> Runner:
    made = runnable(plan_step(step), ROWS, threads=threads)
    for x in step.graph.parameters:
        name = step.graph.name(x)
        if name in made.state:
            made.state[name] = initial_value(x, name, 0)
    for name, array in DATA.items():
        made.bind(name, array)
    return made


def inputs(step: int, made: Runner, count: int = ROWS, first: int = 0) -> Mapping[str, Array]:
    known: dict[str, Array] = {
        "step.key": step_keys(0, np.array([step]))[0],
        "step.rate": np.array(0.05),
        "step.number": np.array(step + 1.0),
        "step.rows": np.array(count),
        "step.first_row": np.array(first),
    }
    return {b.name: known[b.name] for b in made.signature.buffers if b.space == "step"}


def whole(made: Runner, step: int, rows: Array) -> None:
    _, failed = made.run(rows, [0, len(rows)], inputs(step, made, len(rows)))
    assert failed is None


def in_parts(made: Runner, step: int, rows: Array) -> None:
    for part in range(len(made.signature.cuts) + 1):
        _, failed = made.run(rows, [0, len(rows)], inputs(step, made, len(rows)), part)
        assert failed is None


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.3}, {"clip_value": 0.01}], ids=str)
def test_two_parts_are_one_step(
    rule: cr.Optimizer, settings: dict[str, float], threads: int
) -> None:
    step = network(rule, exchange=True, **settings)
    one, two = native(step), native(step, threads)
    for k in range(4):
        rows = np.random.default_rng(k).permutation(ROWS)[: 9 + k]
        whole(one, k, rows)
        before = dict(two.state)
        two.run(rows, [0, len(rows)], inputs(k, two, len(rows)), 0)
        for name, value in two.state.items():
            npt.assert_array_equal(value, before[name], err_msg="gradients leave the state alone")
        two.run(rows, [0, len(rows)], inputs(k, two, len(rows)), 1)
        for name, value in one.state.items():
            assert value.tobytes() == two.state[name].tobytes(), name


def test_a_cut_changes_no_result() -> None:
    plain, cut = (network(cr.Adam(0.01), exchange=x, clip_norm=0.5) for x in (False, True))
    assert not plan_step(plain).cuts
    one, two = native(plain), native(cut)
    interpreted = Interpreted(cut, {})
    for k in range(3):
        rows = np.arange(k, ROWS, 2)
        whole(one, k, rows)
        in_parts(two, k, rows)
        interpreted.run(DATA, [rows], [0.05])
        for name, value in one.state.items():
            npt.assert_allclose(two.state[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
            npt.assert_allclose(interpreted.read()[name], value, rtol=1e-4, atol=1e-6)


def test_the_plan_writes_every_gradient_before_the_cut_and_updates_after_it() -> None:
    step = network(cr.Adam(0.01), exchange=True)
    plan = plan_step(step)
    (cut,) = plan.cuts
    first = {b for phase in plan.phases[:cut] for task in phase.tasks for b in task.writes}
    rest = {b for phase in plan.phases[cut:] for task in phase.tasks for b in task.writes}
    gradients = set(plan.signature.gradients)
    named = {x.name for x in gradients}
    assert {f"{x}.gradient.total" for x in ("h.w", "h.b", "y.w", "y.b")} <= named
    assert len(gradients) == 7, "two sums of the shared parameter, without its penalty; the loss"
    assert gradients <= first
    assert not gradients & rest
    assert set(plan.updates) <= rest
    assert plan.loss in rest
    read = {b for phase in plan.phases[cut:] for task in phase.tasks for b in task.reads}
    assert gradients <= read
    work = {b.name for b in read if b.space == "work"}
    assert not {name for name in work if name.endswith(".gradient")}, "updates read the exchanged"


def test_what_goes_by_rows_is_done_before_what_sums_them() -> None:
    x, t = cr.input("x", (7,)), cr.input("t", (), dtype="int32")
    words = cr.embedding(t, 3, 4)
    h = cr.batch_norm(cr.dense(x, 11, "tanh"))
    y = cr.dense(cr.concat([h, words], 1), 3)
    loss = cr.cross_entropy(y, t) + cr.mean(cr.square(words))
    plan = plan_step(build_step(Graph(loss), loss, cr.SGD(0.1), exchange=True))
    assert len(plan.cuts) == len(plan.sums) > 1
    edges = [0, *(edge for pair in zip(plan.sums, plan.cuts, strict=True) for edge in pair)]
    assert edges == sorted(edges)
    for number, phase in enumerate(plan.phases[: plan.cuts[-1]]):
        summing = any(a <= number < b for a, b in zip(plan.sums, plan.cuts, strict=True))
        for task in phase.tasks:
            sums = {x for x in task.writes if x.space == "gradient"}
            rows = {x for x in task.writes if N in x.shape}
            assert not (rows if summing else sums), task.kernel.name
    assert plan.signature.sums == plan.sums


def test_ranks_that_exchange_gradients_stay_equal_and_do_the_step_of_all_rows() -> None:
    step = network(cr.Adam(0.01), exchange=True)
    alone, ranks = native(step), [native(step), native(step)]
    for k in range(5):
        rows = np.random.default_rng(k).permutation(ROWS)
        parts = np.split(rows, [9])
        whole(alone, k, rows)
        for rank, part in zip(ranks, parts, strict=True):
            first = 0 if part is parts[0] else len(parts[0])
            rank.run(part, [0, len(part)], inputs(k, rank, len(rows), first), 0)
        for buffers in zip(*(rank.signature.gradients for rank in ranks), strict=True):
            views = [rank.gradient(b) for rank, b in zip(ranks, buffers, strict=True)]
            views[0][...] = views[1][...] = views[0] + views[1]
        for rank, part in zip(ranks, parts, strict=True):
            rank.run(part, [0, len(part)], inputs(k, rank, len(rows)), 1)
        for name, value in ranks[0].state.items():
            assert value.tobytes() == ranks[1].state[name].tobytes(), name
            npt.assert_allclose(value, alone.state[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_a_plan_keeps_the_nodes_that_are_asked_for() -> None:
    step = network(cr.Adam(0.01), exchange=False)
    names = ("h", "y", "h.w.gradient", "y.b.new")
    keep = [step.graph[name] for name in names]
    plan = plan_step(step, keep)
    made = runnable(plan, ROWS)
    values = {x: initial_value(x, step.graph.name(x), 0) for x in step.graph.parameters}
    for x, value in values.items():
        made.state[step.graph.name(x)] = value
    for name, array in DATA.items():
        made.bind(name, array)
    rows = np.array([3, 1, 20, 7, 7])
    _, failed = made.run(rows, [0, len(rows)], inputs(0, made))
    assert failed is None
    feeds = {step.graph[name]: array[rows] for name, array in DATA.items()}
    feeds |= {step.graph[name]: value for name, value in inputs(0, made).items()}
    env = evaluate(step.graph, {**values, **feeds}, rows=len(rows), training=True)
    for node, buffer in zip(keep, plan.outputs, strict=True):
        got = made.output(buffer, len(rows))
        npt.assert_allclose(got, env[node], rtol=1e-4, atol=1e-6, err_msg=step.graph.name(node))


def test_the_rows_of_a_step_are_counted_and_numbered_among_those_of_all_programs() -> None:
    """Two programs that share a step draw what one alone draws, and their gradients add up."""
    x, w = cr.input("x", (7,)), cr.parameter("w", np.ones(7, "float32"))
    loss = cr.mean(cr.square(cr.dropout(x * w, 0.5)))
    step = build_step(Graph(loss), loss, cr.SGD(0.1), exchange=True)
    body = split_step(step).body
    assert {"step.rows", "step.first_row"} <= {body.graph.name(x) for x in body.graph.inputs}

    def gradient(rows: Array, first: int, count: int) -> Array:
        made = runnable(plan_step(body), ROWS)
        made.state["w"] = np.ones(7, "float32")
        made.bind("x", DATA["x"])
        place = {"step.rows": np.array(count), "step.first_row": np.array(first)}
        given = {"step.key": step_keys(3, np.array([5]))[0], "step.rate": np.array(0.1), **place}
        needed = {b.name for b in made.signature.buffers if b.space == "step"}
        brought = {name: array for name, array in given.items() if name in needed}
        made.run(rows, [0, len(rows)], brought, 0)
        (buffer,) = (b for b in made.signature.gradients if b.shape == (7,))
        return made.gradient(buffer).copy()

    rows = np.random.default_rng(0).permutation(ROWS)
    parts = gradient(rows[:10], 0, ROWS) + gradient(rows[10:], 10, ROWS)
    npt.assert_allclose(parts, gradient(rows, 0, ROWS), rtol=1e-5)
    assert not np.allclose(parts, gradient(rows[:10], 0, ROWS) + gradient(rows[10:], 0, ROWS))
    feeds = {body.graph[n]: v for n, v in (("x", DATA["x"][rows]), ("w", np.ones(7, "float32")))}
    feeds |= {KEY: step_keys(3, np.array([5]))[0], RATE: np.array(0.1), ROW_COUNT: np.array(ROWS)}
    env = evaluate(body.graph, {**feeds, FIRST_ROW: np.array(0)}, rows=ROWS, training=True)
    (node,) = body.gradients.values()
    npt.assert_allclose(parts, env[node], rtol=1e-5)


def test_weights_count_alike_in_programs_that_share_a_step() -> None:
    """The weighted gradients of uneven parts add up, though the parts have other mean weights."""
    x, t, w = cr.input("x", (7,)), cr.input("t", (), dtype="int32"), cr.input("w")
    y = cr.dense(x, 3, name="y")
    loss = cr.cross_entropy(y, t, weights=w, class_weights=[1, 5, 50])
    graph = Graph(loss)
    step = build_step(graph, loss, cr.SGD(0.1), exchange=True)
    data = with_means(graph, DATA | {"w": np.linspace(0, 9, ROWS, dtype="float32")})
    split = split_step(step)
    body, encoded = split.body, PrecomputedInputs(split)(data)

    def gradients(rows: Array) -> list[Array]:
        made = runnable(plan_step(body), ROWS)
        for node in body.graph.parameters:
            made.state[node.label] = np.ones(node.shape, "float32")
        for node in body.graph.inputs:
            if node.batch:
                made.bind(node.label, encoded[node.label])
        given = {"step.rows": np.array(ROWS), "step.rate": np.array(0.1), **data}
        needed = {b.name for b in made.signature.buffers if b.space == "step"}
        brought = {name: array for name, array in given.items() if name in needed}
        made.run(rows, [0, len(rows)], brought, 0)
        return [made.gradient(b).copy() for b in made.signature.gradients]

    rows = np.arange(ROWS)
    parts = zip(gradients(rows[:7]), gradients(rows[7:]), gradients(rows), strict=True)
    for one, two, both in parts:
        assert np.abs(one).max() > 1e-3
        npt.assert_allclose(one + two, both, rtol=1e-4, atol=1e-6)
