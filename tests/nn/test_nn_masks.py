"""Masks: each layer of sequences takes booleans, lengths, or one mask for all examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DTypeError, ShapeError
from chainrule.nn.combine import COMBINE

R = np.random.default_rng(3)
DATA = R.normal(size=(3, 4, 2))
LENGTHS = np.array([4, 2, 0])
FRONT = np.arange(4) < LENGTHS[:, None]

Layer = Callable[[cr.Node, Any], cr.Node]
LAYERS: dict[str, Layer] = {
    "attention": lambda x, mask: cr.attention(x, x, x, mask=mask),
    "mean": lambda x, mask: cr.sequence_pool(x, "mean", mask=mask),
    "max": lambda x, mask: cr.sequence_pool(x, "max", mask=mask),
    "first": lambda x, mask: cr.sequence_pool(x, "first", mask=mask),
    "rnn": lambda x, mask: cr.rnn(x, 2, mask=mask, init=0.5, recurrent_init=0.2, bias=0.1),
}


def value(layer: Layer, mask: object, fed: object = None) -> np.ndarray:
    x = cr.input("x", (4, 2), dtype="float64")
    y, feeds = layer(x, mask), {"x": DATA}
    return cr.run(y, feeds if fed is None else feeds | {"m": np.asarray(fed)}).value(y)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_lengths_are_the_mask_of_their_front(name: str, dtype: str) -> None:
    layer = LAYERS[name]
    by_mask = value(layer, cr.input("m", (4,), dtype="bool"), FRONT)
    by_length = value(layer, cr.input("m", (), dtype=dtype), LENGTHS.astype(dtype))
    np.testing.assert_array_equal(by_length, by_mask)
    assert np.abs(by_mask - value(layer, np.ones(4, bool))).max() > 0.01


@pytest.mark.parametrize("name", LAYERS)
def test_a_constant_mask_is_that_of_all_examples(name: str) -> None:
    some = np.array([False, True, True, False])
    one = value(LAYERS[name], some)
    each = value(LAYERS[name], cr.input("m", (4,), dtype="bool"), np.tile(some, (3, 1)))
    np.testing.assert_array_equal(one, each)


@pytest.mark.parametrize("name", LAYERS)
def test_errors_of_masks_have_the_same_words(name: str) -> None:
    x, layer = cr.input("x", (4, 2)), LAYERS[name]
    with pytest.raises(DTypeError, match=r"True for what takes part; or integer lengths, \(N,\)"):
        layer(x, cr.input("m", (4,)))
    with pytest.raises(ShapeError, match=r"the mask does not fit(.|\n)*\(N, 3\)"):
        layer(x, cr.input("m", (3,), dtype="bool"))


@pytest.mark.parametrize("kind", COMBINE)
def test_a_bag_and_a_sequence_are_combined_alike(kind: str) -> None:
    codes, counts = cr.input("codes", (4,), dtype="int32"), cr.input("m", (4,), dtype="bool")
    table = R.normal(size=(6, 2))
    settings: dict[str, Any] = {"init": table, "dtype": "float64"}
    bag = cr.embedding_bag(codes, 6, 2, combine=kind, mask=counts, name="a", **settings)
    rows = cr.embedding(codes, 6, 2, name="b", **settings)
    pooled = cr.sequence_pool(rows, kind, mask=counts)
    trace = cr.run([bag, pooled], {"codes": R.integers(0, 6, (3, 4)), "m": FRONT})
    np.testing.assert_array_equal(trace.value(bag), trace.value(pooled))
    assert not trace.value(bag)[2].any()


@pytest.mark.parametrize("kind", ["mean", "max", "sum", "first", "last"])
def test_the_summary_knows_pooling_under_a_mask(kind: str) -> None:
    x, length = cr.input("x", (4, 2)), cr.input("length", (), dtype="int32")
    y = cr.sequence_pool(x, kind, mask=length, name="pooled")
    assert cr.Model(y).summary().rows[-1].what == "sequence_pool"
