"""`show --plan` and `train --profile`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.cli.main import main
from chainrule.model.model import Model


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    lines = ["a,b,y"]
    for a, b in rng.standard_normal((90, 2)):
        lines.append(f"{a:.3f},{b:.3f},{'up' if a > b else 'down'}")
    path = tmp_path_factory.mktemp("data") / "table.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_profile_follows_the_results_and_a_model_shows_its_plan(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "model")
    order = ["train", str(table), "--target", "y", "--epochs", "2", "-o", folder, "--profile"]
    assert main(order) == 0
    told = capsys.readouterr().out
    assert "Profile of a training step of " in told
    assert told.index("Profile of") < told.index("Written")
    assert main(["show", folder, "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("A training step of ") for line in lines)
    for part in ("Passes", "Layout", "Memory"):
        assert part in lines
    assert any("the data set, 90 rows" in line for line in lines)
    assert max(map(len, lines)) <= 100
    assert main(["show", folder]) == 0
    blocks = capsys.readouterr().out
    assert main(["show", folder, "--all"]) == 0
    whole = capsys.readouterr().out
    assert "--all shows every one" in blocks
    assert "--all" not in whole
    assert len(blocks.splitlines()) < 25 < len(whole.splitlines())
    for name in ("columns", "encoders", "hidden", "output", "mean", "calibration", "loss"):
        assert re.search(rf"^  {name} ", blocks, re.MULTILINE)
    assert re.search(r"hidden +\d+ x \[\d+(, \d+)*\], silu", blocks)
    for text in (blocks, whole):
        assert "sigmoid" not in text
        assert "parameters (" in text


def test_plan_and_profile_are_of_the_step_that_trains(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every setting of it: each of the three takes the same ones."""
    taken: dict[str, dict[str, Any]] = {}
    for name in ("fit", "plan", "profile"):
        plain = getattr(Model, name)

        def noted(*data: Any, name: str = name, plain: Any = plain, **settings: Any) -> Any:
            step = {key: settings[key] for key in ("optimizer", "batch_size", "clip_norm")}
            taken[name] = step
            return plain(*data, **settings)

        monkeypatch.setattr(Model, name, noted)
    folder = str(tmp_path / "model")
    order = ["train", str(table), "--target", "y", "--epochs", "2", "-o", folder, "--profile", "-q"]
    assert main([*order, "--clip-norm", "0.5", "--batch-size", "24", "--optimizer", "lion"]) == 0
    assert main(["show", folder, "--plan"]) == 0
    assert taken["fit"]["clip_norm"] == 0.5
    assert taken["fit"]["batch_size"] == 24
    assert taken["plan"] == taken["profile"] == taken["fit"]


def test_a_trace_is_written_by_train_and_by_show(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    order = ["train", str(table), "--target", "y", "--epochs", "1", "-o", "model", "-q"]
    assert main([*order, "--trace", "step.json"]) == 0
    assert main(["show", "model", "--trace", "again.json"]) != 0, "table.csv is not here"
    assert "model.safetensors DATA --trace again.json" in capsys.readouterr().err
    shutil.copy(table, tmp_path)
    assert main(["show", "model", "--trace", "again.json"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "the time of a step is in again.json; ui.perfetto.dev opens it" in told.err
    names = []
    for file in ("step.json", "again.json"):
        events = json.loads((tmp_path / file).read_text("utf-8"))["traceEvents"]
        predicted = [x for x in events if x["pid"] == 2 and x.get("cat") == "kernel"]
        names.append([x["name"] for x in predicted])
    assert names[0] == names[1] != []
    assert main(["show", "model", str(table), "--profile"]) == 0
    assert "Profile of a training step of " in capsys.readouterr().out
    assert main(["show", "model", str(table), "--profile", "--plan", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    kernels = [x["name"] for x in content["plan"]["kernels"]]
    assert kernels == [x["name"] for x in content["profile"]["kernels"]] == names[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trace", "step.txt"], "fix       --trace step.json"),
        (["--trace", "no/step.json"], "fix       mkdir -p no"),
        (["--trace", "."], "expected  --trace FILE"),
        (["DATA"], "--profile"),
    ],
)
def test_a_trace_that_cannot_be_written_is_refused_before_the_run(
    options: list[str], said: str, table: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    order = ["train", str(table), "--target", "y", "--epochs", "1", "-o", "model", "-q"]
    if options[0] == "--trace":
        assert main([*order, *options]) != 0
        assert said in capsys.readouterr().err
        assert not list(tmp_path.iterdir())
    assert main(order) == 0
    assert main(["show", "model", *options]) != 0
    assert said in capsys.readouterr().err
    assert [x.name for x in tmp_path.iterdir()] == ["model"]


def test_numbers_of_a_narrow_terminal_have_their_names(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "model")
    assert main(["train", str(table), "--target", "y", "--epochs", "1", "-q", "-o", folder]) == 0
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "50")
    assert main(["show", folder, "--plan"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert re.search(r" MFLOP: [\d.]+; kB: [\d.]+; us: [\d.]+; %: \d+; nodes: ", text)
    monkeypatch.setenv("COLUMNS", "100")  # as in a pipe
    assert main(["show", folder, "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if line.split()[:1] == ["kernel"])
    assert head.split() == ["kernel", "loops", "MFLOP", "kB", "us", "%", "nodes"]
    assert max(map(len, lines)) <= 100


def test_no_profile_of_what_has_no_minibatches(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["train", str(table), "--target", "y", "--optimizer", "lbfgs", "--profile"]
    assert main([*order, "-o", str(tmp_path / "model")]) != 0
    assert "--profile" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
