"""`train`, `predict` and `evaluate` of data in parts, as a user meets them."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from command import houses, run

import chainrule as cr
from chainrule.cli import main
from chainrule.data.readers.inparts import in_parts
from chainrule.display.format import number
from chainrule.display.screen import Screen
from chainrule.recipe import config, streamed

MODEL = "model.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a classifier of towns, a regressor of prices, and rows in three files."""
    folder = tmp_path_factory.mktemp("parts")
    whole = houses(folder / "h.csv", 3000)
    for target, name in (("town", "towns"), ("price", "prices")):
        cr.train(whole, target, quality="fast", epochs=1, verbose=False).save(
            folder / f"{name}.safetensors"
        )
    head, *lines = whole.read_text(encoding="utf-8").splitlines()
    (folder / "parts").mkdir()
    for k in range(3):
        text = "\n".join([head, *lines[1000 * k : 1000 * (k + 1)]]) + "\n"
        (folder / "parts" / f"{k}.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("chainrule.cli.inparts.block_rows", lambda memory, columns: 700)
    return folder


def rows(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("model", ["towns", "prices"])
def test_the_same_predictions(inside: Path, model: str) -> None:
    whole = ["predict", f"{model}.safetensors", "h.csv", "--keep", "id,town", "-q", "-o"]
    assert main([*whole, "whole.csv"]) == 0
    parts = [
        "predict",
        f"{model}.safetensors",
        "parts/*.csv",
        "--stream",
        "--keep",
        "id,town",
        "-q",
        "-o",
    ]
    assert main([*parts, "parts.csv"]) == 0
    assert Path("parts.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert main([*whole, "whole.parquet"]) == 0
    assert main([*parts, "parts.parquet"]) == 0
    a, b = cr.data.read("whole.parquet"), cr.data.read("parts.parquet")
    assert a.columns == b.columns
    for x, y in zip(a, b, strict=True):
        assert x.storage == y.storage
        assert x.cells() == y.cells()


def test_kept_columns_have_their_types(inside: Path) -> None:
    whole = ["predict", "towns.safetensors", "h.csv", "--keep", "age,size,sold", "-q", "-o"]
    assert main([*whole, "types.parquet"]) == 0
    assert main([*whole, "types-parts.parquet", "--stream"]) == 0
    a, b = cr.data.read("types.parquet"), cr.data.read("types-parts.parquet")
    for name in ("age", "size", "sold"):
        assert (a[name].storage, a[name].cells()) == (b[name].storage, b[name].cells())


@pytest.mark.parametrize("model", ["towns", "prices"])
def test_the_same_scores(inside: Path, capsys: pytest.CaptureFixture[str], model: str) -> None:
    found = []
    for more in ([], ["--stream"]):
        assert main(["evaluate", f"{model}.safetensors", "h.csv", "--json", *more]) == 0
        found.append(json.loads(capsys.readouterr().out))
    whole, parts = found
    assert parts["rows"] == whole["rows"]
    assert list(parts["metrics"]) == list(whole["metrics"])
    for part in ("metrics", "constant_guess"):
        for name, value in whole[part].items():
            rough = 1e-3 if name == "median_absolute_error" else 1e-5
            assert parts[part][name] == pytest.approx(value, rel=rough), name
    assert parts.get("confusion") == whole.get("confusion")
    assert main(["evaluate", f"{model}.safetensors", "parts", "--stream"]) == 0
    shown = capsys.readouterr()
    assert "3,000 rows" in shown.out
    assert "streamed" in shown.err


@pytest.mark.parametrize("model", ["towns", "prices"])
def test_the_same_words(inside: Path, capsys: pytest.CaptureFixture[str], model: str) -> None:
    """Scores in sentences, the guess, the uncertainty; and that the model knows these rows."""
    found = []
    for more in ([], ["--stream"]):
        assert main(["evaluate", f"{model}.safetensors", "h.csv", *more]) == 0
        out, err = capsys.readouterr()
        said = out.split("Results")[1].split("\n\n")[0]
        found.append((said, sorted(x for x in err.splitlines() if "streamed" not in x)))
    assert found[0] == found[1]
    assert "95 % interval" in found[0][0].replace("\u00a0", " ")
    assert any("trained on most rows of h.csv" in x for x in found[0][1])


def test_a_fault_in_the_last_part_leaves_the_old_file(inside: Path) -> None:
    lines = Path("h.csv").read_text(encoding="utf-8").splitlines()
    lines[-1] = lines[-1].replace(lines[-1].split(",")[2], "inf", 1)
    Path("broken.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    Path("out.csv").write_text("before")
    assert (
        main(["predict", "prices.safetensors", "broken.csv", "--stream", "-q", "-o", "out.csv"])
        != 0
    )
    assert Path("out.csv").read_text() == "before"
    assert not [x for x in os.listdir() if "partial" in x]


def test_notes_are_told_once(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("h.csv").read_text(encoding="utf-8").replace("Bonn", "Rome")
    Path("rome.csv").write_text(text, encoding="utf-8")
    assert (
        main(["predict", "prices.safetensors", "rome.csv", "--stream", "-o", "rome-out.csv"]) == 0
    )
    assert capsys.readouterr().err.count("'Rome'") == 1


def test_training_in_parts(folder: Path) -> None:
    out, err = run("train", "parts/*.csv", "--target", "price", "--stream", "--quality", "fast",
                   "-o", "streamed", cwd=folder)  # fmt: skip
    assert "streamed, with at most" in out
    assert "no cross-validation" in out
    assert "3,000 rows" in out
    assert {x.name for x in (folder / "streamed").iterdir()} >= {
        MODEL,
        "report.html",
        "history.csv",
    }
    model = cr.load(folder / "streamed" / MODEL)
    assert model.evaluate(cr.data.read(folder / "h.csv"))["r2"] > 0.5
    assert "--stream" in (folder / "streamed" / "config.toml").read_text()
    _, err = run("train", "parts/*.csv", "--target", "town", "--stream", "--time", "sold",
                 cwd=folder, code=1)  # fmt: skip
    assert "--time" in err


def test_a_name_for_a_pattern(folder: Path) -> None:
    run("train", "parts/*.csv", "--target", "price", "--quality", "fast", "--epochs", "1", "-q",
        cwd=folder)  # fmt: skip
    assert (folder / "parts-model" / MODEL).is_file()


def test_python(folder: Path) -> None:
    model = cr.train(
        folder / "h.csv", "price", stream=True, memory="600MB", quality="fast", verbose=False
    )
    whole = cr.train(folder / "h.csv", "price", quality="fast", verbose=False)
    table = cr.data.read(folder / "h.csv")
    assert model.evaluate(table)["r2"] == pytest.approx(whole.evaluate(table)["r2"], abs=0.05)
    assert np.isfinite(model.predict(table).values).all()


def test_a_report_has_the_rows_of_the_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sample too, mistakes and counts of columns are told as they are in the source."""
    monkeypatch.setattr(streamed, "TRAINING", 100)
    monkeypatch.setattr(streamed, "HELD", 200)
    parts = in_parts(folder / "h.csv", stream=True)
    assert parts is not None
    chosen = config(target="price", quality="fast", epochs=1)
    training = streamed.of_parts(parts, chosen, Screen(None))
    training.fit(False)
    page, table = training.report(), cr.data.read(folder / "h.csv")
    assert (len(training.table), page.rows) == (300, 3000)
    for row in page.mistakes:
        assert table["price"].values[row["row"] - 1] == row["actual"]
    known = {x.name: x for x in page.columns}
    for name in ("size", "age", "price"):
        column, row = table[name], known[name]
        assert (row.gaps, row.distinct) == (column.gaps, column.distinct)
        values = column.floats()
        ends = number(np.nanmin(values)), number(np.nanmax(values))
        assert (row.histogram.low, row.histogram.high) == ends
    assert page.inside is not None
    for row in page.inside.document["rows"]:
        at = int(row["label"].split()[1]) - 1
        for cell in row["cells"]:
            assert cell["raw"] == table[cell["column"]].cells()[at]
