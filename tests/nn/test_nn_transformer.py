"""Transformers as models: machine code, threads, files, summaries, tokens, long sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import agreement
import chainrule as cr
from chainrule.graph import Graph, Node
from networks import ROWS, Network

LENGTH, WORDS = 6, 11
Arrays = dict[str, Any]


def reader(*, blocks: int = 1, **options: Any) -> tuple[Node, Node]:
    """Logits for padded sequences of tokens, and their loss."""
    tokens, size = cr.input("tokens", (LENGTH,), "int32"), cr.input("size", (), "int32")
    h = cr.embedding(tokens, WORDS, 8, name="words", dtype=options.pop("dtype", "float32"))
    h = cr.positions(h, "learned", name="positions")
    for k in range(blocks):
        h = cr.transformer_encoder(h, 2, hidden=12, mask=size, name=f"block{k}", **options)
    logits = cr.dense(cr.sequence_pool(h, "mean", mask=size, name="pool"), 3, name="logits")
    t = cr.input("t", (), "int32")
    return logits, cr.cross_entropy(logits, t)


def data_of(rows: int) -> Arrays:
    numbers = np.random.default_rng(8)
    sizes = numbers.integers(0, LENGTH + 1, rows)
    return {
        "tokens": numbers.integers(0, WORDS, (rows, LENGTH)).astype("int32"),
        "size": sizes.astype("int32"), "t": (sizes % 3).astype("int32"),
    }  # fmt: skip


CASES: dict[str, Arrays] = {
    "pre": {"dropout": 0.1},
    "post": {"norm_first": False, "activation": "relu"},
    "rotary": {"positions": "rotary", "activation": "swiglu", "norm": "rms"},
    "relative": {"positions": "relative", "activation": "geglu", "key_value_heads": 1},
    "alibi": {"positions": "alibi", "causal": True, "dtype": "float64"},
}


@pytest.mark.parametrize("case", CASES)
def test_machine_code_trains_as_the_interpreter_does(case: str) -> None:
    """With the same bits for any number of threads; some sequences are empty."""
    logits, loss = reader(**CASES[case])
    data = data_of(ROWS)
    data["size"][:3] = 0
    batches = [np.arange(9), np.array([0]), np.arange(3, ROWS, 5)]
    network = Network(loss, [logits], data, cr.Adam(), {}, batches, [0.01] * 3, 5)
    agreement.check(network)
    agreement.check_prediction(network)


def second_order(x: Node) -> tuple[Node, Node]:
    """A loss with the gradient of the attention in it."""
    part = cr.input("part", (5,), "bool")
    y = cr.multi_head_attention(x, 2, mask=part, name="a")
    (g,) = cr.gradients(cr.sum(y * y), [x])
    return y, cr.mean(cr.square(g)) + cr.mean(cr.square(y))


def test_machine_code_of_a_gradient_in_a_loss() -> None:
    x = cr.input("x", (5, 4), "float64")
    y, loss = second_order(x)
    numbers = np.random.default_rng(8)
    data = {"x": numbers.normal(size=(ROWS, 5, 4)), "part": numbers.random((ROWS, 5)) < 0.5}
    data["part"][0] = False
    agreement.check(Network(loss, [y], data, cr.SGD(), {}, [np.arange(7)] * 2, [1e-3] * 2, 1))


def test_a_model_reads_its_file_back(tmp_path: Path) -> None:
    logits, loss = reader(blocks=2, positions="relative", causal=True)
    model = cr.Model(outputs=logits, loss=loss, seed=0)
    data = data_of(64)
    model.fit(data, epochs=2, verbose=False)
    model.save(tmp_path / "m")
    other = cr.load(tmp_path / "m")
    fed = {name: data[name] for name in ("tokens", "size")}
    npt.assert_array_equal(model.predict(fed), other.predict(fed))
    model.fit(data, epochs=1, verbose=False)
    other.fit(data, epochs=1, verbose=False)
    npt.assert_array_equal(model.predict(fed), other.predict(fed))


def test_a_summary_names_the_layers() -> None:
    rows = {row.name: (row.what, row.parameters) for row in cr.summary(reader()[0]).rows}
    assert rows["words"] == ("embedding", WORDS * 8)
    assert rows["positions"] == ("positions", LENGTH * 8)
    assert rows["block0.attention"] == ("multi_head_attention", 4 * (8 * 8 + 8))
    assert rows["block0.norm1"] == ("layer_norm", 16)
    assert rows["block0.hidden"] == ("dense, gelu", 8 * 12 + 12)
    assert rows["pool"][1] == 0


def test_layers_stand_in_a_sequence() -> None:
    x = cr.input("tokens", (LENGTH,), "int64")
    y = cr.sequential(
        x,
        cr.layer.embedding(WORDS, 8),
        cr.layer.positions(),
        cr.layer.transformer_encoder(2, causal=True),
        cr.layer.multi_head_attention(2, positions="rotary"),
        cr.layer.swiglu(6),
        cr.layer.sequence_pool("last"),
    )
    assert y.shape == (cr.N, 6)
    kinds = [row.what for row in cr.summary(y).rows]
    assert kinds.count("multi_head_attention") == 2
    assert {"embedding", "positions", "gated dense"} <= set(kinds)


def test_weights_are_read_by_name() -> None:
    """They are 0 for padding, and add up to 1."""
    logits, _ = reader()
    data = {name: x for name, x in data_of(3).items() if name != "t"} | {"size": [6, 2, 0]}
    weights = cr.run(logits, data).value("block0.attention.weights")
    assert weights.shape == (3, 2, LENGTH, LENGTH)
    npt.assert_allclose(weights.sum(-1)[:2], 1, rtol=1e-6)
    assert (weights[1, :, :, 2:] == 0).all()
    assert (weights[2] == 0).all()


def test_every_parameter_is_trained() -> None:
    logits, loss = reader(positions="relative", activation="geglu")
    graph = Graph(loss)
    assert all(x.trainable for x in graph.parameters)
    model = cr.Model(outputs=logits, loss=loss, seed=0)
    before = {name: np.array(x) for name, x in model.values.items()}
    model.fit(data_of(64), epochs=1, verbose=False)
    moved = {name for name, x in model.values.items() if (x != before[name]).any()}
    # the softmax does not change when all of its scores grow by the same
    assert moved >= set(before) - {"block0.attention.key.b"}
