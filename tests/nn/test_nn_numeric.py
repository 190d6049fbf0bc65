"""Layers for columns of numbers: what they compute, beside NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError
from chainrule.nn.numeric import periodic, piecewise, scale

X = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")


def test_the_scale_starts_at_one_and_multiplies_each_feature() -> None:
    model = cr.Model(scale(cr.input("x", (3,)), name="s"))
    np.testing.assert_array_equal(model.predict({"x": X}), X)
    model.set_value("s.scale", [1, 2, 3])
    np.testing.assert_allclose(model.predict({"x": X}), X * [1, 2, 3], rtol=1e-6)


def test_periodic_mixes_cosines_and_puts_the_numbers_last() -> None:
    model = cr.Model(periodic(cr.input("x", (3,)), 4, waves=5, sigma=1.0, name="e"))
    f, p, w, b = (model.value(f"e.{key}") for key in "fpwb")
    c = np.cos(2 * np.pi * (X[:, :, None] * f + p))
    mixed = np.einsum("nik,ikj->nij", c, w) + b
    expected = np.concatenate([mixed.reshape(7, 9), X], axis=1)
    np.testing.assert_allclose(model.predict({"x": X}), expected, rtol=1e-4, atol=1e-5)


def test_a_wave_is_learned_that_a_straight_line_cannot_follow() -> None:
    x = np.linspace(-2, 2, 256, dtype="float32")[:, None]
    y = np.sin(9 * x[:, 0])
    inputs = cr.input("x", (1,)), cr.input("y", ())
    output = cr.dense(periodic(inputs[0], sigma=1.0), 1)[:, 0]
    model = cr.Model(output, cr.squared_error(output, inputs[1]))
    model.fit({"x": x, "y": y}, optimizer=cr.Adam(0.02), epochs=80, validation=None, verbose=False)
    assert model.evaluate({"x": x, "y": y})["loss"] < 0.05


def test_piecewise_functions_are_linear_between_knots() -> None:
    knots = [[-1, 0, 0, 2], [0, 0, 0, 0], [-1e9, -1, 1, 1e9]]
    model = cr.Model(piecewise(cr.input("x", (3,)), knots, 5, name="e"))
    w, b = model.value("e.w"), model.value("e.b")
    assert w.shape == (3, 3, 4)
    x = np.array([[-5, -1, -2], [-0.5, 0, -1], [0, 0, 0], [1, 0.5, 1], [9, 1, 9]], "float32")
    passed = np.stack(
        [  # of the three pieces of each column; equal knots have no piece between them
            [[0, 0, 0], [0, 0, 0], [1 - 2e-9, 0, 0]],
            [[0.5, 0, 0], [0, 0, 0], [1, 0, 0]],
            [[1, 0, 0], [0, 0, 0], [1, 0.5, 0]],
            [[1, 0, 0.5], [0, 0, 0], [1, 1, 0]],
            [[1, 0, 1], [0, 0, 0], [1, 1, 8e-9]],
        ]
    )
    made = np.einsum("nip,ipf->nif", passed - 0.5, w) + b
    expected = np.concatenate([made.reshape(5, 12), x], axis=1)
    np.testing.assert_allclose(model.predict({"x": x}), expected, rtol=1e-5, atol=1e-6)


def test_a_step_is_learned_that_a_straight_line_cannot_follow() -> None:
    x = np.linspace(-2, 2, 256, dtype="float32")[:, None]
    y = np.floor(4 * x[:, 0]) % 2
    inputs = cr.input("x", (1,)), cr.input("y", ())
    output = cr.dense(piecewise(inputs[0], np.linspace(-2, 2, 33)[None]), 1)[:, 0]
    model = cr.Model(output, cr.squared_error(output, inputs[1]))
    model.fit({"x": x, "y": y}, optimizer=cr.Adam(0.02), epochs=80, validation=None, verbose=False)
    assert model.evaluate({"x": x, "y": y})["loss"] < 0.1


def test_knots_that_are_not_valid_are_refused() -> None:
    x = cr.input("x", (2,))
    with pytest.raises(ShapeError, match="knots for each column"):
        piecewise(x, [0, 1, 2])
    with pytest.raises(SettingError, match="finite and ascending"):
        piecewise(x, [[0, 1, 2], [2, 1, 0]])
    with pytest.raises(SettingError, match="finite and ascending"):
        piecewise(x, [[0, 1, 2], [0, 1, np.nan]])


def test_wrong_operands_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"needs \(N, columns\)"):
        piecewise(cr.input("x", (2, 3)), np.zeros((3, 2)))
    with pytest.raises(ShapeError, match=r"needs \(N, columns\)"):
        periodic(cr.input("x", (2, 3)))
    with pytest.raises(SettingError, match="width"):
        periodic(cr.input("x", (3,)), 1)
