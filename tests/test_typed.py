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


def test_other_nodes_are_predicted_as_they_are_asked_for() -> None:
    x = cr.input("x", (2,))
    model = cr.Model(cr.dense(cr.dense(x, 3, name="hidden"), 1, name="y"))
    data = {"x": np.zeros((4, 2), np.float32)}
    assert_type(model.predict(data, outputs="hidden"), Array)
    assert_type(model.predict(data, outputs=["hidden", "y"]), list[Array])
    assert_type(model.predictor(outputs="hidden")(data["x"]), Array)
    assert model.predict(data, outputs="hidden").shape == (4, 3)
    assert [y.shape for y in model.predict(data, outputs=["hidden", "y"])] == [(4, 3), (4, 1)]
    assert model.predictor(outputs="hidden")(data["x"]).shape == (4, 3)


def test_layers_of_images_give_nodes() -> None:
    x = cr.input("x", (8, 8, 4))
    wide = cr.conv(cr.augment(x, flip=True, shift=0.1), 8, 3, "relu", stride=2)
    assert_type(wide, cr.Node)
    assert_type(cr.depthwise_conv(x, (3, 1), multiplier=2), cr.Node)
    assert_type(cr.separable_conv(x, 8, 3, padding="valid", bias=False), cr.Node)
    assert_type(cr.conv_transpose(x, 2, 2, stride=2), cr.Node)
    assert_type(cr.max_pool(x, 2), cr.Node)
    assert_type(cr.average_pool(x, (2, 2), ceil=True), cr.Node)
    assert_type(cr.global_pool(x, "max", channels="last"), cr.Node)
    assert_type(cr.adaptive_pool(x, 3), cr.Node)
    assert_type(cr.upsample(x, 2, method="linear"), cr.Node)
    assert_type(cr.pixel_unshuffle(cr.pixel_shuffle(x, 2), 2), cr.Node)
    assert_type(cr.instance_norm(cr.group_norm(x, 2)), cr.Node)
    assert_type(cr.local_response_norm(x, 3), cr.Node)
    assert_type(cr.overlap_add(cr.windows(x, (2, 2)), (8, 8)), cr.Node)
    assert wide.shape == (cr.N, 4, 4, 8)


def test_layers_of_sequences_give_nodes() -> None:
    x, length = cr.input("x", (5, 8)), cr.input("length", (), dtype="int32")
    h = cr.transformer_encoder(cr.positions(x), 2, hidden=16, mask=length)
    assert_type(h, cr.Node)
    assert_type(cr.attention(cr.rotary(x), x, x, causal=True), cr.Node)
    assert_type(cr.multi_head_attention(x, 2, mask=np.ones((5, 5), bool)), cr.Node)
    assert_type(cr.sequence_pool(h, "last", mask=length), cr.Node)
    assert_type(cr.swiglu(cr.geglu(x, 4), 4), cr.Node)
    assert_type(cr.rnn(x, 3, "relu", outputs="last"), cr.Node)
    assert_type(cr.lstm(x, 3, mask=length, bidirectional=True), cr.Node)
    assert_type(cr.gru(x, 3, layers=2, outputs="states", reset_after=False), cr.Node)
    assert h.shape == (cr.N, 5, 8)


def test_layers_of_codes_give_nodes() -> None:
    codes = cr.input("codes", (3,), dtype="int32")
    bag = cr.embedding_bag(codes, 9, 4, combine="sum", padding=0, sparse=True)
    fields = cr.field_embedding(codes, (9, 5, 7), 4)
    assert_type(bag, cr.Node)
    assert_type(fields, cr.Node)
    assert_type(cr.pair_interactions(fields), cr.Node)
    assert_type(cr.factorisation(bag, 2, linear=False), cr.Node)
    assert_type(cr.deep_factorisation(codes, (9, 5, 7), hidden=(8,)), cr.Node)
    assert_type(cr.two_towers(bag, bag, temperature=0.5), cr.Node)
    assert_type(cr.in_batch(bag, bag, both=True), cr.Node)
    assert_type(cr.mixture_of_experts(bag, 2, cr.layer.dense(4)), cr.Node)
    assert fields.shape == (cr.N, 3, 4)


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
    cr.conv(cr.input("x", (8, 3)), 4, kernel=3)  # type: ignore[call-arg]
    cr.lstm(cr.input("x", (8, 3)), 4, outputs="first")  # type: ignore[arg-type]
    assert_type(cr.load("a.safetensors").predict({"x": [1.0]}), Any)
    assert_type(cr.load("a.safetensors").predict("new.csv"), Predictions)
    assert_type(cr.MLPClassifier().predict([[1.0]]), npt.NDArray[Any])
