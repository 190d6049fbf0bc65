"""Indices that come out of a reduction choose the right elements in `predict` and `evaluate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr

Array = np.ndarray[Any, Any]
ROWS = 21


def middle(x: Any, axis: int, keepdims: bool) -> Any:
    """An index made of a mean, of a node."""
    mean = cr.tanh(cr.mean(x, axis, keepdims=keepdims) + 0.137)
    return cr.cast(cr.floor(0.4999 * x.shape[axis] * (1 + mean)), "int32")


def numpy_middle(x: Array, axis: int, keepdims: bool) -> Array:
    mean = np.tanh(x.mean(axis, keepdims=keepdims) + 0.137)
    return np.floor(0.4999 * x.shape[axis] * (1 + mean)).astype(int)


INDICES: dict[str, tuple[Callable[..., Any], Callable[..., Array]]] = {
    "argmax": (cr.argmax, np.argmax),
    "argmin": (cr.argmin, np.argmin),
    "mean": (middle, numpy_middle),
    "another": (
        lambda x, **k: 0 - cr.argmax(x, **k) + (x.shape[k["axis"]] - 1),
        lambda x, **k: x.shape[k["axis"]] - 1 - np.argmax(x, **k),
    ),
}


def test_the_second_of_two_columns() -> None:
    x = cr.input("x", (2, 2))
    model = cr.Model(outputs=cr.gather(x, cr.argmax(x, axis=1, keepdims=True), axis=1))
    got = model.predict({"x": np.arange(8.0).reshape(2, 2, 2)})
    npt.assert_array_equal(got.ravel(), [2, 3, 6, 7])


@pytest.mark.parametrize("kind", INDICES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 1), (1, 7), (5, 17), (9, 33), (40, 8)])
@pytest.mark.parametrize("axis", [1, 2])
def test_gathering_by_an_index_made_of_the_same(
    kind: str, shape: tuple[int, int], axis: int
) -> None:
    node, array = INDICES[kind]
    x, t = cr.input("x", shape), cr.input("t", shape)
    picked = cr.gather(x, node(x, axis=axis, keepdims=True), axis=axis)
    model = cr.Model(outputs=picked, loss=cr.squared_error(x - picked, t))
    data = np.random.default_rng(3).normal(size=(ROWS, *shape)).astype("float32")
    want = np.take_along_axis(data, array(data, axis=axis, keepdims=True), axis)
    npt.assert_array_equal(model.predict({"x": data}), want)
    npt.assert_array_equal(model.predict({"x": data[:1]}), want[:1])
    loss = model.evaluate({"x": data, "t": np.zeros_like(data)})["loss"]
    squares = np.square(data - want, dtype="float64")
    assert loss == pytest.approx(squares.mean(), rel=1e-5)


@pytest.mark.parametrize("kind", INDICES)
@pytest.mark.parametrize("width", [1, 2, 7, 17, 40])
def test_looking_up_by_an_index_made_of_a_row(kind: str, width: int) -> None:
    node, array = INDICES[kind]
    table = np.random.default_rng(4).normal(size=(width, 5)).astype("float32")
    x = cr.input("x", (width,))
    looked = cr.take(cr.parameter("table", table), node(x, axis=1, keepdims=False), axis=0)
    data = np.random.default_rng(5).normal(size=(ROWS, width)).astype("float32")
    want = table[array(data, axis=1, keepdims=False)]
    npt.assert_array_equal(cr.Model(outputs=looked).predict({"x": data}), want)


def test_an_index_among_all_rows_chooses_a_row() -> None:
    x = cr.input("x", (3,))
    best = cr.gather(x, cr.argmax(x, axis=0, keepdims=True), axis=0)
    model = cr.Model(outputs=x * 0 + best)
    data = np.random.default_rng(6).normal(size=(ROWS, 3)).astype("float32")
    npt.assert_array_equal(model.predict({"x": data}), np.broadcast_to(data.max(0), (ROWS, 3)))
