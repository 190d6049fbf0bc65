"""Whole runs of training: 100 steps as the interpreter does them; the same bits in all ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.train import loop
from chainrule.train.callbacks import State

pytest.importorskip("llvmlite")

Array = np.ndarray[Any, Any]
ROWS = 150
R = np.random.default_rng(4)
X = R.normal(size=(ROWS, 7))
LABELS = (X[:, 0] + X[:, 1] ** 2 > 1).astype("int32") + (X[:, 2] > 1)
WORDS = R.integers(0, 9, (ROWS, 4)).astype("int32")
DATA = {
    "x": X, "t": LABELS, "y": np.sin(X[:, :1]), "words": WORDS, "weight": R.uniform(0, 2, ROWS),
}  # fmt: skip


def classifier(dtype: str) -> tuple[cr.Model, dict[str, Any]]:
    """Classes and rows that weigh differently, a penalty, noise, a rate that rises and falls."""
    x, t = cr.input("x", (7,), dtype=dtype), cr.input("t", (), dtype="int32")
    weight = cr.input("weight", (), dtype=dtype)
    h = cr.dropout(cr.batch_norm(cr.dense(x, 33, "gelu")), 0.2)
    z = cr.dense(cr.residual(h, cr.layer.dense(33, "tanh")), 3)
    loss = cr.cross_entropy(z, t, weights=weight, class_weights=[1.0, 2.0, 3.0])
    loss = loss + cr.l2(*cr.weights_of(z), strength=1e-3)
    rate = cr.schedules.WarmUp(cr.schedules.Cosine(0.02), 0.1)
    return cr.Model(z, loss, seed=2), {"optimizer": cr.AdamW(rate), "batch_size": 32, "epochs": 20}


def regression(dtype: str) -> tuple[cr.Model, dict[str, Any]]:
    """One row a step, with momentum and gradients that are cut."""
    x, y = cr.input("x", (7,), dtype=dtype), cr.input("y", (1,), dtype=dtype)
    z = cr.dense(cr.layer_norm(cr.mlp(x, (17, 5), "silu")), 1)
    options = {"optimizer": cr.SGD(0.01, momentum=0.9), "clip_norm": 0.5, "clip_value": 0.3}
    return cr.Model(z, cr.huber(z, y), seed=3), options | {"batch_size": 1, "epochs": 1}


def reader(dtype: str) -> tuple[cr.Model, dict[str, Any]]:
    """Words, two losses, several inputs, slots of another optimizer."""
    x, words = cr.input("x", (7,), dtype=dtype), cr.input("words", (4,), dtype="int32")
    t, y = cr.input("t", (), dtype="int32"), cr.input("y", (1,), dtype=dtype)
    e = cr.flatten(cr.embedding(words, 9, 3, dtype=dtype))
    h = cr.dense(cr.concat([x, e], axis=1), 20, "tanh")
    z, q = cr.dense(h, 3), cr.dense(h, 1)
    loss = cr.cross_entropy(z, t, label_smoothing=0.1) + 0.5 * cr.squared_error(q, y)
    loss = loss + cr.l1(*cr.weights_of(z), strength=1e-4)
    rate = cr.schedules.Exponential(0.01)
    return cr.Model([z, q], loss, seed=4), {
        "optimizer": cr.RMSprop(rate, centered=True), "batch_size": 40, "epochs": 25,
    }  # fmt: skip


NETWORKS = (classifier, regression, reader)
Made = Callable[[str], tuple[cr.Model, dict[str, Any]]]


def trained(made: Made, dtype: str, **more: Any) -> cr.Model:
    model, options = made(dtype)
    fit(model, dtype, **options | more)
    return model


def fit(model: cr.Model, dtype: str = "float32", **options: Any) -> None:
    names = {model.graph.name(x) for x in model.graph.inputs}
    arrays = {n: x for n, x in DATA.items() if n in names}
    arrays = {n: x.astype(dtype) if x.dtype.kind == "f" else x for n, x in arrays.items()}
    model.fit(arrays, validation=None, keep_best=False, verbose=False, **options)


# Rounding differs in the last bit of each sum, and grows with the steps: of float32, about 1e-7,
# by some hundred times in 100 steps of such rates; of float64 2e-16 by as much.
TOLERANCES = {"float32": (2e-3, 2e-3), "float64": (1e-9, 1e-9)}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("made", NETWORKS)
def test_a_hundred_steps_are_those_of_the_interpreter(made: Made, dtype: str) -> None:
    native, plain = (trained(made, dtype, backend=b) for b in ("native", "interpreter"))
    assert native.steps == plain.steps >= 100
    relative, absolute = TOLERANCES[dtype]
    npt.assert_allclose(native.history["loss"], plain.history["loss"], relative)
    for values, others in ((native.values, plain.values), (native.slots, plain.slots)):
        assert values.keys() == others.keys()
        for name, value in others.items():
            scale = np.abs(value).max(initial=1e-3)
            npt.assert_allclose(values[name], value, relative, absolute * scale, err_msg=name)


def bits(model: cr.Model) -> dict[str, bytes]:
    return {n: x.tobytes() for n, x in (dict(model.values) | dict(model.slots)).items()}


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("made", NETWORKS)
def test_the_same_bits_for_any_number_of_threads(made: Made, threads: int) -> None:
    want = bits(trained(made, "float32", threads=1, epochs=2))
    with patch("chainrule.backend.cpu.run.tuned.threads_for", lambda *_: (threads, threads)):
        assert bits(trained(made, "float32", epochs=2)) == want


@pytest.mark.parametrize("made", NETWORKS)
def test_the_same_bits_after_saving_and_loading(made: Made, tmp_path: Path) -> None:
    def go_on(model: cr.Model) -> dict[str, bytes]:
        fit(model, epochs=2, batch_size=33)
        return bits(model)

    model = trained(made, "float32", epochs=2)
    model.save(tmp_path / "model")
    loaded = cr.load(tmp_path / "model")
    assert bits(loaded) == bits(model)
    later = go_on(model)
    assert go_on(loaded) == later
    assert go_on(cr.load(tmp_path / "model")) == later


@pytest.mark.parametrize("slice_", [1e-9, 1e9])
def test_the_same_bits_for_any_cut_into_calls(
    monkeypatch: pytest.MonkeyPatch, slice_: float
) -> None:
    want = bits(trained(reader, "float32", epochs=3))
    monkeypatch.setattr(loop, "SLICE_SECONDS", slice_)
    assert bits(trained(reader, "float32", epochs=3)) == want


def test_a_callback_that_looks_at_the_model_changes_nothing() -> None:
    def look(state: State) -> None:
        assert all(np.isfinite(x).all() for x in state.model.values.values())
        state.model.predict({"x": X.astype("float32"), "words": WORDS})

    want = bits(trained(reader, "float32", epochs=3))
    assert bits(trained(reader, "float32", epochs=3, callbacks=look)) == want
