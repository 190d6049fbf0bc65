"""Batch axes that do not line up are refused; all pairs of examples are said so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import ShapeError

R = np.random.default_rng(0)
X = R.normal(size=(6, 3)).astype("float32")

Make = Callable[[cr.Node, cr.Node], Any]
MIXED: dict[str, Make] = {
    "subtract": lambda a, b: a - b,
    "product": lambda a, b: b * a,
    "comparison": lambda a, b: cr.equal(a, b),
    "maximum": cr.maximum,
    "where": lambda a, b: cr.where(a > 0, b, 0.0),
    "power": lambda a, b: cr.power(cr.exp(a), b),
    "logic": lambda a, b: cr.logical_and(a > 0, b > 0),
    "loss": lambda a, b: cr.mean(cr.square(a - b)),
    "weights": lambda a, b: cr.sum(b * cr.square(a)) / cr.sum(b),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_column_and_a_row_of_examples_do_not_meet(name: str) -> None:
    column, row = cr.input("prediction", (1,)), cr.input("target")
    with pytest.raises(ShapeError) as caught:
        MIXED[name](column, row)
    text = str(caught.value)
    for part in ("(N, 1)", "(N,)", "(N, N)", "squeeze", "expand_dims", "pairs(", "line"):
        assert part in text
    fits = MIXED[name](cr.squeeze(column, -1), row)
    assert fits.shape in ((), (cr.N,))
    assert MIXED[name](column, cr.expand_dims(row, -1)).shape in ((), (cr.N, 1))


@pytest.mark.parametrize("shapes", [((1, 3), (3,)), ((4, 1), ()), ((2, 1), (2,))])
def test_batch_axes_that_meet_in_more_axes(shapes: Any) -> None:
    a, b = (cr.input(x, shape) for x, shape in zip("ab", shapes, strict=True))
    with pytest.raises(ShapeError, match=r"broadcast|batch axes"):
        a + b


def test_what_lines_up_is_as_before() -> None:
    a, b = cr.input("a", (4, 1)), cr.input("b", (1, 3))
    assert (a + b).shape == (cr.N, 4, 3)
    kernel = cr.matmul(cr.input("x", (3,)), cr.transpose(cr.input("y", (3,))))
    assert (kernel - cr.max(kernel, axis=1, keepdims=True)).shape == (cr.N, cr.N)
    assert cr.broadcast_to(a, (cr.N, 4, 3)).shape == (cr.N, 4, 3)


@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_pairs_in_training(backend: str) -> None:
    """The gradient of the mean distance of all pairs, by hand."""
    x = cr.input("x", (3,))
    w = cr.parameter("w", np.ones(3))
    a, b = cr.pairs(x * w)
    loss = cr.mean(cr.sum(cr.square(a - b), axis=-1))
    model = cr.Model(x * w, loss)
    d = X[:, None] - X[None]
    assert model.evaluate({"x": X})["loss"] == pytest.approx((d**2).sum(-1).mean(), rel=1e-5)
    model.fit({"x": X}, optimizer=cr.SGD(0.1), epochs=1, batch_size=6, validation=None,
              backend=backend, verbose=False)  # fmt: skip
    npt.assert_allclose(model.value("w"), 1 - 0.2 * (d**2).mean((0, 1)), rtol=1e-5)


def test_pairs_of_two_and_of_numbers() -> None:
    x, y = cr.input("x", (3,)), cr.input("y")
    a, b = cr.pairs(x, y)
    assert (a.shape, b.shape) == ((cr.N, cr.N, 3), (cr.N, cr.N))
    both = cr.run([a, b], {"x": X, "y": X[:, 0]})
    npt.assert_array_equal(both.value(a)[2, 4], X[2])
    npt.assert_array_equal(both.value(b)[2], X[:, 0])
    ranks = cr.sum(cr.cast(cr.greater(*cr.pairs(y)), "float32"), axis=1)
    npt.assert_array_equal(
        cr.run(ranks, {"y": X[:, 0]}).value(ranks), np.argsort(np.argsort(X[:, 0]))
    )


def test_pairs_need_examples() -> None:
    with pytest.raises(ShapeError, match="the batch axis comes first"):
        cr.pairs(cr.parameter("w", [1.0, 2.0]))
    with pytest.raises(ShapeError, match="the batch axis comes first"):
        cr.pairs(cr.transpose(cr.input("x", (3,))))
