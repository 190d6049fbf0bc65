"""A disk that is full while a command writes: the error names the file, and nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import houses, run

MAIN = """
import resource, signal, sys
from chainrule.cli.main import main

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))  # no file may be longer
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and a model of it."""
    folder = tmp_path_factory.mktemp("full")
    houses(folder / "houses.csv", rows=600)
    run("train", "houses.csv", "--target", "price", "--quality", "fast", "--hidden", "4",
        "--epochs", "1", "-q", "-o", "m", cwd=folder)  # fmt: skip
    return folder


@pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.jsonl", "p.html"])
def test_the_error_names_the_file_and_nothing_is_left(place: Path, name: str) -> None:
    command = "inspect" if name.endswith("html") else "predict"
    before = sorted(os.listdir(place))
    done = subprocess.run(
        [sys.executable, "-c", MAIN, command, "m", "houses.csv", "-o", name], cwd=place,
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 1, done
    assert "a file cannot be written" in done.stderr
    assert f"at        {name}" in done.stderr
    assert "free some space" in done.stderr
    assert sorted(os.listdir(place)) == before
