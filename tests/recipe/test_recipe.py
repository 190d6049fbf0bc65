"""The recipe's choices: what a model without training says, and how long and how it trains."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.data.readers.sources import read
from chainrule.errors import SettingError
from chainrule.recipe import Config, Training, config, resolve
from chainrule.recipe.length import LENGTHS

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 3))


def untrained(table: dict[str, object], **settings: object) -> cr.Model:
    return Training.of(read(table), config(target="y", **settings)).model


def resolved(table: dict[str, object], **settings: object) -> Config:
    return Training.of(read(table), config(target="y", **settings)).config


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


GAMMA = np.random.default_rng(1).normal(size=(2000, 3))
CURVE = 2 * GAMMA[:, 0] + np.sin(2 * GAMMA[:, 1])


def learned(y: object, **settings: object) -> tuple[cr.Model, np.ndarray]:
    table = {**{f"x{k}": GAMMA[:, k] for k in range(3)}, "y": y}
    more: dict[str, object] = {"quality": "fast", "epochs": 15, "verbose": False, **settings}
    model = cr.train(table, "y", **more)
    return model, np.asarray(model.predict(table).values)


def test_one_far_row_does_not_hide_the_others() -> None:
    y = CURVE.copy()
    y[17] = 1e12
    model, found = learned(y)
    assert (model.notes["config"]["target_scaling"], model.notes["config"]["loss"]) == (
        "log", "huber",
    )  # fmt: skip
    assert np.median(np.abs(found - y)) < 0.2
    _, plain = learned(y, target_scaling="standard", loss="squared_error")
    assert np.median(np.abs(plain - y)) > 1.0, "what the choice is for"
    assert found.max() <= y.max()


def test_some_far_rows_do_not_spoil_what_is_learned_of_the_others() -> None:
    y = CURVE.copy()
    y[::40] *= 8
    model, found = learned(y)
    assert model.notes["config"]["target_scaling"] == "standard", "too few for a logarithm"
    _, plain = learned(y, loss="squared_error")
    errors = [np.sqrt(np.mean((x - y)[np.arange(len(y)) % 40 > 0] ** 2)) for x in (found, plain)]
    assert errors[0] < 0.9 * errors[1]


def test_numbers_of_many_sizes_are_learned_by_their_logarithm() -> None:
    y = np.exp(3 * CURVE)
    found = learned(y)[1]
    assert np.median(np.abs(np.log(np.maximum(found, 1e-9) / y))[y > np.median(y)]) < 0.5


@pytest.mark.parametrize(
    "y",
    [CURVE, np.exp(CURVE / 4), RANDOM.uniform(size=2000), RANDOM.standard_t(4, 2000),
     RANDOM.poisson(np.exp(np.clip(CURVE, -1, 2))), np.where(GAMMA[:, 2] > 1, np.exp(CURVE), 0),
     np.repeat([0, -1.4967, 1.3, 1.4, 2.4709], 400)],
)  # fmt: skip
def test_ordinary_targets_and_those_that_are_mostly_one_number_stay_as_they_are(y) -> None:
    table = {"x": GAMMA[:, 0], "y": y}
    chosen = resolved(table, task="regression")
    assert (chosen.target_scaling, chosen.loss) == ("standard", "huber")


@pytest.mark.parametrize("size", [1e-300, 1e-40, 1e38, 1e300])
def test_targets_of_any_size_are_learned_and_saved(size, tmp_path) -> None:
    model, found = learned(CURVE * size, epochs=10)
    assert np.median(np.abs(found / size - CURVE)) < 0.3
    model.save(tmp_path / "m.safetensors")
    back = cr.load(tmp_path / "m.safetensors").predict({f"x{k}": GAMMA[:, k] for k in range(3)})
    np.testing.assert_array_equal(back.values, found)
    mixed = np.sign(CURVE) * size ** np.minimum(np.abs(CURVE / 4), 1)
    assert np.isfinite(learned(mixed, epochs=1)[1]).all()


def test_decay_is_chosen_for_the_optimizer_that_takes_it_apart() -> None:
    schema = Training.of(read(columns(X[:, 1])), config(target="y")).schema
    decays = {
        name: resolve(config(target="y", optimizer=name), schema).decay
        for name in ("adamw", "adam", "sgd", "lbfgs")
    }
    assert decays == {"adamw": 0.3, "adam": 0.01, "sgd": 0.01, "lbfgs": 0.01}
    assert resolve(config(target="y", decay=0.0), schema).decay == 0.0


def chosen_length(table: dict[str, object], **settings: object) -> tuple[int, float]:
    chosen = cr.train(table, "y", refit="no", verbose=False, **settings).notes["config"]
    return chosen["epochs"], chosen["rate"]


@pytest.mark.parametrize(
    ("counts", "smoothing"),
    [
        ((20, 20, 20), 0.1),
        ((30, 20, 10), 0.1),
        ((40, 11, 9), 0.0),
        ((30, 30), 0.0),
        ((50, 10), 0.0),
    ],
)
def test_labels_are_smoothed_where_no_class_is_rare(
    counts: tuple[int, ...], smoothing: float
) -> None:
    y = np.repeat([f"c{k}" for k in range(len(counts))], counts)
    assert resolved(columns(y)).label_smoothing == smoothing


def test_few_rows_are_learned_as_long_as_rows_held_out_gain() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 4))
    table = {f"x{k}": x[:, k] for k in range(4)}
    noise = random.choice(["yes", "no"], 120)
    assert chosen_length({**table, "y": noise}) == LENGTHS[0]
    hidden = {**table, "y": x[:, 0] * x[:, 1]}
    assert chosen_length(hidden) == LENGTHS[-1]
    assert chosen_length(hidden, rate=1e-3)[1] == 1e-3, "what is given stays"


def test_epochs_and_rate_are_open_only_where_they_can_be_validated() -> None:
    def length(rows: int, **settings: object) -> tuple[int | None, float | None]:
        table = {"x": np.arange(rows) * 1.0, "g": np.arange(rows) // 5, "y": np.arange(rows) % 2}
        chosen = resolved(table, **settings)
        return chosen.epochs, chosen.rate

    assert length(200) == (None, None)
    assert length(200, rate=0.1) == (None, 0.1)
    assert length(200, epochs=7) == (7, LENGTHS[0][1])
    for settings in ({"quality": "fast"}, {"groups": "g"}, {"time": "x"}):
        assert None not in length(200, **settings)
    assert None not in length(20)
    assert None not in length(2000)


def test_more_rows_are_learned_by_fewer_networks() -> None:
    def members(rows: int, quality: str) -> int | None:
        table = {"x": np.arange(rows) * 1.0, "y": np.arange(rows) % 2}
        return resolved(table, quality=quality).members

    assert [members(rows, "fast") for rows in (100, 30_000)] == [1, 1]
    assert [members(rows, "balanced") for rows in (100, 3000, 30_000)] == [4, 3, 1]
    assert [members(rows, "best") for rows in (100, 3000, 30_000)] == [8, 8, 4]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"dropout": 1}, "dropout is out of its bounds"),
        ({"epochs": 2.5}, "epochs has the wrong type"),
        ({"seed": True}, "seed has the wrong type"),
        ({"hidden": [8, 0]}, "hidden is out of its bounds"),
        ({"quality": "good"}, "unknown quality 'good'"),
        ({"norm": None}, "norm has the wrong type"),
        ({"epoch": 3}, "did you mean 'epochs'"),
    ],
)
def test_a_setting_that_is_not_valid_is_refused(settings: dict[str, object], match: str) -> None:
    with pytest.raises(SettingError, match=match):
        config(target="y", **settings)


@pytest.mark.parametrize(
    ("setting", "value", "target"),
    [
        ("class_weights", "balanced", "number"), ("label_smoothing", 0.1, "number"),
        ("target_scaling", "log", "label"), ("target_scaling", "standard", "label"),
    ],
)  # fmt: skip
def test_a_setting_of_another_task_is_refused(setting: str, value: object, target: str) -> None:
    x = np.arange(40.0)
    tables = {"number": {"x": x, "y": x * 1.5}, "label": {"x": x, "y": ["u", "v"] * 20}}
    with pytest.raises(SettingError, match=f"{setting}[\\s\\S]*alone[\\s\\S]*leave out {setting}="):
        resolved(tables[target], **{setting: value})
    other = {"number": "label", "label": "number"}[target]
    assert getattr(resolved(tables[other], **{setting: value}), setting) == value


def test_settings_are_kept_as_plain_values_whatever_they_come_as() -> None:
    chosen = config(target="y", hidden=np.array([8, 4]), epochs=np.int64(3), rate=np.float32(0.5),
                    ignore="a", seed=np.uint8(7))  # fmt: skip
    assert repr(chosen.hidden) == "(8, 4)"
    assert [repr(x) for x in (chosen.epochs, chosen.rate, chosen.seed)] == ["3", "0.5", "7"]
    assert chosen.ignore == ("a",)
    assert config(target="y", hidden=8).hidden == (8,)


def test_a_training_gives_what_each_stage_made_and_ends_as_train_does() -> None:
    table = columns(np.where(X[:, 0] > 0, "yes", "no"))
    training = Training.of(read(table), config(target="y", epochs=2))
    assert training.config.epochs == 2
    assert [x.column for x in training.schema.describe()] == ["x0", "x1", "x2", "y"]
    assert set(training.features.treatments) == {"x0", "x1", "x2"}
    assert len(training.data.rows) + len(training.data.held_rows) == 60
    training.fit(verbose=False)
    assert training.refit(verbose=False)
    model = cr.train(table, "y", epochs=2, verbose=False)
    for name, value in model.values.items():
        np.testing.assert_array_equal(training.model.value(name), value)
    assert training.model.split == model.split


def test_an_unknown_column_of_groups_or_time_names_the_nearest() -> None:
    table = columns(X[:, 1])
    for key in ("groups", "time"):
        with pytest.raises(cr.errors.ChainruleError, match="'x0'"):
            Training.of(read(table), config(target="y", **{key: "x00"}))
