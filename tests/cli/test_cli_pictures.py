"""`train`, `predict`, `evaluate` and `show` on a folder of pictures, as a user meets them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command import run
from PIL import Image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of two classes, and what `train` without options makes of them."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for k in range(30):
        for name in ("across", "down"):
            pixels = generator.integers(0, 60, (9, 8)).astype(np.uint8)
            at = generator.integers(0, 8)
            pixels[(at, slice(None)) if name == "across" else (slice(None), at)] += 150
            (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{k}.png")
    (folder / "photos" / "down" / "bad.png").write_bytes(b"?")
    out, _ = run("train", "photos/", cwd=folder)
    (folder / "out.txt").write_text(out)
    return folder


def test_what_is_chosen_is_shown(folder: Path) -> None:
    out = " ".join((folder / "out.txt").read_text().split())
    assert "9 x 8 pixels, grey, standardised" in out
    assert "1 of 61 pictures cannot be read: not a picture that can be read (1: 'down/bad.png'" in (
        out.replace(") ", " ")
    )
    assert "size 9, 8; colour grey" in out
    assert "convolutions 32, 64" in out
    assert out.endswith("chainrule predict photos-model NEW_FOLDER -o predictions.csv")
    made = {path.name for path in (folder / "photos-model").iterdir()}
    assert made == {"model.safetensors", "report.html", "history.csv", "config.toml"}


def test_predictions_of_a_folder_and_of_a_file(folder: Path) -> None:
    _, told = run("predict", "photos-model", "photos", "-o", "p.csv", cwd=folder)
    assert "down/bad.png" in told
    rows = list(csv.DictReader((folder / "p.csv").read_text().splitlines()))
    assert list(rows[0]) == ["picture", "class", "probability of across", "probability of down"]
    assert len(rows) == 61
    (bad,) = [row for row in rows if row["picture"] == "down/bad.png"]
    assert set(bad.values()) == {"down/bad.png", ""}
    right = sum(row["picture"].startswith(row["class"] + "/") for row in rows if row["class"])
    assert right >= 55
    out, _ = run("predict", "photos-model", "photos/across/0.png", cwd=folder)
    assert out.splitlines()[1].startswith("0.png,across,")


def test_scores_and_columns(folder: Path) -> None:
    out, _ = run("evaluate", "photos-model", "photos", "--json", cwd=folder)
    found = json.loads(out)
    assert found["rows"] == 60
    assert found["metrics"]["accuracy"] > 0.9
    out, _ = run("show", "photos-model", "--columns", cwd=folder)
    assert "9 x 8 pixels, grey, standardised" in " ".join(out.split())


def test_no_classes_and_no_pictures(folder: Path) -> None:
    _, told = run("train", "photos/down", cwd=folder, code=1)
    assert "have no classes" in told
    (folder / "empty").mkdir()
    _, told = run("train", "empty", cwd=folder, code=1)
    assert "an empty folder" in told


def test_ids_of_a_table_stand_once_in_the_predictions(folder: Path) -> None:
    names = [f"across/{k}" for k in range(3)]
    (folder / "photos" / "ids.csv").write_text("\n".join(["picture", *names]))
    out, told = run("predict", "photos-model", "photos/ids.csv", "--keep", "picture", cwd=folder)
    assert [line.split(",")[0] for line in out.splitlines()] == ["picture", *names]
    assert out.splitlines()[0].startswith("picture,class,")
    assert "'across/0.png'" in told


def test_a_file_of_arrays_names_its_own_kind(folder: Path) -> None:
    x = np.random.default_rng(0).integers(0, 255, (40, 6, 6), np.uint8)
    np.savez(folder / "all.npz", images=x, labels=np.arange(40) % 2)
    out, told = run("train", "all.npz", "--epochs", "1", "--validation", "0", cwd=folder)
    assert "1 epoch in " in out + told
    assert out.splitlines()[-1].split() == [
        "chainrule", "predict", "all-model", "NEW.npz", "-o", "predictions.csv"
    ]  # fmt: skip
