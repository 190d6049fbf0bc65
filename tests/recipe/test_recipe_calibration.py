"""Calibrated probabilities: the temperature that is fitted, and that a recipe keeps."""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule.recipe.calibration import temperature, temperature_of

RANDOM = np.random.default_rng(0)


def drawn(logits: np.ndarray) -> np.ndarray:
    """A class a row, as likely as its logits say."""
    return (logits + RANDOM.gumbel(size=logits.shape)).argmax(axis=1)


def test_the_temperature_that_was_put_in_is_found() -> None:
    logits = RANDOM.normal(0, 2, (20_000, 4))
    truth = drawn(logits)
    for factor in (0.2, 1.0, 5.0):
        np.testing.assert_allclose(temperature(factor * logits, truth), factor, rtol=0.05)


def test_a_few_rows_that_are_all_right_do_not_make_it_certain() -> None:
    logits = np.eye(3)[[0, 1, 2, 0, 1]] * 4
    sure = np.exp(4 / temperature(logits, np.array([0, 1, 2, 0, 1])))
    np.testing.assert_allclose(sure / (sure + 2), (5 + 1 / 3) / 6, rtol=1e-5)


def test_uninformative_or_wrong_logits_keep_a_temperature_in_bounds() -> None:
    assert temperature(np.full((5, 2), 3), np.array([0, 1, 0, 1, 1])) == 1
    wrong = temperature(np.eye(2)[[0, 1] * 50], np.array([1, 0] * 50))
    np.testing.assert_allclose(wrong, 16, rtol=1e-5)


def rows(seed: int, count: int) -> dict[str, np.ndarray]:
    """A table whose class is all but certain."""
    x = np.random.default_rng(seed).normal(size=(count, 4))
    y = np.where(x[:, 0] + x[:, 1] > 0, "yes", "no")
    return {f"x{k}": x[:, k] for k in range(4)} | {"y": y}


def test_a_recipe_is_calibrated_and_stays_so_when_trained_once_more() -> None:
    model = cr.train(rows(1, 900), "y", epochs=20, label_smoothing=0.3, verbose=False)
    assert "once more" in model.split
    ((name, found),) = temperature_of(model).items()
    assert found < 0.8  # smoothed labels leave it less sure than it is right
    calibrated = model.evaluate(rows(2, 2000))["log_loss"]
    model.set_value(name, 1.0)
    assert calibrated < 0.8 * model.evaluate(rows(2, 2000))["log_loss"]


def test_columns_may_have_the_names_of_its_parts() -> None:
    table = {"temperature": ["hot", "cold"] * 30, "calibration": ["a", "b", "c"] * 20}
    model = cr.train(table, "temperature", epochs=2, verbose=False)
    assert model.predict(table).labels.shape == (60,)
    model = cr.train(table, "calibration", epochs=2, verbose=False)
    assert model.predict(table).labels.shape == (60,)
