"""Models compared: structure, settings, parameters, training, and scores with their error."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli.jsontext import json_text
from chainrule.errors import DataError, ModelFileError, SettingError
from chainrule.model.paired import paired_scores


@pytest.fixture(scope="module")
def pair() -> tuple[cr.Model, cr.Model]:
    """Two classifiers of penguins: another seed, another number of epochs."""
    return tuple(
        cr.train("penguins", "species", epochs=epochs, seed=seed, verbose=False)
        for epochs, seed in ((2, 0), (3, 1))
    )


def test_two_runs_on_the_same_rows(pair: tuple[cr.Model, cr.Model], tmp_path: Path) -> None:
    a, b = pair
    found = cr.compare(a, b, "penguins", names=("short", "long"))
    assert not found.only_a
    assert not found.changed
    settings = {name: (x, y) for name, x, y in found.settings}
    assert settings["seed"] == ("0", "1")
    assert settings["config.epochs"] == ("2", "3")
    assert "target" not in settings
    rows = found.rows
    assert rows is not None
    assert rows.count == 344
    scores = {x.name: x for x in rows.scores}
    for model, side in ((a, "a"), (b, "b")):
        own = model.evaluate("penguins")
        assert all(getattr(scores[k], side) == pytest.approx(float(own[k])) for k in scores)
    assert all(scores[k].interval is not None for k in ("accuracy", "log_loss", "brier"))
    assert scores["auc"].interval is None
    p, q = (m.predict("penguins").probabilities for m in pair)
    assert p is not None
    assert q is not None
    assert rows.different == (p.argmax(1) != q.argmax(1)).sum()
    worst = rows.worst[0]
    apart = np.abs(p - q).sum(1) / 2
    assert worst.row == int(apart.argmax()) + 1
    assert worst.apart == pytest.approx(float(apart.max()), abs=1e-6)
    shown = found.show().document
    parts = {x["title"]: x for x in shown["comparison"]["parts"]}
    drawn = dict(zip(scores, parts["Scores"]["intervals"], strict=True))
    assert drawn["auc"] is None
    assert drawn["accuracy"][0] == scores["accuracy"].difference
    both = shown, shown["comparison"]["other"]
    labels = [[x["label"] for x in side["rows"]] for side in both]
    assert labels[0] == labels[1]
    assert f"row {worst.row}" in labels[0]
    assert all(side["graph"]["gradients"] and not side["graph"]["updates"] for side in both)
    assert [len(side["learning"]["history"]["loss"]) for side in both] == [2, 3]
    text = str(found)
    assert "short and long" in text
    assert "log loss" in text
    assert found._repr_html_().count("<svg") >= 2
    assert json.loads(json_text(found.to_dict()))["rows"]["different_answers"] == rows.different


def test_a_page_holds_few_rows_of_many() -> None:
    random = np.random.default_rng(0)
    few, many = (
        {"x": random.normal(size=(n, 3)), "t": random.normal(size=(n, 1))} for n in (200, 2000)
    )
    a, b = arrays(4, 0), arrays(5, 1)
    shown = [cr.compare(a, b, data).show().document for data in (few, many)]
    assert abs(len(json.dumps(shown[0])) - len(json.dumps(shown[1]))) < 500
    assert [len(x["rows"]) for x in shown] == [16, 16]
    bare = cr.compare(a, b).show().document
    assert [x["label"] for x in bare["rows"]] == ["zeros"]


def test_rows_are_of_the_table_where_one_has_no_data(pair: tuple[cr.Model, cr.Model]) -> None:
    shown = cr.compare(*pair).show().document
    cells = [x["rows"][0]["cells"] for x in (shown, shown["comparison"]["other"])]
    assert shown["rows"][0]["label"] == "a typical row"
    assert cells[0] == cells[1]


def test_a_comparison_is_pickled(pair: tuple[cr.Model, cr.Model]) -> None:
    again = pickle.loads(pickle.dumps(cr.compare(*pair, "penguins")))
    assert len(again.show().document["rows"]) == 16


def test_two_epochs_of_a_run() -> None:
    random = np.random.default_rng(0)
    data = {"x": random.normal(size=(60, 3)), "t": random.normal(size=(60, 1))}
    model = arrays(4, 0)
    with pytest.raises(SettingError, match="no recording"):
        model.at_epoch(1)
    begun = model.values
    model.fit(data, epochs=3, record=True, verbose=False)
    before, first = model.at_epoch(0), model.at_epoch(1)
    assert all((before.value(n) == x).all() for n, x in begun.items())
    assert len(first.history) == 1
    assert model.record is not None
    assert first.steps == model.record.steps[1]
    assert all((model.at_epoch(3).value(n) == x).all() for n, x in model.values.items())
    found = cr.compare(first, model, data, names=("epoch 1", "epoch 3"))
    settings = {name: (x, y) for name, x, y in found.settings}
    assert settings["epochs run"] == ("1", "3")
    assert all(x.apart > 0 for x in found.weights)
    first.fit(data, epochs=1, verbose=False)  # the copy is a model of its own
    assert len(model.history) == 3
    with pytest.raises(SettingError, match="epoch 9 was not recorded"):
        model.at_epoch(9)


def test_epochs_of_a_recipe_whose_temperature_is_a_single_number() -> None:
    model = cr.train("penguins", "species", quality="fast", epochs=2, record=True, verbose=False)
    found = cr.compare(model.at_epoch(1), model.at_epoch(2), "penguins")
    assert model.at_epoch(2).value("calibration.temperature").shape == ()
    assert found.rows is not None
    assert found.rows.count == 344


def test_parameters_by_layer(pair: tuple[cr.Model, cr.Model]) -> None:
    a, b = pair
    found = {x.layer: x for x in cr.compare(a, b).weights}
    names = [n for n in a.values if n.rpartition(".")[0] == "dense"]
    x, y = (np.concatenate([m.value(n).ravel() for n in names]).astype(float) for m in pair)
    assert found["dense"].apart == pytest.approx(np.linalg.norm(x - y))
    assert found["dense"].a == pytest.approx(np.linalg.norm(x))
    assert sum(w.size for w in found.values()) == sum(v.size for v in a.values.values())


def test_a_model_and_itself(pair: tuple[cr.Model, cr.Model]) -> None:
    text = str(cr.compare(pair[0], pair[0], "penguins"))
    assert "Accuracy is the same" in text
    assert "The answers are equal on all rows." in text
    assert "are equal." in text


def test_data_without_the_target_has_answers_and_no_scores(
    pair: tuple[cr.Model, cr.Model], tmp_path: Path
) -> None:
    table = cr.data.read("penguins")
    names = [x.name for x in table if x.name != "species"]
    columns = {name: ["" if c is None else c for c in table[name].cells()] for name in names}
    path = tmp_path / "new.csv"
    lines = [",".join(names), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = cr.compare(*pair, path).rows
    assert rows is not None
    assert rows.scores == ()
    assert rows.worst[0].actual is None
    assert any("there are no scores" in x for x in rows.notes)
    with pytest.raises(DataError):
        cr.compare(*pair, "iris")


def test_models_of_other_targets_are_told(pair: tuple[cr.Model, cr.Model]) -> None:
    mass = cr.train("penguins", "body_mass_g", epochs=1, verbose=False)
    found = cr.compare(pair[0], mass, "penguins")
    assert found.rows is None
    text = " ".join(str(found).split())
    assert "predict different columns, 'species' and 'body_mass_g'" in text
    assert {x.name for x in found.only_a}
    itself = cr.compare(mass, mass, "penguins").rows
    assert itself is not None
    assert {x.name for x in itself.scores} >= {"rmse", "mae", "r2"}


def arrays(width: int, seed: int) -> cr.Model:
    x, t = cr.input("x", (3,)), cr.input("t", (1,))
    y = cr.dense(cr.dense(x, width, activation="tanh", name="hidden"), 1, name="out")
    return cr.Model(y, cr.squared_error(y, t), seed=seed)


def test_models_of_arrays() -> None:
    random = np.random.default_rng(0)
    data = {"x": random.normal(size=(60, 3)), "t": random.normal(size=(60, 1))}
    a, b = arrays(4, 0), arrays(5, 1)
    found = cr.compare(a, b, data)
    changed = {x.name: (x.shape, y.shape) for x, y in found.changed}
    assert changed["hidden"] == ("(N, 4)", "(N, 5)")
    assert [x.layer for x in found.weights] == ["out"]  # its bias alone has one shape
    rows = found.rows
    assert rows is not None
    loss = next(x for x in rows.scores if x.name == "loss")
    assert (loss.a, loss.b) == pytest.approx(
        (a.evaluate(data)["loss"], b.evaluate(data)["loss"])
    )  # fmt: skip
    assert loss.interval is not None
    assert loss.interval[0] < loss.difference < loss.interval[1]
    apart = np.abs(a.predict(data) - b.predict(data))[:, 0]
    assert rows.worst[0].row == int(apart.argmax()) + 1
    x = cr.input("x", (3,))
    other = cr.Model(cr.dense(x, 2))
    told = cr.compare(a, other, {"x": data["x"], "t": data["t"]}).rows
    assert told is not None
    assert any("the losses differ" in note for note in told.notes)
    assert any("shapes" in note for note in told.notes)


def test_a_table_and_arrays(pair: tuple[cr.Model, cr.Model]) -> None:
    with pytest.raises(SettingError, match="one model reads tables"):
        cr.compare(pair[0], arrays(4, 0), "penguins")
    with pytest.raises(SettingError, match="not a model"):
        cr.compare(pair[0], 3)
    with pytest.raises(ModelFileError):
        cr.compare(pair[0], "nowhere.safetensors")


def test_noise_is_told_from_a_difference() -> None:
    random = np.random.default_rng(1)
    a = random.normal(2.0, 1.0, 400)
    near, far = a + random.normal(0, 1, 400) * 0.5, a + 0.3 + random.normal(0, 1, 400) * 0.5
    same = paired_scores({"log_loss": a.mean()}, {"log_loss": near.mean()}, {"log_loss": a},
                         {"log_loss": near})[0]  # fmt: skip
    apart = paired_scores({"log_loss": a.mean()}, {"log_loss": far.mean()}, {"log_loss": a},
                          {"log_loss": far})[0]  # fmt: skip
    assert same.noise is True
    assert same.winner == ""
    assert apart.noise is False
    assert apart.winner == "A"
    assert apart.error == pytest.approx(0.5 / 20, rel=0.15)
    assert apart.interval is not None
    half = 1.96 * float(np.std(far - a, ddof=1)) / 20
    assert apart.interval == pytest.approx((apart.difference - half, apart.difference + half),
                                           abs=0.006)  # fmt: skip


def test_the_interval_of_a_root_and_of_many_rows() -> None:
    random = np.random.default_rng(2)
    for n in (300, 9000):
        a, b = random.normal(0, 1, n) ** 2, (random.normal(0, 1, n) * 1.5) ** 2
        roots = np.sqrt(a.mean()), np.sqrt(b.mean())
        found = paired_scores({"rmse": roots[0]}, {"rmse": roots[1]}, {"rmse": a}, {"rmse": b})[0]
        assert found.interval is not None
        assert found.interval[0] < roots[1] - roots[0] < found.interval[1]
        assert found.winner == "A"
    again = paired_scores({"rmse": 1.0}, {"rmse": 1.0}, {"rmse": a[:50]}, {"rmse": b[:50]}, seed=3)
    assert again == paired_scores({"rmse": 1.0}, {"rmse": 1.0}, {"rmse": a[:50]},
                                  {"rmse": b[:50]}, seed=3)  # fmt: skip


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script>"
    x = cr.input("x", (2,))
    a, b = (cr.Model(cr.dense(x, k, name=name)) for k in (1, 2))
    found = cr.compare(a, b, names=(name, "b"))
    page = found.write(tmp_path / "c.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "\\u003cscript\\u003ealert" in page
    assert "<script" not in found._repr_html_()
    assert "&lt;script&gt;" in found._repr_html_()
