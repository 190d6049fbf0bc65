"""Recurrent layers against PyTorch's arrays and a slow loop; masks, states, names, refusals."""

from pathlib import Path

import numpy as np
import pytest
from nn_check import assert_gradient, assert_second, run

import chainrule as cr
from chainrule.autodiff import gradients
from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.graph import Graph, check
from chainrule.ops import reduce
from chainrule.types import N

R = np.random.default_rng(11)
ARRAYS = np.load(Path(__file__).parent.parent / "golden" / "recurrent.npz")
LAYERS = {"rnn": cr.rnn, "lstm": cr.lstm, "gru": cr.gru}
KINDS = [("rnn", {}), ("lstm", {}), ("gru", {}), ("gru", {"reset_after": False})]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def slow(kind, x, p, *, mask=None, start=None, reverse=False, reset_after=True):
    """The states h of all steps, and the last state, by a loop over rows and steps."""
    rows, steps, o = *x.shape[:2], len(p["u"])
    count = 2 if kind == "lstm" else 1
    y, last = np.zeros((rows, steps, o)), np.zeros((rows, count, o))
    for n in range(rows):
        state = np.zeros((count, o)) if start is None else start[n].copy()
        for t in range(steps)[::-1] if reverse else range(steps):
            if mask is None or mask[n, t]:
                state = cell(kind, x[n, t] @ p["w"] + p["b"], state, p, reset_after)
            y[n, t] = state[0]
        last[n] = state
    return y, last


def cell(kind, a, state, p, reset_after):
    h, u = state[0], p["u"]
    if kind == "rnn":
        return np.tanh(a + h @ u)[None]
    if kind == "lstm":
        i, f, g, o = np.split(a + h @ u, 4)
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return np.stack([sigmoid(o) * np.tanh(c), c])
    (ar, az, an), (ur, uz, un) = np.split(a, 3), np.split(u, 3, axis=1)
    r, z = sigmoid(ar + h @ ur), sigmoid(az + h @ uz)
    inner = r * (h @ un + p["b_inner"]) if reset_after else (r * h) @ un
    n = np.tanh(an + inner)
    return ((1 - z) * n + z * h)[None]


def parameters(node, name="r"):
    """Random values of the parameters of a layer, by their last names."""
    found = [x for x in Graph(node).parameters if x.label.startswith(name)]
    return {x.label: R.normal(size=x.shape) / 2 for x in found}


def own(values, name="r"):
    return {key.removeprefix(f"{name}."): v for key, v in values.items()}


# ---------------------------------------------------------------- against PyTorch


@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, True)])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_and_gradients_are_those_of_pytorch(kind, layers, both, dtype):
    prefix = f"{kind}.{layers}.{int(both)}."
    known = {k.removeprefix(prefix): ARRAYS[k] for k in ARRAYS if k.startswith(prefix)}
    x = cr.input("x", known["x"].shape[1:], dtype=dtype)
    start = cr.input("s", known["initial"].shape[1:], dtype=dtype)
    settings = {"layers": layers, "bidirectional": both, "initial": start, "name": "r"}
    y = LAYERS[kind](x, 4, **settings)
    graph = check(Graph(y))
    names = {
        f"r{layer + 1 if layers > 1 else ''}{('.forward', '.backward')[side] if both else ''}.{p}":
            f"{layer}.{side}.{p}"
        for layer in range(layers) for side in range(1 + both) for p in ("w", "u", "b", "b_inner")
    }  # fmt: skip
    values = {x.label: known[names[x.label]] for x in graph.parameters}
    feeds = {"x": known["x"], "s": known["initial"]}
    exact = dtype == "float64"
    tolerance = {"rtol": 1e-9, "atol": 1e-11} if exact else {"rtol": 1e-5, "atol": 2e-6}
    np.testing.assert_allclose(run(y, feeds, values), known["y"], **tolerance)
    states = LAYERS[kind](x, 4, **settings, outputs="states")
    np.testing.assert_allclose(run(states, feeds, values), known["states"], **tolerance)
    wrt = [x, start, *graph.parameters]
    loss = reduce.sum(y * cr.input("gy", known["gy"].shape[1:], dtype=dtype))
    found = run(gradients(loss, wrt), feeds | {"gy": known["gy"]}, values)
    expected = [known["gx"], known["ginitial"], *(known["g" + names[p.label]] for p in wrt[2:])]
    for made, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(made, right, **tolerance)


# ---------------------------------------------------------------- against a slow loop


@pytest.mark.parametrize(("kind", "settings"), KINDS)
@pytest.mark.parametrize("shape", [(3, 5, 3), (1, 1, 1), (0, 4, 2), (2, 1, 3)])
@pytest.mark.parametrize("units", [1, 4])
def test_values(kind, settings, shape, units):
    x = cr.input("x", shape[1:], dtype="float64")
    y = LAYERS[kind](x, units, name="r", **settings)
    values, data = parameters(y), R.normal(size=shape)
    expected, _ = slow(kind, data, own(values), **settings)
    assert y.shape == (N, shape[1], units)
    np.testing.assert_allclose(run(y, {"x": data}, values), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("kind", "settings"), KINDS)
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_masked_steps_leave_the_state(kind, settings, lengths, both):
    data, length = R.normal(size=(5, 4, 3)), np.array([0, 1, 2, 3, 4])
    fed = length if lengths else np.arange(4) < length[:, None]
    x = cr.input("x", (4, 3), dtype="float64")
    m = cr.input("m", fed.shape[1:], dtype="int64" if lengths else "bool")
    given = {"mask": m, "bidirectional": both, **settings}
    feeds = {"x": data, "m": fed}
    for outputs in ("all", "last"):
        y = LAYERS[kind](x, 2, name="r", outputs=outputs, **given)
        values = parameters(y)
        found = run(y, feeds, values)
        for side, word in enumerate(("forward.", "backward.")[: 1 + both]):
            p = {k.removeprefix(word): v for k, v in own(values).items()}
            mask = np.arange(4) < length[:, None]
            every, last = slow(kind, data, p, mask=mask, reverse=bool(side), **settings)
            expected = every if outputs == "all" else last[:, 0]
            part = found[..., 2 * side : 2 * side + 2]
            np.testing.assert_allclose(part, expected, rtol=1e-12, atol=1e-14)
    hidden = data.copy()
    hidden[np.arange(4) >= length[:, None]] = 1e3
    np.testing.assert_array_equal(run(y, {"x": hidden, "m": fed}, values), found)


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_a_state_goes_on(kind, settings):
    """Two halves of a sequence, the second from the states of the first, are the whole."""
    data, half = R.normal(size=(3, 6, 2)), cr.input("x", (3, 2), dtype="float64")
    whole = cr.input("x", (6, 2), dtype="float64")
    s = 2 if kind == "lstm" else 1
    start = cr.input("s", (s, 4), dtype="float64")
    y = LAYERS[kind](whole, 4, name="r", **settings)
    states = LAYERS[kind](half, 4, name="r", outputs="states", **settings)
    rest = LAYERS[kind](half, 4, name="r", initial=start, **settings)
    values = parameters(y)
    middle = run(states, {"x": data[:, :3]}, values)
    assert middle.shape == (3, s, 4)
    found = run(rest, {"x": data[:, 3:], "s": middle}, values)
    np.testing.assert_allclose(found, run(y, {"x": data}, values)[:, 3:], rtol=1e-12)


def test_an_initial_state_for_all_examples_is_trained():
    x = cr.input("x", (4, 2), dtype="float64")
    start = cr.parameter("start", R.normal(size=(2, 3)), dtype="float64")
    y = cr.lstm(x, 3, initial=start, name="r", outputs="last")
    values, data = parameters(y), R.normal(size=(5, 4, 2))
    first = np.broadcast_to(start.initial, (5, 2, 3))
    _, last = slow("lstm", data, own(values), start=first)
    np.testing.assert_allclose(run(y, {"x": data}, values), last[:, 0], rtol=1e-12)
    assert_gradient(reduce.sum(y * y), [start], {"x": data}, values)
    one = cr.gru(x, 3, initial=np.ones(3), name="g")
    assert Graph(one).parameters == tuple(p for p in Graph(one).parameters if p is not start)


def test_initial_states_may_be_a_list():
    x, h, c = (cr.input(n, s, "float64") for n, s in (("x", (4, 2)), ("h", (3,)), ("c", (3,))))
    data, both = R.normal(size=(5, 4, 2)), R.normal(size=(5, 2, 3))
    y = cr.lstm(x, 3, initial=[h, c], name="r", outputs="last")
    values = parameters(y)
    _, last = slow("lstm", data, own(values), start=both)
    found = run(y, {"x": data, "h": both[:, 0], "c": both[:, 1]}, values)
    np.testing.assert_allclose(found, last[:, 0], rtol=1e-12)


def test_layers_go_on_each_other():
    x = cr.input("x", (4, 2), dtype="float64")
    y = cr.gru(x, 3, layers=2, name="r")
    values, data = parameters(y), R.normal(size=(5, 4, 2))
    lower = {k.removeprefix("r1."): v for k, v in values.items() if k.startswith("r1.")}
    upper = {k.removeprefix("r2."): v for k, v in values.items() if k.startswith("r2.")}
    expected, _ = slow("gru", slow("gru", data, lower)[0], upper)
    np.testing.assert_allclose(run(y, {"x": data}, values), expected, rtol=1e-12)
    dropped = cr.gru(x, 3, layers=3, dropout=0.5, name="r")
    assert sum(n.suffix == ".uniform" for n in Graph(dropped).operations) == 2


def test_an_activation_of_ones_own():
    x = cr.input("x", (3, 2), dtype="float64")
    y = cr.rnn(x, 2, lambda z: z * 2, name="r")
    values, data = parameters(y), R.normal(size=(2, 3, 2))
    h = np.zeros((2, 2))
    for t in range(3):
        h = 2 * (data[:, t] @ values["r.w"] + values["r.b"] + h @ values["r.u"])
    np.testing.assert_allclose(run(y, {"x": data}, values)[:, -1], h, rtol=1e-12)


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize(("kind", "settings"), KINDS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients(kind, settings, masked):
    x = cr.input("x", (4, 2), dtype="float64")
    m = cr.input("m", (4,), dtype="bool")
    y = LAYERS[kind](x, 3, mask=m if masked else None, name="r", **settings)
    feeds = {"x": R.normal(size=(3, 4, 2)), "m": R.random((3, 4)) < 0.6}
    wrt = [x, *Graph(y).parameters]
    assert_gradient(reduce.sum(y * y), wrt, feeds, parameters(y))
    assert_second(reduce.sum(y * y), x, feeds)


# ---------------------------------------------------------------- where they start


def test_each_gate_of_the_state_starts_orthogonal():
    x = cr.input("x", (3, 5), dtype="float64")
    model = cr.Model(outputs=cr.lstm(x, 6, name="r"), seed=3)
    for block in np.split(model.values["r.u"], 4, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(6), atol=1e-12)
    bound = (6 / (5 + 6)) ** 0.5
    w = model.values["r.w"]
    assert 0.9 * bound < np.abs(w).max() <= bound
    expected = np.repeat([0.0, 1.0, 0.0, 0.0], 6)
    np.testing.assert_array_equal(model.values["r.b"], expected)
    again = cr.lstm(x, 6, forget_bias=0.5, bias="ones", name="s")
    assert cr.Model(outputs=again).values["s.b"].tolist() == [1.0] * 24


def test_names_and_summary():
    x = cr.input("x", (3, 2))
    y = cr.lstm(x, 2, name="memory")
    names = {Graph(y).name(n) for n in Graph(y)}
    assert {"memory", "memory.w", "memory.u", "memory.b", "memory.t2.c", "memory.t2.h"} <= names
    assert "lstm, 3 steps" in str(cr.summary(y))
    assert "gru, 3 steps" in str(cr.summary(cr.sequential(x, cr.layer.gru(4, outputs="last"))))
    both = cr.rnn(x, 2, bidirectional=True, layers=2)
    assert str(cr.summary(both)).count("rnn, 3 steps") == 4


# ---------------------------------------------------------------- refusals

X = cr.input("x", (4, 3))
REFUSED = [
    (lambda: cr.lstm(cr.input("v", (3,)), 2), ShapeError, "sequences of a fixed length"),
    (lambda: cr.lstm(cr.input("v", (0, 3)), 2), ShapeError, "of at least 1"),
    (lambda: cr.lstm(cr.input("c", (4, 3), dtype="int32"), 2), DTypeError, "floating-point"),
    (lambda: cr.gru(X, 0), SettingError, "units"),
    (lambda: cr.gru(X, 2, layers=0), SettingError, "layers"),
    (lambda: cr.gru(X, 2, outputs="first"), SettingError, '"all", "last" or "states"'),
    (lambda: cr.gru(X, 2, reset_after="no"), SettingError, "reset_after"),
    (lambda: cr.gru(X, 2, bidirectional=1.5), SettingError, "bidirectional"),
    (lambda: cr.rnn(X, 2, "tan"), SettingError, "tanh"),
    (lambda: cr.lstm(X, 2, forget_bias="1"), SettingError, "forget_bias"),
    (lambda: cr.lstm(X, 2, dropout=1), SettingError, "rate"),
    (lambda: cr.lstm(X, 2, bias=None), SettingError, "bias is False for none"),
    (lambda: cr.lstm(X, 2, mask=cr.input("m", (3,), dtype="bool")), ShapeError, r"\(N, 4\)"),
    (lambda: cr.lstm(X, 2, mask=cr.input("m", (4,))), DTypeError, "not_equal"),
    (lambda: cr.lstm(X, 2, initial=cr.input("s", (2,))), ShapeError, r"\(N, 2, 2\)"),
    (lambda: cr.gru(X, 2, initial=np.ones(3)), ShapeError, r"\(1, 2\)"),
    (lambda: cr.lstm(X, 2, initial=[cr.input("h", (2,))]), ShapeError, r"\(N, 2, 2\)"),
    (lambda: cr.lstm(X, 2, init=np.ones((3, 2))), ShapeError, r"\(3, 8\)"),
    (lambda: cr.init.initializer("grouped"), SettingError, "Grouped"),
]


@pytest.mark.parametrize(("build", "error", "words"), REFUSED)
def test_refusals(build, error, words):
    with pytest.raises(error, match=words):
        build()
