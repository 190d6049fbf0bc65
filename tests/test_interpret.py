"""Feeds, first values, and the tape: what is computed once, kept, freed, and reproducible."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.errors import DTypeError, FeedError, ShapeError
from chainrule.graph import Graph, Node
from chainrule.graph.feeds import as_feed, bind
from chainrule.graph.keys import step_key, stream_id
from chainrule.graph.op import REGISTRY, op
from chainrule.graph.step import KEY
from chainrule.interpret import EvalSchedule, evaluate, initial_value
from chainrule.ops.random import uniform
from chainrule.system.blas import one_thread
from chainrule.types import N, TensorType
from test_random_graphs import PROGRAMS, SIZE, WIDTH, build

# ---------------------------------------------------------------- feeds


@pytest.mark.parametrize(
    ("value", "shape", "dtype", "parts"),
    [
        (["a", "b"], (N,), "float32", ["not numbers", "float32", "<U1", "encode text"]),
        ([None, 1.0], (N,), "float32", ["not numbers", "object"]),
        ([2**70], (N,), "float64", ["not numbers", "object"]),
        ([1j], (N,), "float64", ["not numbers", "complex128"]),
        (np.array(["2020-01-01"], "datetime64[D]"), (N,), "int64", ["not numbers", "datetime64"]),
        ([Fraction(1, 2)], (N,), "float32", ["not numbers", "object"]),
        ([[1, 2], [3]], (N, 2), "float32", ["[here] rows differ in length"]),
        ([1.0, np.nan], (N,), "int32", ["does not fit in int32", "nan", "row 1"]),
        ([[1, 0.5]], (N, 2), "int64", ["does not fit in int64", "0.5", "row 0, 1"]),
        ([2**31], (N,), "int32", ["does not fit in int32", "2147483648"]),
        ([-1], (N,), "uint32", ["does not fit in uint32", "-1"]),
        ([2], (N,), "bool", ["does not fit in bool", "2"]),
        ([1.0, 1e39], (N,), "float32", ["does not fit in float32", "1e+39", "row 1"]),
        (np.float64(-1e39), (), "float32", ["does not fit in float32"]),
        ([1.0, 2.0], (N, 2), "float32", ["shape", "(N, 2)", "(2,)", "x[None]"]),
        (3.0, (N,), "float32", ["shape", "(N,)", "()", "x[None]"]),
        ([[1.0, 2.0, 3.0]], (N, 2), "float32", ["shape", "(N, 2)", "(1, 3)"]),
        ([[[1.0]]], (N, 1), "float32", ["shape", "(1, 1, 1)"]),
        ([1.0], (2,), "float64", ["shape", "(2,)", "(1,)"]),
    ],
)
def test_what_does_not_fit_is_refused(value: Any, shape: Any, dtype: str, parts: list[str]) -> None:
    with pytest.raises(FeedError) as caught:
        as_feed("here", value, TensorType(shape, dtype))
    assert str(caught.value).startswith("[here]")
    for part in parts:
        assert part in str(caught.value)
    assert ("x[None]" in str(caught.value)) == ("x[None]" in parts)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ([1, 2], "float32", [1.0, 2.0]),
        ([True, False], "float32", [1.0, 0.0]),
        ([1.0, 2.0], "int32", [1, 2]),
        ([0, 1], "bool", [False, True]),
        (np.array([1, 2], ">i2"), "int64", [1, 2]),
        (np.array([2.5], ">f4"), "float32", [2.5]),
        ([np.nan, np.inf, -np.inf], "float32", [np.nan, np.inf, -np.inf]),
        ([2**31 - 1, -(2**31)], "int32", [2**31 - 1, -(2**31)]),
        (np.array([1.5], np.float16), "float64", [1.5]),
        (range(3), "int32", [0, 1, 2]),
        ([], "float32", []),
    ],
)
def test_what_fits_is_cast(value: Any, dtype: str, expected: Any) -> None:
    array = as_feed("here", value, TensorType((N,), dtype))
    assert array.dtype == dtype
    npt.assert_array_equal(array, np.asarray(expected, dtype))


def inputs(*made: Any) -> tuple[list[Any], dict[Any, str]]:
    return list(made), {x: x.label for x in made}


def test_the_names_of_feeds() -> None:
    nodes = inputs(cr.input("price", ()), cr.input("size", ()))
    with pytest.raises(FeedError, match="did you mean 'price'") as caught:
        bind(*nodes, {"prise": [1.0], "size": [1.0]})
    assert "expected  price, size" in str(caught.value)
    with pytest.raises(FeedError, match="got       price"):
        bind(*nodes, {"price": [1.0]})
    with pytest.raises(FeedError, match="got       nothing"):
        bind(*nodes, {})
    with pytest.raises(FeedError, match="other"):
        bind(*nodes, {"price": [1.0], "size": [1.0], "other": [1.0]})
    with pytest.raises(FeedError, match="names do not match"):
        bind(*nodes, {nodes[0][0]: [1.0], "size": [1.0]})
    with pytest.raises(FeedError, match=r"by the names.*\n.*\{'price': array, 'size': array\}"):
        bind(*nodes, np.ones((2, 2)))  # type: ignore[arg-type]
    with pytest.raises(FeedError, match=r"\[input 'size'\]"):
        bind(*nodes, {"price": [1.0], "size": ["a"]})


def test_the_number_of_rows() -> None:
    once = cr.input("once", (2,), batch=False)
    nodes = inputs(cr.input("a", ()), cr.input("b", (3,)), once)
    values, rows = bind(*nodes, {"a": [1, 2], "b": np.zeros((2, 3)), "once": [5, 6]})
    assert rows == 2
    assert values[once].tolist() == [5, 6]
    with pytest.raises(FeedError, match="a: 1, b: 2"):
        bind(*nodes, {"a": [1], "b": np.zeros((2, 3)), "once": [5, 6]})
    assert bind(*nodes, {"a": [], "b": np.zeros((0, 3)), "once": [5, 6]})[1] == 0
    assert bind(*inputs(once), {"once": [1, 2]})[1] == 0
    assert bind([], {}, {}) == ({}, 0)


def test_no_rows_flow_through_a_network() -> None:
    x = cr.input("x", (3,))
    y = cr.softmax(cr.dense(x, 4, "relu"))
    trace = cr.run([y, cr.sum(y)], {"x": np.zeros((0, 3))})
    assert trace.value(y).shape == (0, 4)
    assert trace.value("sum") == 0.0


# ---------------------------------------------------------------- first values


def test_first_values_depend_on_seed_and_name_alone() -> None:
    w = cr.parameter("w", cr.init.Normal(), (3, 4))
    first = initial_value(w, "w", 7)
    assert first.dtype == np.float32
    assert first.shape == (3, 4)
    assert first.flags.writeable
    npt.assert_array_equal(first, initial_value(w, "w", 7))
    others = [initial_value(w, "v", 7)]
    others += [initial_value(w, "w", seed) for seed in (8, 0, 2**63, 2**63 + 1, 2**64 - 1)]
    for k, a in enumerate([first, *others]):
        for b in others[k:]:
            assert not np.array_equal(a, b)


def test_a_given_array_is_copied() -> None:
    given_ = np.array([1.0, 2.0], np.float32)
    w = cr.parameter("w", given_)
    initial_value(w, "w")[0] = 9.0
    given_[0] = 5.0
    assert initial_value(w, "w").tolist() == [1.0, 2.0]


# ---------------------------------------------------------------- the tape


@settings(max_examples=60, deadline=None, derandomize=True)
@given(program=PROGRAMS, kept=st.sets(st.integers(0, 60)), seed=st.integers(0, 9))
def test_freeing_never_drops_what_is_needed(program: Any, kept: set[int], seed: int) -> None:
    """Kept nodes have the values that they have where nothing is freed; the rest may be gone."""
    generator = np.random.default_rng(seed)
    leaves = [cr.input(n, (SIZE, SIZE), "float64", batch=False) for n in "xyz"]
    assert leaves[0].type == WIDTH
    values: dict[Node, Any] = {x: generator.normal(size=(SIZE, SIZE)) for x in leaves}
    output, _ = build(program, values)
    graph = Graph([output, *leaves])
    whole = evaluate(graph, values)
    keep = [x for k, x in enumerate(graph) if k in kept]
    tape = EvalSchedule(graph, keep)
    for _ in range(2):  # a tape can be run again
        env = tape.run(values)
        for node in keep:
            assert env[node].tobytes() == whole[node].tobytes()
    inner = {x: whole[x] for x in keep} | values  # and inner values may be known before
    env = EvalSchedule(graph, keep).run(inner)
    for node in keep:
        assert env[node].tobytes() == whole[node].tobytes()


def test_values_are_dropped_after_their_last_use() -> None:
    x = cr.input("x", (), "float64")
    a = x + 1.0
    b = a * a
    c = b - a
    env = EvalSchedule(Graph(c), [c]).run({x: np.array([2.0])}, rows=1)
    assert env[c].tolist() == [6.0]
    assert a not in env
    assert b not in env


def test_a_known_inner_value_is_not_computed_again() -> None:
    x = cr.input("x", (), "float64")
    a = cr.exp(x)
    y = a * 2.0
    env = evaluate(Graph(y), {a: np.array([5.0])}, rows=1)
    assert env[y].tolist() == [10.0]


def test_what_depends_on_constants_alone_is_computed_once() -> None:
    calls = []

    def forward(x: Any) -> Any:
        calls.append(x)
        return x * 2

    made = op("test_count_calls", "map", infer=lambda x: x, forward=forward, gradient=None)
    try:
        from chainrule.graph.node import apply  # noqa: PLC0415  (beside its only use)

        fixed = apply(made, cr.constant([1.0, 2.0]))
        x = cr.input("x", (2,))
        tape = EvalSchedule(Graph(x + cr.broadcast_to(fixed, (N, 2))))
        for _ in range(3):
            env = tape.run({x: np.zeros((1, 2), np.float32)}, rows=1)
            assert env[fixed].tolist() == [2.0, 4.0]
        assert len(calls) == 1
    finally:
        del REGISTRY["test_count_calls"]


def test_constants_of_the_batch_axis_follow_the_rows() -> None:
    x = cr.input("x", (2,))
    tape = EvalSchedule(Graph(x * 0.0 + cr.broadcast_to(cr.constant([1.0, 2.0]), (N, 2))))
    for rows in (3, 1, 0):
        env = tape.run({x: np.zeros((rows, 2), np.float32)}, rows=rows)
        assert env[tape._graph.outputs[0]].tolist() == [[1.0, 2.0]] * rows


def test_a_tape_runs_within_itself() -> None:
    x = cr.input("x", (), "float64", batch=False)
    results = []

    def forward(v: Any) -> Any:
        if v < 3:
            results.append(float(tape.run({x: v + 1.0})[y]))
        return v * 10

    made = op("test_nested", "map", infer=lambda x: x, forward=forward, gradient=None)
    try:
        from chainrule.graph.node import apply  # noqa: PLC0415  (beside its only use)

        y = apply(made, x) + x
        tape = EvalSchedule(Graph(y), [y])
        assert float(tape.run({x: np.array(1.0)})[y]) == 11.0
        assert results == [33.0, 22.0]
    finally:
        del REGISTRY["test_nested"]


# ---------------------------------------------------------------- randomness and threads


def test_dropout_is_a_function_of_seed_step_and_name() -> None:
    x = cr.input("x", (50,))
    y = cr.dropout(x, 0.5, name="d")
    data = {"x": np.ones((4, 50))}

    def drawn(**settings: Any) -> Any:
        return cr.run(y, data, training=True, **settings).value(y)

    first = drawn(seed=1, step=3)
    assert 0.2 < np.mean(first == 0) < 0.8
    assert set(np.unique(first)) == {0.0, 2.0}
    npt.assert_array_equal(first, drawn(seed=1, step=3))
    for other in ({"seed": 2, "step": 3}, {"seed": 1, "step": 4}, {"seed": 2**32 + 1, "step": 3}):
        assert not np.array_equal(first, drawn(**other))
    npt.assert_array_equal(cr.run(y, data).value(y), data["x"])


def test_each_random_node_has_numbers_of_its_own() -> None:
    a, b = uniform((N, 9)), uniform((N, 9))
    graph = Graph([a, b])
    env = evaluate(graph, {KEY: step_key(0, 0)}, rows=3)
    assert not np.array_equal(env[a], env[b])
    assert stream_id(graph.name(a)) != stream_id(graph.name(b))


def blas_threads() -> list[int]:
    return [x["num_threads"] for x in threadpoolctl.threadpool_info() if x["user_api"] == "blas"]


def test_one_thread_limits_blas_and_lets_go_again() -> None:
    before = blas_threads()
    assert before
    with one_thread:
        assert set(blas_threads()) == {1}
        with one_thread:
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == before
    with pytest.raises(KeyboardInterrupt), one_thread:
        raise KeyboardInterrupt
    assert blas_threads() == before


@pytest.mark.filterwarnings("error")
def test_parameters_that_do_not_fit() -> None:
    with pytest.raises(DTypeError, match="does not fit in float32"):
        cr.parameter("w", [1.0, -1e300])
    for value in ([np.inf, np.nan], np.array([0x7FA00001], np.uint32).view(np.float32)):
        node = cr.parameter("w", value)
        npt.assert_array_equal(np.isfinite(initial_value(node, "w")), np.isfinite(value))


def test_dimensions_counted_by_numpy() -> None:
    assert cr.input("x", np.int64(3)).shape == (N, 3)
    assert cr.input("x", (np.int32(3), 2)).shape == (N, 3, 2)
    made = cr.parameter("w", cr.init.Normal(), np.zeros((4, 5)).shape + (np.uint8(2),))
    assert made.shape == (4, 5, 2)
    assert all(type(d) is int for d in made.shape)
    for wrong in (-1, 2.5, "3"):
        with pytest.raises(ShapeError, match="non-negative integer"):
            cr.input("x", (wrong,))
