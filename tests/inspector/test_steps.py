"""The page's steps are those of `trace.steps()`, word for word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.testing as npt
from evaluator import answers, task_of

import chainrule as cr
from chainrule.explain.trace import Trace


def lecture() -> Trace:
    """Two inputs, two hidden units, one output, all sigmoid, half a squared error."""
    x, t = (cr.input(name, (width,), dtype="float64") for name, width in (("x", 2), ("t", 1)))
    w1 = cr.parameter("W1", [[3.7, 2.9], [3.7, 2.9]], dtype="float64")
    w2 = cr.parameter("W2", [[4.5], [-5.2]], dtype="float64")
    b1, b2 = (cr.parameter(n, v, dtype="float64") for n, v in (("b1", [-1.5, -4.5]), ("b2", [-2])))
    h = cr.sigmoid(((x @ w1).named("u1") + b1).named("z1")).named("h")
    y = cr.sigmoid(((h @ w2).named("u2") + b2).named("z2")).named("y")
    error = (cr.sum((t - y) ** 2) / 2).named("E")
    trace = cr.run(error, {"x": [[1.0, 0.0]], "t": [[1.0]]})
    trace.backward(error)
    return trace


def classifier(rows: int) -> Trace:
    """A dense network with a norm, dropout, an embedding and a penalty, in training."""
    x, city = cr.input("x", (5,)), cr.input("city", dtype="int32")
    y = cr.input("y", dtype="int32")
    z = cr.concat([cr.layer_norm(x), cr.embedding(city, 4, 3)])
    h = cr.dropout(cr.dense(cr.dense(z, 8, "gelu"), 6, "relu"), 0.3)
    scores = cr.dense(h, 3)
    loss = cr.cross_entropy(scores, y) + cr.l2(scores, strength=0.01)
    numbers = np.random.default_rng(rows)
    feeds = {
        "x": numbers.normal(size=(rows, 5)).astype("float32"),
        "city": numbers.integers(0, 4, rows),
        "y": numbers.integers(0, 3, rows),
    }
    trace = cr.run([scores, loss], feeds, training=True)
    trace.backward(loss)
    return trace


def regressor() -> Trace:
    """What the others lack: choices, products, extremes, indices, brackets in formulas."""
    x, t = cr.input("x", (3,), dtype="float64"), cr.input("t", (2,), dtype="float64")
    a = cr.where(x > 0, x, -0.5 * x) ** 3 / (1 + cr.abs(x))
    b = cr.maximum(a - (x - 1), cr.stop_gradient(x)) * cr.prod(x, 1, keepdims=True)
    c = cr.einsum("ni,ij->nj", b, cr.parameter("w{0}", np.ones((3, 2)), dtype="float64"))
    d = cr.pad(c[:, ::-1], [(0, 0), (1, 0)]) - cr.cumsum(cr.clip(b, -1, 1e-5), 1)
    loss = cr.huber(cr.max(d, 1, keepdims=True) + c, t)
    trace = cr.run(loss, {"x": [[1.0, -2.0, 0.5], [0.0, 1e-9, 4e7]], "t": [[1.0, 2.0]] * 2})
    trace.backward(loss)
    return trace


def test_steps_are_those_of_the_trace(tmp_path: Path) -> None:
    traces = [lecture(), classifier(1), classifier(7), regressor()]
    traces += [cr.run(cr.exp(cr.input("x")), {"x": [0.5, 2097152.5]})]
    pairs = [(trace, entries) for trace in traces for entries in (40, 3)]
    tasks = [task_of(trace, entries=entries)[0] for trace, entries in pairs]
    for (trace, entries), answer in zip(pairs, answers(tasks, tmp_path), strict=True):
        want = trace.steps(entries=entries)
        assert [x["text"] for x in answer.steps] == [str(x) for x in want]
        for got, step in zip(answer.steps, want, strict=True):
            assert (got["direction"], got["name"]) == (step.direction, step.name)
            assert (*got["consumers"],) == step.consumers
            assert (*got["passed"],) == step.passed


def test_the_page_computes_the_lecture_and_a_classifier(tmp_path: Path) -> None:
    pairs = [task_of(trace) for trace in (lecture(), classifier(5), regressor())]
    for (_, want), answer in zip(pairs, answers([t for t, _ in pairs], tmp_path), strict=True):
        for got, value in zip(answer.values, want, strict=True):
            assert not isinstance(got, str), got
            assert (got.shape, got.dtype) == (value.shape, value.dtype)
            exact = value.dtype.kind != "f"
            tolerance = 0 if exact else 16 * float(np.finfo(value.dtype).eps)
            npt.assert_allclose(got, value, rtol=tolerance, atol=tolerance)
