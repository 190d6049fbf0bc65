"""Attention, its masks and positions: against PyTorch's frozen arrays, loops, and at the edges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from nn_check import assert_gradient, assert_second, run

import chainrule as cr
from chainrule.autodiff import gradients
from chainrule.graph import Graph, Node

R = np.random.default_rng(4)
FROZEN = np.load(Path(__file__).parents[1] / "golden" / "attention" / "frozen.npz")
Arrays = dict[str, Any]


def frozen(case: str, part: str) -> Arrays:
    """The arrays of a case of tests/golden/attention/frozen.py, by name."""
    head = f"{case}/{part}/"
    return {key.removeprefix(head): FROZEN[key] for key in FROZEN if key.startswith(head)}


def batch(name: str, array: Any, dtype: str) -> Node:
    return cr.input(name, array.shape[1:], dtype)


Build = Callable[[dict[str, Node], str], Node]

SETTINGS: dict[str, Build] = {
    "plain": lambda x, _: cr.attention(x["q"], x["k"], x["v"]),
    "masked": lambda x, _: cr.attention(x["q"], x["k"], x["v"], mask=x["mask"]),
    "causal": lambda x, _: cr.attention(x["q"], x["k"], x["v"], causal=True, scale=0.3),
    "grouped": lambda x, _: cr.attention(x["q"], x["k"], x["v"]),
    "biased": lambda x, dtype: cr.attention(
        x["q"], x["k"], x["v"],
        bias=cr.parameter("bias", frozen("biased", "value")["bias"], dtype=dtype),
    ),
    "self": lambda x, _: cr.multi_head_attention(x["x"], 2, mask=x["mask"], name="a"),
    "cross": lambda x, _: cr.multi_head_attention(x["x"], 2, memory=x["memory"], name="a"),
    "pre": lambda x, _: cr.transformer_encoder(x["x"], 2, hidden=12, mask=x["mask"], name="b"),
    "post": lambda x, _: cr.transformer_encoder(
        x["x"], 2, hidden=12, activation="relu", norm_first=False, mask=x["mask"], name="b"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize("case", SETTINGS)
def test_values_and_gradients_are_those_of_pytorch(case: str, dtype: str, close: float) -> None:
    given, values = frozen(case, "given"), frozen(case, "value")
    fed = {name: x for name, x in values.items() if name in ("q", "k", "v", "x", "memory")}
    nodes = {name: batch(name, x, dtype) for name, x in fed.items()}
    nodes |= {name: batch(name, x, "bool") for name, x in given.items()}
    y = SETTINGS[case](nodes, dtype)
    t = batch("t", FROZEN[f"{case}/cotangent"], dtype)
    graph, wanted = Graph(y), frozen(case, "gradient")
    wrt = [nodes[name] if name in nodes else graph[name] for name in wanted]
    found = run(
        [y, *gradients(cr.sum(y * t), wrt)],
        {**fed, **given, "t": FROZEN[f"{case}/cotangent"]},
        {name: x for name, x in values.items() if name not in fed},
    )
    for got, want in zip(found, [FROZEN[f"{case}/y"], *wanted.values()], strict=True):
        npt.assert_allclose(got, want, rtol=close, atol=close * max(1, np.abs(want).max()))


def test_values_are_those_that_keras_prints() -> None:
    """The numbers of the tests of its layers Attention and MultiHeadAttention, as rounded there."""
    q, k, v = (cr.input(n, (2, 2), "float64") for n in "qkv")
    y = cr.attention(q, k, v, scale=1.0, name="a")
    given = {"q": [[[1, 0], [0, 1]]], "k": [[[0, 1], [1, 0]]], "v": [[[1, 2], [3, 4]]]}
    got, weights = run([y, Graph(y)["a.weights"]], given)
    npt.assert_allclose(got[0], [[2.462, 3.462], [1.538, 2.538]], atol=1e-3)
    npt.assert_allclose(weights[0], [[0.269, 0.731], [0.731, 0.269]], atol=1e-3)
    q, k, v = (cr.input(n, (8, 8), "float64") for n in "qkv")
    y = cr.attention(q, k, v, name="a")
    one, values = np.eye(8)[None], np.arange(64.0).reshape(1, 8, 8) / 100
    got, weights = run([y, Graph(y)["a.weights"]], {"q": one, "k": one, "v": values})
    sums = [2.406, 2.440, 2.473, 2.504, 2.535, 2.568, 2.602, 2.633]
    npt.assert_allclose(got[0].sum(-1), sums, atol=5e-3)
    npt.assert_allclose(weights[0], np.where(one[0] == 1, 0.1691, 0.1187), atol=1e-4)


# ---------------------------------------------------------------- a slow loop


def by_loop(q: Any, k: Any, v: Any, part: Any, bias: Any) -> Any:
    """Attention of one head, query by query: (l, d), (s, d), (s, e), booleans (l, s), (l, s)."""
    y = np.zeros((len(q), v.shape[1]))
    for place, query in enumerate(q):
        keys = [j for j in range(len(k)) if part[place, j]]
        scores = [query @ k[j] / len(query) ** 0.5 + bias[place, j] for j in keys]
        weights = np.exp(np.array(scores) - max(scores, default=0))
        for weight, j in zip(weights / max(weights.sum(), 1e-300), keys, strict=True):
            y[place] += weight * v[j]
    return y


def heads_of(x: Any, w: Any, b: Any, heads: int) -> Any:
    """(l, i) projected and cut into heads: (h, l, d)."""
    z = x @ w + b
    return z.reshape(len(x), heads, -1).transpose(1, 0, 2)


@pytest.mark.parametrize("shared", [4, 2, 1])
@pytest.mark.parametrize("positions", [None, "rotary", "relative", "alibi"])
def test_heads_are_those_of_a_loop(shared: int, positions: str | None) -> None:
    length, width, heads = 5, 8, 4
    x = cr.input("x", (length, width), "float64")
    sizes = cr.input("sizes", (), "int32")
    y = cr.multi_head_attention(
        x, heads, key_value_heads=shared, head_width=6, width=3, positions=positions,
        mask=sizes, causal=True, name="a",
    )  # fmt: skip
    graph = Graph(y)
    values = {graph.name(p): R.normal(size=p.shape) for p in graph.parameters}
    data, lengths = R.normal(size=(3, length, width)), np.array([5, 2, 0])
    got = run(y, {"x": data, "sizes": lengths}, values)
    assert y.shape == (cr.N, length, 3)
    at = np.arange(length)
    distance = at[None] - at[:, None]
    for row, size in enumerate(lengths):
        part = (distance <= 0) & (at < size)
        q, k, v = (
            heads_of(data[row], values[f"a.{n}.w"], values[f"a.{n}.b"], h)
            for n, h in (("query", heads), ("key", shared), ("value", shared))
        )
        if positions == "rotary":
            q, k = turned(q), turned(k)
        both = []
        for h in range(heads):
            bias = np.zeros((length, length))
            if positions == "relative":
                bias = values["a.distances"][h][distance + length - 1]
            elif positions == "alibi":
                bias = -np.abs(distance) * 2.0 ** (-8 * (h + 1) / heads)
            g = h * shared // heads
            both.append(by_loop(q[h], k[g], v[g], part, bias))
        want = np.concatenate(both, 1) @ values["a.out.w"] + values["a.out.b"]
        npt.assert_allclose(got[row], want, rtol=1e-10, atol=1e-12)


def turned(x: Any) -> Any:
    """Rotary: the pair (j, j + d / 2) of position p is a complex number, times e^(i angle)."""
    half = x.shape[-1] // 2
    z = x[..., :half] + 1j * x[..., half:]
    for p in range(x.shape[-2]):
        for j in range(half):
            z[..., p, j] *= np.exp(1j * p / 10000 ** (j / half))
    return np.concatenate([z.real, z.imag], -1)


def test_rotary_depends_on_the_distance_alone() -> None:
    x = cr.input("x", (6, 4), "float64")
    one = R.normal(size=4)
    got = run(cr.rotary(x), {"x": np.broadcast_to(one, (1, 6, 4))})[0]
    npt.assert_allclose(got, turned(np.broadcast_to(one, (6, 4)).copy()), rtol=1e-12)
    products = got @ got.T
    for d in range(6):
        npt.assert_allclose(np.diagonal(products, d), products[0, d], rtol=1e-12)


@pytest.mark.parametrize("width", [1, 6, 7])
def test_sinusoidal_positions(width: int) -> None:
    x = cr.input("x", (4, width), "float64")
    got = run(cr.positions(x), {"x": np.zeros((2, 4, width))})
    for p in range(4):
        for i in range(width):
            angle = p / 10000 ** ((i - i % 2) / width)
            want = np.cos(angle) if i % 2 else np.sin(angle)
            npt.assert_allclose(got[:, p, i], want, rtol=1e-12, atol=1e-15)


def test_learned_positions_are_trained() -> None:
    x = cr.input("x", (4, 2), "float64")
    y = cr.positions(x, "learned", name="p")
    table = Graph(y)["p.places"]
    (g,) = gradients(cr.sum(y * y), [table])
    data, value = R.normal(size=(3, 4, 2)), R.normal(size=(4, 2))
    npt.assert_allclose(
        run(g, {"x": data}, {"p.places": value}), 2 * (data + value).sum(0), rtol=1e-12
    )


@pytest.mark.parametrize("kind", ["geglu", "swiglu"])
def test_gated_layers(kind: str) -> None:
    x = cr.input("x", (3,), "float64")
    y = getattr(cr, kind)(x, 2, name="g")
    values = {
        f"g.{s}.{p}": R.normal(size=(3, 2)[p == "b" :]) for s in ("gate", "value") for p in "wb"
    }
    data = R.normal(size=(4, 3))
    gate, value = (data @ values[f"g.{s}.w"] + values[f"g.{s}.b"] for s in ("gate", "value"))
    act = cr.gelu if kind == "geglu" else cr.silu
    z = cr.input("z", (2,), "float64")
    npt.assert_allclose(run(y, {"x": data}, values), run(act(z), {"z": gate}) * value, rtol=1e-12)
    assert_gradient(cr.sum(y * y), [x, Graph(y)["g.gate.w"], Graph(y)["g.value.b"]], {"x": data})


# ---------------------------------------------------------------- at the edges


def test_a_query_without_keys_gets_zeros_and_no_gradient() -> None:
    q, k, v = (cr.input(n, (2, 3, 4), "float64") for n in "qkv")
    mask = cr.input("mask", (3, 3), "bool")
    part = R.random((2, 3, 3)) < 0.5
    part[:, 0, 0], part[:, 1], part[1] = True, False, False
    y = cr.attention(q, k, v, mask=mask, name="a")
    data = {n: R.normal(size=(2, 2, 3, 4)) for n in "qkv"} | {"mask": part}
    first = gradients(cr.sum(y * y), [q, k, v])
    second = gradients(cr.sum(first[0] * first[0]) + cr.sum(first[1] * first[2]), [q, k, v])
    found = run([y, Graph(y)["a.weights"], *first, *second], data)
    assert all(np.isfinite(x).all() for x in found)
    npt.assert_array_equal(found[0][:, :, 1], 0)
    npt.assert_array_equal(found[0][1], 0)
    assert all((x[1] == 0).all() for x in found[1:])
    assert (found[2][:, :, 1] == 0).all()
    assert_gradient(cr.sum(y * y), [q, k, v], data)
    assert_second(cr.sum(y * y), q, data)


def test_an_infinite_bias_masks_as_a_mask_does() -> None:
    q, k, v = (cr.input(n, (3, 4), "float64") for n in "qkv")
    part = np.array([[True, False, True], [False] * 3, [True] * 3])
    data = {n: R.normal(size=(2, 3, 4)) for n in "qkv"}
    both = []
    for options in ({"mask": part}, {"bias": np.where(part, 0.0, -np.inf)}):
        y = cr.attention(q, k, v, **options)
        both.append(run([y, *gradients(cr.sum(y * y), [q, k, v])], data))
    for a, b in zip(*both, strict=True):
        npt.assert_array_equal(a, b)


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize(("length", "heads"), [(1, 1), (1, 2), (4, 1)])
def test_one_position_one_head_and_no_rows(rows: int, length: int, heads: int) -> None:
    x = cr.input("x", (length, 4), "float64")
    y = cr.transformer_encoder(x, heads, causal=True, activation="swiglu", norm="rms")
    data = R.normal(size=(rows, length, 4))
    got = run(y, {"x": data})
    assert got.shape == (rows, length, 4)
    assert_gradient(cr.sum(y * y), [x], {"x": data})


def test_a_later_token_changes_nothing_before_it_where_attention_is_causal() -> None:
    x = cr.input("x", (5, 4), "float64")
    y = cr.transformer_encoder(x, 2, causal=True, positions="rotary")
    data = R.normal(size=(1, 5, 4))
    other = data.copy()
    other[:, 3, 0] += 1
    a, b = run(y, {"x": data}), run(y, {"x": other})
    npt.assert_array_equal(a[:, :3], b[:, :3])
    assert (a[:, 3:] != b[:, 3:]).all()


def test_padding_changes_nothing() -> None:
    data = R.normal(size=(2, 3, 4))
    padded = np.concatenate([data, R.normal(size=(2, 2, 4))], 1)
    short, long = cr.input("x", (3, 4), "float64"), cr.input("x", (5, 4), "float64")
    size = cr.input("size", (), "int64")
    a = run(cr.transformer_encoder(short, 2), {"x": data})
    b = run(cr.transformer_encoder(long, 2, mask=size), {"x": padded, "size": [3, 3]})
    npt.assert_allclose(a, b[:, :3], rtol=1e-12)


def test_dropout_of_weights_keeps_their_mean() -> None:
    q, k, v = (cr.input(n, (50, 4), "float64") for n in "qkv")
    y = cr.attention(q, k, v, dropout=0.4)
    data = {n: np.ones((2, 50, 4)) for n in "qkv"}
    assert (run(y, data) == 1).all()
    drawn = run(y, data, training=True)
    assert drawn.std() > 0.05
    assert drawn.mean() == pytest.approx(1, abs=0.05)


# ---------------------------------------------------------------- pooling


@pytest.mark.parametrize("kind", ["mean", "max", "sum", "first", "last"])
def test_pooling_under_a_mask(kind: str) -> None:
    x = cr.input("x", (4, 2), "float64")
    mask = cr.input("mask", (4,), "bool")
    part = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    data = R.normal(size=(4, 4, 2))
    y = cr.sequence_pool(x, kind, mask=mask)
    got = run(y, {"x": data, "mask": part})
    for row, (lines, keep) in enumerate(zip(data, part, strict=True)):
        kept = lines[keep]
        want = np.zeros(2)
        if len(kept):
            want = {"first": kept[0], "last": kept[-1]}.get(kind)
            want = getattr(np, kind)(kept, 0) if want is None else want
        npt.assert_allclose(got[row], want, rtol=1e-12)
    every = run(cr.sequence_pool(x, kind), {"x": data})
    npt.assert_allclose(every[3], got[3], rtol=1e-12)
    assert_gradient(cr.sum(y * y), [x], {"x": data, "mask": part})
    assert_second(cr.sum(y * y * y), x, {"x": data, "mask": part})


def test_lengths_pool_as_their_mask_does() -> None:
    x, size = cr.input("x", (4, 2), "float64"), cr.input("size", (), "int32")
    data = R.normal(size=(3, 4, 2))
    got = run(cr.sequence_pool(x, "last", mask=size), {"x": data, "size": [1, 4, 0]})
    npt.assert_array_equal(got, [data[0, 0], data[1, 3], [0, 0]])


# ---------------------------------------------------------------- refusals


def misuses() -> dict[str, tuple[Callable[[], object], type[Exception], str]]:
    x, memory = cr.input("x", (5, 8)), cr.input("memory", (6, 8))
    q, k = cr.input("q", (6, 5, 4)), cr.input("k", (4, 5, 4))
    mha: Callable[..., Node] = cr.multi_head_attention
    e = cr.errors
    return {
        "widths": (lambda: cr.attention(x, memory[..., :4], memory), e.ShapeError,
                   r"(?s)\[attention\] queries and keys differ in width.*\(N, 5, 8\).*\(N, 6, 4\)"),
        "values": (lambda: cr.attention(x, memory, x), e.ShapeError,
                   r"(?s)keys and values differ.*\(N, 6, 8\) and 'x' \(N, 5, 8\)"),
        "groups": (lambda: cr.attention(q, k, k), e.ShapeError,
                   r"(?s)do not divide those of queries.*\(N, 6, 5, 4\).*\(N, 4, 5, 4\)"),
        "leading": (lambda: cr.attention(k, q, q), e.ShapeError, "leading axes"),
        "dtypes": (lambda: cr.attention(x, x, cr.cast(x, "float64")), e.DTypeError, "attention"),
        "causal": (lambda: mha(x, 2, memory=memory, causal=True), e.ShapeError,
                   r"(?s)\[multi_head_attention\] causal.*5 queries and 6 keys"),
        "heads": (lambda: mha(x, 3), e.SettingError,
                  r"(?s)\[multi_head_attention\] the heads do not divide.*heads=3.*head_width=2"),
        "no heads": (lambda: mha(x, 0), e.SettingError, "heads is not an integer of at least 1"),
        "shared": (lambda: mha(x, 4, key_value_heads=3), e.SettingError, "does not divide heads"),
        "positions": (lambda: mha(x, 2, positions="learned"), e.SettingError, "cr.positions"),
        "kind": (lambda: cr.positions(x, "rotary"), e.SettingError, "positions='rotary'"),
        "no axis": (lambda: mha(cr.input("z", (8,)), 2), e.ShapeError,
                    r"(?s)x has no axis of positions.*\(N, 8\).*expand_dims"),
        "mask": (lambda: mha(x, 2, mask=cr.input("m", (4,), "bool")), e.ShapeError,
                 r"(?s)the mask does not fit.*\(N, 2, 5, 5\).*\(N, 4\)"),
        "float mask": (lambda: mha(x, 2, mask=cr.input("m", (5,))), e.DTypeError, "bias="),
        "bool bias": (lambda: mha(x, 2, bias=np.ones((5, 5), bool)), e.DTypeError, "mask="),
        "bias": (lambda: mha(x, 2, bias=np.ones((3, 5, 5))), e.ShapeError, "the bias does not fit"),
        "scale": (lambda: cr.attention(x, x, x, scale=0), e.SettingError, "scale"),
        "odd": (lambda: cr.rotary(cr.input("z", (4, 3))), e.ShapeError, "the width is odd"),
        "norm": (lambda: cr.transformer_encoder(x, 2, norm="batch"), e.SettingError, "'batch'"),
        "pool": (lambda: cr.sequence_pool(x, "median"), e.SettingError, "'median'"),
        "flat pool": (lambda: cr.sequence_pool(cr.input("z", (8,))), e.ShapeError,
                      "not a sequence"),
        "integers": (lambda: mha(cr.input("z", (5, 8), "int32"), 2), e.DTypeError, "embedding"),
    }  # fmt: skip


@pytest.mark.parametrize("misuse", misuses())
def test_misuse(misuse: str) -> None:
    act, kind, text = misuses()[misuse]
    with pytest.raises(kind, match=text):
        act()
