"""Layers for columns of numbers: what they compute, beside NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError
from chainrule.nn.numeric import periodic, scale

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


def test_wrong_operands_are_refused() -> None:
    with pytest.raises(ShapeError, match="side by side"):
        periodic(cr.input("x", (2, 3)))
    with pytest.raises(SettingError, match="width"):
        periodic(cr.input("x", (3,)), 1)
