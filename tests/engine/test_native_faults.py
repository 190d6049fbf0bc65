"""What stops a native step: NaN, infinity, an index out of range; told as the interpreter does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.compile import build_step
from chainrule.engine.program import Program, compile_step
from chainrule.errors import ChainruleError, FeedError, NotFinite
from chainrule.graph import Graph, Node
from chainrule.train.optim import SGD, Adam, Optimizer, optimizer
from networks import FIRST_ORDER

pytest.importorskip("llvmlite")

Array = np.ndarray[Any, Any]
ROWS, SIZE = 60, 10
BATCHES = [np.arange(k, k + SIZE) for k in range(0, ROWS, SIZE)]
BACKENDS = ("native", "interpreter")
PLAIN = SGD(0.1)


def numbers() -> Array:
    return np.random.default_rng(0).uniform(0.5, 1.5, (ROWS, 5)).astype("float32")


def codes() -> Array:
    return (np.arange(ROWS) % 4).astype("int32")


def program(loss: Node, backend: str, rule: Optimizer = PLAIN, threads: int = 2) -> Program:
    step = build_step(Graph(loss), loss, rule)
    return compile_step(step, {}, 0, backend=backend, threads=threads)


def stopped(
    loss: Node,
    data: dict[str, Array],
    kind: type[ChainruleError],
    rates: list[float],
    rule: Optimizer = PLAIN,
) -> str:
    """What is told, the same by both; the state and the count are those before the step."""
    native, interpreted = undone(loss, data, kind, rates, rule)
    assert native == interpreted
    return native


def undone(
    loss: Node, data: dict[str, Array], kind: type[ChainruleError], rates: list[float],
    rule: Optimizer,
) -> list[str]:  # fmt: skip
    """What each tells; the state and the count are those before the step."""
    told = []
    for backend in BACKENDS:
        made = program(loss, backend, rule)
        with pytest.raises(kind) as caught:
            made.run(data, BATCHES, rates)
        told.append(str(caught.value))
        good = program(loss, backend, rule)
        good.run(data, BATCHES[: made.steps], rates[: made.steps])
        after = made.read()
        for name, value in good.read().items():
            assert after[name].tobytes() == value.tobytes(), name
            assert np.isfinite(value).all()
    return told


RATES = [0.01] * len(BATCHES)


def test_a_loss_that_is_nan_in_a_later_step() -> None:
    x, w = cr.input("x", (5,)), cr.parameter("w", np.ones(5))
    data = {"x": numbers()}
    data["x"][37, 2] = -1
    told = stopped(cr.mean(cr.log(x * w)), data, NotFinite, [0.0] * 6)
    for part in (
        "forward",
        "step 4",
        "row 37",
        "node 'log'",
        "log(-1) = nan",
        "test_native_faults",
    ):
        assert part in told


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_data_that_hold_one(bad: float) -> None:
    data = {"x": numbers()}
    data["x"][11, 4] = bad
    told = stopped(cr.mean(cr.dense(cr.input("x", (5,)), 3, "tanh")), data, NotFinite, RATES)
    for part in ("the data hold a NaN", f"{bad}", "step 2", "row 11", "node 'x'", "fill gaps"):
        assert part in told


def test_an_update_that_overflows_where_the_loss_does_not() -> None:
    x = cr.input("x", (5,))
    rates = [0.01, 0.01, 3e38, 0.01, 0.01, 0.01]
    loss = 1e4 * cr.mean(cr.square(cr.dense(x, 2)))
    told = stopped(loss, {"x": numbers()}, NotFinite, rates)
    for part in ("backward pass or the update", "step 3", "lower the learning rate"):
        assert part in told


def test_a_slot_of_the_optimizer_that_overflows_alone() -> None:
    x, w = cr.input("x", (5,)), cr.parameter("w", np.ones(5))
    data = {"x": numbers()}
    data["x"][25, 0] = 1e22  # the gradient is finite, its square is not
    told = stopped(cr.mean(x * w), data, NotFinite, RATES, Adam(0.01))
    for part in ("backward pass or the update", "step 3", "square"):
        assert part in told


def test_a_nan_in_the_backward_pass_only() -> None:
    x, w = cr.input("x", (5,)), cr.parameter("w", np.ones(5))
    data = {"x": numbers()}
    data["x"][42, 1] = 0  # the root of 0 has no slope
    told = stopped(cr.mean(cr.sqrt(x * w)), data, NotFinite, RATES)
    for part in ("backward pass", "step 5", "row 42"):
        assert part in told


def of_the_forward_pass(x: Node) -> Node:
    return cr.mean(cr.log(cr.dense(x, 3, "softplus") * x[:, :3]))


def of_the_backward_pass(x: Node) -> Node:
    return cr.mean(cr.square(cr.sqrt(cr.dense(x, 3, "softplus") * cr.relu(x[:, :3]))))


def of_the_update(x: Node) -> Node:
    return 1e4 * cr.mean(cr.square(cr.dense(cr.dense(x, 40, "tanh"), 2)))


@pytest.mark.parametrize("made", [of_the_forward_pass, of_the_backward_pass, of_the_update])
@pytest.mark.parametrize("name", FIRST_ORDER)
def test_a_step_that_fails_leaves_the_state_as_it_was(
    name: str, made: Callable[[Node], Node]
) -> None:
    data, rates = {"x": numbers()}, list(RATES)
    if made is of_the_update:
        rates[3] = 3e38
    else:
        data["x"][34, 1] = -1 if made is of_the_forward_pass else 0
    undone(made(cr.input("x", (5,))), data, NotFinite, rates, optimizer(name))


def test_an_infinity_that_does_no_harm_does_not_stop() -> None:
    x, w = cr.input("x", (5,)), cr.parameter("w", np.ones(5))
    data = {"x": numbers()}
    data["x"][7, 3] = 0
    safe = cr.where(x > 0, cr.log(x), 0.0)  # log(0) is not chosen
    loss = cr.mean(cr.sigmoid(safe * w)) + cr.mean(cr.exp(-1 / cr.square(x)) * w)
    for backend in BACKENDS:
        losses = program(loss, backend).run(data, BATCHES, RATES)
        assert np.isfinite(losses).all()


def embedded(c: Node) -> Node:
    return cr.mean(cr.square(cr.embedding(c, 4, 3)))


def labelled(c: Node) -> Node:
    return cr.cross_entropy(cr.dense(cr.input("x", (5,)), 4), c)


def gathered(c: Node) -> Node:
    return cr.mean(cr.gather(cr.dense(cr.input("x", (5,)), 4), cr.expand_dims(c, 1), 1))


def hot(c: Node) -> Node:
    first = cr.cast(cr.argmax(cr.parameter("still", np.zeros(3)), 0), "int32")  # no encoder
    return cr.mean(cr.one_hot(c + first, 4) * cr.dense(cr.input("x", (5,)), 4))


@pytest.mark.parametrize("bad", [4, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("made", [embedded, labelled, gathered, hot])
def test_an_index_out_of_range(made: Callable[[Node], Node], bad: int) -> None:
    data = {"x": numbers(), "c": codes()}
    data["c"][33] = bad
    told = stopped(made(cr.input("c", (), dtype="int32")), data, FeedError, RATES)
    for part in ("an index is out of range", "0 to 3", str(bad), "row 3"):
        assert part in told


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_index_out_of_range_that_no_loss_shows(backend: str) -> None:
    c, w = cr.input("c", (), dtype="int32"), cr.parameter("w", np.ones(4))
    loss = cr.mean(cr.where(cr.take(w, c) > 0.5, w[0], w[1]))  # NaN is not above it either
    data = {"c": codes()}
    made = program(loss, backend)
    made.run(data, BATCHES, RATES)
    data = {"c": codes()}
    data["c"][33] = 4
    with pytest.raises(FeedError, match=r"out of range[\s\S]*row 33"):
        made.run(data, BATCHES, RATES)


def looked_up(c: Node) -> Node:
    return cr.take(cr.parameter("table", np.arange(12.0).reshape(4, 3)), c)


def picked(c: Node) -> Node:
    return cr.gather(cr.input("x", (4,)), cr.expand_dims(c, 1), 1)


@pytest.mark.parametrize("bad", [4, -1, 2**31 - 1])
@pytest.mark.parametrize("made", [looked_up, picked, lambda c: cr.one_hot(c, 4)])
@pytest.mark.parametrize(
    "hidden",
    [
        lambda x: cr.argmax(x, -1),
        lambda x: x > 0.5,
        lambda x: cr.where(x > 0.5, 1.0, 0.0),
        lambda x: cr.mean(cr.where(x > 0.5, 1.0, 0.0)),
    ],
)
def test_an_index_out_of_range_that_leaves_no_nan(
    made: Callable[[Node], Node], hidden: Callable[[Node], Node], bad: int
) -> None:
    codes = np.arange(30, dtype="int32") % 4
    data = {"c": codes, "x": np.ones((30, 4), "float32")}
    model = cr.Model(hidden(made(cr.input("c", (), dtype="int32"))))
    data = {name: data[name] for name in (x.label for x in model.graph.inputs)}
    model.predict(data)
    codes[17] = bad
    with pytest.raises(FeedError, match="an index is out of range") as caught:
        model.predict(data)
    assert "row 17" in str(caught.value)


@pytest.mark.parametrize("rows", [1, 20, 20_000])
def test_an_index_out_of_range_in_prediction(rows: int) -> None:
    c, table = cr.input("c", (2,), dtype="int32"), np.array([[1.0], [np.nan], [3.0]])
    y = cr.take(cr.parameter("table", table), c)[:, :, 0] * 2.0
    model = cr.Model(y)
    good = {"c": np.full((rows, 2), 1, "int32")}
    assert np.isnan(np.asarray(model.predict(good))).all()  # NaN of its own is no error
    good["c"][-1, 1] = 3
    with pytest.raises(FeedError, match=r"an index is out of range[\s\S]*0 to 2[\s\S]*3"):
        model.predict(good)


def test_numbers_so_large_that_rounding_decides() -> None:
    x, w = cr.input("x", (5,)), cr.parameter("w", np.ones(5))
    data = {"x": np.full((ROWS, 5), 3e38, "float32")}
    loss = cr.mean(x * w) * 1e-30  # the interpreter adds up in float64
    made = program(loss, "native")
    before = made.read()
    with pytest.raises(NotFinite, match=r"so large[\s\S]*step 1[\s\S]*scale the inputs"):
        made.run(data, BATCHES, [0.0] * 6)
    assert made.steps == 0
    assert made.read()["w"].tobytes() == before["w"].tobytes()


def test_training_goes_on_after_a_step_that_failed() -> None:
    x, w = cr.input("x", (5,)), cr.parameter("w", np.ones(5))
    data = {"x": numbers()}
    data["x"][25, 0] = np.nan
    loss = cr.mean(cr.square(x * w))
    made = program(loss, "native")
    with pytest.raises(NotFinite):
        made.run(data, BATCHES, RATES)
    made.run(data, BATCHES[3:], RATES[3:])
    other = program(loss, "native")
    for part in (slice(0, 2), slice(3, 6)):
        other.run(data, BATCHES[part], RATES[part])
    assert made.steps == other.steps == 5
    assert made.read()["w"].tobytes() == other.read()["w"].tobytes()
