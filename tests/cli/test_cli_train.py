"""`chainrule train` as a process: what it tells, what it writes, and what it refuses."""

from __future__ import annotations

import csv
import filecmp
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from command import houses, run

import chainrule as cr
from chainrule.recipe import BY_KEY, KEYS


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which penguins were trained on, and what was told."""
    folder = tmp_path_factory.mktemp("penguins")
    out, err = run("train", "penguins", "--target", "species", "--epochs", "12", cwd=folder)
    return folder, out, err


def test_tells_everything(trained) -> None:
    _, out, err = trained
    for part in (
        "penguins: 344 rows, 8 columns", "'NA' read as a gap", "Columns", "Data check",
        "275 rows to train, 69 to validate, shuffled and stratified by class, seed 0",
        "hidden 128, 128", "epochs 12", "Confusion on validation rows",
        "penguins-model/model.safetensors", "chainrule predict penguins-model",
    ):  # fmt: skip
        assert part in out
    assert "epoch 12/12" in err
    assert "epoch 12/12" not in out


def test_no_trailing_spaces_nor_escapes_in_a_pipe(trained) -> None:
    _, out, err = trained
    assert "\033" not in out + err
    assert not [line for line in out.splitlines() if line != line.rstrip()]


def test_the_printed_metrics_are_those_of_the_held_out_rows(trained) -> None:
    folder, out, _ = trained
    model = cr.load(folder / "penguins-model" / "model.safetensors")
    row = next(line.split() for line in out.splitlines() if line.startswith("  accuracy"))
    last = model.history.last_epoch  # 69 rows are too few to choose an epoch by
    assert float(row[1]) == pytest.approx(model.history.row(last)["validation_accuracy"], abs=1e-4)
    assert float(row[1]) > 0.9
    assert float(row[2]) == pytest.approx(30 / 69, abs=1e-4)  # Adelie, the most frequent


def test_the_confusion_matrix_counts_the_held_out_rows(trained) -> None:
    _, out, _ = trained
    lines = out.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("Confusion"))
    assert lines[start + 1].split() == ["Adelie", "Chinstrap", "Gentoo"]
    counts = np.array([[int(x) for x in line.split()[1:]] for line in lines[start + 2 : start + 5]])
    assert counts.sum(axis=1).tolist() == [30, 14, 25]


def test_history_has_a_row_an_epoch(trained) -> None:
    folder, _, _ = trained
    with open(folder / "penguins-model" / "history.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert all(math.isfinite(float(row["validation_loss"])) for row in rows)


def test_the_report_stands_alone_and_has_every_section(trained) -> None:
    folder, _, _ = trained
    page = (folder / "penguins-model" / "report.html").read_text(encoding="utf-8")
    assert "chainrule train penguins --target species --epochs 12" in page
    for part in ("bill_length_mm", "Gentoo", "one-hot", "Calibration", "batch_size", "<svg"):
        assert part in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_config_names_every_key_and_repeats_the_run_bit_for_bit(trained) -> None:
    folder, _, _ = trained
    path = folder / "penguins-model" / "config.toml"
    text = path.read_text(encoding="utf-8")
    unset = {key for key in KEYS if f"# {key} is not set: " in text}
    assert unset >= {"clip_norm", "groups", "patience", "target_scaling", "time"}
    assert sorted([*tomllib.loads(text), *unset]) == sorted(KEYS)
    assert not {key for key in unset if BY_KEY[key].default is not None}
    out, _ = run("train", "penguins", "--config", str(path), cwd=folder)
    assert "penguins-model-2/model.safetensors" in out  # the first is not touched
    first, second = (
        cr.load(folder / name / "model.safetensors")
        for name in ("penguins-model", "penguins-model-2")
    )
    for name, value in first.values.items():
        assert np.array_equal(value, second.value(name)), name
    assert filecmp.cmp(path, folder / "penguins-model-2" / "config.toml", shallow=False) is False
    again = tomllib.loads((folder / "penguins-model-2" / "config.toml").read_text("utf-8"))
    assert again == tomllib.loads(text)


def test_flags_overrule_the_file(trained, tmp_path: Path) -> None:
    folder, _, _ = trained
    config = folder / "penguins-model" / "config.toml"
    run("train", "penguins", "--config", str(config), "--epochs", "2", "--hidden", "8,4",
        "--kinds", "year=ignore", "--kinds", "island=category", "-q", cwd=tmp_path)  # fmt: skip
    made = tomllib.loads((tmp_path / "penguins-model" / "config.toml").read_text("utf-8"))
    assert made["epochs"] == 2
    assert made["hidden"] == [8, 4]
    assert made["kinds"] == {"year": "ignore", "island": "category"}
    model = cr.load(tmp_path / "penguins-model" / "model.safetensors")
    assert model.value("dense_2.w").shape == (8, 4)
    assert "year" not in [encoder.name for encoder in model.schema.used]


def test_quiet_says_nothing_and_still_writes(tmp_path: Path) -> None:
    told = run("train", "xor", "--target", "label", "--epochs", "1", "-q", "-o", "x.safetensors",
               cwd=tmp_path)  # fmt: skip
    assert told == ("", "")
    names = ["x.config.toml", "x.history.csv", "x.report.html", "x.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_regression_with_a_test_file(tmp_path: Path) -> None:
    data = houses(tmp_path / "my data (1).csv")
    test = houses(tmp_path / "test rows.csv", 60, seed=6)
    out, _ = run("train", data.name, "--target", "price", "--test", test.name, "--epochs", "30",
                 cwd=tmp_path)  # fmt: skip
    folder = tmp_path / "my data (1)-model"
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors", "report.html", "history.csv", "config.toml",
    }  # fmt: skip
    assert "chainrule predict 'my data (1)-model' NEW.csv" in out
    assert "looks like an id" in out
    head = next(line for line in out.splitlines() if line.split()[:1] == ["validation"])
    assert head.split() == ["validation", "guess", "test", "guess"]
    row = next(line.split() for line in out.splitlines() if line.startswith("  RMSE  "))
    validation, guess, tested, guessed = (float(x.replace(",", "")) for x in row[1:])
    assert validation < 0.5 * guess
    assert tested < 0.5 * guessed
    with open(test, encoding="utf-8") as file:
        prices = np.array([float(row["price"]) for row in csv.DictReader(file)])
    mean = cr.load(folder / "model.safetensors").schema.target.stats.mean
    assert guessed == pytest.approx(np.sqrt(np.mean((prices - mean) ** 2)), rel=1e-3)


def test_a_file_without_ending_called_penguins_is_the_file(tmp_path: Path) -> None:
    houses(tmp_path / "penguins", 60)
    out, _ = run("train", "penguins", "--target", "town", "--check-only", cwd=tmp_path)
    assert "penguins: 60 rows, 6 columns" in out
    assert [path.name for path in tmp_path.iterdir()] == ["penguins"]


def test_a_query_is_trained_on(tmp_path: Path) -> None:
    houses(tmp_path / "häuser.csv", 80)
    out, _ = run("train", "from 'häuser.csv' where age > 10", "--target", "town", "--epochs", "1",
                 "--validation", "0", cwd=tmp_path)  # fmt: skip
    assert (tmp_path / "query-model" / "model.safetensors").is_file()
    assert "none validate" in out
    assert "trained on: new rows may fare worse" in out


def test_groups_and_time(tmp_path: Path) -> None:
    houses(tmp_path / "h.csv", 100)
    out, _ = run("train", "h.csv", "--target", "price", "--groups", "town", "--epochs", "1",
                 "-o", "a", cwd=tmp_path)  # fmt: skip
    assert "3 groups kept whole" in out
    config = tomllib.loads((tmp_path / "a" / "config.toml").read_text("utf-8"))
    assert config["groups"] == "town"
    out, _ = run("train", "h.csv", "--target", "price", "--time", "sold", "--check-only",
                 cwd=tmp_path)  # fmt: skip
    assert "the latest rows by time" in out


def test_every_line_fits_a_narrow_terminal(trained, tmp_path: Path) -> None:
    out, _ = run("train", "penguins", "--target", "species", "--check-only", cwd=tmp_path,
                 COLUMNS="44")  # fmt: skip
    assert max(map(len, out.splitlines())) <= 44
    assert "bill_length_mm" in out


def test_letters_that_the_terminal_lacks_are_escaped(tmp_path: Path) -> None:
    houses(tmp_path / "h.csv", 60)
    out, _ = run("train", "h.csv", "--target", "town", "--check-only", cwd=tmp_path,
                 PYTHONIOENCODING="ascii")  # fmt: skip
    assert "K\\xf6ln" in out
