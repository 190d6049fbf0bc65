"""The page of a model: its rows, its encoders, and the graph of all passes."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import FeedError, SettingError
from chainrule.model.inspect import choose


@pytest.fixture(scope="module")
def model() -> cr.Model[Any]:
    return cr.train("penguins", "species", quality="fast", epochs=3, verbose=False)


def decoded(form: dict[str, Any]) -> np.ndarray[Any, Any]:
    data = np.frombuffer(base64.b64decode(form["data"]), form["dtype"])
    return data.reshape(form["shape"])


def test_the_chosen_row_is_that_of_the_table(model: cr.Model[Any]) -> None:
    table = cr.data.read("penguins")
    content = model.show(table, rows=16).document
    (row,) = content["rows"]
    assert row["label"] == "row 17"
    cells = {cell["column"]: cell["raw"] for cell in row["cells"]}
    assert cells["bill_length_mm"] == table["bill_length_mm"].cells()[16]
    numbers = decoded(row["feeds"]["numbers"])
    assert numbers[0] == float(cells["bill_length_mm"])
    assert decoded(row["feeds"]["species"]) == content["target"]["classes"].index("Adelie")


def test_without_rows_instructive_ones_are_chosen(model: cr.Model[Any]) -> None:
    rows = model.show("penguins").document["rows"]
    assert [row["why"] for row in rows] == ["typical", "worst", "on the border"]


def test_rows_are_chosen_by_loss_and_measure() -> None:
    losses = np.array([0.5, 9.0, 0.1, 0.4, 0.6])
    assert choose(losses, "border", np.array([5, 0, 4, 3, 2])) == [
        (0, "typical"), (1, "worst"), (4, "border"),
    ]  # fmt: skip
    assert choose(losses[:1], "best", losses[:1]) == [(0, "typical")]


def test_what_the_encoders_make_of_a_cell(model: cr.Model[Any]) -> None:
    content = model.show("penguins", rows=0).document
    by_name = {e["column"]: e for e in content["encoders"]}
    assert by_name["sex"]["levels"] == ["(gap)", "(unseen or rare)", "female", "male"]
    (code,) = by_name["sex"]["parts"]
    (seen,) = code["seen"]
    assert len(seen["entries"]) == 3  # one-hot: a gap, female, male
    node = content["graph"]["nodes"][seen["node"]]
    assert node["part"] == "forward"


def test_a_target_that_is_not_known_is_the_prediction(model: cr.Model[Any]) -> None:
    table = cr.data.read("penguins").drop("species")
    content = model.show(table, rows=[0, 1]).document
    assert any("'species' is not known of 2 rows" in note for note in content["notes"])
    assert model.show().document["rows"][0]["label"] == "a typical row"


def test_rows_that_are_not_there_are_refused(model: cr.Model[Any]) -> None:
    for rows in (344, [-1], [0.5], "x"):
        with pytest.raises(SettingError, match="no row at position"):
            model.show("penguins", rows=rows)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="too many"):
        model.show("penguins", rows=range(201))


def test_a_model_of_arrays() -> None:
    x, t = cr.input("x", (2,)), cr.input("t", ())
    y = cr.dense(x, 1, name="y")[:, 0].named("p")
    model = cr.Model(y, cr.mean((y - t) ** 2))
    content = model.show({"x": [[1.0, 2.0]] * 9, "t": [0.0] * 9}, rows=[3]).document
    assert decoded(content["rows"][0]["feeds"]["x"]).tolist() == [1.0, 2.0]
    assert content["rows"][0]["label"] == "row 4"
    assert "all inputs are 0" in model.show().document["notes"][0]


def test_every_node_is_in_one_layer_and_every_layer_in_one_block(model: cr.Model[Any]) -> None:
    graph = model.show("penguins", rows=0).document["graph"]
    forward = [k for k, node in enumerate(graph["nodes"]) if node["part"] == "forward"]
    layers = [k for layer in graph["layers"] for k in layer["nodes"]]
    assert sorted(layers) == forward
    assert sorted(k for b in graph["blocks"] for k in b["layers"]) == list(
        range(len(graph["layers"]))
    )
    for k, node in enumerate(graph["nodes"]):
        assert all(operand < k for operand in node.get("operands", ()))


def test_the_update_of_each_parameter_is_there(model: cr.Model[Any]) -> None:
    graph = model.show("penguins", rows=0).document["graph"]
    named = [graph["nodes"][u["parameter"]]["name"] for u in graph["updates"]]
    trained = [name for name, x in model.values.items() if name != "calibration"]
    assert {name for name in named if name in model.values} <= set(trained)
    assert len([x for x in named if x not in model.values]) == 2 * len(
        [x for x in named if x in model.values]
    )  # the two averages of AdamW
    assert graph["optimizer"] == "AdamW"


def test_what_differs_in_training_is_left_out_and_told() -> None:
    x, t = cr.input("x", (3,)), cr.input("t", ())
    h = cr.dropout(cr.dense(x, 4, activation="relu", name="h"), 0.5)
    model = cr.Model(y := cr.dense(h, 1, name="y"), cr.mean((y[:, 0] - t) ** 2))
    content = model.show({"x": np.ones((2, 3)), "t": np.ones(2)}).document
    assert not {"uniform", "when_training"} & set(content["graph"]["ops"])
    assert any("without dropout" in note for note in content["notes"])


def regression(h: cr.Node) -> cr.Model[Any]:
    """A model of arrays x (2,) and t, from a node made of `X`."""
    p = cr.dense(h, 1, name="p")[:, 0]
    return cr.Model(p, cr.mean((p - cr.input("t", ())) ** 2))


X = cr.input("x", (2,))
DATA = {"x": np.ones((4, 2)), "t": np.ones(4)}


def test_without_the_inputs_of_the_loss_the_page_has_the_prediction() -> None:
    model = regression(cr.dense(X, 3, name="h"))
    page = model.show({"x": DATA["x"]}, rows=[2]).document
    assert page["graph"]["loss"] is None
    assert not page["graph"]["gradients"]
    assert "the loss needs 't'" in page["notes"][0]
    assert [row["label"] for row in page["rows"]] == ["row 3"]
    assert page["rows"][0]["feeds"].keys() == {"x"}
    with pytest.raises(FeedError, match="there are no rows"):
        model.show({"x": np.ones((0, 2))})
    with pytest.raises(FeedError, match="the names do not match"):
        model.show({"t": DATA["t"]})


def test_notes_say_what_differs_from_training() -> None:
    dense = cr.dense(X, 3, name="h")
    for h, told in (
        (cr.dropout(dense, 0.5), [": without dropout"]),
        (cr.batch_norm(dense), [": with the statistics of training"]),
        (dense, []),
    ):
        notes = regression(h).show(DATA).document["notes"]
        assert notes == [f"the network is shown as it predicts{x}" for x in told]


def test_a_note_says_why_there_is_no_update() -> None:
    model = regression(X)
    model.fit(DATA, optimizer="lbfgs", epochs=1, validation=None, verbose=False)
    page = model.show(DATA).document
    assert not page["graph"]["updates"]
    assert any("L-BFGS" in note for note in page["notes"])


def test_ops_of_the_user_are_told_with_attributes_of_any_kind() -> None:
    twice = cr.op(
        "twice_inspected", forward=lambda x, table: 2 * x, gradient=lambda g, y, x, table: (2 * g,)
    )
    model = regression(twice(X, table={"a": 1}))
    page = model.show(DATA).document
    (node,) = [x for x in page["graph"]["nodes"] if x.get("op") == "twice_inspected"]
    assert node["attributes"] == {"table": "dict of 1"}
    (note,) = page["notes"]
    assert "'twice_inspected'" in note
    assert f"of {len(model.run(DATA).graph)} nodes" in note
    assert model.run(DATA).show().document["notes"] == page["notes"]


def test_a_page_of_many_parameters_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not regression(X).show(DATA).document["notes"]
    monkeypatch.setattr("chainrule.model.inspect.MANY_ENTRIES", 8)
    (note,) = regression(X).show(DATA).document["notes"]
    assert "9 numbers of parameters and the optimizer" in note  # w and b, each with two averages


def test_rows_that_were_not_chosen_from_are_told(model: cr.Model[Any]) -> None:
    table = cr.data.read("penguins").take(slice(20))
    columns = {name: table[name].cells() for name in table.columns}
    columns["species"][3:5] = [None, None]
    notes = model.show(columns).document["notes"]
    assert "2 rows without a target 'species' passed over" in notes
    assert "without a target" not in " ".join(model.show(table).document["notes"])
    many = {name: np.repeat(x, 3, axis=0) for name, x in DATA.items()}
    assert regression(X).show(many).document["notes"] == [
        "the first 5 of 12 rows; show(data, rows=[...]) takes others"
    ]
    assert not regression(X).show(many, rows=0).document["notes"]


def test_a_row_of_an_unseen_class_has_its_prediction_alone(model: cr.Model[Any]) -> None:
    table = cr.data.read("penguins").take(range(40))
    columns = {name: list(table[name].cells()) for name in table.columns}
    for k in (3, 9):
        columns["species"][k] = "Macaroni"
    alone = model.show(columns, rows=3).document
    assert alone["graph"]["loss"] is None
    assert not alone["graph"]["gradients"]
    assert [x["label"] for x in alone["rows"]] == ["row 4"]
    (note,) = (x for x in alone["notes"] if "training did not have" in x)
    assert note.startswith("'species' of 1 row is a class")

    both = model.show(columns, rows=[0, 3, 9]).document
    assert both["graph"]["gradients"]
    assert ["species" in row["feeds"] for row in both["rows"]] == [True, False, False]
    assert decoded(both["rows"][0]["feeds"]["species"]) == 0
    assert any("'species' of 2 rows is a class" in x for x in both["notes"])

    chosen = model.show(columns).document
    assert [row["why"] for row in chosen["rows"]] == ["typical", "worst", "on the border"]
    assert not {"row 4", "row 10"} & {row["label"] for row in chosen["rows"]}
    passed = "2 rows of which 'species' is a class that training did not have passed over"
    assert passed in chosen["notes"]

    columns["species"] = ["Macaroni"] * 40
    none = model.show(columns).document
    assert len(none["rows"]) == 3
    assert none["graph"]["loss"] is None
    assert none["target"] is None
