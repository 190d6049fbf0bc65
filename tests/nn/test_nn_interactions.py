"""Factorisation, fields, towers and experts against slow loops: values, gradients, refusals."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from nn_check import assert_gradient, assert_second, run

import chainrule as cr
from chainrule.errors import DTypeError, FeedError, GraphError, SettingError, ShapeError
from chainrule.graph import Graph

Array = np.ndarray[Any, Any]
ROWS = 6
R = np.random.default_rng(5)


def drawn(*nodes: cr.Node) -> dict[str, Array]:
    """A value for each parameter, none of them where it starts."""
    graph, numbers = Graph(list(nodes)), np.random.default_rng(1)
    return {graph.name(p): numbers.normal(size=p.shape) for p in graph.parameters}


# ---------------------------------------------------------------- factorisation machines


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize(("i", "k"), [(5, 2), (1, 1), (2, 4)])
def test_a_factorisation_machine_is_a_sum_over_pairs(
    i: int, k: int, linear: bool, outputs: int
) -> None:
    x = cr.input("x", (i,), dtype="float64")
    y = cr.factorisation(x, k, outputs, linear=linear, name="f")
    values, data = drawn(y), R.normal(size=(ROWS, i))
    v = values["f.factors"].reshape(i, outputs, k)
    wanted = np.zeros((ROWS, outputs))
    for n, o in np.ndindex(wanted.shape):
        for a, b in combinations(range(i), 2):
            wanted[n, o] += v[a, o] @ v[b, o] * data[n, a] * data[n, b]
        if linear:
            wanted[n, o] += data[n] @ values["f.linear"][:, o] + values["f.b"][o]
    npt.assert_allclose(run(y, {"x": data}, values), wanted, rtol=1e-10, atol=1e-12)
    wrt = [x, *Graph(y).parameters]
    assert_gradient(cr.sum(cr.tanh(y)), wrt, {"x": data}, values)
    assert_second(cr.sum(cr.tanh(y)), Graph(y)["f.factors"], {"x": data})


@pytest.mark.parametrize("lead", [(), (2,)])
@pytest.mark.parametrize("fields", [1, 2, 5])
def test_pair_interactions_are_a_sum_over_pairs(fields: int, lead: tuple[int, ...]) -> None:
    x = cr.input("x", (*lead, fields, 3), dtype="float64")
    y, data = cr.pair_interactions(x), R.normal(size=(ROWS, *lead, fields, 3))
    wanted = np.zeros((ROWS, *lead, 3))
    for a, b in combinations(range(fields), 2):
        wanted += data[..., a, :] * data[..., b, :]
    npt.assert_allclose(run(y, {"x": data}), wanted, rtol=1e-10, atol=1e-12)
    assert_gradient(cr.sum(cr.tanh(y)), [x], {"x": data})


COUNTS = (3, 1, 4)


def codes(rows: int = ROWS) -> Array:
    return np.stack([R.integers(0, n, rows) for n in COUNTS], axis=1).astype("int32")


def test_fields_have_tables_of_their_own() -> None:
    x = cr.input("x", (3,), dtype="int32")
    y = cr.field_embedding(x, COUNTS, 2, name="f", dtype="float64")
    values, data = drawn(y), codes()
    assert {k: v.shape for k, v in values.items()} == {
        f"f.{f}.table": (n, 2) for f, n in enumerate(COUNTS)
    }
    wanted = np.stack([values[f"f.{f}.table"][data[:, f]] for f in range(3)], axis=1)
    npt.assert_allclose(run(y, {"x": data}, values), wanted)
    assert_gradient(cr.sum(cr.square(y)), list(Graph(y).parameters), {"x": data}, values)
    data[2, 1] = 1
    with pytest.raises(FeedError, match=r"out of range(.|\n)*0 to 0(.|\n)*row 2"):
        run(y, {"x": data}, values)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_deep_factorisation_machine_is_the_sum_of_its_parts(outputs: int) -> None:
    x = cr.input("x", (3,), dtype="int32")
    y = cr.deep_factorisation(x, COUNTS, 4, outputs, hidden=(5,), name="d")
    values, data = drawn(y), codes()
    e = np.stack([values[f"d.fields.{f}.table"][data[:, f]] for f in range(3)], axis=1)
    first = sum(values[f"d.first.{f}.table"][data[:, f]] for f in range(3))
    pairs = sum(e[:, a] * e[:, b] for a, b in combinations(range(3), 2))
    second = pairs @ values["d.mix.w"] if outputs > 1 else pairs.sum(1, keepdims=True)
    h = np.maximum(e.reshape(ROWS, -1) @ values["d.hidden1.w"] + values["d.hidden1.b"], 0)
    wanted = first + second + h @ values["d.out.w"] + values["d.out.b"]
    assert y.shape[1] == outputs
    npt.assert_allclose(run(y, {"x": data}, values), wanted, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- towers


@pytest.mark.parametrize("normalise", [True, False])
def test_two_towers_and_their_loss(normalise: bool) -> None:
    q, i = cr.input("q", (4,), "float64"), cr.input("i", (4,), "float64")
    settings: dict[str, Any] = {"normalise": normalise, "temperature": 0.5}
    score = cr.two_towers(q, i, **settings, name="match")
    losses = [cr.in_batch(q, i, **settings, both=both) for both in (False, True)]
    feeds = {"q": R.normal(size=(ROWS, 4)), "i": R.normal(size=(ROWS, 4))}
    a, b = (
        x / np.linalg.norm(x, axis=1, keepdims=True) if normalise else x for x in feeds.values()
    )
    scores = np.array([[x @ y / 0.5 for y in b] for x in a])
    found, one, two = run([score, *losses], feeds)
    npt.assert_allclose(found[:, 0], np.diag(scores), rtol=1e-10)
    if normalise:
        npt.assert_allclose(run(Graph(score)["match.query"], feeds), a, rtol=1e-10)
    by_row = np.mean([np.log(np.exp(s).sum()) - s[k] for k, s in enumerate(scores)])
    by_column = np.mean([np.log(np.exp(s).sum()) - s[k] for k, s in enumerate(scores.T)])
    npt.assert_allclose([one, two], [by_row, (by_row + by_column) / 2], rtol=1e-10)
    for loss in (cr.sum(score), *losses):
        assert_gradient(loss, [q, i], feeds)
    assert_second(losses[1], q, feeds)


def test_a_vector_of_zeros_and_a_trained_temperature() -> None:
    q, i = cr.input("q", (2,), "float64"), cr.input("i", (2,), "float64")
    t = cr.parameter("t", 0.3, dtype="float64")
    y = cr.two_towers(q, i, temperature=cr.exp(t))
    feeds = {"q": np.array([[0.0, 0], [3, 4]]), "i": np.array([[1.0, 2], [6, 8]])}
    value, gradient = run([y, cr.gradients(cr.sum(y), [q])[0]], feeds)
    npt.assert_allclose(value[:, 0], [0, np.exp(-0.3)])
    assert np.isfinite(gradient).all()
    assert_gradient(cr.sum(y), [t], feeds)


def test_towers_are_trained_to_find_their_item_natively() -> None:
    x, z = cr.input("x", (8,)), cr.input("z", (8,))
    q, i = cr.dense(x, 4, name="q"), cr.dense(z, 4, name="i")
    losses = {}
    data = R.normal(size=(64, 8)).astype("float32")
    for backend in ("native", "interpreter"):
        model = cr.Model(
            outputs=cr.two_towers(q, i), loss=cr.in_batch(q, i, temperature=0.2), seed=0
        )
        feeds = {"x": data, "z": data[:, ::-1].copy()}
        model.fit(
            feeds, epochs=12, batch_size=16, optimizer=cr.Adam(0.02), verbose=False,
            backend=backend,
        )  # fmt: skip
        losses[backend] = model.history["loss"]
    npt.assert_allclose(losses["native"], losses["interpreter"], rtol=1e-4)
    assert losses["native"][-1] < 0.75 * losses["native"][0]


# ---------------------------------------------------------------- experts


@pytest.mark.parametrize("own_gate", [False, True])
@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("experts", [1, 3])
def test_experts_are_weighted_by_a_softmax(
    experts: int, lead: tuple[int, ...], own_gate: bool
) -> None:
    x = cr.input("x", (*lead, 4), "float64")
    gate = cr.input("g", (*lead, experts), "float64") if own_gate else None
    y = cr.mixture_of_experts(
        x, experts, cr.layer.dense(5, "tanh"), cr.layer.dense(2), gate=gate, name="m"
    )
    values = drawn(y)
    feeds = {"x": R.normal(size=(ROWS, *lead, 4)), "g": R.normal(size=(ROWS, *lead, experts))}
    if not own_gate:
        assert values["m.gate.w"].shape == (4, experts)
        feeds["g"] = feeds["x"] @ values["m.gate.w"] + values["m.gate.b"]
    wanted = np.zeros((ROWS, *lead, 2))
    shares = np.exp(feeds["g"]) / np.exp(feeds["g"]).sum(-1, keepdims=True)
    names = ["dense", *(f"dense_{k}" for k in range(2, 2 * experts + 1))]
    for e in range(experts):
        one, two = names[2 * e : 2 * e + 2]
        h = np.tanh(feeds["x"] @ values[f"{one}.w"] + values[f"{one}.b"])
        wanted += shares[..., e : e + 1] * (h @ values[f"{two}.w"] + values[f"{two}.b"])
    fed = feeds if own_gate else {"x": feeds["x"]}
    npt.assert_allclose(run(y, fed, values), wanted, rtol=1e-10)
    assert_gradient(cr.sum(cr.square(y)), [x, *Graph(y).parameters], fed, values)


# ---------------------------------------------------------------- sequences, files, refusals


def recommender() -> cr.Model:
    x, n = cr.input("x", (3,), dtype="int32"), cr.input("n", (5,))
    h = cr.sequential(
        x, cr.layer.field_embedding(COUNTS, 4, name="f"), cr.layer.pair_interactions()
    )
    m = cr.sequential(n, cr.layer.mixture_of_experts(2, cr.layer.dense(3, "relu")))
    f = cr.sequential(n, cr.layer.factorisation(2, name="fm"))
    d = cr.sequential(x, cr.layer.deep_factorisation(COUNTS, 2, hidden=(3,)))
    y = cr.dense(cr.concat([h, m], axis=1), 1, name="y") + f + d
    return cr.Model(outputs=y, loss=cr.squared_error(y, cr.input("t", (1,))), seed=0)


def test_models_of_all_of_them_train_alike_on_both_backends_and_are_saved(tmp_path: Path) -> None:
    native, plain = recommender(), recommender()
    data = {
        "x": codes(40), "n": R.normal(size=(40, 5)).astype("float32"),
        "t": R.normal(size=(40, 1)).astype("float32"),
    }  # fmt: skip
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 8, "optimizer": "adam", "verbose": False}
    native.fit(data, **settings)
    plain.fit(data, **settings, backend="interpreter")
    npt.assert_allclose(native.history["loss"], plain.history["loss"], rtol=1e-4)
    for name, value in plain.values.items():
        npt.assert_allclose(native.value(name), value, rtol=2e-3, atol=1e-5)
    native.save(tmp_path / "m.safetensors")
    fed = {key: data[key] for key in ("x", "n")}
    read = cr.load(tmp_path / "m.safetensors")
    assert read.predict(fed).tobytes() == native.predict(fed).tobytes()
    text = str(native.summary(full=True))
    for layer in (
        "factorisation", "field_embedding", "mixture_of_experts", "deep_factorisation",
        "pair_interactions",
    ):  # fmt: skip
        assert layer in text


X, C, F = cr.input("x", (3,)), cr.input("c", (3,), dtype="int32"), cr.input("f", (2, 3))
DENSE = cr.layer.dense(2)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: cr.factorisation(F, 2), ShapeError, r"\(N, features\)(.|\n)*\(N, 2, 3\)"),
        (lambda: cr.factorisation(C, 2), DTypeError, "factorisation"),
        (lambda: cr.factorisation(X, 0), SettingError, "width"),
        (lambda: cr.factorisation(X, 2, 0), SettingError, "outputs"),
        (lambda: cr.factorisation(X, 2, linear="no"), SettingError, "linear"),  # type: ignore[arg-type]
        (lambda: cr.pair_interactions(X), ShapeError, r"fields, features\)(.|\n)*\(N, 3\)"),
        (lambda: cr.field_embedding(C, (3, 4), 2), ShapeError, r"\(N, 2\)(.|\n)*\(N, 3"),
        (lambda: cr.field_embedding(C, 9, 2), ShapeError, r"\(N, 1\)(.|\n)*\(N, 3\)"),  # type: ignore[arg-type]
        (lambda: cr.field_embedding(X, (3, 4, 5), 2), DTypeError, "int32 or int64"),
        (lambda: cr.field_embedding(C, (3, 0, 5), 2), SettingError, "count"),
        (lambda: cr.two_towers(X, F), ShapeError, r"\(N, k\)(.|\n)*\(N, 2, 3\)"),
        (lambda: cr.two_towers(X, cr.dense(X, 4)), ShapeError, r"N, 3(.|\n)*N, 4"),
        (lambda: cr.in_batch(X, X, temperature=0), SettingError, "temperature"),
        (lambda: cr.in_batch(X, X, temperature=X), GraphError, "scalar"),
        (lambda: cr.mixture_of_experts(X, 2), SettingError, "no layers"),
        (lambda: cr.mixture_of_experts(X, 0, DENSE), SettingError, "experts"),
        (lambda: cr.mixture_of_experts(X, 2, "dense"), SettingError, "from a node"),  # type: ignore[arg-type]
        (lambda: cr.mixture_of_experts(X, 2, DENSE, gate=X), ShapeError, r"\(N, 2\)(.|\n)*\(N, 3"),
        (lambda: cr.mixture_of_experts(F, 2, cr.layer.flatten()), ShapeError, r"\(N, 2\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_both_sides(make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make()
