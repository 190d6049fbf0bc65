"""Loss and gradient over all rows as functions of one vector, and the program around them."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.graph import Graph
from chainrule.train.fullbatch import FullBatch, FullBatchProgram

R = np.random.default_rng(0)
X, T = R.normal(size=(30, 3)), R.normal(size=30)
WEIGHTS = R.normal(size=(3, 4))
START = np.array([0.5, -1.0, 2.0])


def least_squares(
    dtype: str = "float64", decay: float = 0.0, state: dict[str, np.ndarray] | None = None
) -> FullBatch:
    x, t = cr.input("x", (3,), dtype), cr.input("t", (), dtype)
    w = cr.parameter("w", START, dtype=dtype)
    b = cr.parameter("b", 0.25, dtype=dtype)
    frozen = cr.parameter("frozen", 2.0, dtype=dtype, trainable=False)
    loss = cr.squared_error(cr.sum(x * w, axis=-1) * frozen + b, t)
    data = {"x": X.astype(dtype), "t": T.astype(dtype)}
    return FullBatch(Graph(loss), loss, state or {}, data, cr.LBFGS(decay=decay, decays={"w": 1}))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_and_gradient(dtype: str) -> None:
    function = least_squares(dtype)
    point = np.array([0.1, 0.2, 0.3, -0.4])
    assert function.start.dtype == np.float64
    order = [name for name in function.state(point) if name != "frozen"]
    arrays = dict(zip(order, np.split(point, [3] if order[0] == "w" else [1]), strict=True))
    error = 2 * X @ arrays["w"] + arrays["b"] - T
    value, gradient = function(point)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert value == pytest.approx(np.mean(error**2), rel=tolerance)
    parts = {"w": 4 * X.T @ error / 30, "b": [2 * np.mean(error)]}
    npt.assert_allclose(gradient, np.concatenate([parts[name] for name in order]), rtol=tolerance)


def test_weight_decay_and_given_state() -> None:
    plain, decayed = least_squares(), least_squares(decay=0.5)
    point = np.array([0.1, 0.2, 0.3, -0.4])
    extra = decayed(point)[0] - plain(point)[0]
    w = decayed.state(point)["w"]
    assert extra == pytest.approx(0.25 * np.sum(w * w))
    assert decayed.penalty(point) == pytest.approx(extra)
    slope = decayed(point)[1] - plain(point)[1]
    assert sorted(slope) == pytest.approx(sorted([*(0.5 * w), 0.0]))
    given = least_squares(state={"w": np.array([9.0, 8.0, 7.0])})
    npt.assert_array_equal(given.state(given.start)["w"], [9.0, 8.0, 7.0])
    given.write({"w": np.zeros(3)})
    npt.assert_array_equal(given.state(given.start)["w"], np.zeros(3))
    assert given.state(given.start)["frozen"] == 2.0


def test_the_least_squares_are_found() -> None:
    function = least_squares()
    program = FullBatchProgram(function, cr.LBFGS(iterations=50))
    rows = [np.arange(30)]
    losses = []
    while program.ended is None and program.steps < 100:
        losses.append(program.run({}, rows, [1.0])[0])
    assert program.ended
    wanted = np.linalg.lstsq(np.column_stack([2 * X, np.ones(30)]), T, rcond=None)[0]
    state = program.read()
    npt.assert_allclose(state["w"], wanted[:3], atol=1e-5)
    assert state["b"] == pytest.approx(wanted[3], abs=1e-5)
    assert losses == sorted(losses, reverse=True)
    before = program.read()
    program.run({}, rows, [1.0])  # it stands still
    for name, value in program.read().items():
        npt.assert_array_equal(value, before[name])


def statistics() -> FullBatchProgram:
    x, t = cr.input("x", (3,), "float64"), cr.input("t", (), "float64")
    h = cr.batch_norm(cr.tanh(x @ cr.parameter("w", WEIGHTS, dtype="float64")), name="n")
    loss = cr.squared_error(cr.sum(h, axis=-1), t)
    function = FullBatch(Graph(loss), loss, {}, {"x": X, "t": T}, cr.LBFGS())
    return FullBatchProgram(function, cr.LBFGS())


def test_the_same_bits_however_the_steps_are_cut_into_calls() -> None:
    """Running statistics too: they see the network after each step."""
    one, two = statistics(), statistics()
    rows = [np.arange(30)] * 4
    together = one.run({}, rows, [1.0] * 4)
    apart = [two.run({}, rows[:1], [1.0])[0] for _ in range(4)]
    npt.assert_array_equal(together, apart)
    assert one.steps == two.steps == 4
    for name, value in one.read().items():
        assert value.tobytes() == two.read()[name].tobytes(), name


def test_going_on_from_what_was_read() -> None:
    program = statistics()
    program.run({}, [np.arange(30)] * 3, [1.0] * 3)
    state, steps = program.read(), program.steps
    other = statistics()
    other.write(state, steps)
    assert other.steps == 3
    for name, value in other.read().items():
        npt.assert_array_equal(value, state[name])
    program.write({}, 7)
    assert program.steps == 7


def test_machine_code_computes_what_the_interpreter_does() -> None:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, 7, "tanh")), 0.4)
    loss = cr.cross_entropy(cr.dense(h, 3), t)
    data = {"x": np.random.default_rng(0).normal(size=(50, 3)).astype("float32"),
            "t": np.arange(50, dtype="int32") % 3}  # fmt: skip
    native, plain = (
        FullBatch(Graph(loss), loss, {}, data, cr.LBFGS(decay=0.1), seed=3, backend=b)
        for b in ("native", "interpreter")
    )
    for scale in (1.0, 1.7):
        (value, gradient), (other, expected) = (f(f.start * scale) for f in (native, plain))
        assert value == pytest.approx(other, rel=1e-5)
        npt.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)
