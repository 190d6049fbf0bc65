"""Reductions where rounding, overflow, zeros and missing rows would spoil them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import FeedError
from chainrule.graph import Node
from chainrule.types import N

Array = np.ndarray[Any, Any]


def value(y: Node, /, **feeds: Any) -> Array:
    return cr.run(y, feeds).value(y)


def gradient(y: Node, wrt: Node, /, **feeds: Any) -> Array:
    (g,) = cr.gradients(y, [wrt])
    return cr.run([y, g], feeds).value(g)


def test_long_sums_of_float32_lose_nothing() -> None:
    data = np.random.default_rng(0).uniform(0, 1, 300_000).astype("float32")
    exact = math.fsum(data.tolist())
    x = cr.constant(data)
    assert float(value(cr.sum(x))) == np.float32(exact)
    assert float(value(cr.mean(x))) == np.float32(exact / data.size)
    assert float(value(cr.cumsum(x, 0))[-1]) == np.float32(exact)
    assert float(value(cr.sum(cr.constant([1e8, 1.0, -1e8])))) == 1.0


def test_a_mean_does_not_overflow_where_its_sum_would() -> None:
    assert float(value(cr.mean(cr.constant([3e38, 3e38])))) == np.float32(3e38)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_var_and_std_of_large_equal_offsets(dtype: str) -> None:
    """The variance of 4, 7, 13, 16 is 22.5, wherever they are moved to."""
    offset = {"float32": 2.0**23, "float64": 1e15}[dtype]
    data = np.array([4, 7, 13, 16], dtype) + np.asarray(offset, dtype)
    x = cr.parameter("x", data, dtype=dtype)
    assert float(value(cr.var(x))) == 22.5
    assert float(value(cr.var(x, ddof=1))) == 30.0
    npt.assert_allclose(value(cr.std(x)), math.sqrt(22.5), 1e-7)
    npt.assert_allclose(gradient(cr.var(x), x), [-3.0, -1.5, 1.5, 3.0], 1e-6)
    wanted = np.array([-6.0, -3.0, 3.0, 6.0]) / (4 * math.sqrt(22.5))
    npt.assert_allclose(gradient(cr.std(x), x), wanted, 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponentials_far_out(dtype: str) -> None:
    x = cr.parameter("x", [[1e4, 1e4 - 1], [-1e4, -1e4 - 1]], dtype=dtype)
    tail = math.log1p(math.exp(-1))
    top = 1 / (1 + math.exp(-1))
    npt.assert_allclose(value(cr.logsumexp(x, 1)), [1e4 + tail, -1e4 + tail], 1e-7)
    npt.assert_allclose(value(cr.softmax(x)), [[top, 1 - top]] * 2, 1e-6)
    npt.assert_allclose(value(cr.log_softmax(x)), [[-tail, -1 - tail]] * 2, 1e-6)
    npt.assert_allclose(gradient(cr.sum(cr.logsumexp(x, 1)), x), [[top, 1 - top]] * 2, 1e-6)
    npt.assert_allclose(
        gradient(cr.sum(cr.log_softmax(x)[:, 0]), x), [[1 - top, top - 1]] * 2, 1e-6
    )


def test_masked_rows_of_a_softmax_stay_finite_backward() -> None:
    x = cr.parameter("x", [[0.0, -np.inf], [-np.inf, -np.inf]])
    picked = cr.softmax(x) * cr.constant([[1.0, 2.0], [3.0, 4.0]])
    npt.assert_array_equal(gradient(cr.sum(picked), x), np.zeros((2, 2)))


@pytest.mark.parametrize("zeros", [(), (1,), (0, 2), (0, 1, 2, 3)])
def test_derivatives_of_a_product_with_zeros(zeros: tuple[int, ...]) -> None:
    """Orders 1 to 3 against the products of what is left over."""
    data = np.array([2.0, -3.0, 5.0, 0.5])
    data[list(zeros)] = 0

    def left(*without: int) -> float:
        distinct = len(set(without)) == len(without)
        return math.prod(np.delete(data, without)) if distinct else 0.0

    x = cr.parameter("x", data, dtype="float64")
    (first,) = cr.gradients(cr.prod(x), [x])
    npt.assert_allclose(value(first), [left(i) for i in range(4)])
    for i in range(4):
        (second,) = cr.gradients(first[i], [x])
        npt.assert_allclose(value(second), [left(i, j) for j in range(4)])
        for j in range(4):
            (third,) = cr.gradients(second[j], [x])
            npt.assert_allclose(value(third), [left(i, j, k) for k in range(4)])


@pytest.mark.parametrize("shape", [(5, 0), (0, 5), (0, 0)])
def test_derivatives_of_products_of_nothing(shape: tuple[int, int]) -> None:
    x = cr.parameter("x", np.zeros(shape), dtype="float64")
    (first,) = cr.gradients(cr.sum(cr.prod(x, 0) ** 2), [x])
    (second,) = cr.gradients(cr.sum(first), [x])
    assert value(first).shape == value(second).shape == shape


def test_product_over_the_batch_axis_with_a_zero() -> None:
    x = cr.input("x", (2,), dtype="float64")
    rows = [[2.0, 0.0], [3.0, 5.0], [4.0, 7.0]]
    npt.assert_array_equal(value(cr.prod(x, 0), x=rows), [24.0, 0.0])
    found = gradient(cr.sum(cr.prod(x, 0)), x, x=rows)
    npt.assert_array_equal(found, [[12.0, 35.0], [8.0, 0.0], [6.0, 0.0]])


def test_norm_of_tiny_vectors() -> None:
    x = cr.parameter("x", [3e-200, 4e-200], dtype="float64")
    npt.assert_allclose(value(cr.norm(x)), 5e-200)
    npt.assert_allclose(gradient(cr.norm(x), x), [0.6, 0.8])


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_means_over_the_batch_axis_divide_by_the_rows_fed(rows: int) -> None:
    x = cr.input("x", (2,), dtype="float64")
    data = np.arange(2.0 * rows).reshape(rows, 2) + 1
    npt.assert_allclose(gradient(cr.mean(x * x), x, x=data), data / rows)
    npt.assert_allclose(gradient(cr.sum(cr.mean(x * x, 0)), x, x=data), 2 * data / rows)
    apart = data - data.mean(0)
    npt.assert_allclose(gradient(cr.sum(cr.var(x, 0)), x, x=data), 2 * apart / rows, atol=1e-12)


def test_sample_variance_of_one_row_is_unknown() -> None:
    x = cr.input("x", ())
    assert np.isnan(value(cr.var(x, ddof=1), x=[2.0]))
    assert value(cr.var(x, ddof=1), x=[2.0, 4.0]) == 2.0


NEEDS_ROWS = [cr.mean, cr.max, cr.min, cr.var, cr.std, cr.argmax, cr.argmin]


@pytest.mark.parametrize("function", NEEDS_ROWS, ids=lambda f: f.__name__)
def test_reductions_that_need_a_row_say_so(function: Callable[..., Node]) -> None:
    x = cr.input("x", (3,))
    with pytest.raises(FeedError, match="no rows"):
        value(function(x, 0), x=np.zeros((0, 3)))
    assert value(function(x, 1), x=np.zeros((0, 3))).shape == (0,)


def test_reductions_that_need_none() -> None:
    x = cr.input("x", ())
    reductions = (cr.sum, cr.prod, cr.norm, cr.logsumexp)
    assert [float(value(f(x), x=[])) for f in reductions] == [0.0, 1.0, 0.0, -math.inf]


def test_the_batch_axis_anywhere() -> None:
    x = cr.input("x", (2, 3), dtype="float64")
    data = np.random.default_rng(1).normal(size=(4, 2, 3))
    last = x.transpose(1, 2, 0)  # (2, 3, N)
    assert cr.sum(last, -1).shape == (2, 3)
    assert cr.sum(last, 0, keepdims=True).shape == (1, 3, N)
    for function, plain in ((cr.sum, np.sum), (cr.max, np.max), (cr.std, np.std)):
        npt.assert_allclose(value(function(last, (0, 2)), x=data), plain(data, axis=(0, 1)))
    pairs = cr.matmul(x[:, 0], x[:, 0].T)  # (N, N)
    assert pairs.shape == (N, N)
    npt.assert_allclose(value(cr.mean(pairs, 1), x=data), (data[:, 0] @ data[:, 0].T).mean(1))
    found = gradient(cr.sum(cr.max(pairs, 0)), x, x=data)
    assert found.shape == data.shape
    npt.assert_array_equal(found[:, 1], np.zeros((4, 3)))


def test_axes_may_be_numpy_integers_and_attributes_stay_plain() -> None:
    x = cr.constant(np.ones((2, 3), "float32"))
    y = cr.sum(x, np.int64(-1))
    assert y.attributes["axis"] == (1,)  # type: ignore[attr-defined]
    assert type(y.attributes["axis"][0]) is int  # type: ignore[attr-defined]


def test_methods_of_nodes() -> None:
    data = np.array([[1.0, 4.0], [9.0, 2.0]])
    x = cr.constant(data)
    npt.assert_array_equal(value(x.sum(0)), [10.0, 6.0])
    npt.assert_array_equal(value(x.mean(1, keepdims=True)), [[2.5], [5.5]])
    npt.assert_array_equal(value(x.max()), 9.0)
    npt.assert_array_equal(value(x.min(axis=(0, 1))), 1.0)
