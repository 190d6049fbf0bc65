"""Graph to graph: merging what is equal, one side of training and prediction, float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.graph import Graph, Node, check
from chainrule.graph.keys import step_key
from chainrule.graph.node import Operation, apply
from chainrule.graph.op import REGISTRY, op
from chainrule.graph.step import KEY
from chainrule.interpret import evaluate
from chainrule.ops.mode import count, tracked, when_training
from chainrule.ops.random import uniform
from chainrule.passes.fold import fold
from chainrule.passes.merge import merge
from chainrule.passes.precision import in_float64
from chainrule.passes.rewrite import rewrite
from chainrule.passes.specialise import specialise, tracked_updates
from chainrule.types import N
from test_random_graphs import PROGRAMS, SIZE, build

X = cr.input("x", (3,), "float64")
DATA = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -0.0]])


def merged(*outputs: Node) -> list[Node]:
    place = merge(Graph(outputs))
    return [place[x] for x in outputs]


# ---------------------------------------------------------------- merge


def test_what_is_equal_becomes_one() -> None:
    a, b = cr.exp(X * 2.0) + 1.0, cr.exp(X * 2.0) + 1.0
    first, second = merged(a, b)
    assert first is second is a
    (loss,) = merged(cr.sum(a * b))
    assert loss.inputs[0].inputs == (a, a)
    assert len(Graph(loss)) < len(Graph(cr.sum(a * b)))


def test_operands_in_another_order_stay_apart() -> None:
    y = X + 1.0
    for a, b in ((X - y, y - X), (X / y, y / X), (cr.concat([X, y]), cr.concat([y, X]))):
        assert merged(a, b) == [a, b]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (0.0, -0.0, False),
        (np.nan, np.nan, True),
        (1.0, 1.0, True),
        (1, True, False),
        ([1.0, 2.0], [[1.0, 2.0]], False),
        (np.float32(1), np.float64(1), False),
        (np.arange(6), np.arange(6).reshape(2, 3), False),
        (np.array([1], "int32"), np.array([1], "uint32"), False),
    ],
)
def test_constants(a: Any, b: Any, same: bool) -> None:
    one, two = merged(cr.constant(a), cr.constant(b))
    assert (one is two) == same


def test_attributes_that_python_calls_equal() -> None:
    made = op(
        "test_attribute", "map", infer=lambda x, **_: x, forward=lambda x, a: x, gradient=None
    )
    try:
        values: list[Any] = [1, True, 1.0, 0.0, -0.0, (1,), (True,), (1.0,), "1", None, ((1,), 1)]
        nodes = [apply(made, X, a=value) for value in values]
        assert merged(*nodes) == nodes
        twins = [apply(made, X, a=value) for value in values]
        assert merged(*nodes, *twins) == nodes + nodes
    finally:
        del REGISTRY["test_attribute"]


def test_signs_of_zero_survive() -> None:
    a, b = 1 / (X * 0.0 + 0.0), 1 / (X * -0.0 + -0.0)
    graph = Graph(merged(cr.sum(a), cr.sum(b)))
    wanted = Graph([cr.sum(a), cr.sum(b)])
    ones = {X: np.ones((1, 3))}
    for x, y in zip(graph.outputs, wanted.outputs, strict=True):
        assert evaluate(graph, ones, rows=1)[x] == evaluate(wanted, ones, rows=1)[y]


def test_random_nodes_are_never_merged_and_keep_their_numbers() -> None:
    """Though what they are computed from is, and equal nodes before them are dropped."""
    a, b = uniform((N, 4), "float64"), uniform((N, 4), "float64")
    y = cr.dropout(cr.exp(X) * cr.exp(X), 0.5) - cr.dropout(cr.exp(X) * cr.exp(X), 0.5)
    outputs = [a - b, a + uniform((N, 4), "float64"), y]
    graph = Graph(outputs)
    place = merge(graph)
    after = check(Graph([place[x] for x in outputs], like=graph))
    assert len(after) < len(graph)
    known = {X: DATA, KEY: step_key(3, 1)}
    before = evaluate(graph, known, rows=2, training=True)
    now = evaluate(after, known, rows=2, training=True)
    for x in outputs:
        npt.assert_array_equal(before[x], now[place[x]])
        assert np.abs(before[x]).max() > 0


@settings(max_examples=50, deadline=None, derandomize=True)
@given(program=PROGRAMS, seed=st.integers(0, 9))
def test_merging_keeps_every_bit(program: Any, seed: int) -> None:
    generator = np.random.default_rng(seed)
    leaves = [cr.input(n, (SIZE, SIZE), "float64", batch=False) for n in "xyz"]
    values: dict[Node, Any] = {x: generator.normal(size=(SIZE, SIZE)) for x in leaves}
    output, _ = build(program, values)
    outputs = [cr.sum(output), *cr.gradients(cr.sum(output), leaves)]
    graph = Graph([*outputs, *leaves])
    place = merge(graph)
    after = check(Graph([place[x] for x in graph.outputs], like=graph))
    assert len(after) <= len(graph)
    again = merge(after)
    assert all(again[x] is x for x in after)
    before, now = evaluate(graph, values), evaluate(after, values)
    for x in outputs:
        assert before[x].tobytes() == now[place[x]].tobytes()


def test_the_graph_that_is_rewritten_stays_as_it_is() -> None:
    graph = Graph([cr.exp(X) + cr.exp(X)])
    before = cr.listing(graph)
    merge(graph)
    specialise(graph, training=True)
    in_float64(graph)
    assert cr.listing(graph) == before


def test_what_does_not_change_is_not_made_anew() -> None:
    graph = Graph([cr.exp(X) * 2.0])
    assert all(rewrite(graph, lambda node, operands: None)[x] is x for x in graph)
    assert all(in_float64(graph)[x] is x for x in graph)
    assert all(specialise(graph, training=True)[x] is x for x in graph)


def test_long_chains_are_rewritten() -> None:
    y: Node = X
    for _ in range(3000):
        y = cr.sin(y)
    graph = Graph(y)
    passes: tuple[Callable[[Graph], dict[Node, Node]], ...] = (merge, in_float64)
    for rewritten in passes:
        assert rewritten(graph)[y] is y


# ---------------------------------------------------------------- specialise


def test_one_side_is_taken_and_the_other_is_gone() -> None:
    y = when_training(X * 2.0, cr.exp(X)) + 1.0
    graph = Graph(y)
    for training, gone, expected in ((True, "exp", DATA * 2 + 1), (False, "multiply", None)):
        place = specialise(graph, training=training)
        after = check(Graph(place[y], like=graph))
        assert gone not in {x.op.name for x in after.operations}
        assert "when_training" not in {x.op.name for x in after.operations}
        value = evaluate(after, {X: DATA}, rows=2)[place[y]]
        npt.assert_array_equal(value, np.exp(DATA) + 1 if expected is None else expected)
        npt.assert_array_equal(value, evaluate(graph, {X: DATA}, rows=2, training=training)[y])


def test_nested_and_shared_sides() -> None:
    inner = when_training(X, -X)
    y = when_training(inner * 2.0, inner * 3.0) + inner
    graph = Graph(y)
    for training, factor in ((True, 3.0), (False, -4.0)):
        place = specialise(graph, training=training)
        env = evaluate(Graph(place[y]), {X: DATA}, rows=2)
        npt.assert_array_equal(env[place[y]], DATA * factor)


def test_marks_vanish_and_tracked_values_are_collected() -> None:
    mean = cr.parameter("mean", np.zeros(3), dtype="float64", trainable=False)
    count = cr.parameter("count", 0.0, dtype="float64", trainable=False)
    batch = cr.mean(when_training(X, X * 0.0), axis=0)
    y = X - tracked(mean, 0.9 * mean + 0.1 * batch)
    y = y * tracked(count, count + 1.0)
    loss = cr.squared_error(y, X)
    graph = Graph(loss)
    place = specialise(graph, training=True)
    updates = tracked_updates(graph, place)
    assert set(updates) == {mean, count}
    after = check(Graph([place[loss], *updates.values()], like=graph))
    assert not {"tracked", "objective", "when_training"} & {x.op.name for x in after.operations}
    env = evaluate(after, {X: DATA, mean: np.ones(3), count: np.array(4.0)}, rows=2)
    npt.assert_allclose(env[updates[mean]], 0.9 + 0.1 * DATA.mean(0))
    assert env[updates[count]] == 5.0


def test_dropout_draws_the_same_after_specialising() -> None:
    y = cr.dropout(X, 0.5, name="d") * 1.0
    graph = Graph([y, cr.dropout(X, 0.3)])
    place = specialise(graph, training=True)
    after = Graph([place[y]], like=graph)
    known = {X: DATA, KEY: step_key(0, 5)}
    npt.assert_array_equal(
        evaluate(after, known, rows=2)[place[y]],
        evaluate(graph, known, rows=2, training=True)[y],
    )


# ---------------------------------------------------------------- in_float64


def test_float32_becomes_float64_and_nothing_else_changes() -> None:
    x = cr.input("x", (3,))
    i = cr.input("i", (), dtype="int32")
    w = cr.parameter("w", np.arange(12.0).reshape(3, 4) / 7)
    drawn = cr.parameter("drawn", cr.init.Normal(), (4,))
    table = cr.constant(np.array([[0.1, 0.2], [0.3, 0.4]], "float32"))
    y = cr.sum((x @ w + drawn) * np.array([1.0, 2.0, 3.0, 0.1], "float32"))
    y = y + cr.sum(cr.take(table, i)) + cr.sum(cr.cast(i, "float32"))
    y = y + cr.sum(cr.cast(x > 0, "float32")) + cr.sum(cr.one_hot(i, 2))
    y = y + cr.sum(cr.cast(cr.cast(x, "float64") * 2.0, "float32"))
    graph = Graph(y)
    place = in_float64(graph)
    wide = check(Graph(place[y], like=graph))
    for node in graph:
        assert place[node].dtype == ("float64" if node.dtype == "float32" else node.dtype)
    assert [wide.name(x) for x in wide.parameters] == [graph.name(x) for x in graph.parameters]
    feeds = {"x": DATA, "i": [0, 1]}
    narrow, exact = cr.run(y, feeds, seed=2).value(y), cr.run(place[y], feeds, seed=2)
    assert exact.value(place[y]) == pytest.approx(float(narrow), rel=1e-6)
    assert exact.value("w")[0, 1] == np.float32(1 / 7)


def test_a_whole_network_with_marks_and_dropout() -> None:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, 5, "gelu")), 0.5)
    loss = cr.cross_entropy(cr.dense(h, 3), t)
    graph = Graph(loss)
    place = in_float64(graph)
    check(Graph(place[loss], like=graph))
    feeds = {"x": DATA, "t": [0, 2]}
    narrow = cr.run(loss, feeds).value(loss)
    wide = cr.run(place[loss], feeds, like=graph).value(place[loss])
    assert wide == pytest.approx(float(narrow), rel=1e-5)


# ---------------------------------------------------------------- fold


def folded(*outputs: Node) -> list[Node]:
    place = fold(Graph(outputs))
    return [place[x] for x in outputs]


def test_what_is_made_of_constants_becomes_one_with_the_same_bits() -> None:
    table = cr.constant(np.linspace(0.1, 2.0, 12, dtype="float32").reshape(3, 4))
    y = cr.exp(cr.log(table).T * 3.0) / cr.cast(count((3, 4), "float64"), "float32")
    (made,) = folded(y)
    assert made.inputs == ()
    held = evaluate(Graph(made), {})[made]
    npt.assert_array_equal(held.view("int32"), evaluate(Graph(y), {})[y].view("int32"))
    assert not held.flags.writeable


def test_only_the_part_of_constants_becomes_one() -> None:
    (made,) = folded(X * (cr.constant(2.0, "float64") + 1.0))
    assert made.inputs[0] is X
    npt.assert_array_equal(evaluate(Graph(made), {X: DATA}, rows=2)[made], DATA * 3)
    assert len(Graph(made)) <= 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: cr.broadcast_to(cr.constant(1.0), (N, 3)) + 1.0,
        lambda: cr.cast(count((N,), "float32"), "float64") * 2.0,
        lambda: cr.broadcast_to(cr.constant(1.0), (100, 100)) * 2.0,
        lambda: cr.parameter("p", np.ones(3)) * 2.0,
        lambda: uniform((3,)) + 1.0,
    ],
    ids=["rows", "count of rows", "large", "parameter", "random"],
)
def test_nothing_else_becomes_a_constant(make: Callable[[], Operation]) -> None:
    before = make()
    (after,) = folded(before)
    assert after.op is before.op
    assert after.operands[0] is before.operands[0]


def test_a_nan_among_constants_stays_one() -> None:
    (made,) = folded(cr.log(cr.constant(-1.0)) + 1.0)
    assert np.isnan(evaluate(Graph(made), {})[made])
