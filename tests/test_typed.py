"""The types that a checker sees in a user's program; mypy reads this file, and pytest runs it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, assert_type, get_type_hints

import numpy as np
import numpy.typing as npt

import chainrule as cr
from chainrule.data.predictions import Predictions
from chainrule.graph.node import Array
from chainrule.recipe import SETTINGS
from chainrule.recipe.options import Options

TABLE: dict[str, list[object]] = {"size": [1, 2, 3, 4] * 8, "price": [2, 4, 6, 8] * 8}


def test_predict_gives_what_the_model_is_made_for() -> None:
    x = cr.input("x", (2,))
    h, z = cr.dense(x, 3), cr.dense(x, 1)
    one, two = cr.Model(z), cr.Model([h, z])
    data = {"x": np.zeros((4, 2), np.float32)}
    assert_type(one, cr.Model[Array])
    assert_type(one.predict(data), Array)
    assert_type(two.predict(data), list[Array])
    assert one.predict(data).shape == (4, 1)
    assert [y.shape for y in two.predict(data)] == [(4, 3), (4, 1)]


def test_a_model_of_a_table_gives_predictions() -> None:
    model = cr.train(TABLE, "price", epochs=1, members=1, hidden=4, refit="no", verbose=False)
    assert_type(model, cr.Model[Predictions])
    assert_type(model.predict({"size": [5]}), Predictions)
    assert isinstance(model.predict({"size": [5]}), Predictions)
    found = cr.search(
        TABLE, "price", trials=1, epochs=1, members=1, hidden=(4,), validation=0.25, verbose=False
    )
    assert_type(found.model.predict(TABLE), Predictions)
    assert isinstance(found.model.predict(TABLE), Predictions)


def test_every_setting_of_the_recipe_is_typed() -> None:
    hints = get_type_hints(Options)
    assert list(hints) == [row.key for row in SETTINGS if row.key != "target"]
    for function in (cr.train, cr.search):
        (settings,) = (x for x in inspect.signature(function).parameters.values() if x.kind == 4)
        assert settings.annotation == "Unpack[Options]"
    for row in SETTINGS:
        if row.key != "target" and isinstance(row.choices, tuple) and row.form == "text":
            assert all(repr(choice) in str(hints[row.key]) for choice in row.choices)


if TYPE_CHECKING:  # mypy reports an ignored error that is none
    cr.train("penguins", "species", epoch=3)  # type: ignore[call-arg]
    cr.train("penguins", "species", quality="god")  # type: ignore[arg-type]
    cr.train("penguins", "species", hidden="wide")  # type: ignore[arg-type]
    cr.search("penguins", "species", members="two")  # type: ignore[arg-type]
    cr.sigmod  # type: ignore[attr-defined]  # noqa: B018
    cr.SGD(lr=0.1)  # type: ignore[call-arg]
    assert_type(cr.load("a.safetensors").predict({"x": [1.0]}), Any)
    assert_type(cr.load("a.safetensors").predict("new.csv"), Predictions)
    assert_type(cr.MLPClassifier().predict([[1.0]]), npt.NDArray[Any])
