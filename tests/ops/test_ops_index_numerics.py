"""Look-ups whose indices come from data: out of range, repeated, of any integer kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import FeedError
from chainrule.graph import Node
from chainrule.types import N

TABLE = np.arange(12.0).reshape(4, 3)


def looked_up(k: Node) -> Node:
    return cr.take(cr.parameter("table", TABLE), k)


def gathered(k: Node) -> Node:
    return cr.gather(cr.broadcast_to(cr.constant(np.arange(4.0)), (N, 4)), cr.expand_dims(k, 1))


def encoded(k: Node) -> Node:
    return cr.one_hot(k, 4)


@pytest.mark.parametrize(
    ("name", "use"), [("take", looked_up), ("gather", gathered), ("one_hot", encoded)]
)
@pytest.mark.parametrize("wrong", [-1, 4, 2**31 - 1, -(2**31)])
def test_an_index_out_of_range_names_op_row_and_range(
    name: str, use: Callable[[Node], Node], wrong: int
) -> None:
    k = cr.input("k", (), dtype="int32")
    with pytest.raises(FeedError) as caught:
        cr.run(use(k), {"k": [0, 3, wrong, -7]})
    error = caught.value
    assert (error.where, error.expected, error.got) == (name, "0 to 3", wrong)
    assert "row 2" in str(error.at)


def test_the_place_within_a_row_is_named() -> None:
    k = cr.input("k", (2, 2), dtype="int64")
    with pytest.raises(FeedError, match=r"row 1, element \(0, 1\)"):
        cr.run(looked_up(k), {"k": [[[0, 1], [2, 3]], [[0, 9], [9, 9]]]})


def test_an_empty_table_has_nothing_to_look_up() -> None:
    k = cr.input("k", (), dtype="int32")
    table = cr.constant(np.zeros((0, 3), "float32"))
    assert cr.run(cr.take(table, k), {"k": []}).rows == 0
    with pytest.raises(FeedError, match="there are no elements"):
        cr.run(cr.take(table, k), {"k": [0]})


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32"])
def test_any_integers_are_indices(dtype: str) -> None:
    k = cr.constant(np.array([3, 0, 3]), dtype)
    y = looked_up(k)
    npt.assert_array_equal(cr.run(y, {}).value(y), TABLE[[3, 0, 3]])


def test_repeated_indices_add_up_their_gradients() -> None:
    table = cr.parameter("table", TABLE)
    k = cr.input("k", (2,), dtype="int32")
    y = cr.take(table, k)
    assert y.shape == (N, 2, 3)
    loss = cr.sum(y * cr.constant([1.0, 10.0, 100.0]))
    trace = cr.run(loss, {"k": [[1, 1], [1, 3]]})
    trace.backward(loss)
    per_use = np.array([1.0, 10.0, 100.0])
    wanted = [0 * per_use, 3 * per_use, 0 * per_use, per_use]
    npt.assert_array_equal(trace.gradient(table), wanted)


def test_many_small_gradients_of_one_row_lose_nothing() -> None:
    count = 100_000
    table = cr.parameter("table", [0.0])
    y = cr.take(table, np.zeros(count, "int32"))
    loss = cr.sum(y * np.float32(0.1))
    trace = cr.run(loss, {})
    trace.backward(loss)
    assert trace.gradient(table)[0] == np.float32(count * float(np.float32(0.1)))


def test_the_class_of_each_row_is_gathered() -> None:
    x, t = cr.input("x", (3,), dtype="float64"), cr.input("t", (), dtype="int32")
    y = cr.gather(x, cr.expand_dims(t, 1))
    assert y.shape == (N, 1)
    loss = cr.sum(y * y)
    data = np.arange(6.0).reshape(2, 3)
    trace = cr.run(loss, {"x": data, "t": [2, 0]})
    trace.backward(loss)
    npt.assert_array_equal(trace.value(y), [[2.0], [3.0]])
    npt.assert_array_equal(trace.gradient(x), [[0, 0, 4], [6, 0, 0]])


def test_rows_chosen_from_the_batch_itself() -> None:
    x, k = cr.input("x", (2,), dtype="float64"), cr.input("k", (), dtype="int32")
    y = cr.take(x, k)
    data = np.arange(6.0).reshape(3, 2)
    npt.assert_array_equal(cr.run(y, {"x": data, "k": [2, 2, 0]}).value(y), data[[2, 2, 0]])
    with pytest.raises(FeedError, match="0 to 2"):
        cr.run(y, {"x": data, "k": [0, 0, 3]})


def test_argmax_makes_indices() -> None:
    x: Any = cr.input("x", (3,))
    y = cr.gather(x, cr.argmax(x, 1, keepdims=True))
    found = cr.run(y, {"x": [[1, 5, 5], [7, 2, 3]]}).value(y)
    npt.assert_array_equal(found, [[5.0], [7.0]])
