"""The table of losses: each row has all, and a loss that is added to it works everywhere."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import chainrule as cr
from chainrule.errors import FeedError, SettingError
from chainrule.graph import Graph
from chainrule.nn import classes, losses
from chainrule.nn.loss import IDENTITY, LOSSES, SOFTMAX, Bounds, Form, Loss, register
from chainrule.nn.targets import case, same_shape
from chainrule.ops.activations import softplus
from chainrule.recipe.config import BY_KEY, DEFAULT_LOSS
from chainrule.recipe.config import losses as offered
from chainrule.train.metrics import METRICS, find_metrics
from chainrule.train.objectives import Objectives

SHAPES: dict[Form, tuple[tuple[int, ...], tuple[int, ...], str]] = {
    "numbers": ((), (), "float32"),
    "quantiles": ((2,), (), "float32"),
    "classes": ((3,), (), "int32"),
    "labels": ((), (), "float32"),
}
"""Of a prediction and its target, and the dtype of the latter."""


def pair(form: Form) -> tuple[cr.Node, cr.Node]:
    prediction, target, dtype = SHAPES[form]
    return cr.input("z", prediction), cr.input("t", target, dtype)


def test_each_function_is_in_the_table() -> None:
    defined = {
        name: inspect.unwrap(f)  # calls from outside tell of arguments that do not fit
        for module in (classes, losses)
        for name, f in inspect.getmembers(module, inspect.isfunction)
        if f.__module__ == module.__name__ and not name.startswith("_")
    }
    assert {name: row.function for name, row in LOSSES.items()} == defined
    assert all(inspect.unwrap(getattr(cr, name)) is f for name, f in defined.items())


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name, row in LOSSES.items() for form in row.links]
)
def test_the_row_leads_to_metrics(name: str, form: Form) -> None:
    row, (z, t) = LOSSES[name], pair(form)
    loss = row(z, t, quantiles=(0.1, 0.9), no_option_of_any=1)
    found = Objectives(Graph(loss), loss, [z]).first
    assert (found.kind, row.form(z, t)) == (name, form)
    assert found.task is not None
    assert find_metrics(found.each_epoch, found.task)
    values = [np.full((4, *x.shape[1:]), 0.25 if x is z else 1.0) for x in (z, t)]
    values[1][:2] = 0
    scores = found.score(values)
    assert set(found.each_epoch) <= set(scores)
    assert set(row.metrics) <= {"classification", "multilabel", "regression", "quantiles"}
    assert all(name in METRICS for names in row.metrics.values() for name in names)


@pytest.mark.parametrize("form", ["numbers", "labels", "classes"])
def test_values_and_node_of_a_link_agree(form: Form) -> None:
    z = np.array([[-1.5, 0.0, 2.0], [3.0, -0.5, 0.25]])
    for row in LOSSES.values():
        link = row.links.get(form)
        if link is not None and (link.probabilities or form == "numbers"):
            x = cr.input("x", (3,), "float64")
            y = link.node(x)
            node = z if y is x else cr.run(y, {"x": z}).value(y)
            np.testing.assert_allclose(link.values(z), node, rtol=1e-12)


def test_what_the_recipe_offers_it_can_build() -> None:
    for task, default in DEFAULT_LOSS.items():
        names = offered(task)
        assert names[0] == default
        for name in names:
            links = LOSSES[name].links
            assert links == (
                {"numbers": IDENTITY} if task == "regression" else {"classes": SOFTMAX}
            )
    setting = BY_KEY["loss"]
    assert set(setting.choices) == {x.name for x in LOSSES.values() if x.recipe}
    assert all(name in setting.help for name in offered("regression"))


# ---------------------------------------------------------------- a loss that is added


def softened(
    prediction: cr.Node, target: Any, *, weights: Any = None, name: str | None = None
) -> cr.Node:
    """The mean of log(cosh(prediction - target))."""
    given = case("softened", prediction, target, weights)
    y, t = same_shape(given)
    d = y - t
    return given.finish(d + softplus(-2 * d) - math.log(2), name)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Loss:
    row = Loss(
        "softened", softened, {"numbers": IDENTITY}, recipe="regression", estimator="softened",
        bounds=Bounds(-50, 50, "a target is far out", "scale it"),
    )  # fmt: skip
    monkeypatch.setitem(LOSSES, "softened", row)
    return row


X = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)
Y = (X[:, 0] - 2 * X[:, 1]).astype(np.float32)


def model() -> cr.Model:
    x, t = cr.input("x", (2,)), cr.input("t", ())
    z = cr.squeeze(cr.dense(x, 1), -1)
    return cr.Model(z, softened(z, t))


def test_an_added_loss_trains_and_is_scored(added: Loss) -> None:
    own = model()
    data = {"x": X, "t": Y}
    history = own.fit(data, validation=0.2, epochs=30, optimizer=cr.Adam(0.1), verbose=False)
    assert history["validation_rmse"][-1] < 0.1
    assert own.evaluate({"x": X, "t": Y})["rmse"] < 0.1
    with pytest.raises(FeedError, match="a target is far out: the loss is softened"):
        own.fit({"x": X, "t": Y * 100}, verbose=False)


def test_the_recipe_takes_an_added_loss(added: Loss) -> None:
    table = {"a": X[:, 0], "b": X[:, 1], "y": Y}
    own = cr.train(table, "y", loss="softened", quality="fast", epochs=3, verbose=False)
    assert [x for x in own.graph.operations if x.op.name == "objective"][-1].attributes[
        "kind"
    ] == "softened"
    assert "rmse" in own.evaluate(table)


def test_an_estimator_takes_an_added_loss(added: Loss) -> None:
    found = cr.MLPRegressor("softened", (4,), max_iter=3, tol=0, random_state=0)
    with pytest.warns(ConvergenceWarning):
        found.fit(X, Y)
    assert found.model_.objective.kind == "softened"
    with pytest.raises(ValueError, match="a target is far out"):
        found.fit(X, Y * 100)


def test_an_unknown_loss_of_ones_own_trains_without_metrics() -> None:
    own = model()
    own.fit({"x": X, "t": Y * 100}, epochs=1, verbose=False)
    assert list(own.evaluate({"x": X, "t": Y})) == ["loss"]


def test_two_losses_of_one_name_are_refused(added: Loss) -> None:
    with pytest.raises(SettingError, match="there is a loss 'softened'"):
        register(added)
