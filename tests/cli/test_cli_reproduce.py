"""`chainrule reproduce`: the same bits again, or what differs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import houses, run

import chainrule as cr
from chainrule.cli.main import main
from chainrule.data.streams import tables
from chainrule.recipe.made import KEY

SETTINGS = ("--target", "price", "--quality", "fast", "--hidden", "12", "--ignore", "id")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and a model of it."""
    folder = tmp_path_factory.mktemp("once")
    houses(folder / "houses.csv", rows=120)
    run("train", "houses.csv", *SETTINGS, "-q", cwd=folder)
    return folder


@pytest.fixture
def place(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, in which commands run."""
    folder = tmp_path / "place"
    shutil.copytree(once, folder)
    monkeypatch.chdir(folder)
    return folder


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What the command says in this process."""
    found = main(["reproduce", *arguments])
    out, err = capsys.readouterr()
    assert found == code, out + err
    return " ".join((err + out).split())


def test_the_same_bits(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    said = told(capsys, "houses-model", "houses.csv", "-o", "again.safetensors")
    assert "data the same: 120 rows, 6 columns" in said
    assert "the same bits in all " in said
    assert said.endswith("The bits agree.")
    old, new = cr.load("houses-model/model.safetensors"), cr.load("again.safetensors")
    assert {n: x.tobytes() for n, x in old.values.items()} == {
        n: x.tobytes() for n, x in new.values.items()
    }
    assert not told(capsys, "houses-model", "houses.csv", "-q")
    (place / "houses.csv").rename(place / "moved.csv")  # the name does not matter
    assert not told(capsys, "houses-model", "moved.csv", "-q")


def test_changed_data_are_named_and_nothing_is_trained(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("houses.csv").read_text("utf-8")
    Path("houses.csv").write_text(text.replace("Ulm", "Bonn", 1), "utf-8")
    said = told(capsys, "houses-model", "houses.csv", "-o", "again.safetensors", code=1)
    assert "data column 'town' has other cells" in said
    assert said.endswith("Not trained: what differs is data, and so would the bits.")
    assert not Path("again.safetensors").exists()
    Path("houses.csv").write_text(text.replace("H0001", "X"), "utf-8")  # a column left out
    assert told(capsys, "houses-model", "houses.csv").endswith("The bits agree.")


def changed(path: str, **made: object) -> None:
    """Write a model file again that says that it was made otherwise."""
    model = cr.load(path)
    model.notes = {**model.notes, KEY: {**model.notes[KEY], **made}}
    name = next(n for n in model.values if n.endswith(".w"))
    model.set_value(name, model.value(name) + np.float32(1e-6))
    model.save(path)


def test_what_differs_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = "houses-model/model.safetensors"
    changed(path, processor="znver9, vectors of 512 bits", versions={"chainrule": "0.0.9"})
    said = told(capsys, "houses-model", "houses.csv", code=1)
    assert "version chainrule 0.0.9; here chainrule " in said
    assert "processor znver9, vectors of 512 bits; here " in said
    assert "other bits in 1 of " in said
    assert re.search(r"the largest difference is (1\.0\d*|9\.\d+)e-[67]", said)
    assert said.endswith("The bits differ; what differs besides is version, processor.")


def test_files_that_lack_something(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = "houses-model/model.safetensors"
    model = cr.load(path)
    made = model.notes.pop(KEY)
    model.save("old.safetensors")  # as an earlier version wrote it
    said = told(capsys, "old.safetensors", "houses.csv")
    assert "data the rows of training are the same" in said
    assert "processor the file does not record it" in said
    assert said.endswith("The bits agree.")
    text = Path("houses.csv").read_text("utf-8")
    Path("other.csv").write_text(text.replace("Ulm", "Bonn", 9), "utf-8")
    said = told(capsys, "old.safetensors", "other.csv", code=1)
    assert "data the rows of training are others" in said
    assert said.endswith("The bits differ; what differs besides is data.")
    model.notes[KEY] = {**made, "complete": False}
    model.save("cut.safetensors")
    said = told(capsys, "cut.safetensors", "houses.csv", code=1)
    assert "the model is of a run that was interrupted" in said
    model.notes[KEY] = {"data": 3}
    model.save("damaged.safetensors")
    said = told(capsys, "damaged.safetensors", "houses.csv", code=1)
    assert "the record of how the model was made is damaged" in said
    del model.notes["config"]
    model.save("fit.safetensors")
    said = told(capsys, "fit.safetensors", "houses.csv", code=1)
    assert "the file has no settings of `train`" in said


def test_data_in_parts(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    houses(place / "h.csv", rows=3000)
    text = Path("h.csv").read_text("utf-8")
    train = ["train", "h.csv", *SETTINGS, "--epochs", "2", "--stream", "-q"]
    assert main([*train, "-o", "once"]) == 0
    said = told(capsys, "once", "h.csv", "--memory", "400MB", "-o", "again.safetensors")
    assert "data the same: 3,000 rows, 6 columns, as they are encoded" in said
    assert said.endswith("The bits agree.")
    # the blocks of reading depend on the memory: the numbers that are learned do not
    monkeypatch.setattr(tables, "block_rows", lambda memory, columns: 1001)
    assert main([*train, "-o", "other"]) == 0
    schemas = [cr.load(f"{x}/model.safetensors").schema for x in ("once", "other")]
    assert schemas[0] == schemas[1]
    assert told(capsys, "once", "h.csv").endswith("The bits agree.")
    Path("h.csv").write_text(text.replace("Ulm", "Bonn", 1), "utf-8")
    said = told(capsys, "once", "h.csv", code=1)
    assert re.search(r"data column 'town' has other cells", said)
    Path("h.csv").write_text(text[: text.rindex("\n", 0, -1) + 1], "utf-8")
    assert "data 2,999 rows, which were 3,000" in told(capsys, "once", "h.csv", code=1)
    table = cr.data.read("h.csv")
    with pytest.raises(cr.errors.DataError, match="the files or the query"):
        cr.reproduce("once/model.safetensors", table, verbose=False)


def test_a_classifier_of_a_search_in_python() -> None:
    table = cr.data.read("penguins")
    found = cr.search(table, "species", trials=3, space={"hidden": [(4,), (6,)]}, epochs=6,
                      members=1, verbose=False)  # fmt: skip
    again = cr.reproduce(found.model, table, verbose=False)
    assert again.agrees, str(again)
    assert again.differs == ()
    assert str(again).splitlines()[-1] == "The bits agree."
    assert again.model is not None
    assert (again.model.predict(table).values == found.model.predict(table).values).all()
