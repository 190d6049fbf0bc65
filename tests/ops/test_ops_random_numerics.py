"""Randomness: the published vectors of Philox, and what dropout and the modes promise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.autodiff import gradients
from chainrule.errors import GraphError, ShapeError
from chainrule.graph import Graph, Node
from chainrule.ops.mode import count, stop_gradient, tracked, when_training
from chainrule.ops.random import philox, uniform
from chainrule.types import N

Array = np.ndarray[Any, Any]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(
    ("counter", "key", "wanted"),
    [
        ("0 0 0 0", "0 0", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (
            "ffffffff ffffffff ffffffff ffffffff",
            "ffffffff ffffffff",
            "408f276d 41c83b0e a20bc7c6 6d5451fd",
        ),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_published_words(counter: str, key: str, wanted: str) -> None:
    """The known-answer vectors of the Random123 distribution for philox4x32-10."""
    c0, c1, c2, c3 = (np.array([w], "uint32") for w in words(counter))
    k0, k1 = words(key)
    assert [int(w[0]) for w in philox((c0, c1, c2, c3), (k0, k1))] == words(wanted)


def draw(node: Node, rows: int = 0, **how: Any) -> Array:
    feeds = {"x": np.zeros(rows)} if rows else {}
    nodes = [node, cr.input("x")] if rows else [node]
    return cr.run(nodes, feeds, **how).value(node)


def test_uniform_is_uniform() -> None:
    u = draw(uniform((400, 257), "float64"))
    assert u.min() >= 0
    assert u.max() < 1
    npt.assert_array_equal(u * 2**24, np.floor(u * 2**24))
    spread = 1 / np.sqrt(u.size)
    assert abs(u.mean() - 1 / 2) < 4 * spread * np.sqrt(1 / 12)
    assert abs(u.var() - 1 / 12) < 4 * spread * np.sqrt(1 / 180)
    shares = np.histogram(u, 16, (0, 1))[0] / u.size
    npt.assert_allclose(shares, 1 / 16, atol=4 * spread / 4)


def related(a: Array, b: Array) -> bool:
    """Whether two draws are correlated beyond what chance explains."""
    return bool(abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) > 4.5 / np.sqrt(a.size))


def test_draws_are_independent() -> None:
    a, b = uniform((200, 64), "float64"), uniform((200, 64), "float64")
    trace = cr.run([a, b], {})
    first = trace.value(a)
    others = {
        "another node": trace.value(b),
        "the next step": draw(a, step=1),
        "another seed": draw(a, seed=1),
        "a seed that differs above 32 bits": draw(a, seed=2**32),
        "the next row": np.roll(first, 1, 0),
        "the next column": np.roll(first, 1, 1),
        "the next word of four": np.roll(first, 4, 1),
    }
    for what, other in others.items():
        assert not related(first, other), what
    assert related(first, first + 0.0)
    npt.assert_array_equal(first, draw(a))


def test_a_name_keeps_its_numbers() -> None:
    """The stream is that of the name, so that a node added elsewhere changes nothing."""
    named = uniform((8,)).named("noise")
    alone = draw(named)
    npt.assert_array_equal(alone, draw(uniform((8,)).named("noise")))
    first = uniform((8,))
    npt.assert_array_equal(alone, cr.run([first, named], {}).value(named))


@pytest.mark.parametrize("width", [0, 1, 2, 3, 4, 5, 8, 9])
def test_an_element_depends_on_row_and_column_alone(width: int) -> None:
    wide = draw(uniform((6, 12)).named("u"))
    narrow = draw(uniform((N, width)).named("u"), rows=4)
    npt.assert_array_equal(narrow, wide[:4, :width])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_is_normal(dtype: str) -> None:
    x = np.sort(draw(cr.normal((400, 257), dtype)).ravel().astype(np.float64))
    assert np.abs(x).max() < 5.8
    spread = 1 / np.sqrt(x.size)
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        deviation = np.sqrt(np.prod(np.arange(2.0 * power - 1, 1, -2)) - moment**2)
        assert abs((x**power).mean() - moment) < 4 * spread * deviation
    shares = np.array([(1 + math.erf(v / np.sqrt(2))) / 2 for v in x])
    places = (np.arange(x.size) + 0.5) / x.size
    assert np.abs(shares - places).max() < 1.95 * spread  # Kolmogorov-Smirnov at 0.1 %


def test_uniform_of_odd_shapes() -> None:
    assert draw(uniform(())).shape == ()
    assert draw(uniform((0,))).shape == (0,)
    assert draw(uniform((0, 5))).shape == (0, 5)
    assert draw(uniform((2, 0, 3))).shape == (2, 0, 3)
    with pytest.raises(ShapeError, match="the batch axis is the first axis"):
        uniform((3, N))
    assert draw(uniform((N, 2, 3)), rows=5).shape == (5, 2, 3)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_in_training(rate: float) -> None:
    x = cr.parameter("x", np.full((300, 100), 2.0))
    y = cr.dropout(x, rate)
    loss = cr.sum(y)
    trace = cr.run([y, loss], {}, training=True)
    found = trace.value(y)
    npt.assert_allclose(np.unique(found), [0.0, 2 / (1 - rate)], 1e-6)
    dropped = np.mean(found == 0)
    assert abs(dropped - rate) < 4 * np.sqrt(rate * (1 - rate) / found.size)
    trace.backward(loss)
    npt.assert_allclose(trace.gradient(x), found / 2, 1e-6)


def test_dropout_in_prediction_is_the_identity() -> None:
    x = cr.parameter("x", [1.0, np.inf, -3.0])
    y = cr.dropout(x, 0.5)
    loss = cr.sum(y)
    trace = cr.run([y, loss], {})
    npt.assert_array_equal(trace.value(y), [1.0, np.inf, -3.0])
    trace.backward(loss)
    npt.assert_array_equal(trace.gradient(x), [1.0, 1.0, 1.0])


def test_what_is_dropped_is_zero_even_where_it_was_infinite() -> None:
    x = cr.parameter("x", np.full(64, np.inf))
    y = cr.dropout(x, 0.5)
    assert set(cr.run(y, {}, training=True).value(y).tolist()) == {0.0, np.inf}


def test_two_dropouts_drop_apart() -> None:
    x = cr.constant(np.ones((100, 100)))
    a, b = cr.dropout(x, 0.5), cr.dropout(x, 0.5)
    trace = cr.run([a, b], {}, training=True)
    assert not related(trace.value(a), trace.value(b))


def test_when_training_sends_gradients_to_the_side_in_use() -> None:
    a, b = cr.parameter("a", [1.0, 2.0]), cr.parameter("b", [3.0, 4.0])
    y = when_training(a * a, b * b)
    loss = cr.sum(y)
    for training, value, ga, gb in (
        (True, [1, 4], [2, 4], [0, 0]),
        (False, [9, 16], [0, 0], [6, 8]),
    ):
        trace = cr.run([y, loss], {}, training=training)
        npt.assert_array_equal(trace.value(y), value)
        trace.backward(loss)
        npt.assert_array_equal(trace.gradient(a), ga)
        npt.assert_array_equal(trace.gradient(b), gb)


def test_stop_gradient_is_a_constant_to_differentiation() -> None:
    x = cr.parameter("x", [3.0, 5.0], dtype="float64")
    loss = cr.sum(x * stop_gradient(x))
    trace = cr.run(loss, {})
    trace.backward(loss)
    assert trace.value(loss) == 34.0
    npt.assert_array_equal(trace.gradient(x), [3.0, 5.0])


def test_tracked_has_the_present_value_and_no_gradient() -> None:
    kept = cr.parameter("kept", [1.0, 2.0], trainable=False)
    x = cr.parameter("x", [5.0, 7.0])
    y = tracked(kept, x * 2)
    (gx,) = gradients(cr.sum(y), [x])
    trace = cr.run([y, gx], {}, training=True)
    npt.assert_array_equal(trace.value(y), [1.0, 2.0])
    npt.assert_array_equal(trace.value(gx), [0.0, 0.0])


def test_only_an_untrained_parameter_is_tracked() -> None:
    trained = cr.parameter("x", [1.0])
    for what in (trained, trained * 2):
        with pytest.raises(GraphError, match="trainable=False"):
            tracked(what, [2.0])


def test_count_is_that_of_the_rows_fed() -> None:
    for rows in (1, 3):
        assert draw(count((N, 4), "float32"), rows=rows) == 4 * rows
    fixed = count((3, 0), "float64")
    assert (draw(fixed), fixed.dtype) == (0.0, "float64")
    assert len(Graph(count((), "float32"))) == 1
    assert draw(count((), "float32")) == 1.0
