"""A sum of losses: each output has its metrics under its own name, in any order of the sum."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import FeedError, SettingError

R = np.random.default_rng(1)
X = R.normal(size=(60, 3)).astype("float32")
DATA = {
    "x": X,
    "cost": X[:, :1] * 3,
    "sort": (X[:, 1] > 0).astype("int32"),
    "tags": (X[:, :2] > 0).astype("float32"),
}


def heads() -> tuple[list[cr.Node], list[cr.Node]]:
    """Three outputs, and their losses: of numbers, of classes from logits, and of labels."""
    h = cr.dense(cr.input("x", (3,)), 8, "tanh", name="h")
    price = cr.dense(h, 1, name="price")
    logits = cr.dense(h, 2, name="logits")
    kind = cr.softmax(logits).named("kind")
    labels = cr.dense(h, 2, name="labels")
    losses = [
        cr.squared_error(price, cr.input("cost", (1,))),
        cr.cross_entropy(logits, cr.input("sort", dtype="int32")),
        0.5 * cr.binary_cross_entropy(labels, cr.input("tags", (2,))),
    ]
    return [price, kind, labels], losses


def fitted(model: cr.Model, **settings: Any) -> cr.Model:
    model.fit(DATA, **{"epochs": 2, "verbose": False, **settings})
    return model


def test_any_order_has_the_same_scores() -> None:
    outputs, losses = heads()
    columns, names, values = set(), set(), []
    for order in itertools.permutations(losses):
        model = cr.Model(outputs, order[0] + order[1] + order[2])
        scores = model.evaluate(DATA)
        names.add(tuple(scores))
        values.append(list(scores.values()))
        columns.add(fitted(model, epochs=1).history.columns)
    assert len(columns) == len(names) == 1
    np.testing.assert_allclose(values, [values[0]] * 6, rtol=1e-6)
    found = names.pop()
    for name in ("price_rmse", "kind_accuracy", "kind_log_loss", "labels_label_accuracy"):
        assert name in found
    names = {"price_rmse", "kind_accuracy", "labels_label_accuracy", "kind_loss"}
    assert {f"validation_{name}" for name in names} <= set(columns.pop())


def test_each_score_is_that_of_its_output_alone() -> None:
    outputs, losses = heads()
    both = cr.Model(outputs[:2], losses[0] + 0.1 * losses[1])
    scores = both.evaluate({k: DATA[k] for k in ("x", "cost", "sort")})
    for name, output, loss, target in (
        ("price", outputs[0], losses[0], "cost"),
        ("kind", outputs[1], losses[1], "sort"),
    ):
        alone = cr.Model(output, loss).evaluate({k: DATA[k] for k in ("x", target)})
        for metric, value in alone.items():
            assert scores[f"{name}_{metric}"] == pytest.approx(value, rel=1e-6)
    assert scores["loss"] == pytest.approx(scores["price_loss"] + 0.1 * scores["kind_loss"])
    one = cr.Model(outputs[0], losses[0])
    assert "rmse" in one.evaluate({k: DATA[k] for k in ("x", "cost")})


def test_metrics_that_are_asked_for() -> None:
    outputs, losses = heads()
    model = cr.Model(outputs[:2], losses[1] + losses[0])
    data = {k: DATA[k] for k in ("x", "cost", "sort")}
    losses_told = ["loss", "price_loss", "kind_loss"]
    assert sorted(model.evaluate(data, ["mae"])) == sorted([*losses_told, "price_mae"])
    found = model.evaluate(data, ["kind_auc", "price_r2", "accuracy"])
    assert sorted(found) == sorted([*losses_told, "price_r2", "kind_auc", "kind_accuracy"])

    def rows(target: Any, prediction: Any) -> float:
        return float(len(target))

    assert {"price_rows", "kind_rows"} <= set(model.evaluate(data, [rows]))
    for wrong in ("kind_rmse", "label_accuracy", "price_nothing", "nothing"):
        with pytest.raises(SettingError, match="metric"):
            model.evaluate(data, [wrong])
    model.fit(
        data, epochs=3, metrics=["kind_accuracy"], verbose=False,
        patience=cr.EarlyStopping("validation_kind_accuracy"),
    )  # fmt: skip
    assert model.history.best == 1 + np.argmax(model.history["validation_kind_accuracy"])
    model.fit(data, epochs=1, patience=cr.EarlyStopping("validation_price_loss"), verbose=False)
    assert "validation_price_loss" in model.history


def test_names_of_predictions_that_are_no_outputs_and_of_one_prediction() -> None:
    x = cr.input("x", (3,))
    y = cr.dense(x, 1, name="y")
    hidden = cr.dense(x, 1, name="hidden")
    t, u = cr.input("cost", (1,)), cr.input("u", (1,))
    data = {"x": X, "cost": DATA["cost"], "u": DATA["cost"] + 1}
    model = cr.Model(y, cr.huber(hidden, u) + cr.squared_error(y, t))
    assert {"y_rmse", "hidden_rmse"} <= set(model.evaluate(data))
    for loss in (cr.huber(y, u) + cr.huber(y, t), cr.huber(y, t) + cr.huber(y, u)):
        assert {"y_cost_rmse", "y_u_rmse"} <= set(cr.Model(y, loss).evaluate(data))
    same = cr.Model(y, cr.huber(y, t) + cr.squared_error(y, t))
    assert set(same.evaluate({k: data[k] for k in ("x", "cost")})) >= {"loss", "rmse"}


def test_targets_and_weights_of_every_output() -> None:
    outputs, losses = heads()
    model = cr.Model(outputs[:2], losses[0] + losses[1])
    data = {k: DATA[k] for k in ("x", "cost", "sort")}
    for order in (losses[:2], losses[1::-1]):
        model = cr.Model(outputs[:2], order[0] + order[1])
        with pytest.raises(FeedError, match="a class number is too large"):
            model.fit({**data, "sort": DATA["sort"] + 1}, verbose=False)
        model.fit(data, epochs=1, verbose=False)
        assert "stratified by class" in model.split
    y = cr.dense(cr.input("x", (3,)), 1, name="y")
    z = cr.dense(y, 1, name="z")
    t = cr.input("cost", (1,))
    loss = cr.huber(y, t, weights=cr.input("v")) + cr.huber(z, t, weights=cr.input("w"))
    weighted = cr.Model([y, z], loss)
    assert np.isfinite(weighted.evaluate({"x": X, "cost": DATA["cost"]})["z_rmse"])


def test_a_prediction_may_be_a_long_chain_of_operations() -> None:
    x, t = cr.input("x", 3), cr.input("t", 3)
    first, second = (cr.dense(x, 3, name=name) for name in ("first", "second"))
    scaled = first
    for _ in range(1500):
        scaled = scaled + 1.0
    loss = cr.squared_error(second, t) + cr.squared_error(scaled, t)
    objectives = cr.Model([first, second], loss).objectives
    assert [one.prediction for one in objectives.each] == [scaled, second]
    names = [metric.name for metric in objectives.metrics(["rmse"])]
    assert names == ["first_loss", "second_loss", "first_rmse", "second_rmse"]


def test_a_saved_model_has_the_same_names(tmp_path: Any) -> None:
    outputs, losses = heads()
    model = fitted(cr.Model(outputs, losses[2] + losses[0] + losses[1]))
    model.save(tmp_path / "m.safetensors")
    assert cr.load(tmp_path / "m.safetensors").evaluate(DATA) == model.evaluate(DATA)
