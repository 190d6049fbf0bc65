"""The search over the recipe's settings: what is drawn, who goes on, what comes out."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import NotFinite, SettingError
from chainrule.model.many import train_many
from chainrule.recipe.search import Search, draw, search

RNG = np.random.default_rng(3)
A, B = RNG.normal(size=(2, 240))
ROWS: dict[str, Any] = {
    "a": A, "b": B, "word": np.array(["x", "y", "z"])[RNG.integers(0, 3, 240)],
    "y": np.where(A * B > 0, "yes", "no"),
}  # fmt: skip
FAST: dict[str, Any] = {"refit": "no", "epochs": 9, "hidden": 8, "verbose": False}


@pytest.fixture(scope="module")
def found() -> Search:
    return search(ROWS, "y", trials=9, **FAST)


def test_the_best_third_goes_on_and_the_best_of_all_comes_first(found: Search) -> None:
    assert sorted(x.epochs for x in found.trials) == [1] * 6 + [3] * 2 + [9]
    assert [x.epochs for x in found.trials] == [9, 3, 3, 1, 1, 1, 1, 1, 1]
    first_out = [x.score for x in found.trials if x.epochs == 1]
    assert first_out == sorted(first_out)
    assert found.config.epochs == 9
    assert found.config.hidden == (8,)  # what is given is not drawn


def test_the_model_is_what_train_makes_of_the_best_settings(found: Search) -> None:
    again = cr.train(ROWS, "y", **FAST, **found.trials[0].settings)
    for name, value in again.values.items():
        assert np.array_equal(value, found.model.value(name)), name
    assert found.model.optimizer == again.optimizer
    lines = str(found).splitlines()
    assert lines[0].split() == ["log", "loss", "epochs", "settings"]
    assert len(lines) == 10
    assert any("the recipe as it is" in line for line in lines)


def test_the_best_is_trained_once_more_on_all_rows_and_its_score_stays() -> None:
    part, whole = (search(ROWS, "y", trials=1, **FAST | x) for x in ({}, {"refit": "yes"}))
    assert whole.trials[0].score == part.trials[0].score
    assert whole.model.split.endswith("once more on all 240 rows")
    again = cr.train(ROWS, "y", **FAST | {"refit": "yes"})
    for name, value in again.values.items():
        assert np.array_equal(value, whole.model.value(name)), name
    usual = {key: x for key, x in FAST.items() if key != "refit"} | {"quality": "fast"}
    assert search(ROWS, "y", trials=1, **usual).config.refit == "yes"


def test_random_search_trains_all_to_the_end() -> None:
    space = {"rate": (1e-3, 1e-1), "activation": ["tanh", "relu"]}
    found = search(ROWS, "a", trials=4, factor=1, space=space, metric="r2", jobs=1, **FAST)
    assert [x.epochs for x in found.trials] == [9] * 4
    scores = [x.score for x in found.trials]
    assert scores == sorted(scores, reverse=True)  # more of r2 is better
    for trial in found.trials:
        assert set(trial.settings) in (set(), {"rate", "activation"})


def test_what_fails_comes_last_and_the_search_goes_on() -> None:
    space = {"rate": [1e38]}
    found = search(ROWS, "y", trials=3, space=space, **FAST)
    assert found.trials[0].settings == {}
    assert isinstance(found.trials[-1].error, NotFinite)
    with pytest.raises(NotFinite):
        search(ROWS, "y", trials=2, rate=1e38, **FAST)


def test_ctrl_c_gives_what_was_found_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = []

    def interrupted(*arguments: Any) -> Any:
        rounds.append(1)
        if len(rounds) == 2:
            raise KeyboardInterrupt
        return train_many(*arguments)

    monkeypatch.setattr(sys.modules["chainrule.recipe.search"], "train_many", interrupted)
    found = search(ROWS, "y", trials=3, **FAST)
    assert [x.epochs for x in found.trials] == [3, 3, 3]
    assert len(found.model.history) == 3
    rounds[:] = [1]
    with pytest.raises(KeyboardInterrupt):
        search(ROWS, "y", trials=3, **FAST)


def test_what_can_be_drawn() -> None:
    class Distribution:
        def rvs(self, random_state: np.random.Generator) -> float:
            return float(random_state.integers(7, 8))

    random = np.random.default_rng(0)
    numbers = [draw("rate", (1e-4, 1e-1), random) for _ in range(200)]
    assert min(numbers) >= 1e-4
    assert max(numbers) <= 1e-1
    assert 0.3 < np.mean(np.array(numbers) < 10**-2.5) < 0.7
    assert {draw("batch_size", (1, 3), random) for _ in range(50)} == {1, 2, 3}
    assert draw("hidden", [(4, 4)], random) == (4, 4)
    assert draw("decay", Distribution(), random) == 7
    for nothing in ([], (0, 1), 3, "relu", (True, 2)):
        with pytest.raises(SettingError, match=r"space of .* is not valid"):
            draw("rate", nothing, random)


def test_settings_that_are_not_valid_are_reported_before_training() -> None:
    with pytest.raises(SettingError, match="did you mean 'rate'"):
        search(ROWS, "y", space={"rates": [1]}, **FAST)
    with pytest.raises(SettingError, match="clip_norm is out of its bounds"):
        search(ROWS, "y", trials=2, space={"clip_norm": [-1.0]}, **FAST)
    with pytest.raises(SettingError, match="hidden cannot be set and be drawn"):
        search(ROWS, "y", trials=2, space={"hidden": [(4,)]}, **FAST)
    with pytest.raises(SettingError, match="trials"):
        search(ROWS, "y", trials=0, **FAST)
    with pytest.raises(SettingError, match="validation rows"):
        search(ROWS, "y", validation=0, **FAST)
    with pytest.raises(SettingError):
        search(ROWS, "y", metric="acuracy", **FAST)
