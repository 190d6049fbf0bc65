"""last_equal, is_last, add_at, read_at, put_rows against one entry after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import DTypeError, FeedError, ShapeError
from chainrule.graph import Graph, Node
from chainrule.interpret import evaluate
from chainrule.ops.rows import add_at, is_last, last_equal, put_rows, read_at

Array = np.ndarray[Any, Any]
ROWS, SIZE = 7, 5
NUMBERS = np.random.default_rng(3)


def drawn(lookups: int, *rest: int, dtype: str = "float64") -> tuple[Array, Array]:
    """Indices with many equal ones, and a slice for each."""
    indices = NUMBERS.integers(0, SIZE, (ROWS, lookups)).astype("int32")
    return indices, NUMBERS.normal(size=(ROWS, lookups, *rest)).astype(dtype)


def evaluated(outputs: list[Node], given: dict[Node, Array]) -> list[Array]:
    env = evaluate(Graph(outputs), given, rows=ROWS)
    return [env[x] for x in outputs]


@pytest.mark.parametrize("rest", [(), (3,), (2, 1)], ids=str)
@pytest.mark.parametrize("lookups", [1, 4])
def test_sums_of_equal_indices(lookups: int, rest: tuple[int, ...]) -> None:
    indices, x = drawn(lookups, *rest)
    index = cr.input("index", (lookups,), dtype="int32")
    node = cr.input("x", (lookups, *rest), dtype="float64")
    at = last_equal(index, SIZE)
    total = add_at(node, at)
    outputs = [at, is_last(at), total, read_at(total, at)]
    found = evaluated(outputs, {index: indices, node: x})
    entries = list(np.ndindex(ROWS, lookups))
    for place in entries:
        equal = [other for other in entries if indices[other] == indices[place]]
        last = max(equal)
        assert found[0][place] == last[0] * lookups + last[1]
        assert found[1][place] == (place == last)
        npt.assert_allclose(found[3][place], sum(x[other] for other in equal), rtol=1e-12)
        if place != last:
            npt.assert_array_equal(found[2][place], np.zeros(rest))
    for node, value in zip(outputs, found, strict=True):
        assert str(value.dtype) == node.dtype


@pytest.mark.parametrize("lookups", [1, 3])
def test_rows_are_put_into_a_copy(lookups: int) -> None:
    indices, _ = drawn(lookups)
    rows = np.stack([indices * 10.0, indices * 10.0 + 1], axis=-1)
    table = np.full((SIZE + 1, 2), -1.0)
    index = cr.input("index", (lookups,), dtype="int32")
    x, y = cr.parameter("table", table, dtype="float64"), cr.input("y", (lookups, 2), "float64")
    before = table.copy()
    (found,) = evaluated([put_rows(x, index, y)], {x: table, index: indices, y: rows})
    for k in range(SIZE + 1):
        npt.assert_array_equal(found[k], [10 * k, 10 * k + 1] if k in indices else [-1, -1])
    npt.assert_array_equal(table, before)


def test_float32_is_added_up_in_float64() -> None:
    x = np.array([[[1e8]], [[1.0]], [[-1e8]], [[1.0]]], "float32")
    node, at = cr.input("x", (1, 1)), cr.input("at", (1,), dtype="int32")
    total = add_at(node, at)
    env = evaluate(Graph(total), {node: x, at: np.zeros((4, 1), "int32")}, rows=4)
    npt.assert_array_equal(env[total][:, 0, 0], [2.0, 0.0, 0.0, 0.0])


def test_misuse() -> None:
    codes, wrong = cr.input("codes", (3,), dtype="int32"), cr.input("x", (3,))
    table = cr.parameter("table", np.zeros((4, 2)))
    with pytest.raises(DTypeError, match="indices are integers"):
        last_equal(wrong, 4)
    with pytest.raises(ShapeError, match="two axes"):
        last_equal(cr.input("code", (), dtype="int32"), 4)
    with pytest.raises(ShapeError, match="first axes differ"):
        add_at(cr.input("y", (2, 2)), codes)
    with pytest.raises(ShapeError, match="rows do not fit"):
        put_rows(table, codes, wrong)
    with pytest.raises(DTypeError, match="indices are integers"):
        put_rows(table, wrong, wrong)
    for made in (last_equal(codes, 4), put_rows(table, codes, cr.input("y", (3, 2)))):
        given = {codes: np.array([[0, 1, 4]], "int32"), table: np.zeros((4, 2), "float32")}
        given |= {x: np.zeros((1, 3, 2), "float32") for x in Graph(made).inputs if x is not codes}
        with pytest.raises(FeedError, match="out of range"):
            evaluate(Graph(made), given, rows=1)
