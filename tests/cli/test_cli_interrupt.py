"""Ctrl-C or SIGTERM while training: the best model is kept, or nothing is written; it is said."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import environment, start

import chainrule as cr
from chainrule.model.prepare import prepare
from chainrule.system.signals import interrupted_queries

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
FILES = {"model.safetensors", "history.csv", "report.html", "config.toml"}


def until(process: subprocess.Popen[str], text: str, *, error: bool = True) -> str:
    """Read a stream up to a line that holds the text."""
    stream = process.stderr if error else process.stdout
    assert stream is not None
    read = ""
    while text not in read:
        line = stream.readline()
        assert line, f"ended before {text!r}: {read}"
        read += line
    return read


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    return out, err


def slow(folder: Path) -> subprocess.Popen[str]:
    """A command that trains, and is not at the end of the first epoch for a long time."""
    rows = "".join(f"{k % 97},{k % 89},{'ab'[k % 2]}\n" for k in range(30_000))
    (folder / "d.csv").write_text("x,z,y\n" + rows)
    process = start("train", "d.csv", "--target", "y", "--batch-size", "1", cwd=folder)
    until(process, "columns    scaling", error=False)
    time.sleep(0.5)
    return process


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*partial*")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_some_epochs_the_best_model_is_kept(number: int, tmp_path: Path) -> None:
    with start("train", "penguins", "--target", "species", "--epochs", "5000", "--patience",
               "4999", "--schedule", "constant", cwd=tmp_path) as process:  # fmt: skip
        until(process, "epoch    1/5000")
        process.send_signal(number)
        out, err = ended(process)
    assert "interrupted; the model keeps epoch" in err
    assert "is in penguins-model/model.safetensors" in err
    assert "Results" in out
    assert {path.name for path in (tmp_path / "penguins-model").iterdir()} == FILES
    model = cr.load(tmp_path / "penguins-model" / "model.safetensors")
    assert 1 <= len(model.history) < 5000
    best = model.history.row(model.history.best)
    table = cr.data.read("penguins")
    encoded = model.schema.encode(table, "required")
    prepared = prepare(model, encoded, 0.2, None, None)
    score = model.score(prepared.arrays, prepared.held_rows)["loss"]
    assert score == pytest.approx(best["validation_loss"], rel=1e-5)
    page = (tmp_path / "penguins-model" / "report.html").read_text(encoding="utf-8")
    assert "The run was interrupted" in page


def test_before_the_first_epoch_nothing_is_written(tmp_path: Path) -> None:
    with slow(tmp_path) as process:
        process.send_signal(signal.SIGINT)
        _, err = ended(process)
    assert "nothing was written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["d.csv"]


def test_sigterm_interrupts_where_ctrl_c_is_ignored(tmp_path: Path) -> None:
    """As in the background of a script, which Ctrl-C is not meant for."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child inherits it
    try:
        process = slow(tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = ended(process)
    assert "nothing was written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["d.csv"]


def test_twice_stops_at_once_without_damage(tmp_path: Path) -> None:
    with start("train", "penguins", "--target", "species", "--epochs", "5000", "--patience",
               "4999", cwd=tmp_path) as process:  # fmt: skip
        until(process, "epoch    1/5000")
        process.send_signal(signal.SIGINT)
        until(process, "interrupted")
        process.send_signal(signal.SIGINT)
        _, err = ended(process)
    assert not leftovers(tmp_path)
    folder = tmp_path / "penguins-model"
    written = {path.name for path in folder.iterdir()} if folder.exists() else set()
    assert written <= FILES
    assert "interrupted" in err or "best so far" in err
    if "model.safetensors" in written:
        assert len(cr.load(folder / "model.safetensors").history) >= 1


def test_while_reading(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x,y\n" + "1.5,a\n2.5,b\n" * 400_000)
    with start("train", "d.csv", "--target", "y", cwd=tmp_path) as process:
        until(process, "d.csv: 800,000 rows", error=False)
        process.send_signal(signal.SIGINT)
        _, err = ended(process)
    assert "interrupted" in err
    assert [path.name for path in tmp_path.iterdir()] == ["d.csv"]


@pytest.mark.parametrize("module", ["numpy.exceptions", "chainrule.types", "chainrule.cli.main"])
def test_while_modules_are_imported(module: str, tmp_path: Path) -> None:
    """Also before the first line of the command runs, nothing is printed."""
    command = [sys.executable, "-X", "importtime", "-m", "chainrule", "data", "list"]
    with subprocess.Popen(
        command, cwd=tmp_path, text=True, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        until(process, f" {module}\n")
        process.send_signal(signal.SIGINT)
        out, err = ended(process)
    assert out == ""
    assert not [line for line in err.splitlines() if not line.startswith("import time:")]


def test_a_program_that_imports_the_package_keeps_its_own_ctrl_c(tmp_path: Path) -> None:
    code = "import signal, chainrule; print(signal.getsignal(2) is signal.default_int_handler)"
    said = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=tmp_path,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert said.stdout == "True\n"


def test_a_query_that_is_interrupted_is_no_error() -> None:
    """DuckDB tells of Ctrl-C by an error of its own."""
    with pytest.raises(KeyboardInterrupt), interrupted_queries():
        raise RuntimeError("Query interrupted")
    with pytest.raises(RuntimeError, match="another"), interrupted_queries():
        raise RuntimeError("another")
