"""Cells of files on the command line: kept as they came, gaps by choice, guesses told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chainrule.cli import main

IDS = ["7E2", "12E400", "1E5", "1.10", "NA", "007"]


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    versions = "".join(f"{v},{y}\n" for v, y in (("1.10", 0), ("1.1", 10), ("beta", 20)) * 20)
    (tmp_path / "v.csv").write_text("version,y\n" + versions)
    marks = "".join(f"{k % 13},{'?' if k % 3 == 0 else 'ab'[k % 2]}\n" for k in range(90))
    (tmp_path / "m.csv").write_text("x,y\n" + marks)
    return tmp_path


def test_kept_columns_leave_as_they_came(inside: Path) -> None:
    assert main(["train", "v.csv", "--target", "y", "--epochs", "2", "-q", "-o", "v"]) == 0
    (inside / "new.csv").write_text("id,version\n" + "".join(f"{x},1.10\n" for x in IDS))
    for name in ("o.csv", "o.tsv", "o.jsonl"):
        assert main(["predict", "v", "new.csv", "--keep", "id,version", "-o", name, "-q"]) == 0
    for name, mark in (("o.csv", ","), ("o.tsv", "\t")):
        lines = (inside / name).read_text().splitlines()[1:]
        assert [line.split(mark)[:2] for line in lines] == [[x, "1.10"] for x in IDS]
    lines = (inside / "o.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == IDS


def test_fixes_in_the_notes_of_predict_and_evaluate_can_be_typed(inside: Path, capsys) -> None:
    names = ["Köln", "Bonn", "Düren"]
    rows = "".join(f"{names[k % 3]},{k % 3}\n" for k in range(60))
    (inside / "t.csv").write_text("town,y\n" + rows, "cp1252")
    assert main(["train", "t.csv", "--target", "y", "--epochs", "2", "-q", "-o", "t"]) == 0
    for command in (["predict", "t", "t.csv", "-o", "p.csv"], ["evaluate", "t", "t.csv"]):
        capsys.readouterr()
        assert main(command) == 0
        told = " ".join(capsys.readouterr().err.split())
        assert "name its encoding, for example --encoding cp1250" in told
        assert "encoding=" not in told


def test_words_in_place_of_the_target_are_asked_about(inside: Path, capsys) -> None:
    train = ["train", "m.csv", "--target", "y", "--epochs", "2", "-o", "m", "--force"]
    assert main(train) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "got '?' in 30 rows" in told
    assert "--gaps '?'" in told
    assert "--gaps none" in told
    for typed, classes, kept in (("?", "2 classes: a, b", ["?"]),
                                 ("none", "3 classes: ?, a, b", [])):  # fmt: skip
        assert main([*train, "--gaps", typed]) == 0
        assert classes in capsys.readouterr().out
        assert f"gaps = {json.dumps(kept)}" in (inside / "m" / "config.toml").read_text()
    assert main(["train", "m.csv", "--config", "m/config.toml", "--force", "-q", "-o", "m"]) == 0


def test_data_show_tells_guesses_and_takes_gaps(inside: Path, capsys) -> None:
    rows = "".join(f"{k % 12 + 1:02}/{k % 11 + 1:02}/2024,{k / 7:.3f}\n" for k in range(90))
    (inside / "d.csv").write_text("d,z\n" + rows + "05/06/2024,-999\n")
    assert main(["data", "show", "d.csv"]) == 0
    assert "read as month/day/year, but day and month may be exchanged" in capsys.readouterr().out
    assert main(["data", "show", "d.csv", "--gaps", "-999,NA"]) == 0
    assert "'-999' read as a gap: 1 cell in column 'z'" in capsys.readouterr().out
