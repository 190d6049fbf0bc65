"""`chainrule inspect`: one file, named and refused as a user expects."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from command import houses, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect")
    houses(folder / "h.csv", 200)
    run("train", "h.csv", "--target", "price", "--epochs", "3", "-q", "-o", "prices", cwd=folder)
    return folder


def document(path: Path) -> dict[str, Any]:
    text = path.read_text("utf-8")
    found = re.search(r'id="chainrule-document">(.*?)</script>', text)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_the_page_is_in_the_folder_of_the_model(folder: Path) -> None:
    _, err = run("inspect", "prices", cwd=folder)
    assert "rows of h.csv, which it was trained on, as the file is now" in err
    content = document(folder / "prices" / "inspect.html")
    assert [row["why"] for row in content["rows"]] == ["typical", "worst", "best"]


def test_rows_are_counted_from_one(folder: Path) -> None:
    run("inspect", "prices", "h.csv", "--row", "17", "--row", "3", "-o", "two.html", cwd=folder)
    rows = document(folder / "two.html")["rows"]
    assert [row["label"] for row in rows] == ["row 17", "row 3"]
    lines = (folder / "h.csv").read_text("utf-8").splitlines()
    assert rows[0]["cells"][0]["raw"] == lines[17].split(",")[1]


def test_what_cannot_be_done_is_refused(folder: Path) -> None:
    for arguments, said in {
        ("h.csv", "--row", "0"): "h.csv has no row 0",
        ("h.csv", "--row", "201"): "--row 1 to 200",
        ("h.csv", "-o", "h.csv"): "would replace an input",
        ("h.csv", "-o", "page.txt"): "fix       -o page.html",
    }.items():
        _, err = run("inspect", "prices", *arguments, cwd=folder, code=1)
        assert said in err
    assert not (folder / "page.html").exists()


def test_without_data_a_typical_row_is_shown(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes((folder / "prices/model.safetensors").read_bytes())
    _, err = run("inspect", "m.safetensors", cwd=tmp_path)
    assert "h.csv cannot be read: no such file or data set" in err
    (tmp_path / "h.csv").write_text("a,b\n1,2\n")
    _, err = run("inspect", "m.safetensors", cwd=tmp_path)
    assert "h.csv does not fit the model any more: lacks" in err
    assert document(tmp_path / "m.html")["rows"][0]["label"] == "a typical row"
    _, err = run("inspect", "m.safetensors", "--row", "3", cwd=tmp_path, code=1)
    assert "--row needs data" in err


def test_what_a_model_of_lbfgs_lacks_is_told(folder: Path) -> None:
    run("train", "h.csv", "--target", "price", "--optimizer", "lbfgs", "--epochs", "1",
        "--quality", "fast", "--hidden", "4", "-q", "-o", "lbfgs", cwd=folder)  # fmt: skip
    _, err = run("inspect", "lbfgs", "--profile", cwd=folder)
    assert "no kernels are shown" in err
    assert "the page ends with the gradients" in err
    assert re.search(r"3 rows in lbfgs/inspect.html, [\d.]+ [kM]B", err)
    assert "machine" not in document(folder / "lbfgs" / "inspect.html")
