"""Every mistake a user can make: told in four parts, with its exit code, and nothing lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from command import run

import chainrule as cr
from chainrule.cli import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and what stands on standard error."""
    code = main(arguments)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return code, captured.err


def joined(text: str) -> str:
    """The text however it was wrapped."""
    return "".join(text.split())


def test_as_a_process(tmp_path: Path) -> None:
    _, err = run("train", "penguins", "--target", "specie", cwd=tmp_path, code=1)
    assert err.startswith("[--target] there is no column 'specie'\n")
    assert "  fix       did you mean 'species'?" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train", "penguins"], ["no target is given", "--target species"]),
        (["train", "pengins", "--target", "y"], ["no such file", "'penguins'"]),
        (["train", "penguins", "--target", "species", "--optimizer", "adm"],
         ["'adm'", "--optimizer adam"]),
        (["train", "penguins", "--target", "species", "--epochs", "0"], ["epochs", "from 1"]),
        (["train", "penguins", "--target", "species", "--dropout", "1"], ["dropout", "below 1"]),
        (["train", "penguins", "--target", "species", "--hidden", "a"], ["--hidden", "128,64"]),
        (["train", "penguins", "--target", "species", "--hidden", "8,0"], ["hidden", "from 1"]),
        (["train", "penguins", "--target", "species", "--kinds", "sex"], ["COLUMN=KIND"]),
        (["train", "penguins", "--target", "species", "--kinds", "sex=categry"], ["'category'"]),
        (["train", "penguins", "--target", "species", "--ignore", "sx"], ["'sx'", "'sex'"]),
        (["train", "penguins", "--target", "species", "--loss", "huber"], ["loss", "huber"]),
        (["train", "penguins", "--target", "species", "--groups", "iland"], ["'island'"]),
        (["train", "penguins", "--target", "species", "--test", "nix.csv"], ["nix.csv"]),
        (["train", "penguins", "--target", "species", "--config", "no.toml"], ["no such file"]),
        (["train", "penguins", "--target", "species", "-o", "no/m.safetensors"], ["folder"]),
        (["train", "selct.csv", "--target", "species"], ["no such file"]),
        (["train", "select * frm x", "--target", "a"], ["query"]),
        (["predict", "nothing", "penguins"], ["load", "nothing"]),
        (["data", "fetch", "adlt"], ["'adult'"]),
        (["data", "show", "penguins", "--target", "specis"], ["'species'"]),
    ],
)  # fmt: skip
def test_mistakes(arguments, parts, folder, capsys) -> None:
    code, err = told(capsys, *arguments)
    assert code == 1
    assert err.startswith("[")
    for part in parts:
        assert part in err
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["train", "penguins", "--traget", "species"], "--target"),
        (["train"], "DATA"),
        (["trian", "penguins"], "train"),
        (["train", "penguins", "--target", "species", "--epochs", "many"], "many"),
        (["predict", "model"], "DATA"),
        (["show"], "MODEL"),
    ],
)
def test_usage(arguments, part, folder, capsys) -> None:
    code, err = told(capsys, *arguments)
    assert code == 2
    assert part in err
    assert "--help" in err
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("epochs = 3\nepocs = 4\n", ["'epocs'", "'epochs'", "c.toml, line 2"]),
        ("\nepochs = 'ten'\n", ["epochs", "an integer", "text: 'ten'", "line 2"]),
        ("epochs = true\n", ["an integer", "true or false"]),
        ("hidden = ['a']\n", ["a list of integers", "line 1"]),
        ("dropout = 2\n", ["from 0, below 1", "line 1"]),
        ("task = 'clasification'\n", ["'classification'", "line 1"]),
        ("# x\n[kindz]\na = 'text'\n", ["'kindz'", "'kinds'", "line 2"]),
        ("epochs = \n", ["not TOML", "line 1"]),
        ("[kinds]\nsex = 3\n", ["kinds", "line 1"]),
    ],
)
def test_config_files(text, parts, folder, capsys) -> None:
    Path("c.toml").write_text(text, encoding="utf-8")
    code, err = told(capsys, "train", "penguins", "--target", "species", "--config", "c.toml")
    assert code == 1
    for part in parts:
        assert part in err


def test_taken_outputs_are_refused_before_training(folder, capsys) -> None:
    given = ["train", "xor", "--target", "label", "--epochs", "1", "-q", "-o", "out"]
    assert told(capsys, *given) == (0, "")
    before = (folder / "out" / "model.safetensors").stat().st_mtime_ns
    code, err = told(capsys, *given)
    assert code == 1
    assert "another run" in err
    assert "--force" in err
    assert (folder / "out" / "model.safetensors").stat().st_mtime_ns == before
    assert told(capsys, *given, "--force") == (0, "")
    assert (folder / "out" / "model.safetensors").stat().st_mtime_ns != before


def test_an_output_that_is_a_file(folder, capsys) -> None:
    (folder / "out").write_text("mine")
    code, err = told(capsys, "train", "xor", "--target", "label", "-o", "out")
    assert code == 1
    assert "this is a file" in err
    assert (folder / "out").read_text() == "mine"


def test_bad_tables(folder, capsys) -> None:
    Path("empty.csv").write_text("")
    Path("twice.csv").write_text("a,a\n1,2\n")
    Path("one.csv").write_text("a,y\n" + "".join(f"{k},x\n" for k in range(30)))
    Path("bytes.csv").write_bytes(b"a,y\n\x81,1\n")
    for name, part in (
        ("empty.csv", "empty"), ("twice.csv", "'a'"), ("one.csv", "single class"),
        ("bytes.csv", "is not UTF-8"),
    ):  # fmt: skip
        code, err = told(capsys, "train", name, "--target", "y")
        assert code == 1
        assert part in err


def test_a_defect_is_reported_in_words_and_written_to_a_file(folder, capsys, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)

    def broken(*_: object) -> None:
        raise KeyError("oh")

    monkeypatch.setattr("chainrule.data.readers.datasets.listing", broken)
    code, err = told(capsys, "data", "list")
    assert code == 70
    assert "an error in Chainrule itself: KeyError: 'oh'" in err
    (trace,) = folder.glob("chainrule-error-*.txt")
    assert "Traceback" in trace.read_text()
    assert joined(str(trace)) in joined(err)
    code = main(["data", "list", "--debug"])
    assert code == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_is_reported_in_words(folder, capsys, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr("chainrule.report.page.Report.write", full)
    code, err = told(capsys, "train", "xor", "--target", "label", "--epochs", "1", "-q")
    assert code == 1
    assert "got       No space left on device" in err
    assert "at        report.html" in err
    assert (folder / "xor-model" / "model.safetensors").is_file()


def test_a_model_that_cannot_be_written_is_rescued(folder, capsys, monkeypatch) -> None:
    temporary = folder / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    fit = cr.recipe.Training.fit

    def fit_and_remove(*given: object, **more: object) -> object:
        shutil.rmtree(folder / "xor-model")
        return fit(*given, **more)

    monkeypatch.setattr("chainrule.recipe.Training.fit", fit_and_remove)
    code, err = told(capsys, "train", "xor", "--target", "label", "--epochs", "1", "-q")
    assert code == 1
    assert "no such folder" in err
    (saved,) = temporary.rglob("model.safetensors")
    assert joined(str(saved)) in joined(err)
    assert len(cr.load(saved).history) == 1


def test_diverging_keeps_what_was_reached(folder, capsys) -> None:
    given = ["train", "penguins", "--target", "species", "--optimizer", "sgd", "--epochs", "20"]
    code, err = told(capsys, *given, "--rate", "30", "--batch-size", "275", "-q")
    assert code == 1
    assert "became NaN or infinite" in err
    assert "is in penguins-model/model.safetensors" in " ".join(err.split())
    model = cr.load(folder / "penguins-model" / "model.safetensors")
    assert 1 <= len(model.history) < 20
    assert all(np.isfinite(value).all() for value in model.values.values())


@pytest.mark.parametrize("command", [["data"], ["data", "show"], ["show"], ["predict", "m"]])
def test_a_very_long_argument_is_cut_in_the_message(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "x" * 100_000]) in (1, 2)
    assert len(capsys.readouterr().err) < 1000
