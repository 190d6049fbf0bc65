"""Plain values as JSON and back, bit for bit; and JSON that nobody wrote."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import GraphError
from chainrule.graph.jsonvalues import INLINE, MAX_DEPTH, Decoder, Encoder
from chainrule.types import DTYPES, N


def through(value):
    """The value after a round trip through JSON text, all arrays used."""
    encoder = Encoder()
    text = json.dumps(encoder.encode(value, "v"), allow_nan=False)
    decoder = Decoder(encoder.arrays)
    again = decoder.decode(json.loads(text), "v")
    assert decoder.unused() == []
    return again


def bits(value: float) -> bytes:
    return struct.pack(">d", value)


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
    | st.text(st.characters(exclude_categories=("Cs",)))
    | st.just(N)
)  # fmt: skip
KEYS = st.sampled_from(["a", "", "$tuple", "$", "shape", "é\n"])
VALUES = st.recursive(
    SCALARS,
    lambda x: st.lists(x) | st.lists(x).map(tuple) | st.dictionaries(KEYS, x),
    max_leaves=20,
)


def same(a, b) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return bits(a) == bits(b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a == b


@given(VALUES)
def test_values_come_back_the_same(value):
    assert same(through(value), value)


@pytest.mark.parametrize(
    "pattern", ["7ff8000000000001", "fff8000000000000", "7ff0000000000000", "8000000000000000"]
)
def test_odd_floats_keep_their_bits(pattern):
    value = struct.unpack(">d", bytes.fromhex(pattern))[0]
    assert bits(through(value)).hex() == pattern


ARRAYS = [
    np.array([0.1, -0.0, 1e-45, 3.4e38], np.float32),
    np.array([[5e-324, -1.7e308]], np.float64),
    np.array([np.nan, np.inf, -np.inf], np.float32),
    np.array([2**63 - 1, -(2**63)], np.int64),
    np.array([2**32 - 1], np.uint32),
    np.array(True),
    np.zeros((0, 3)),
    np.zeros((2, 3, 4), np.int32),
    np.arange(40, dtype=np.int32)[::-2].reshape(4, 5).T,
    np.array([0x7FC00123, 0xFF800001], np.uint32).view(np.float32),
]


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_arrays_keep_their_bits(array):
    again = through({"a": array})["a"]
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes()
    assert not again.flags.writeable


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_arrays_stand_in_the_json_and_large_ones_beside_it(dtype):
    for size, beside in ((INLINE, 0), (INLINE + 1, 1)):
        encoder = Encoder()
        encoder.encode(np.ones(size, dtype), "name")
        assert len(encoder.arrays) == beside


def test_arrays_of_one_name_lie_apart():
    encoder = Encoder()
    form = [encoder.encode(np.full(20, k), "w") for k in range(3)]
    assert list(encoder.arrays) == ["w", "w_2", "w_3"]
    again = Decoder(encoder.arrays).decode(form, "v")
    assert [int(x[0]) for x in again] == [0, 1, 2]


@pytest.mark.parametrize("scalar", [np.float32(0.1), np.int64(-3), np.bool_(True)])
def test_numpy_scalars_stay_numpy_scalars(scalar):
    again = through(scalar)
    assert (type(again), again) == (type(scalar), scalar)


def test_float64_scalars_become_floats():
    assert same(through(np.float64(0.1)), 0.1)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({1, 2}, "set"),
        (object(), "object"),
        ({1: 2}, "dict"),
        (b"bytes", "bytes"),
        (2**64, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (np.zeros(2, np.float16), "float16"),
        (np.array(["a"]), "dtype"),
        ("\ud800", "Unicode"),
        ({"\ud800": 1}, "Unicode"),
        (1j, "complex"),
    ],
)
def test_what_cannot_be_written_says_where(value, match):
    with pytest.raises(GraphError, match=match) as caught:
        Encoder().encode({"rates": [0, value]}, "optimizer")
    assert "optimizer.rates[1]" in str(caught.value)


def test_depth_has_a_limit_both_ways():
    deep = 1
    for _ in range(MAX_DEPTH - 1):
        deep = {"$": (deep,)} if _ % 2 else [deep]
    with pytest.raises(GraphError, match="too deep"):
        Encoder().encode([deep] * 1, "v", depth=10)
    nested: object = 0
    for _ in range(MAX_DEPTH - 1):
        nested = {"$": nested}
    assert through(nested) == nested
    form: object = 0
    for _ in range(900):
        form = [form]
    with pytest.raises(GraphError, match="too deep"):
        Decoder({}).decode(form, "v")


BAD = [
    {"$tuple": 3},
    {"$tuple": [1], "more": 2},
    {"$tuple": [1], "$dict": []},
    {"$unknown": 1},
    {"a": 1, "$b": 2},
    {"$batch": "M"},
    {"$batch": None},
    {"$float": "3ff0000000000000"},
    {"$float": "7ff0"},
    {"$float": "xyz"},
    {"$float": 3},
    {"$float": None},
    {"$dict": 3},
    {"$dict": [["a", 1], ["a", 2]]},
    {"$dict": [["a"]]},
    {"$dict": [[1, 2]]},
    {"$dict": ["ab"]},
    {"$scalar": 3},
    {"$scalar": {"$array": {"dtype": "float32", "shape": [1], "data": [1]}}},
    {"$stored": "missing"},
    {"$stored": ["v"]},
    {"$stored": None},
    {"$array": 3},
    {"$array": {"dtype": "float32", "shape": [1]}},
    {"$array": {"dtype": "float32", "shape": [1], "data": [1], "more": 1}},
    {"$array": {"dtype": "object", "shape": [1], "data": [1]}},
    {"$array": {"dtype": ["float32"], "shape": [1], "data": [1]}},
    {"$array": {"dtype": "float32", "shape": [2], "data": [1]}},
    {"$array": {"dtype": "float32", "shape": [-1], "data": [1]}},
    {"$array": {"dtype": "float32", "shape": "1", "data": [1]}},
    {"$array": {"dtype": "float32", "shape": [1.0], "data": [1]}},
    {"$array": {"dtype": "float32", "shape": [10**30, 0], "data": []}},
    {"$array": {"dtype": "float32", "shape": 1, "data": [1]}},
    {"$array": {"dtype": "float32", "shape": [1], "data": ["1"]}},
    {"$array": {"dtype": "float32", "shape": [1], "data": [0.1]}},
    {"$array": {"dtype": "float32", "shape": [1], "data": [1e300]}},
    {"$array": {"dtype": "float32", "shape": [1], "data": [[1]]}},
    {"$array": {"dtype": "float32", "shape": [2], "data": [[1], [1, 2]]}},
    {"$array": {"dtype": "float32", "shape": [1], "data": [None]}},
    {"$array": {"dtype": "int32", "shape": [1], "data": [0.5]}},
    {"$array": {"dtype": "int32", "shape": [1], "data": [2**40]}},
    {"$array": {"dtype": "uint32", "shape": [1], "data": [-1]}},
    {"$array": {"dtype": "float64", "shape": [40], "data": [1] * 40}},
    math.inf,
    math.nan,
    2**64,
    10**4000,
    "\udfff",
    {"\udfff": 1},
]


@pytest.mark.parametrize("form", BAD, ids=lambda form: str(form)[:60].encode("ascii", "replace"))
def test_json_that_nobody_wrote(form):
    with pytest.raises(GraphError) as caught:
        Decoder({}).decode([form], "settings")
    assert "settings[0]" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_stored_arrays_have_a_known_dtype_and_are_used():
    decoder = Decoder({"a": np.zeros(2, np.float16), "b": np.zeros(2)})
    with pytest.raises(GraphError, match="float16"):
        decoder.decode({"$stored": "a"}, "v")
    decoder.decode({"$stored": "b"}, "v")
    assert decoder.unused() == []
    assert Decoder({"c": np.zeros(1)}).unused() == ["c"]
