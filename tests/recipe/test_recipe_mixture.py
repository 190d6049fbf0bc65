"""Members of different kinds: which they are, their weights, and what is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.data.readers.sources import read
from chainrule.recipe import Config, Training, config
from chainrule.recipe.kinds import KINDS, members
from chainrule.recipe.mixture import best_weights, parts_of, weights_of
from chainrule.report.page import render

R = np.random.default_rng(0)
X = R.normal(size=(400, 3))
TABLES: dict[str, dict[str, Any]] = {
    "classification": {"a": X[:, 0], "b": X[:, 1], "y": np.where(X[:, 0] * X[:, 1] > 0, "u", "v")},
    "regression": {"a": X[:, 0], "b": X[:, 1], "y": 50 + 9 * np.sin(2 * X[:, 0]) + X[:, 1]},
    "heavy tails": {"a": X[:, 0], "b": X[:, 1], "y": np.sinh(6 * X[:, 0] + X[:, 1])},
}
QUICK: dict[str, Any] = {"quality": "best", "members": 4, "epochs": 6, "rate": 0.005}


def resolved(task: str, **settings: object) -> Config:
    return Training.of(read(TABLES[task]), config(target="y", **settings)).config


def trained(task: str, **settings: object) -> Training:
    training = Training.of(read(TABLES[task]), config(target="y", **QUICK, **settings))
    training.fit(verbose=False)
    return training


def chances(truth: np.ndarray, sureness: float) -> np.ndarray:
    """Probabilities (n, 2) that tell more of the truth, the surer they are."""
    z = sureness * np.eye(2)[truth] + R.normal(size=(len(truth), 2))
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def test_weights_are_those_of_the_lowest_loss() -> None:
    truth = R.integers(0, 2, 4000)
    parts = np.stack([chances(truth, 1.0), chances(truth, 0.6), chances(truth, 0)], axis=1)
    found = best_weights(parts, truth)

    def loss(w: np.ndarray) -> float:
        mixed = np.tensordot(parts, w, axes=([1], [0]))
        return float(-np.log(mixed[np.arange(len(truth)), truth]).mean())

    others = R.dirichlet(np.ones(3), 300)
    assert loss(found) < min(map(loss, others)) + 1e-3
    assert loss(found) < loss(np.full(3, 1 / 3)) - 0.02
    assert found.argmin() == 2
    np.testing.assert_allclose(found.sum(), 1)


def test_weights_of_numbers_are_those_of_the_least_squared_error() -> None:
    truth = R.normal(size=3000)
    shared = R.normal(size=3000)
    parts = truth[:, None] + 1e3 * np.stack(
        [shared, 0.5 * R.normal(size=3000) - shared, 4 * R.normal(size=3000)], axis=1
    )
    found = best_weights(parts, truth)
    errors = [np.square(parts @ w - truth).mean() for w in (found, *R.dirichlet(np.ones(3), 500))]
    assert errors[0] < 1.02 * min(errors)
    assert found[0] > 0.4
    assert found[2] < 0.05


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_weights_stay_near_equal_where_rows_are_few_or_members_agree(task: str) -> None:
    truth = R.integers(0, 2, 6)
    good, bad = chances(truth, 4.0), chances(1 - truth, 4.0)
    parts, y = np.stack([good, bad], axis=1), truth
    if task == "numbers":
        parts, y = parts[:, :, 1], truth.astype(float)
    few = best_weights(parts, y)
    assert 0.5 < few[0] < 0.9
    many = best_weights(np.concatenate([parts] * 100), np.concatenate([y] * 100))
    assert many[0] > 0.97
    np.testing.assert_allclose(best_weights(np.repeat(parts[:, :1], 4, axis=1), y), 0.25)


def test_best_has_members_of_all_kinds_and_the_others_of_one() -> None:
    found = members(resolved("classification", quality="best"))
    assert len(found) >= len(KINDS)
    kinds = {(x.embedding, x.hidden, x.activation, x.norm) for x in found}
    assert len(kinds) == len(KINDS)
    for settings in (
        {}, {"quality": "fast"}, {"quality": "best", "hidden": (8, 8)},
        {"quality": "best", "activation": "relu"}, {"quality": "best", "norm": "batch"},
        {"quality": "best", "embedding": "none"}, {"quality": "best", "mixed": "no"},
    ):  # fmt: skip
        chosen = resolved("classification", **settings)
        assert chosen.mixed == "no"
        assert set(map(str, members(chosen))) == {str(chosen)}
    for settings in ({"hidden": ()}, {"members": 1}):
        alike = resolved("classification", mixed="yes", **settings)
        assert set(map(str, members(alike))) == {str(alike)}


@pytest.mark.parametrize("task", list(TABLES))
def test_weights_are_chosen_by_rows_held_out_and_kept(task: str, tmp_path: Path) -> None:
    training = trained(task)
    model, data = training.model, training.data
    ((name, weights),) = weights_of(model).items()
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)
    assert np.ptp(weights) > 1e-3
    assert data.held_arrays is not None
    rows = data.held_rows
    parts = parts_of(model, data.held_arrays, rows)
    assert parts.shape[:2] == (len(rows), 4)
    before = model.evaluate(training.evaluations[0].encoded)
    model.set_value(name, np.full(4, 0.25))
    equal = model.evaluate(training.evaluations[0].encoded)
    model.set_value(name, weights)
    assert before["loss"] < equal["loss"] or task == "classification"
    if task == "classification":
        assert before["log_loss"] < equal["log_loss"]
    assert training.refit(verbose=False)
    np.testing.assert_array_equal(weights_of(model)[name], weights)
    model.save(tmp_path / "m.safetensors")
    back = cr.load(tmp_path / "m.safetensors")
    x = {"a": X[:9, 0], "b": X[:9, 1]}
    np.testing.assert_array_equal(back.predict(x).values, model.predict(x).values)


def test_the_loss_that_judges_an_epoch_is_that_of_the_mean() -> None:
    training = trained("regression", refit="no")
    model, data = training.model, training.data
    for name in weights_of(model):
        model.set_value(name, np.full(4, 0.25))
    assert data.held_arrays is not None
    loss, *_ = model.scoring_outputs(data.held_arrays, data.held_rows)
    np.testing.assert_allclose(loss, model.history["validation_loss"][-1], rtol=1e-5)
    errors = parts_of(model, data.held_arrays, data.held_rows).std(axis=1).mean()
    assert errors > 0.01, "members differ, so the mean of their losses is another number"


def test_scores_are_at_weights_that_other_rows_chose_and_the_model_stays() -> None:
    training = trained("classification", refit="no")
    before = dict(weights_of(training.model))
    (found,) = training.evaluations
    own = training.model.predict(found.encoded).values
    assert not np.array_equal(own, found.outcome.prediction)
    np.testing.assert_allclose(own, found.outcome.prediction, atol=0.2)
    for name, value in weights_of(training.model).items():
        np.testing.assert_array_equal(value, before[name])


def test_its_own_configuration_trains_the_same_model() -> None:
    first = trained("classification", refit="no")
    again = Training(first.table, first.schema, first.config)
    again.fit(verbose=False)
    x = {"a": X[:9, 0], "b": X[:9, 1]}
    np.testing.assert_array_equal(again.model.predict(x).values, first.model.predict(x).values)


def test_what_is_shown_has_a_block_for_each_kind(capfd: pytest.CaptureFixture[str]) -> None:
    table = {"mixture": X[:, 0], "b": X[:, 1], "y": TABLES["classification"]["y"]}
    model = cr.train(table, "y", **(QUICK | {"members": 8, "epochs": 1}))
    told = " ".join(capfd.readouterr().err.split())
    assert "a weighted mean of networks of different kinds: " in told
    assert "scored at the weights that the others chose" in told
    for part in ("% as configured", "% hidden 256", "% norm layer", "% embedding periodic and act"):
        assert part in told
    blocks = {x.name: x for x in model.summary().shown}
    kinds = [blocks[f"kind_{k + 1}"].what for k in range(len(KINDS))]
    assert all(x.startswith("2 x ") for x in kinds)
    for word, what in zip(
        ("[128, 128], silu", "gelu", "[256], silu", "layer_norm"), kinds, strict=False
    ):
        assert word in what
    assert sum(x.parameters for x in blocks.values()) == model.summary().parameters
    assert "weighted mean of 8" in str(model.summary())
    assert "of different kinds: " in render(model.report())
