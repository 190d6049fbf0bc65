"""Shapes with the batch axis in them, and slices drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import ShapeError
from chainrule.graph import Node
from chainrule.types import N, Shape

ROWS = np.arange(24.0).reshape(4, 2, 3)


def value(y: Node, **feeds: Any) -> Any:
    return cr.run(y, feeds).value(y)


@pytest.fixture
def x() -> Node:
    return cr.input("x", (2, 3), dtype="float64")


@pytest.mark.parametrize(
    ("shape", "made", "wanted"),
    [
        ((-1, 6), (N, 6), (4, 6)),
        ((N, -1), (N, 6), (4, 6)),
        ((N, 3, 2), (N, 3, 2), (4, 3, 2)),
        ((-1, 1, 3, 2, 1), (N, 1, 3, 2, 1), (4, 1, 3, 2, 1)),
        ((1, N, 6), (1, N, 6), (1, 4, 6)),
        ([N, 2, -1], (N, 2, 3), (4, 2, 3)),
    ],
)
def test_reshape_leaves_the_rows_apart(
    x: Node, shape: Any, made: Shape, wanted: tuple[int, ...]
) -> None:
    y = cr.reshape(x, shape)
    assert y.shape == made
    npt.assert_array_equal(value(y, x=ROWS), ROWS.reshape(wanted))
    assert value(y, x=ROWS[:0]).shape == (*wanted[: wanted.index(4)], 0, *made[made.index(N) + 1 :])


def test_reshape_where_the_batch_axis_is_not_the_first(x: Node) -> None:
    last = cr.transpose(x, (1, 2, 0))  # (2, 3, N)
    assert cr.reshape(last, (6, -1)).shape == (6, N)
    assert cr.reshape(last, (-1, N)).shape == (6, N)
    wanted = ROWS.transpose(1, 2, 0).reshape(6, 4)
    npt.assert_array_equal(value(cr.reshape(last, (6, N)), x=ROWS), wanted)
    with pytest.raises(ShapeError, match="batch axis N must keep its position"):
        cr.reshape(last, (3, N, 2))


def test_vectors_of_the_batch(x: Node) -> None:
    one = x[:, 0, 0]
    assert cr.reshape(one, N) is one
    assert cr.reshape(one, -1) is one
    assert one.reshape(-1, 1).shape == (N, 1)
    assert cr.squeeze(one.reshape(N, 1, 1)).shape == (N,)


def test_what_changes_nothing_makes_no_node(x: Node) -> None:
    assert x.reshape(-1, 2, 3) is x
    assert x.transpose(0, 1, 2) is x
    assert cr.pad(x, 0) is x
    assert x[...] is x
    assert x[:, 0:2] is x
    assert cr.concat([x]) is x


def test_methods_of_nodes(x: Node) -> None:
    npt.assert_array_equal(value(x.T, x=ROWS), ROWS.T)
    npt.assert_array_equal(value(x.transpose(2, 0, 1), x=ROWS), ROWS.transpose(2, 0, 1))
    npt.assert_array_equal(value(x.reshape(N, 6), x=ROWS), ROWS.reshape(4, 6))
    npt.assert_array_equal(value(x.reshape((-1, 6)), x=ROWS), ROWS.reshape(4, 6))


def test_an_integer_for_pad_spares_the_batch_axis(x: Node) -> None:
    y = cr.pad(x, 1, value=7)
    assert y.shape == (N, 4, 5)
    wanted = np.pad(ROWS, ((0, 0), (1, 1), (1, 1)), constant_values=7)
    npt.assert_array_equal(value(y, x=ROWS), wanted)


def test_pad_keeps_the_dtype() -> None:
    y = cr.pad(cr.constant([1, 2]), 1, value=-1)
    assert y.dtype == "int32"
    npt.assert_array_equal(value(y), [-1, 1, 2, -1])
    low = cr.pad(cr.constant([1.0]), [(0, 1)], value=-np.inf)
    npt.assert_array_equal(value(low), [1.0, -np.inf])


def drawn_key(generator: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """A key of slices with ends in and out of range, integers, None, and perhaps `...`."""

    def end(dim: int) -> int | None:
        return None if generator.random() < 0.3 else int(generator.integers(-dim - 2, dim + 3))

    key: list[Any] = []
    for dim in shape[: generator.integers(0, len(shape) + 1)]:
        if generator.random() < 0.3:
            key.append(int(generator.integers(-dim, dim)))
        else:
            step = int(generator.choice([-3, -2, -1, 1, 2, 3]))
            key.append(slice(end(dim), end(dim), step))
        if generator.random() < 0.2:
            key.append(None)
    if generator.random() < 0.3:
        key.append(...)
    return tuple(key)


@pytest.mark.parametrize("seed", range(40))
def test_drawn_slices_and_their_gradients(seed: int) -> None:
    generator = np.random.default_rng(seed)
    data = generator.normal(size=(4, 1, 5))
    key = drawn_key(generator, data.shape)
    x = cr.parameter("x", data, dtype="float64")
    y = x[key]
    wanted = data[key]
    weights = generator.normal(size=wanted.shape)
    loss = cr.sum(y * cr.constant(weights))
    trace = cr.run([y, loss], {})
    assert y.shape == wanted.shape
    npt.assert_array_equal(trace.value(y), wanted, err_msg=str(key))
    trace.backward(loss)
    expected = np.zeros_like(data)
    expected[key] = weights
    npt.assert_array_equal(trace.gradient(x), expected, err_msg=str(key))


def test_attributes_are_plain() -> None:
    y = cr.reshape(cr.constant(np.zeros((2, 3), "float32")), (np.int64(3), -1))
    assert y.attributes["shape"] == (3, 2)  # type: ignore[attr-defined]
    part = cr.constant(np.zeros((2, 3), "float32"))[np.int32(1), ::2]
    for node in (y, *part.inputs):
        for entry in node.attributes.values():  # type: ignore[attr-defined]
            assert all(type(k) is int for k in entry)
