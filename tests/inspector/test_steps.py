"""The page's steps are those of `trace.steps()`, word for word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.testing as npt
from evaluator import answers, example_of

import chainrule as cr
from chainrule.explain.trace import Trace
from chainrule.train.optim import LBFGS, OPTIMIZERS


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


def updates() -> Iterator[Trace]:
    """A step of every optimizer: at first, then with slots; clipped, of a part, with a table."""
    x, t = cr.input("x", (3,)), cr.input("t", dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, 4, "tanh", name="h"), name="bn"), 0.2)
    z = cr.dense(h, 2, name="z")
    code = cr.input("c", (2,), dtype="int64")
    words = cr.dense(cr.mean(cr.embedding(code, 3000, 2, name="e"), 1), 2, name="z")
    numbers = np.random.default_rng(0)
    data = {
        "x": numbers.normal(size=(5, 3)).astype("float32"), "t": [0, 1, 1, 0, 1],
    }  # fmt: skip
    for name in sorted(name for name, kind in OPTIMIZERS.items() if kind is not LBFGS):
        model = cr.Model(z, cr.cross_entropy(z, t, name="E"))
        yield model.trace_step(data, optimizer=name)
        model.step(data, optimizer=name)
        yield model.trace_step(data, optimizer=name, clip_norm=0.1, clip_value=0.05)
        yield model.trace_step(data, optimizer=name, trainable="z.*")
    for name in ("sgd", "adam"):
        model = cr.Model(words, cr.cross_entropy(words, t))
        codes = {"c": numbers.integers(0, 9, (5, 2)), "t": data["t"]}
        yield model.trace_step(codes, optimizer=name)


def test_steps_are_those_of_the_trace(tmp_path: Path) -> None:
    traces = [lecture(), classifier(1), classifier(7), regressor()]
    traces += [cr.run(cr.exp(cr.input("x")), {"x": [0.5, 2097152.5]})]
    pairs = [(trace, entries) for trace in traces for entries in (40, 3)]
    pairs += [(trace, 12) for trace in updates()]
    tasks = [example_of(trace).steps(entries) for trace, entries in pairs]
    for (trace, entries), answer in zip(pairs, answers(tasks, tmp_path), strict=True):
        want = trace.steps(entries=entries)
        assert [x["text"] for x in answer.steps] == [str(x) for x in want]
        for got, step in zip(answer.steps, want, strict=True):
            assert (got["direction"], got["name"]) == (step.direction, step.name)
            assert (*got["consumers"],) == step.consumers
            assert (*got["passed"],) == step.passed


def test_the_page_computes_the_lecture_and_a_classifier(tmp_path: Path) -> None:
    examples = [example_of(trace) for trace in (lecture(), classifier(5), regressor())]
    found = answers([x.task() for x in examples], tmp_path)
    for wanted, answer in zip(examples, found, strict=True):
        for got, value in zip(answer.values, wanted.values, strict=True):
            assert not isinstance(got, str), got
            assert (got.shape, got.dtype) == (value.shape, value.dtype)
            exact = value.dtype.kind != "f"
            tolerance = 0 if exact else 16 * float(np.finfo(value.dtype).eps)
            npt.assert_allclose(got, value, rtol=tolerance, atol=tolerance)


def test_what_is_sent_adds_up_to_the_gradient(tmp_path: Path) -> None:
    """Of each term: incoming gradients times local derivatives; and the terms of each entry."""
    examples = [example_of(trace) for trace in (lecture(), classifier(3), regressor())]
    found = answers([replace(x.task(), chained=True) for x in examples], tmp_path)
    for shown, answer in zip(examples, found, strict=True):
        assert len(answer.sent) > len(shown.form["gradients"])
        for part in answer.sent:
            sizes = [abs(term["total"]) for term in part["terms"]]
            near = 1e-5 * sum(sizes) + 1e-9
            assert abs(sum(term["total"] for term in part["terms"]) - part["gradient"]) <= near, (
                part
            )
            for term in part["terms"]:
                assert term["rest"] == 0, part
                assert abs(term["sum"] - term["total"]) <= near, part


def test_numbers_are_written_as_python_writes_them(tmp_path: Path) -> None:
    """Numbers of every size, ties of rounding, and the attributes of formulas."""
    generator = np.random.default_rng(2)
    bits = generator.integers(0, 2**64 - 1, 1500, "uint64", endpoint=True)
    ties = [12345.65, 2097152.5, 1234565.0, 1234575.0, 123456.5, 0.5**20, 1e15, 1e16, 99999.95]
    ends = [0.0, 0.0001, 0.00001, 1e5, 1e6, 1e22, 1e100, 5e-324, np.inf, 1 / 3]
    numbers = np.concatenate([bits.view("float64"), ties, ends, np.negative([*ties, *ends])])
    x = cr.input("x", dtype="float64")
    shown = [cr.run(cr.abs(x), {"x": numbers}), cr.run(cr.abs(x), {"x": numbers[:1]})]
    with np.errstate(all="ignore"):
        single = numbers.astype("float32")
    shown += [cr.run(cr.cast(cr.input("x"), "float64"), {"x": single})]
    powers = [0.1, 3, 1e-5, 1.5e-7, 2.5e15, 1e17, 123456789.125, -7, 1 / 3, 1e22]
    attributes = [x**p for p in powers] + [cr.clip(x, -p, p) for p in powers if p > 0]
    attributes += [cr.pad(cr.reshape(x, (-1, 1)), [(0, 0), (1, 1)], p) for p in powers]
    shown += [cr.run(attributes, {"x": [1.0, 2.0]})]
    tasks = [example_of(trace).steps(10_000) for trace in shown]
    for trace, answer in zip(shown, answers(tasks, tmp_path), strict=True):
        assert [x["text"] for x in answer.steps] == [str(x) for x in trace.steps(entries=10_000)]
