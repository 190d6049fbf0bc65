"""`cr.train` tells what the command line tells, and its model writes the same page."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli.main import main
from chainrule.cli.spelling import as_options
from chainrule.data.readers.sources import read
from chainrule.recipe import Training, config
from chainrule.report.page import render

SETTINGS: dict[str, Any] = {"epochs": 12, "hidden": 8, "members": 1}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A table with a gap, an id that the data check finds, and a class to predict."""
    random = np.random.default_rng(3)
    x = random.normal(size=(90, 2))
    lines = ["code,a,b,kind"]
    for k, (a, b) in enumerate(x):
        shown = "NA" if k == 5 else f"{a:.3f}"
        lines.append(f"Q{k:03d},{shown},{b:.3f},{'high' if a + b > 0 else 'low'}")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def without_times(text: str) -> list[str]:
    """The lines without seconds, and without what only one side has."""
    kept = [line for line in text.splitlines() if line.strip()]
    return [re.sub(r"\d+(\.\d+)? s\b.*", "", line).rstrip() for line in kept]


def test_python_prints_what_the_command_line_prints(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cr.train("table.csv", "kind", **SETTINGS)
    python = without_times(as_options(capfd.readouterr().err))
    options = ["--epochs", "12", "--hidden", "8", "--members", "1"]
    monkeypatch.setattr(sys, "stdout", sys.stderr)  # one after the other, in order
    assert main(["train", "table.csv", "--target", "kind", *options]) == 0
    command = without_times(capfd.readouterr().err)
    assert python == command[: command.index("Written")]
    text = "\n".join(python)
    for part in ("note", "read as a gap", "looks like an id", "Run 1 of 2", "Run 2 of 2",
                 "held-out rows classified right", "Confusion on validation rows"):  # fmt: skip
        assert part in text


def test_silence_is_silent(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cr.train(file, "kind", verbose=False, **SETTINGS)
    assert capfd.readouterr() == ("", "")


def test_a_model_writes_its_report_and_shows_it_as_text(file: Path, tmp_path: Path) -> None:
    model = cr.train(file, "kind", verbose=False, **SETTINGS)
    path = tmp_path / "page.html"
    report = model.report(path)
    page = path.read_text("utf-8")
    for section in ("Result", "Training", "Data", "What it relies on", "Network"):
        assert f"<h2>{section}</h2>" in page
    assert "Findings of the data check" in page
    assert "read as a gap" in page
    assert set(report.metrics) == {"training", "validation"}
    text = str(report)
    assert "held-out rows classified right" in text
    assert "looks like an id" in text
    assert repr(report) == text


def test_the_report_is_of_the_model_that_has_not_seen_the_rows_held_out(file: Path) -> None:
    training = Training.of(read(str(file)), config(target="kind", **SETTINGS))
    training.fit(verbose=False)
    before = {name: value.copy() for name, value in training.model.values.items()}
    assert training.refit(verbose=False)
    for name, value in before.items():
        np.testing.assert_array_equal(training.scored.value(name), value)
    held = training.evaluations[0]
    assert held.name == "validation"
    best = training.model.history.row(-1)["validation_accuracy"]
    assert held.scores["accuracy"] == pytest.approx(best)


def test_a_model_that_was_not_trained_on_a_table_has_no_report(file: Path, tmp_path: Path) -> None:
    model = cr.train(file, "kind", verbose=False, **SETTINGS)
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(cr.errors.SettingError, match=r"cr\.train\(table, target\)"):
        cr.load(tmp_path / "m.safetensors").report()


def test_without_rows_held_out_the_scores_are_those_of_training(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = cr.train(file, "kind", validation=0, **SETTINGS)
    assert "training rows classified right" in capfd.readouterr().err
    assert set(model.report().metrics) == {"training"}


def test_dates_texts_and_ids_are_not_drawn_as_categories() -> None:
    random, n = np.random.default_rng(0), 120
    words = np.array(["good", "bad", "slow", "quick", "staff", "food", "room", "view"])
    days = np.datetime64("2021-02-03") + np.arange(n) * np.timedelta64(3, "D")
    table = {
        "code": [f"H{k * 37 % 1000:05d}" for k in range(n)],
        "day": [str(x) for x in days],
        "german": [f"{str(x)[8:]}.{str(x)[5:7]}.{str(x)[:4]}" for x in days],
        "review": [" ".join(random.choice(words, 5 + k % 4)) for k in range(n)],
        "town": ["Ulm", "Bonn", "Ulm", "Bremen"] * (n // 4),
        "x": random.normal(size=n),
        "y": random.normal(size=n),
    }
    model = cr.train(table, "y", verbose=False, **SETTINGS)
    columns = {x.name: x for x in model.report().columns}
    assert columns["code"].histogram is None
    assert list(columns["code"].levels) == []
    assert list(columns["code"].examples) == ["H00000", "H00037"]
    for name in ("day", "german"):
        drawn = columns[name].histogram
        assert drawn is not None
        assert (drawn.low, drawn.high) == ("2021-02-03", "2022-01-26")
        assert sum(drawn.counts) == n
    drawn = columns["review"].histogram
    assert drawn is not None
    assert (drawn.low, drawn.high, drawn.unit, drawn.counts) == ("5", "8", "words", (n // 4,) * 4)
    assert columns["town"].levels[0] == ("Ulm", n // 2)
    page = render(model.report())
    assert "such as H00000, H00037" in page
    assert "5 to 8 words" in page
