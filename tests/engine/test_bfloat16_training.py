"""Training with products of bfloat16: as the interpreter does it, the same bits in all ways."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.backend.registry import find_backend
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.program import compile_step
from chainrule.engine.totals import with_means
from chainrule.errors import SettingError
from chainrule.graph import Graph, Node
from chainrule.passes import precision
from networks import network

HERE = pytest.mark.skipif(
    not find_backend("native").bfloat16, reason="the processor multiplies no bfloat16"
)
R = np.random.default_rng(0)
X = R.standard_normal((150, 33)).astype("float32")
DATA = {"x": X, "t": (X[:, 0] * X[:, 1] > 0).astype("int32") + (X[:, 2] > 1)}


def dense(**more: Any) -> cr.Model:
    x, t = cr.input("x", (33,)), cr.input("t", (), dtype="int32")
    h = cr.dense(cr.dense(x, 45, "tanh", name="one"), 64, "relu", name="two")
    z = cr.dense(h, 3, name="z")
    return cr.Model(z, cr.cross_entropy(z, t), seed=1)


def attention() -> cr.Model:
    x, t = cr.input("x", (33,)), cr.input("t", (), dtype="int32")
    h = cr.reshape(cr.dense(x, 40 * 64, "tanh"), (cr.N, 40, 64))
    h = cr.transformer_encoder(h, 2, hidden=48)
    z = cr.dense(cr.mean(h, 1), 3)
    return cr.Model(z, cr.cross_entropy(z, t), seed=1)


def steps() -> cr.Model:
    """Twelve steps of a sequence, whose products of gradients are gathered."""
    x, t = cr.input("x", (33,)), cr.input("t", (), dtype="int32")
    h = cr.lstm(cr.reshape(cr.dense(x, 12 * 32), (cr.N, 12, 32)), 32, outputs="last")
    z = cr.dense(h, 3)
    return cr.Model(z, cr.cross_entropy(z, t), seed=1)


MODELS = (dense, attention, steps)


def stepped(model: cr.Model, rounding: str, backend: str, **more: Any) -> dict[str, Any]:
    model.step(DATA, optimizer=cr.SGD(1.0), precision=rounding, backend=backend, **more)
    return {**model.values}


def distance(a: dict[str, Any], b: dict[str, Any]) -> float:
    return float(np.sqrt(sum(((a[k] - b[k]) ** 2).sum() for k in a)))


@HERE
@pytest.mark.parametrize("make", MODELS)
def test_machine_code_rounds_as_the_interpreter(make: Callable[[], cr.Model]) -> None:
    """Far nearer to it than to a step of float32: what is left are the last bits of sums."""
    want, got = (stepped(make(), "bfloat16", x) for x in ("interpreter", "native"))
    other = stepped(make(), "float32", "interpreter")
    moved = distance(want, other)
    assert moved > 1e-6
    assert distance(got, want) < 0.1 * moved
    again = stepped(make(), "bfloat16", "native", threads=2)
    assert all(again[k].tobytes() == got[k].tobytes() for k in got)


@HERE
@pytest.mark.parametrize("make", MODELS)
def test_all_large_products_multiply_pairs(make: Callable[[], cr.Model]) -> None:
    """None is left to loops because one factor is rounded and the other is not."""
    found = make().plan(32, precision="bfloat16")
    tasks = [x.work.task for x in found.kernels]
    sums = [x for x in tasks if x.linear.combine == "sum"]
    for task in (x for x in sums if x.linear.instrs[x.linear.value].op == "mul"):
        linear = task.linear
        if any(linear.instrs[x].op == "bfloat16" for x in linear.instrs[linear.value].args):
            assert getattr(task.contraction, "rounded", False), task.kernel.name
    products = [x.work for x in found.kernels if x.work.product]
    assert sum(x.flops for x in products if x.rounded) > 0.9 * sum(x.flops for x in products)
    assert "bfloat16" in str(found)
    assert "bfloat16" not in str(make().plan(32))


@HERE
@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all products rounded, however small."""
    monkeypatch.setattr(precision, "LEAST", 0)
    case = network(random.Random(seed), "float32")
    data = with_means(Graph([*case.outputs, case.loss]), case.data)
    case = replace(case, settings={}, rule=cr.SGD(0.1), data=data)
    plain = Interpreted(case.step(), {}, case.seed)
    case = replace(case, settings={"precision": "bfloat16"})
    want, got = (
        compile_step(case.step(), {}, case.seed, backend=x) for x in ("interpreter", "native")
    )
    for program in (plain, want, got):
        program.run(case.data, case.batches[:1], [0.1])
    moved = distance(plain.read(), want.read())
    scale = distance(want.read(), {k: 0 * x for k, x in want.read().items()})
    assert distance(got.read(), want.read()) <= 0.2 * moved + 1e-6 * scale


def test_only_large_products_of_float32_are_rounded() -> None:
    def rounded(y: Node) -> bool:
        place = precision.in_bfloat16(Graph(y))
        return any(x.op.name == "to_bfloat16" for x in Graph(place[y]).operations)

    x, image = cr.input("x", (64,)), cr.input("image", (8, 8, 32))
    assert rounded(cr.dense(x, 32))
    assert rounded(cr.dense(cr.input("words", (9, 64)), 32))
    assert not rounded(cr.conv(image, 32, 1))
    assert not rounded(cr.dense(x, 31))
    assert not rounded(cr.dense(x[:, :31], 32))
    assert not rounded(cr.conv(image, 32, 3))
    assert not rounded(cr.dense(cr.input("y", (64,), dtype="float64"), 32))


def test_gradients_of_rounded_products_round_theirs() -> None:
    x, w = cr.input("x", (64,)), cr.parameter("w", R.standard_normal((64, 32)))
    y = cr.matmul(cr.to_bfloat16(x), cr.to_bfloat16(w))
    loss = cr.sum(cr.square(y))
    step = cr.Model(y, loss).trace_step({"x": X[:, :1].repeat(64, 1)})
    gradient = np.asarray(step.gradient("w"))
    half = cr.graph.op.lookup("to_bfloat16").forward
    value, seen = half(X[:, :1].repeat(64, 1)), np.asarray(step.gradient(y))
    np.testing.assert_allclose(gradient, value.T @ half(seen), rtol=1e-5, atol=1e-3)


def test_a_trace_shows_the_rounding() -> None:
    batch = {k: v[:4] for k, v in DATA.items()}
    text = str(dense().trace_step(batch, precision="bfloat16").steps())
    assert "bfloat16" in text
    assert "bfloat16" not in str(dense().trace_step(batch).steps())


@HERE
@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_a_model_learns_and_its_file_is_as_always(tmp_path: Any, backend: str) -> None:
    one, two = dense(), dense()
    more = {"epochs": 20, "optimizer": cr.Adam(0.01), "verbose": False, "validation": None}
    one.fit(DATA, precision="bfloat16", backend=backend, **more)
    two.fit(DATA, **more)
    assert one.history["loss"][-1] < 0.5 * one.history["loss"][0]
    assert abs(one.history["loss"][-1] - two.history["loss"][-1]) < 0.05
    assert one.values["one.w"].tobytes() != two.values["one.w"].tobytes()
    one.save(tmp_path / "one.safetensors")
    loaded = cr.load(tmp_path / "one.safetensors")
    assert b"to_bfloat16" not in (tmp_path / "one.safetensors").read_bytes()
    assert loaded.predict(DATA).tobytes() == one.predict(DATA).tobytes()


def test_processors_without_such_products_refuse_before_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(find_backend("native")), "bfloat16", False)
    model = dense()
    with pytest.raises(SettingError, match=r"AVX512_BF16[\s\S]*precision=\"float32\""):
        model.fit(DATA, precision="bfloat16", verbose=False)
    assert not len(model.history)
    assert np.isfinite(stepped(model, "bfloat16", "interpreter")["z.w"]).all()


def test_unknown_precisions_and_solvers_are_refused() -> None:
    with pytest.raises(SettingError, match="bfloat16"):
        dense().fit(DATA, precision="bfloat61")
    with pytest.raises(SettingError, match="L-BFGS"):
        dense().fit(DATA, optimizer="lbfgs", precision="bfloat16", backend="interpreter")
