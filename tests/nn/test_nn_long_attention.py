"""Attention in blocks of queries: what it gives, and what it keeps, against that of all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from nn_check import run

import chainrule as cr
from chainrule.autodiff import gradients
from chainrule.errors import SettingError
from chainrule.graph import Graph, Node

R = np.random.default_rng(4)
LENGTH = 11
MASK = R.random((3, LENGTH, LENGTH)) < 0.6
MASK[:, 4], MASK[1] = False, False
DATA: dict[str, Any] = {
    "x": R.normal(size=(3, LENGTH, 8)),
    "m": R.normal(size=(3, LENGTH + 2, 8)),
    "sizes": np.array([LENGTH, 4, 0]),
    "part": MASK,
    **{name: R.normal(size=(3, 4, LENGTH, 5)) for name in "q"},
    **{name: R.normal(size=(3, 2, LENGTH, 5)) for name in "kv"},
}


def leaf(name: str) -> Node:
    array = DATA[name]
    kind = {"i": "int32", "b": "bool"}.get(array.dtype.kind, "float64")
    return cr.input(name, array.shape[1:], kind)


Build = Callable[[int], tuple[Node, list[Node]]]


def heads(**settings: Any) -> Build:
    """Self-attention, or attention to another sequence; with the inputs to differentiate by."""

    def build(block: int) -> tuple[Node, list[Node]]:
        made = {key: leaf(x) if isinstance(x, str) and x in DATA else x
                for key, x in settings.items()}  # fmt: skip
        x = leaf("x")
        y = cr.multi_head_attention(x, 4, block=block, name="a", **made)
        return y, [x, *(z for z in made.values() if isinstance(z, Node) and z.type.floating)]

    return build


def direct(**settings: Any) -> Build:
    def build(block: int) -> tuple[Node, list[Node]]:
        q, k, v = (leaf(name) for name in "qkv")
        bias = cr.parameter("bias", R_BIAS, dtype="float64")
        made = {key: leaf(x) if isinstance(x, str) else x for key, x in settings.items()}
        y = cr.attention(q, k, v, bias=bias, block=block, name="a", **made)
        return y, [q, k, v, bias]

    return build


R_BIAS = R.normal(size=(4, LENGTH, LENGTH))
CASES: dict[str, Build] = {
    "self": heads(),
    "padded": heads(mask="sizes"),
    "pairs": heads(mask="part"),
    "causal": heads(causal=True, mask="sizes"),
    "grouped": heads(key_value_heads=2, causal=True),
    "cross": heads(memory="m"),
    "relative": heads(positions="relative", causal=True),
    "alibi": heads(positions="alibi", mask="part"),
    "rotary": heads(positions="rotary"),
    "biased": direct(),
    "biased, masked": direct(mask="part", causal=True),
    "biased, padded": direct(mask="sizes", scale=0.3),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("block", [1, 4])
def test_values_and_gradients_are_those_of_all_queries_at_once(case: str, block: int) -> None:
    found = []
    values: dict[str, Any] = {}
    for size in (LENGTH, block):
        y, wrt = CASES[case](size)
        graph = Graph(y)
        wrt = [*wrt, *(p for p in graph.parameters if p not in wrt)]
        values = values or {graph.name(p): R.normal(size=p.shape) for p in graph.parameters}
        first = gradients(cr.sum(cr.sin(y)), wrt)
        second = gradients(cr.sum(first[0] * first[0]), wrt)
        found.append(run([y, *first, *second], DATA, values))
        assert all(np.isfinite(x).all() for x in found[-1])
    size = max(np.abs(x).max() for x in found[0])  # the gradient of a key's bias is 0
    for a, b in zip(*found, strict=True):
        npt.assert_allclose(b, a, rtol=1e-9, atol=1e-12 * max(1, size))


def test_machine_code_trains_to_the_same_model() -> None:
    states = []
    for block in (20, 7):
        x, sizes, t = cr.input("x", (20, 8)), cr.input("sizes", (), "int32"), cr.input("t", (1,))
        h = cr.transformer_encoder(x, 2, mask=sizes, causal=True, block=block, name="b")
        y = cr.dense(cr.sequence_pool(h, mask=sizes), 1, name="y")
        model = cr.Model(outputs=y, loss=cr.squared_error(y, t), seed=0)
        data = {"x": np.sin(np.arange(5 * 20 * 8).reshape(5, 20, 8)), "t": np.ones((5, 1)),
                "sizes": np.array([20, 13, 9, 1, 20])}  # fmt: skip
        model.fit(
            data, epochs=2, batch_size=3, optimizer=cr.SGD(0.01), validation=None, verbose=False
        )
        states.append(model.values | {"y": model.predict(data)})
    for name, value in states[0].items():
        npt.assert_allclose(states[1][name], value, rtol=2e-4, atol=1e-5)


def work(length: int, block: int | None, causal: bool = False) -> int:
    """Bytes between kernels of a training step of two examples."""
    x = cr.input("x", (length, 16))
    y = cr.multi_head_attention(x, 2, block=block, causal=causal)
    model = cr.Model(outputs=y, loss=cr.mean(cr.square(y)), seed=0)
    return model.plan(batch_size=2).memory.work


def test_long_attention_keeps_no_scores_of_all_pairs() -> None:
    pairs = 2 * 2 * 1024 * 1024 * 4
    assert work(1024, 1024) > 2 * pairs
    assert work(1024, None) < pairs
    assert work(1024, None, causal=True) < 1.3 * pairs


def test_the_length_decides() -> None:
    def blocks(length: int) -> int:
        q, k, v = (cr.input(name, (length, 4)) for name in "qkv")
        names = [x.label for x in Graph(cr.attention(q, k, v))]
        return sum(x.endswith(".weights") for x in names)

    assert [blocks(n) for n in (64, 511, 512, 1024, 2048, 8192)] == [1, 1, 8, 8, 16, 32]


def test_code_does_not_grow_with_the_blocks() -> None:
    def functions(length: int) -> int:
        x = cr.input("x", (length, 16))
        y = cr.multi_head_attention(x, 2, block=16)
        model = cr.Model(outputs=y, loss=cr.mean(cr.square(y)), seed=0)
        step = model.plan(batch_size=2).plan
        return len({task.linear for task in step.tasks})

    assert functions(16 * 16) == functions(16 * 9)


def test_a_block_is_a_number_of_queries() -> None:
    q, k, v = (cr.input(name, (8, 4)) for name in "qkv")
    with pytest.raises(SettingError, match="block"):
        cr.attention(q, k, v, block=0)


# ---------------------------------------------------------------- padding that holds NaN


def test_padding_may_hold_nan_where_no_query_sees_it() -> None:
    found = []
    for filler in (0.0, np.nan):
        q, k, v, sizes = (leaf(name) for name in ("q", "k", "v", "sizes"))
        y = cr.attention(q, k, v, mask=sizes)
        data = {**DATA, "k": DATA["k"].copy(), "v": DATA["v"].copy()}
        for row, size in enumerate(DATA["sizes"]):
            data["k"][row, :, size:] = data["v"][row, :, size:] = filler
        found.append(run([y, *gradients(cr.sum(cr.sin(y)), [q, k, v])], data))
    for a, b in zip(*found, strict=True):
        npt.assert_array_equal(a, b)


def test_a_memory_may_hold_nan_in_its_padding() -> None:
    found = []
    for filler in (0.0, np.nan):
        x, memory, sizes = (leaf(name) for name in ("x", "m", "sizes"))
        y = cr.multi_head_attention(x, 2, memory=memory, mask=sizes, name="a")
        data = {**DATA, "m": DATA["m"].copy()}
        for row, size in enumerate(DATA["sizes"]):
            data["m"][row, size:] = filler
        wrt = [x, memory, Graph(y)["a.key.w"], Graph(y)["a.value.b"]]
        found.append(run([y, *gradients(cr.sum(cr.sin(y)), wrt)], data))
    for a, b in zip(*found, strict=True):
        npt.assert_array_equal(a, b)
