"""What a training tells of its worth: class weights, repeats, choices, and rows left out."""

from __future__ import annotations

import io

import numpy as np
import pytest

import chainrule as cr
from chainrule.data.readers.sources import read
from chainrule.display.screen import Screen
from chainrule.recipe import Training, config
from chainrule.recipe.importance import importance
from chainrule.recipe.length import Crossed
from chainrule.recipe.remarks import on_crossvalidation
from chainrule.report.page import render
from chainrule.report.results import Importance
from chainrule.report.text import print_importance
from chainrule.train import metrics


def imbalanced(seed: int, n: int = 3000) -> dict[str, np.ndarray]:
    """A class in 3.3 % of the rows, which can be ranked well."""
    r = np.random.default_rng(seed)
    x = r.normal(size=(n, 5))
    z = -5.6 + 2 * x[:, 0] + 1.4 * x[:, 1] + x[:, 2] * x[:, 3]
    y = np.where(r.random(n) < 1 / (1 + np.exp(-z)), "yes", "no")
    return {f"x{k}": x[:, k] for k in range(5)} | {"y": y}


def trained(table: object, target: str = "y", **settings: object) -> Training:
    training = Training.of(read(table), config(target=target, **settings))
    training.fit(verbose=False)
    training.refit(verbose=False)
    return training


@pytest.fixture(scope="module")
def weighted() -> cr.Model:
    return cr.train(imbalanced(1), "y", class_weights="balanced", epochs=8, members=1,
                    verbose=False)  # fmt: skip


def test_class_weights_decide_and_leave_probabilities_honest(weighted: cr.Model) -> None:
    later = imbalanced(2)
    found = weighted.predict(later)
    truth = later["y"] == "yes"
    scores = weighted.evaluate(later)
    p = found.values[:, 1]
    share = truth.mean()
    assert abs(p.mean() - share) < 0.015
    assert scores["log_loss"] < 0.85 * -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert scores["recall"] == pytest.approx((found.labels == "yes")[truth].mean())
    assert scores["recall"] > 0.6
    assert scores["balanced_accuracy"] > 0.75
    assert "'yes' from 0.0" in found.notes[-1]


def test_class_weights_change_no_probability_and_are_saved(weighted: cr.Model, tmp_path) -> None:
    plain = cr.train(imbalanced(1), "y", epochs=8, members=1, verbose=False)
    later = imbalanced(3)
    np.testing.assert_array_equal(plain.predict(later).values, weighted.predict(later).values)
    weighted.save(tmp_path / "m.safetensors")
    again = cr.load(tmp_path / "m.safetensors").predict(later)
    assert (again.labels == weighted.predict(later).labels).all()
    assert (again.labels == "yes").sum() > 3 * (plain.predict(later).labels == "yes").sum()


def test_the_advice_on_imbalanced_classes_leads_to_a_model_that_is_not_called_a_guess() -> None:
    training = trained(imbalanced(1), epochs=8, members=1, class_weights="balanced")
    (advice,) = (x.fix for x in training.findings if "imbalanced" in x.message)
    assert "class_weights='balanced'" in advice
    text = str(training.report())
    assert "does no better than that guess" not in text
    assert "balanced accuracy" in text


def test_more_classes_than_two_are_decided_by_weights_too() -> None:
    r = np.random.default_rng(0)
    x = r.normal(size=2000)
    y = np.digitize(x + r.normal(size=2000), [1.5, 2.6]).astype(str)
    counts = []
    for weights in ("none", "balanced"):
        model = cr.train({"x": x, "z": r.normal(size=2000), "y": y}, "y", epochs=5, members=1,
                         class_weights=weights, verbose=False)  # fmt: skip
        found = model.predict({"x": x, "z": x})
        scores = metrics.classification(
            y.astype(int), found.values, decided=model.schema.target.decided(found.values)
        )
        assert model.evaluate({"x": x, "z": x, "y": y})["f1"] == pytest.approx(scores["f1"])
        counts.append((found.labels == "2").sum())
    assert counts[1] > 2 * max(counts[0], 1)


def test_rows_without_a_target_are_told_with_their_count() -> None:
    table = imbalanced(1, 400)
    table["y"] = np.where(np.arange(400) % 20 == 3, None, np.arange(400) % 2 > 0)
    training = trained(table, epochs=1, members=1)
    told = "20 rows without a target 'y' left out"
    assert told in training.schema.notes
    assert told in str(training.report())
    assert training.model.notes["data"] == list(training.schema.notes)


def test_scores_and_importance_are_of_the_model_before_the_refit() -> None:
    training = trained(imbalanced(1, 1200), epochs=6, members=1, validation=0.3)
    (found,) = training.evaluations
    assert "trained once more" in found.remarks[-1]
    held = training.scored.predict(found.encoded).values
    assert not np.array_equal(held, training.model.predict(found.encoded).values)
    scores = training.on_training.scores
    assert scores == training.scored.evaluate(training.on_training.encoded)
    assert training.importance == importance(training.scored, found)


def test_rows_that_chose_the_epoch_are_called_so_and_one_epoch_is_told() -> None:
    chose = trained(imbalanced(1, 1600), epochs=6, members=1, refit="no")
    assert any(x.startswith("These rows chose the epoch (") for x in chose.evaluations[0].remarks)
    assert f"({chose.kept} of" in chose.evaluations[0].remarks[0]
    few = trained(imbalanced(1, 300), epochs=6, members=1, refit="no")
    assert few.kept == 6
    assert not any("chose" in x for x in few.evaluations[0].remarks)
    assert ("best epoch" in render(few.report())) == (few.model.history.best == 6)


def test_scores_of_probabilities_are_at_temperatures_that_other_rows_chose() -> None:
    r = np.random.default_rng(0)
    noise = {"x": r.normal(size=120), "z": r.normal(size=120), "y": r.choice(["a", "b"], 120)}
    gains = []
    for seed in range(4):
        training = trained(noise, seed=seed, epochs=60, rate=0.02, members=1, refit="no")
        own = training.model.evaluate(training.evaluations[0].encoded)["log_loss"]
        gains.append(training.evaluations[0].scores["log_loss"] - own)
    assert min(gains) > -0.02
    assert np.mean(gains) > 0


def test_repeats_of_training_rows_are_scored_apart() -> None:
    table = imbalanced(1, 900)
    training = trained(table, epochs=3, members=1, refit="no")
    rows = training.data.rows[:44]
    fresh = imbalanced(5, 156)
    test = {k: np.concatenate([table[k][rows], fresh[k]]) for k in table}
    found, others = training.test(training.schema.encode(read(test), "required"))
    assert (found.rows, others.rows, others.name) == (200, 156, "unrepeated test")
    assert "44 of 200 test rows (22 %) repeat a training row" in found.remarks[-1]
    assert others.scores["accuracy"] == training.model.evaluate(fresh)["accuracy"]
    again = {k: x[training.data.rows] for k, x in table.items()}
    (alone,) = training.test(training.schema.encode(read(again), "required"))
    assert "tell nothing of new rows" in alone.remarks[-1]
    assert len(training.test(training.schema.encode(read(fresh), "required"))) == 1


def test_a_saved_model_knows_the_rows_that_come_again(tmp_path) -> None:
    table = imbalanced(1, 900)
    cr.train(table, "y", epochs=1, members=1, verbose=False).save(tmp_path / "m.safetensors")
    model = cr.load(tmp_path / "m.safetensors")
    assert model.evaluate(table).notes == ("900 of 900 rows (100 %) repeat a training row",)
    mixed = {k: np.concatenate([x[:100], imbalanced(7, 300)[k]]) for k, x in table.items()}
    assert model.evaluate(mixed).notes == ("100 of 400 rows (25 %) repeat a training row",)
    assert model.evaluate(imbalanced(8, 300)).notes == ()


def test_a_table_without_some_targets_is_told_where_a_model_is_trained_further(capsys) -> None:
    table = imbalanced(1, 200)
    model = cr.train(table, "y", epochs=1, members=1, verbose=False)
    table["y"] = np.where(np.arange(200) < 7, None, table["y"])
    model.fit(table, epochs=1)
    assert "7 rows without a target 'y' left out" in "".join(capsys.readouterr())


def test_rows_of_a_few_answers_repeat_by_chance_and_are_not_told() -> None:
    r = np.random.default_rng(0)
    table = {"a": r.integers(0, 3, 600), "b": r.choice(["u", "v"], 600), "y": r.random(600) < 0.5}
    assert len(trained(table, epochs=1, members=1).evaluations) == 1


def test_what_the_network_relies_on_is_found_on_imbalanced_classes_too() -> None:
    training = trained(imbalanced(1), epochs=8, members=1)
    found = training.importance
    assert (found.of, found.name, found.shuffles) == ("log_loss", "validation", 8)
    assert [name for name, *_ in found.ranked[:2]] == ["x0", "x1"]
    assert all(rise > spread for _, rise, spread in found.ranked[:2])
    text = str(training.report())
    assert text.index("What it relies on") < text.index(found.ranked[0][0], text.index("relies"))
    assert f"{found.ranked[0][1]:.4f}" in text


def test_columns_of_noise_are_within_their_spread() -> None:
    r = np.random.default_rng(0)
    table = {f"noise{k}": r.normal(size=1500) for k in range(6)}
    x = table["x"] = r.normal(size=1500)
    table["y"] = 3 * x + r.normal(size=1500)
    found = trained(table, epochs=6, members=1).importance
    assert found.of == "r2"
    beyond = [name for name, fall, spread in found.columns if fall > spread]
    assert beyond[-1] == "x"
    assert len(beyond) <= 2
    assert found.ranked[0][1] == pytest.approx(2 * 0.9, abs=0.4)  # twice the share of x


def test_a_table_of_noise_alone_has_no_more_columns_than_are_shown() -> None:
    columns = (("u", 0.01, 0.05), ("v", -0.02, 0.01))
    found = Importance(of="r2", name="validation", rows=80, shuffles=8, columns=columns)
    stream = io.StringIO()
    print_importance(Screen(stream), found)
    told = " ".join(stream.getvalue().split())
    assert told.endswith("The importance of no column exceeds its ±; the report has 2 columns")


def test_a_large_network_on_many_columns_is_told_not_measured() -> None:
    r = np.random.default_rng(0)
    table = {f"p{k}": r.normal(size=120) for k in range(400)} | {"y": r.normal(size=120)}
    found = trained(table, epochs=1, members=1, hidden=(2048, 2048)).importance
    assert found.columns == ()
    assert found.sentence.startswith("It is not measured: 400 columns")


def test_a_contradiction_with_crossvalidation_is_told() -> None:
    training = trained(imbalanced(1, 400), epochs=3, members=1, refit="no")
    found = training.evaluations[0]
    loss = found.scores["log_loss"]
    assert on_crossvalidation(found, Crossed(loss * 1.05, 0.02), 320) == ()
    assert on_crossvalidation(found, Crossed(loss * 1.6, 0.0), 320) == (), "of single networks"
    (line,) = on_crossvalidation(found, Crossed(loss + 0.9, 0.03), 320)
    assert "they are easier than most by chance" in line
    (line,) = on_crossvalidation(found, Crossed(loss / 100, 0.001), 320)
    assert "harder" in line


def test_a_date_that_orders_the_target_asks_for_a_split_by_time() -> None:
    r = np.random.default_rng(0)
    days = np.datetime64("2020-01-01") + np.arange(600)
    table = {"day": days, "x": r.normal(size=600), "y": np.cumsum(r.normal(size=600))}
    noise = table | {"y": r.normal(size=600)}

    def told(table: object, **settings: object) -> bool:
        training = Training.of(read(table), config(target="y", **settings))
        return any("orders the target" in x.message for x in training.findings)

    assert told(table)
    assert told(table | {"day": days.astype(str), "y": np.sin(np.arange(600) / 40) > 0})
    assert not told(table, time="day")
    assert not told(noise)
    assert not told(noise | {"y": r.random(600) < 0.5})
