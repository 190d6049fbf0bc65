"""The recipe's choices: what a model without training says, and how long and how it trains."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.data.sources import read
from chainrule.recipe import build, config, learn, settle

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 3))


def untrained(table: dict[str, object], **settings: object) -> cr.Model:
    chosen = config(target="y", **settings)
    schema = learn(read(table), chosen)
    return build(settle(chosen, schema), schema)


def columns(y: object) -> dict[str, object]:
    return {**{f"x{k}": X[:, k] for k in range(3)}, "y": y}


@pytest.mark.parametrize("hidden", [None, ()])
def test_training_starts_from_the_guess_that_knows_no_column(hidden: tuple[()] | None) -> None:
    table = columns(np.where(X[:, 0] > 0, "yes", "no"))
    np.testing.assert_array_equal(untrained(table, hidden=hidden).predict(table).values, 0.5)
    y = 1e3 + 20 * X[:, 1]
    table = columns(y)
    found = untrained(table, hidden=hidden).predict(table).values
    np.testing.assert_allclose(found, np.mean(y), rtol=1e-12)


def test_decay_is_chosen_for_the_optimizer_that_takes_it_apart() -> None:
    schema = learn(read(columns(X[:, 1])), config(target="y"))
    decays = {
        name: settle(config(target="y", optimizer=name), schema).decay
        for name in ("adamw", "adam", "sgd", "lbfgs")
    }
    assert decays == {"adamw": 0.3, "adam": 0.01, "sgd": 0.01, "lbfgs": 0.01}
    assert settle(config(target="y", decay=0.0), schema).decay == 0.0
