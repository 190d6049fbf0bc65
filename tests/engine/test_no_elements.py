"""Axes of one element and of none: predicted, evaluated, planned and trained by every engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import FeedError, ShapeError

pytest.importorskip("llvmlite")

X = cr.input("x", (3,))
ROWS = {"x": np.arange(12.0, dtype="float32").reshape(4, 3)}


def ones(*shape: int) -> cr.Node:
    return cr.parameter(f"w{shape}", np.ones(shape))


def used(y: cr.Node) -> list[float]:
    """The losses of a step by machine code, by the interpreter and by L-BFGS."""
    bias = cr.parameter("bias", [0.0])
    losses = []
    for settings in ({}, {"backend": "interpreter"}, {"optimizer": "lbfgs"}):
        model = cr.Model(y, cr.sum(cr.square(y)) + cr.sum(cr.square(bias - X)))
        history = model.fit(ROWS, epochs=1, validation=None, verbose=False, **settings)
        losses.append(history["loss"][0])
        got = model.predict(ROWS)
        np.testing.assert_array_equal(got, model.run(ROWS).value(y))
        assert np.isfinite(model.evaluate(ROWS)["loss"])
        if "optimizer" not in settings:
            assert "kernel" in str(model.plan(4))
    return losses


@pytest.mark.parametrize(
    ("make", "loss"),
    [
        (lambda: cr.cumsum(X[:, :1] * ones(1), 1), 1 * (0 + 9 + 36 + 81)),
        (lambda: cr.cumsum(cr.reshape(X, (-1, 1, 3)) * ones(1, 3), 1, reverse=True), 506),
        (lambda: X * cr.cumsum(ones(1, 3), 0)[0], 506),
        (lambda: X @ (ones(3, 0) @ ones(0, 10)), 0),
        (lambda: (X @ ones(3, 0)) @ ones(0, 2), 0),
        (lambda: X @ ones(3, 0), 0),
        (lambda: X * ones(3) + cr.sum(X[:, :0], 1, keepdims=True), 506),
        (lambda: X * ones(3) * cr.prod(X[:, :0], 1, keepdims=True), 506),
        (lambda: cr.prod(X * ones(3), ()), 506),
        (lambda: X * ones(3) + cr.norm(X[:, :0] * ones(1), 1, keepdims=True), 506),
        (lambda: cr.pad(X[:, :0] * ones(1), [(0, 0), (1, 1)], 2.0), 4 * 2 * 4),
        (lambda: cr.concat([cr.softmax(X[:, :0] * ones(1)), X], 1), 506),
        (lambda: cr.softmax(X[:, :1] * ones(1)), 4),
        (lambda: cr.cumsum(X[:, :0] * ones(1), 1), 0),
        (lambda: X * ones(3) * cr.cast(cr.argmax(X[:, :1], 1, keepdims=True) + 1, "float32"), 506),
    ],
)  # fmt: skip
def test_losses_and_values(make: Callable[[], cr.Node], loss: float) -> None:
    rest = float(np.sum(ROWS["x"] ** 2))
    assert used(make()) == pytest.approx([loss + rest] * 3)


@pytest.mark.parametrize("reduce", [cr.max, cr.min, cr.mean, cr.argmax, cr.argmin, cr.var])
def test_what_has_no_value_without_elements_is_refused(reduce: Callable[..., cr.Node]) -> None:
    with pytest.raises(ShapeError, match="of no elements is not defined"):
        reduce(X[:, :0], axis=1)


def test_a_look_up_in_a_table_without_rows_is_refused() -> None:
    y = cr.take(ones(0, 3), cr.cast(X, "int32"))
    model = cr.Model(y, cr.sum(cr.square(y)) + cr.sum(ones(1)))
    for way in (
        model.predict,
        model.evaluate,
        lambda data: model.fit(data, epochs=1, validation=None, verbose=False),
    ):
        with pytest.raises(FeedError, match="out of range"):
            way(ROWS)


def test_a_parameter_that_machine_code_does_not_need_keeps_its_value() -> None:
    w, place = ones(3), cr.parameter("place", [[5.0]], trainable=False)
    y = X * w + cr.cast(cr.argmax(place, axis=0), "float32")
    model = cr.Model(y, cr.sum(cr.square(y)))
    model.fit(ROWS, epochs=2, validation=None, verbose=False)
    assert model.value("place").tolist() == [[5.0]]
