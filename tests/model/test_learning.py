"""The measures of `fit(record=...)` for pages: its numbers, its bound, its file."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ModelFileError
from chainrule.model.learning import learner
from chainrule.model.learning.file import load_learning, save_learning

X = np.random.default_rng(3).normal(size=(80, 3)).astype(np.float32)
T = (X[:, 0] * X[:, 1] > 0).astype(np.int64)


def built(units: int = 5) -> cr.Model:
    x, t = cr.input("x", 3), cr.input("t", dtype="int64")
    hidden = cr.dense(x, units, activation="relu", name="hidden")
    logits = cr.dense(hidden, 2, name="logits")
    return cr.Model(logits, loss=cr.cross_entropy(logits, t), seed=1)


def fitted(epochs: int = 4, units: int = 5, **settings: Any) -> cr.Model:
    model = built(units)
    model.fit({"x": X, "t": T}, epochs=epochs, record=True, verbose=False, **settings)
    return model


def test_each_epoch_is_that_of_the_model_then() -> None:
    model = fitted(keep_best=False)
    assert model.learning is not None
    section, record = model.learning.section, model.record
    assert record is not None
    assert section["epochs"] == record.epochs.tolist() == [0, 1, 2, 3, 4]
    assert [x["name"] for x in section["layers"]] == ["hidden", "logits"]
    for k in range(5):
        weights = record.values_at(k)["hidden.w"]
        quantiles = section["layers"][0]["weights"][k]
        assert quantiles == pytest.approx(
            np.quantile(weights.astype(float), [0, 0.25, 0.5, 0.75, 1]).tolist()
        )
        held = section["values"][k]["hidden.w"]
        assert base64.b64decode(held["data"]) == weights.tobytes()
        assert section["values"][k].keys() >= {"hidden.w", "logits.b"}
    moved = record["hidden.w"].change
    assert moved is not None
    steps = np.diff(record.steps)
    assert section["layers"][0]["updates"][1:] == pytest.approx(moved[1:] / steps, rel=1e-5)
    assert model.learning.notes == []


def test_the_optimizers_averages_are_those_of_each_epoch() -> None:
    section = fitted(optimizer=cr.Adam(1e-2), keep_best=False).learning
    assert section is not None
    names = set(section.section["values"][1]) - set(section.section["values"][0])
    later = section.section["values"]
    assert {x for x in later[1] if x.startswith("hidden.w.")}
    assert not names or all(x.startswith(("hidden", "logits")) for x in names)
    first = next(x for x in later[1] if x.startswith("hidden.w."))
    assert later[1][first]["data"] != later[4][first]["data"]


def test_the_last_record_is_the_model_that_remains() -> None:
    model = fitted(epochs=30, optimizer=cr.Adam(0.5))
    assert model.learning is not None
    section, best = model.learning.section, model.history.best
    assert best is not None
    assert best < 30
    assert section["latest"] == best
    held = section["values"][section["epochs"].index(best)]
    assert base64.b64decode(held["hidden.w"]["data"]) == model.value("hidden.w").tobytes()


def test_epochs_are_thinned_evenly_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "MAX_RECORDS", 8)
    model = fitted(epochs=40, keep_best=False)
    assert model.learning is not None
    epochs = model.learning.section["epochs"]
    assert epochs == [0, 8, 16, 24, 32, 40]
    assert model.learning.notes == ["the time line has 6 epochs, evenly spread, of 0 to 40"]


def test_its_size_is_bounded() -> None:
    model = fitted(epochs=60, units=1500, optimizer=cr.Adam(1e-3))
    assert model.learning is not None
    assert len(json.dumps(model.learning.section)) < 1.5 * learner.MAX_BYTES
    assert model.learning.section["values"] == [] or len(model.learning.section["epochs"]) >= 20
    assert model.learning.notes


def test_a_page_holds_it_until_the_model_is_trained_without() -> None:
    model = fitted()
    document = model.show({"x": X, "t": T}).document
    assert document["learning"]["epochs"] == [0, 1, 2, 3, 4]
    model.fit({"x": X, "t": T}, epochs=1, verbose=False)
    assert model.learning is None
    assert model.show({"x": X, "t": T}).document["learning"]["epochs"] == []


def test_calls_go_on_in_one_line_of_epochs() -> None:
    model = fitted(epochs=2, keep_best=False)
    model.fit({"x": X, "t": T}, epochs=2, record=True, keep_best=False, verbose=False)
    assert model.learning is not None
    assert model.learning.section["epochs"] == [0, 1, 2, 3, 4]


def penguins() -> cr.Model:
    return cr.train(
        "penguins", "species", hidden=(4,), epochs=3, quality="fast", members=1, refit="no",
        record=cr.Record(rows=40), verbose=False,
    )  # fmt: skip


def test_worst_rows_come_with_their_numbers(tmp_path: Path) -> None:
    model = penguins()
    path = save_learning(model.learning, tmp_path / "learning.json")  # type: ignore[arg-type]
    model.save(tmp_path / "model.safetensors")
    again = cr.load(tmp_path / "model.safetensors")
    assert again.show().document["learning"]["worst"] == []
    again.learning = load_learning(path, again)
    document = again.show().document
    assert document["learning"] == model.show().document["learning"]
    table = cr.data.read("penguins")
    for worst in document["learning"]["worst"]:
        row = document["rows"][worst["row"]]
        assert row["label"] == worst["label"]
        place = int(worst["label"].removeprefix("row ")) - 1
        (given,) = model.show(table, rows=place).document["rows"][:1]
        assert given["feeds"] == row["feeds"]
        assert table["species"].cells()[place] == worst["truth"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x["section"].pop("told"), "told"),
        (lambda x: x["section"]["epochs"].append("<b>"), "float"),
        (lambda x: x["section"]["layers"][0].update(name="other"), "no layer 'other'"),
        (lambda x: x["section"]["history"]["epoch"].append(9.0), "history differs"),
        (lambda x: x["section"]["layers"][0]["dead"].append(1), "other epochs"),
        (lambda x: x["section"]["worst"][0]["feeds"]["species"].update(data=""), "another size"),
        (lambda x: x["section"]["values"][0].clear(), "parameters differ"),
        (lambda x: x.update(script="1"), "script"),
    ],
)
def test_a_file_that_is_damaged_or_of_another_model_is_refused(
    change: Any, said: str, tmp_path: Path
) -> None:
    model = penguins()
    path = save_learning(model.learning, tmp_path / "x.json")  # type: ignore[arg-type]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ModelFileError, match=said):
        load_learning(path, model)


def recorded(outputs: cr.Node, data: dict[str, np.ndarray[Any, Any]]) -> list[dict[str, Any]]:
    """The layers of a run of two epochs of a classifier of two classes."""
    t = cr.input("t", dtype="int64")
    model = cr.Model(outputs, loss=cr.cross_entropy(outputs, t), seed=1)
    count = len(next(iter(data.values())))
    rows = {**data, "t": np.arange(count) % 2}
    model.fit(rows, epochs=2, record=True, keep_best=False, verbose=False, validation=0)
    assert model.learning is not None
    trace = cr.run([outputs], data, values=model.values)
    layers: list[dict[str, Any]] = model.learning.section["layers"]
    for layer in layers:
        values = np.asarray(trace.value(layer["name"]), float)
        assert layer["values"][-1] == pytest.approx(
            np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist(), rel=1e-5
        )
    return layers


def test_units_of_a_convolution_are_its_filters_wherever_they_look() -> None:
    images = np.random.default_rng(1).normal(size=(30, 2, 5, 6)).astype(np.float32)
    x = cr.input("x", (2, 5, 6))
    hidden = cr.conv(x, 3, (2, 3), "relu", channels="first", name="edges")
    out = cr.dense(cr.global_pool(hidden, channels="first"), 2, name="out")
    edges, last = recorded(out, {"x": images})
    assert [edges["name"], edges["what"], edges["units"]] == ["edges", "conv 2x3, relu", 3]
    assert last["name"] == "out"
    assert edges["groups"] == []
    best = edges["excited"][1]["rows"][0]
    assert re.fullmatch(r"row \d+ at [0-4], [0-5]", best["label"])
    assert re.fullmatch(r"w\[[01], [0-2], [01]\]", edges["excited"][1]["weights"][0]["name"])


def test_a_recurrent_layer_has_its_matrices_apart(tmp_path: Path) -> None:
    series = np.random.default_rng(1).normal(size=(24, 4, 3)).astype(np.float32)
    x = cr.input("x", (4, 3))
    out = cr.dense(cr.lstm(x, 5, outputs="last", name="memory"), 2, name="out")
    memory, last = recorded(out, {"x": series})
    assert [x["name"] for x in memory["groups"]] == ["memory.w", "memory.u"]
    assert memory["units"] == 5
    assert memory["updates"][0] is None
    assert all(len(x["weights"]) == len(x["updates"]) == 3 for x in memory["groups"])
    assert min(x["updates"][2] for x in memory["groups"]) <= memory["updates"][2]
    names = [x["name"] for unit in memory["excited"] for x in unit["weights"]]
    assert all(re.fullmatch(r"[wu]\[[0-4], [ifgo]\]", x) for x in names)
    assert last["groups"] == []


def test_attention_and_bags_are_layers_with_weights() -> None:
    words = np.random.default_rng(1).integers(0, 9, size=(24, 4))
    x = cr.input("x", (4,), dtype="int64")
    h = cr.transformer_encoder(cr.embedding(x, 9, 6, name="word"), 2, hidden=8, name="block")
    out = cr.dense(cr.mean(h, 1) + cr.embedding_bag(x, 9, 6, name="bag"), 2, name="out")
    layers = {x["name"]: x for x in recorded(out, {"x": words})}
    assert [*layers][-1] == "out"
    assert {*layers} == {"word", "block.attention", "block.hidden", "block.out", "bag", "out"}
    groups = [x["name"] for x in layers["block.attention"]["groups"]]
    assert groups == [f"block.attention.{x}.w" for x in ("query", "key", "value", "out")]
    assert layers["bag"]["excited"][0]["weights"][0]["name"].startswith("table[")
