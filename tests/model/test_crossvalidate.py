"""Cross-validation: every row is judged once, by a model that has not seen it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import folds
from chainrule.errors import DataError, SettingError

RNG = np.random.default_rng(1)
X = RNG.normal(size=(120, 3)).astype("float32")
DATA: dict[str, Any] = {"x": X, "t": np.repeat([0, 1, 2], [60, 40, 20]).astype("int32")}
FIT: dict[str, Any] = {"epochs": 2, "verbose": False}


def model(seed: int = 0) -> cr.Model:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    z = cr.dense(cr.dense(x, 4, "tanh"), 3)
    return cr.Model(z, cr.cross_entropy(z, t), seed=seed)


def test_parts_hold_every_row_once_and_each_class_alike() -> None:
    parts = folds(120, 4, stratify=DATA["t"])
    assert sorted(np.concatenate(parts)) == list(range(120))
    assert {tuple(np.bincount(DATA["t"][part])) for part in parts} == {(15, 10, 5)}
    assert not any(np.array_equal(a, b) for a, b in zip(parts, folds(120, 4, 1), strict=True))
    assert sorted(map(len, folds(11, 3))) == [3, 4, 4]


def test_groups_stay_whole_in_parts_of_like_size() -> None:
    groups = RNG.integers(0, 9, 120).astype(str)
    parts = folds(120, 3, groups=groups)
    assert sorted(np.concatenate(parts)) == list(range(120))
    for k, part in enumerate(parts):
        others = np.concatenate(parts[:k] + parts[k + 1 :])
        assert not set(groups[part]) & set(groups[others])
        assert 30 <= len(part) <= 50


def test_parts_that_cannot_be() -> None:
    with pytest.raises(SettingError, match="at least 2"):
        folds(10, 1)
    with pytest.raises(DataError, match="fewer rows"):
        folds(3, 4)
    with pytest.raises(DataError, match="fewer groups"):
        folds(10, 3, groups=np.arange(10) % 2)
    with pytest.raises(SettingError, match="one way"):
        folds(10, 3, groups=np.arange(10), stratify=np.arange(10))


def test_scores_are_those_of_training_on_the_other_parts() -> None:
    models = [model(seed) for seed in range(3)]
    scores = cr.cross_validate(models, DATA, validation=None, **FIT)
    parts = folds(120, 3, stratify=DATA["t"])
    for k, part in enumerate(parts):
        rest = np.setdiff1d(np.arange(120), part)
        alone = model(k)
        alone.fit({name: x[rest] for name, x in DATA.items()}, validation=None, **FIT)
        seen = alone.evaluate({name: x[part] for name, x in DATA.items()})
        assert scores[k] == pytest.approx(seen)


def test_rows_that_stop_the_training_come_from_the_other_parts() -> None:
    models = [model() for _ in range(3)]
    scores = cr.cross_validate(models, DATA, scores=["accuracy"], **FIT)
    assert [set(x) - {"loss"} for x in scores] == [{"accuracy"}] * 3
    assert "validation_loss" in models[0].history
    assert "64 rows to train, 16 to validate" in models[0].split


def test_a_table_with_groups() -> None:
    rows = {"a": X[:, 0], "who": np.arange(120) % 8, "y": X[:, 0] > 0}
    schema = cr.train(rows, "y", ignore="who", epochs=1, verbose=False)
    models = [
        cr.Model(schema.outputs[0], schema.loss, seed=k, schema=schema.schema) for k in (0, 1)
    ]
    scores = cr.cross_validate(models, rows, groups="who", **FIT)
    assert all(0 <= x["accuracy"] <= 1 for x in scores)
    assert "groups kept whole" in models[0].split
    with pytest.raises(SettingError, match="a model for each part"):
        cr.cross_validate(models[:1], rows)


def test_a_table_in_the_place_of_models_is_refused() -> None:
    with pytest.raises(SettingError, match="models come first"):
        cr.cross_validate({"a": [1.0], "y": [2.0]}, "y")  # type: ignore[arg-type]
