"""Pictures as people have them: numbered classes, links, lists of files, wrong paths, scales."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import chainrule as cr
from chainrule.data.check import check_table
from chainrule.data.readers.sources import read
from chainrule.data.schema import Schema
from chainrule.errors import DataError, SettingError


def picture(path: Path, grey: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), grey).save(path)
    return path


def test_numbered_folders_are_classes_however_many(tmp_path: Path) -> None:
    for k in range(50):
        picture(tmp_path / str(k // 2) / f"{k}.png", k)
    schema = Schema.learn(read(tmp_path), "class")
    assert schema.task == "classification"
    assert len(schema.target.labels) == 25
    assert Schema.learn(read(tmp_path), "class", task="regression").task == "regression"


def test_folders_named_as_dates_are_classes(tmp_path: Path) -> None:
    for k in range(6):
        picture(tmp_path / f"2024-01-0{k // 2 + 1}" / f"{k}.png", k)
    assert Schema.learn(read(tmp_path), "class").task == "classification"


@pytest.mark.parametrize(("name", "task"), [("labels", "classification"), ("y", "regression")])
def test_labels_of_arrays_are_classes_by_their_name(tmp_path: Path, name: str, task: str) -> None:
    x = np.random.default_rng(0).integers(0, 255, (94, 4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", **{"images" if name == "labels" else "x": x},
             **{name: np.arange(94) % 47})  # fmt: skip
    assert Schema.learn(read(tmp_path / "a.npz"), name).task == task


def test_linked_folders_are_read_and_loops_are_not_followed(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        picture(tmp_path / "store" / name / "1.png")
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / name).symlink_to(tmp_path / "store" / name)
    (tmp_path / "store" / "cats" / "back").symlink_to(tmp_path / "photos")
    (tmp_path / "store" / "cats" / "self").symlink_to(".")
    assert read(tmp_path / "photos")["picture"].texts == ["cats/1.png", "dogs/1.png"]


def test_names_that_are_not_there_do_not_hide_the_others(tmp_path: Path) -> None:
    names = [picture(tmp_path / f"{k}.png", k).name for k in range(12)]
    rows = [*(f"/nowhere/{k}.png" for k in range(8)), *names]
    text = "\n".join(["file,label", "N/A,a", *(f"{x},{'ab'[k % 2]}" for k, x in enumerate(rows))])
    (tmp_path / "a.csv").write_text(text)
    schema = Schema.learn(read(tmp_path / "a.csv"), "label")
    assert [x.kind for x in schema.used] == ["picture"]
    assert any("8 of 20 pictures cannot be read" in note for note in schema.notes)


def test_backslashes_divide_folders(tmp_path: Path) -> None:
    for k in range(4):
        picture(tmp_path / "own" / f"{k}.png", k)
    rows = [f"own\\{k}.png,{'ab'[k % 2]}" for k in range(4)]
    (tmp_path / "a.csv").write_text("\n".join(["file,label", *rows]))
    schema = Schema.learn(read(tmp_path / "a.csv"), "label")
    assert [x.kind for x in schema.used] == ["picture"]


def test_pictures_that_are_not_there_are_a_finding(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,age,label\n" + "x/1.png,3,a\nx/2.png,4,b\n" * 10)
    found = [x for x in check_table(read(tmp_path / "a.csv"), "label") if x.column == "file"]
    assert [x.severity for x in found] == ["warning"]
    assert str(tmp_path / "x" / "1.png") in found[0].message


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> cr.Model:
    folder = tmp_path_factory.mktemp("photos")
    for k in range(20):
        picture(folder / "ab"[k % 2] / f"{k}.png", 20 + 10 * k)
    return cr.train(folder, epochs=1, validation=0, verbose=False)


def test_lists_of_paths_and_arrays_are_predicted(model: cr.Model, tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{k}.png", 60 * k) for k in range(3)]
    arrays = np.stack([np.asarray(Image.open(x)) for x in paths])
    expected = model.predict(tmp_path).values
    for data in (paths, list(map(str, paths)), arrays, arrays[..., None], {"x": arrays}):
        assert (model.predict(data).values == expected).all()
    assert model.predict({"photo": arrays}).notes == (
        "column 'photo', the pictures, is taken for 'picture'",
    )
    with Image.open(paths[0]) as image, pytest.raises(DataError, match=r"path of the picture"):
        model.predict(image)
    with pytest.raises(DataError, match=r"x\[None\]"):
        model.predict(np.zeros((8, 8, 3), np.uint8))


def test_another_scale_of_pixels_is_told(model: cr.Model) -> None:
    x = np.random.default_rng(0).integers(0, 255, (8, 8, 8), np.uint8)
    assert model.predict({"picture": x}).notes == ()
    assert "multiply by 255" in model.predict({"picture": x / 255}).notes[0]
    data = {"picture": x / 255, "y": ["a", "b"] * 4}
    small = cr.train(data, "y", epochs=1, validation=0, verbose=False)
    assert small.predict(data).notes == ()
    assert "divide by 255" in small.predict({"picture": x}).notes[0]


def test_lists_of_numbers_in_memory_are_signals() -> None:
    rows = [[1, 2, None, 4], [2.0, 2, 2, 2], np.array([0, 1, 5, 0])] * 8
    data = {"s": rows, "y": ["a", "b", "b"] * 8}
    schema = cr.train(data, "y", signal="s", epochs=1, verbose=False).schema
    assert [x.shape for x in schema.used] == [(4, 1)]


def test_a_moment_without_any_cell_is_a_gap(tmp_path: Path) -> None:
    rows = [f"{k},{k % 3},{5 - k % 5},{'ab'[k % 2]}" for k in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(["x1,x2,x3,y", *rows]))
    model = cr.train(tmp_path / "a.csv", "y", signal="x1..x3", epochs=1, verbose=False)
    (tmp_path / "b.csv").write_text("x1,x2,x3\n3,,2\n")
    found = model.predict(tmp_path / "b.csv")
    assert np.isfinite(found.values).all()
    assert any("gaps within" in note for note in found.notes)


def test_a_table_beside_one_folder_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "1.png")
    (tmp_path / "labels.csv").write_text("file,label\nimages/1.png,a\n")
    assert any(str(tmp_path / "labels.csv") in note for note in read(tmp_path).notes)
    with pytest.raises(DataError, match="single class"):
        cr.train(tmp_path, verbose=False)


def test_a_table_of_missing_pictures_has_rows_without_predictions(
    model: cr.Model, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("file\nnowhere/1.png\nnowhere/2.png\n")
    found = model.predict(tmp_path / "a.csv")
    assert np.isnan(found.values).all()
    assert any("2 of 2 pictures cannot be read" in note for note in found.notes)


def test_two_arrays_are_told_apart_by_their_shapes(tmp_path: Path) -> None:
    x = np.zeros((6, 4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", labs=np.arange(6) % 2, X_tr=x)
    assert read(tmp_path / "a.npz").columns == ["X_tr", "labs"]
    np.savez(tmp_path / "b.npz", labs=np.arange(5), X_tr=x)
    with pytest.raises(DataError, match="no names that are known"):
        read(tmp_path / "b.npz")


def test_a_signal_does_not_hold_its_target() -> None:
    data = {"x1": [1.0, 2] * 9, "y": [0, 1] * 9, "x2": [2.0, 1] * 9}
    with pytest.raises(SettingError, match="target 'y' is one of its columns"):
        cr.train(data, "y", signal="x1..x2", verbose=False)


@pytest.mark.parametrize("ids", ["a{:03}", "{:05}", "{}"])
def test_ids_name_pictures_without_their_ending(tmp_path: Path, ids: str) -> None:
    names = [ids.format(k) for k in range(1, 13)]
    for k, name in enumerate(names):
        picture(tmp_path / ("train" if k < 8 else "test") / f"{name}.jpg", 20 * k)
        picture(tmp_path / "other" / f"x{k}.png")
    rows = [f"{name},{'ab'[k % 2]}" for k, name in enumerate(names[:8])]
    (tmp_path / "labels.csv").write_text("\n".join(["id,breed", *rows]))
    (tmp_path / "sample.csv").write_text("\n".join(["id", *names[8:]]))
    table = read(tmp_path / "labels.csv")
    assert f"column 'id' names pictures, such as 'train/{names[0]}.jpg'" in table.notes
    schema = Schema.learn(table, "breed")
    assert [x.kind for x in schema.used] == ["picture"]
    model = cr.train(tmp_path / "labels.csv", "breed", epochs=1, validation=0, verbose=False)
    found = model.predict(tmp_path / "sample.csv")
    assert found.to_dict()["id"].tolist() == names[8:]
    assert np.isfinite(found.values).all()


def test_numbers_that_are_no_names_stay_numbers(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    (tmp_path / "a.csv").write_text("age,y\n" + "".join(f"{k},{k % 2}\n" for k in range(1, 30)))
    table = read(tmp_path / "a.csv")
    assert table["age"].storage == "integer"
    assert table.notes == ()
