"""Exercise sheets: their keys are right, their numbers fit, and large networks are narrowed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError
from chainrule.explain import lecture
from chainrule.explain.conditions import troubles

ASSIGNED = re.compile(r"^(?:\d+\.|-) `(.+)`$")


def given(sheet: str) -> dict[str, Any]:
    """The numbers of a sheet's table, read from its Markdown."""
    rows = re.findall(r"^\| `(.+?)` \| [\w ]+ \| `(.+?)` \|$", sheet, re.M)
    return {name: json.loads(text) for name, text in rows}


def results(sheet: str) -> dict[str, float]:
    """The last number of each line of a key, by the name at its head."""
    found = {}
    for line in sheet.splitlines():
        match = re.match(r"^    - `(.+?) = (?:.* = )?(-?[\d.e-]+)`$", line)
        if match:
            found[match[1]] = float(match[2])
    return found


def lecture_again(numbers: dict[str, Any]) -> tuple[cr.Trace, float]:
    """The lecture's network, built from scratch with the numbers of a sheet."""
    x, t = (cr.input(n, (k,), dtype="float64") for n, k in (("x", 2), ("t", 1)))
    shapes = {"W1": (2, 2), "b1": (2,), "W2": (2, 1), "b2": (1,)}
    w1, b1, w2, b2 = (
        cr.parameter(n, np.reshape(numbers[n], s), dtype="float64") for n, s in shapes.items()
    )
    u1 = (x @ w1).named("u1")
    z1 = (u1 + b1).named("z1")
    h = cr.sigmoid(z1).named("h")
    u2 = (h @ w2).named("u2")
    z2 = (u2 + b2).named("z2")
    y = cr.sigmoid(z2).named("y")
    error = (cr.sum((t - y) ** 2) / 2).named("E")
    feeds = {"x": np.reshape(numbers["x"], (1, 2)), "t": np.reshape(numbers["t"], (1, 1))}
    trace = cr.run(error, feeds)
    trace.backward(error)
    return trace, numbers["rate"]


def test_the_key_in_markdown_is_what_run_computes(tmp_path: Path) -> None:
    cr.exercise("lecture", variants=4, seed=3).write(tmp_path)
    keys = (tmp_path / "keys.md").read_text("utf-8").split("\n---\n")
    assert len(keys) == 4
    for key in keys:
        trace, rate = lecture_again(given(key))
        found = results(key)
        compared = 0
        for name in ("u1", "z1", "h", "u2", "z2", "y", "W1", "b1", "W2", "b2"):
            arrays = {f"∂E/∂{name}": trace.gradient(name)}
            if name in lecture.NUMBERS:
                arrays[f"new {name}"] = trace.value(name) - rate * trace.gradient(name)
            else:
                arrays[name] = trace.value(name)
            for title, array in arrays.items():
                flat = [x for k, x in found.items() if k.split("[")[0] == title]
                if title in ("∂E/∂u1", "∂E/∂u2"):  # passed on: the line is that of z
                    assert not flat
                    continue
                assert flat == [float(f"{x:.4g}") for x in array.ravel()]
                compared += len(flat)
        assert compared == 9 + 15 + 9
        assert found["E"] == float(f"{float(trace.value('E')):.4g}")


def test_numbers_have_few_digits_and_are_fit() -> None:
    made = cr.exercise("lecture", variants=6, seed=1)
    assert not made.notes
    texts = set()
    for sheet in made:
        assert troubles(sheet.trace, "E") == []
        for one in sheet.given:
            numbers = re.findall(r"-?[\d.]+", one.text)
            assert all(len(re.sub(r"[-.]", "", x).lstrip("0")) <= 2 for x in numbers)
        texts.add(tuple(x.text for x in sheet.given))
    assert len(texts) == 6


@pytest.mark.parametrize(
    ("bias", "reason"),
    [(9.0, "h is saturated"), (-1.4999, "round to 0.000")],
)  # fmt: skip
def test_what_is_unfit_is_found(bias: float, reason: str) -> None:
    trace = cr.run(lecture.network()["E"], lecture.EXAMPLE, values={"b1": [bias, 1.0]})
    if reason != "h is saturated":
        trace = cr.run(
            lecture.network()["E"], {"x": [[1.0, 0.0]], "t": [[0.5]]},
            values={"W2": [[1e-4], [1.0]], "b2": [-0.5]},
        )  # fmt: skip
    trace.backward("E")
    assert any(reason in x for x in troubles(trace, "E"))


def test_digits_that_cancel_are_found() -> None:
    a, b = (cr.input(n, (), dtype="float64") for n in "ab")
    loss = cr.sum((a - b).named("d") ** 2).named("E")
    trace = cr.run(loss, {"a": [81.23456], "b": [81.03321]})
    trace.backward(loss)
    assert troubles(trace, "E") == []  # what is given is not rounded
    trace = cr.run(cr.sum((a * 1.0 - b) ** 2).named("E"), {"a": [81.23456], "b": [81.23001]})
    trace.backward("E")
    assert any("loses its digits" in x for x in troubles(trace, "E"))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    first, again = (cr.exercise("lecture", variants=2, seed=5).files() for _ in range(2))
    assert first == again
    other = cr.exercise("lecture", variants=2, seed=6).files()
    assert all(first[name] != other[name] for name in first)
    longer = cr.exercise("lecture", variants=3, seed=5)
    assert [x.text for x in longer[1].given] == [
        x.text for x in cr.exercise("lecture", variants=2, seed=5)[1].given
    ]


def test_parts_alone() -> None:
    forward = cr.exercise("lecture", variants=1, only="forward")[0]
    assert {x.part for x in forward.lines} == {"forward"}
    assert "rate" not in {x.name for x in forward.given}
    backward = cr.exercise("lecture", variants=1, only="backward")[0]
    assert {x.part for x in backward.lines} == {"backward", "update"}
    told = {x.name: x for x in backward.given}
    assert told["h"].what == "forward, computed already"
    assert backward.parts[0][1][0][0] == 11  # lines are counted as in the key of all


def small() -> cr.Model:
    x, t = cr.input("x", (2,)), cr.input("t", (), dtype="int32")
    z = cr.dense(cr.dense(x, 3, activation="tanh", name="hidden"), 2, name="out")
    return cr.Model(cr.softmax(z), cr.cross_entropy(z, t), seed=1)


DATA = {
    "x": np.array([[0.53, -1.24], [1.5, 0.7], [-0.8, 0.4]], "float32"),
    "t": np.array([0, 1, 1]),
}


def test_a_small_model_is_shown_whole_on_rows_of_its_data() -> None:
    model = small()
    made = cr.exercise(model, DATA, rows=[1, 3])
    assert len(made) == 2
    one = {x.name: x.text for x in made[0].given}
    assert one["x"] == "[0.53, -1.2]"
    assert made[0].notes[0] == "Row 1 of the data."
    weights = np.array(json.loads(one["hidden.w"]))
    assert np.allclose(weights, model.value("hidden.w"), rtol=0.06)
    values = {k: np.reshape(json.loads(one[k]), x.shape) for k, x in model.values.items()}
    trace = cr.Model(model.outputs, model.loss, values={
        k: x.astype("float32") for k, x in values.items()
    }).run({"x": [[0.53, -1.2]], "t": [0]})  # fmt: skip
    trace.backward(model.loss)
    lines = {x.name: x for x in made[0].lines}
    gradient = lines["∂cross_entropy/∂hidden.w"].value
    assert np.allclose(gradient, trace.gradient("hidden.w"), rtol=1e-4)
    new = lines["new out.b"].value
    assert np.allclose(new, -made[0].rate * trace.gradient("out.b"), atol=1e-6)


def test_without_data_inputs_and_targets_are_drawn() -> None:
    made = cr.exercise(small(), variants=5, weights="drawn")
    targets = {x.text for sheet in made for x in sheet.given if x.name == "t"}
    assert targets == {"0", "1"}
    assert not any("own" in note for sheet in made for note in sheet.notes)


def test_a_unit_of_a_large_network() -> None:
    x, t = cr.input("x", (30,)), cr.input("t", (1,))
    hidden = cr.dense(x, 40, activation="relu", name="hidden")
    loss = cr.squared_error(cr.dense(hidden, 1, name="out"), t)
    model = cr.Model(loss, loss)
    rows = np.random.default_rng(0).normal(size=(9, 30))
    made = cr.exercise(model, {"x": rows, "t": rows[:, :1]}, variants=3)
    assert "each sheet shows one unit" in made.notes[0]
    for sheet in made:
        assert len(sheet.lines) < 16
        numbers = {x.name: json.loads(x.text) for x in sheet.given}
        place = re.match(r"Unit (\d+) of layer (\w+) \((\w+)\) on row (\d+)", sheet.notes[0])
        assert place is not None
        layer, row = place[2], rows[int(place[4]) - 1 : int(place[4])].astype("float32")
        full = model.run({"x": row, "t": row[:, :1]})
        full.backward(loss)
        z = full.value("hidden.z" if layer == "hidden" else "out")[0, int(place[1])]
        own = {x.name: x.value for x in sheet.lines}["z"]
        assert float(own.item()) == pytest.approx(float(z), abs=0.15 * max(abs(float(z)), 1))
        slope = float(full.gradient(layer)[0, int(place[1])])
        assert f"{abs(numbers['g']):.2g}".replace(".", "").strip("0") == (
            f"{abs(slope):.1e}".split("e")[0].replace(".", "").strip("0")
        )


def test_a_network_without_a_part_to_show_is_refused() -> None:
    x = cr.input("x", (300,))
    loss = cr.mean(cr.sin(x * cr.parameter("w", np.ones(300, "float32"))))
    with pytest.raises(SettingError, match="too large to compute by hand"):
        cr.exercise(cr.Model(loss, loss))
    with pytest.raises(SettingError, match="no loss"):
        cr.exercise(cr.Model(cr.dense(x, 2)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"only": "up"}, "only is not a part"),
        ({"weights": "mine"}, "weights are of two kinds"),
        ({"variants": 0}, "variants is not an integer of at least 1"),
        ({"seed": -1}, "seed is not an integer of at least 0"),
        ({"rate": 0}, "rate is not a number above 0"),
        ({"rows": [1]}, "has inputs of its own"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        cr.exercise("lecture", **settings)


def test_rows_that_are_not_there() -> None:
    with pytest.raises(SettingError, match="no such row"):
        cr.exercise(small(), DATA, rows=[4])
    with pytest.raises(SettingError, match="there is no data"):
        cr.exercise(small(), rows=[1])


def test_files_of_another_exercise_stay(tmp_path: Path) -> None:
    made = cr.exercise("lecture", variants=1)
    paths = made.write(tmp_path / "new")
    assert [x.name for x in paths] == ["sheets.html", "keys.html", "sheets.md", "keys.md"]
    with pytest.raises(SettingError, match="files of another exercise"):
        made.write(tmp_path / "new")
    made.write(tmp_path / "new", force=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SettingError, match="this is a file"):
        made.write(tmp_path / "file")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    name = "<script>`|alert\n"
    x = cr.input(name, (2,), dtype="float64")
    loss = cr.sum(cr.sigmoid(x @ cr.parameter("</script>", [[1.0], [2.0]], dtype="float64")))
    files = cr.exercise(cr.Model(loss, loss), variants=1).files()
    assert "<script" not in files["sheets.html"].lower()
    assert "</script" not in files["keys.html"].lower()
    assert "`<script>'\\|alert`" in files["sheets.md"]


def test_sheets_are_blank_and_keys_are_not() -> None:
    files = cr.exercise("lecture", variants=1).files()
    answer = cr.exercise("lecture", variants=1)[0].lines[5].text
    assert answer in files["keys.html"]
    assert answer in files["keys.md"]
    assert answer not in files["sheets.html"]
    assert answer not in files["sheets.md"]
    assert "_______" not in files["keys.md"]
