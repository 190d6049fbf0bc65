"""Pictures: files of every kind, folders, IDX and NPZ, and what is said of each that is odd."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import chainrule as cr
from chainrule.data.check import check_table
from chainrule.data.columns.mirror import mirror_share, swapped_share
from chainrule.data.columns.picturefiles import decode, look
from chainrule.data.columns.pictures import PictureColumn
from chainrule.data.readers.sources import read
from chainrule.data.schema import Schema
from chainrule.data.twins import check_pictures
from chainrule.errors import DataError, SettingError
from chainrule.recipe import Training

RED, GREEN = (200, 30, 30), (30, 200, 30)


def save(path: Path, colour: object = RED, size: tuple[int, int] = (12, 10), mode: str = "RGB",
         **options: object) -> Path:  # fmt: skip
    """A picture of one colour; `size` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def photos(folder: Path, each: int = 4, size: tuple[int, int] = (12, 10)) -> Path:
    """A folder with two classes."""
    for k in range(each):
        save(folder / "cats" / f"{k}.png", (200 + k, 30, 30), size)
        save(folder / "dogs" / f"{k}.jpg", (30, 200 + k, 30), size, quality=95)
    return folder


def one(path: Path, channels: int = 3, size: tuple[int, int] = (10, 12)) -> np.ndarray:
    """The pixels of a file. Fails where it cannot be read."""
    found = decode([path.name], str(path.parent), size, channels)
    assert not found.problems, found.problems
    return found.pixels[0]


def reason(path: Path) -> str:
    """The reason why a file cannot be read."""
    return decode([path.name], str(path.parent), (4, 4), 3).problems[0]


def learned(folder: Path, **options: object) -> tuple[Schema, PictureColumn]:
    """The schema of a folder of pictures, and its column of pictures."""
    schema = Schema.learn(read(str(folder)), "class", options={"picture": options})
    (column,) = schema.used
    assert isinstance(column, PictureColumn)
    return schema, column


# ---------------------------------------------------------------- one file


def test_pixels_of_a_plain_picture(tmp_path: Path) -> None:
    pixels = one(save(tmp_path / "a.png"))
    assert pixels.shape == (10, 12, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == RED).all()


def test_pictures_cover_the_size_and_are_cut_alike(tmp_path: Path) -> None:
    wide = np.zeros((4, 8, 3), np.uint8)
    wide[:, :2], wide[:, 6:] = 255, 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert not one(tmp_path / "wide.png", size=(4, 4)).any()


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_each_mode_gives_colours_and_grey(tmp_path: Path, mode: str) -> None:
    grey = Image.new("L", (12, 10), 255)
    image = Image.fromarray(np.full((10, 12), 65535, np.uint16)) if mode == "I;16" else None
    image = image or grey.convert(mode)
    image.save(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"))
    (path,) = tmp_path.iterdir()
    for channels in (1, 3):
        assert (one(path, channels) == 255).all()


def test_sixteen_bits_are_reduced_to_eight(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert one(tmp_path / "deep.png", 1, (1, 4)).ravel().tolist() == [0, 1, 128, 255]
    found = decode(["deep.png"], str(tmp_path), (1, 4), 1)
    assert found.remarks == {0: ["of 16 bits a channel: reduced to 8"]}


def test_fractions_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((3, 3), 0.5, np.float32)).save(tmp_path / "f.tif")
    assert "fractions" in reason(tmp_path / "f.tif")


def test_transparent_parts_lie_on_white(tmp_path: Path) -> None:
    save(tmp_path / "clear.png", (0, 0, 0, 0), mode="RGBA")
    assert (one(tmp_path / "clear.png") == 255).all()
    save(tmp_path / "opaque.png", (*RED, 255), mode="RGBA")
    assert (one(tmp_path / "opaque.png") == RED).all()
    found = decode(["clear.png", "opaque.png"], str(tmp_path), (4, 4), 3)
    assert found.remarks == {0: ["partly transparent: laid on white"]}


def test_grey_files_among_coloured_ones_are_told(tmp_path: Path) -> None:
    for k in range(4):
        save(tmp_path / "a" / f"{k}.png", 60 * k, mode="L")
        save(tmp_path / "b" / f"{k}.png", (60 * k, 0, 200))
    assert (one(tmp_path / "a" / "2.png") == 120).all()
    schema, column = learned(tmp_path)
    assert column.channels == 3
    told = "column 'picture': 4 pictures grey: read in colour, as the network takes them"
    assert told in schema.encode(read(str(tmp_path)), "required").notes
    grey = schema.encode(read(str(tmp_path / "b")), "none").notes
    assert not any("grey" in note for note in grey)


def test_transparency_of_a_palette(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "p.png", transparency=1)
    assert (one(tmp_path / "p.png", size=(4, 4)) == 255).all()
    image.save(tmp_path / "q.png")
    assert (one(tmp_path / "q.png", size=(4, 4)) == (10, 20, 30)).all()


def test_exif_data_turn_a_picture(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4] = 255  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right: white is above
    Image.fromarray(pixels).save(tmp_path / "t.png", exif=exif)
    (seen,) = look(["t.png"], str(tmp_path))
    assert (seen.height, seen.width) == (8, 4)
    turned = one(tmp_path / "t.png", 1, (8, 4))[..., 0]
    assert (turned[:4] == 255).all()
    assert not turned[4:].any()
    found = decode(["t.png"], str(tmp_path), (8, 4), 1)
    assert found.remarks == {0: ["turned as the EXIF data say"]}


def test_the_first_picture_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    found = decode(["a.gif"], str(tmp_path), (4, 4), 3)
    assert (found.pixels[0] == RED).all()
    assert "the first picture is read" in found.remarks[0][0]


def test_one_pixel_and_a_large_size(tmp_path: Path) -> None:
    assert (one(save(tmp_path / "1.png", size=(1, 1)), size=(6, 5)) == RED).all()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.tif"])
def test_truncated_files(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = tmp_path / name
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert reason(path)
    for length in (0, 1, 4, 20):
        path.write_bytes(content[:length])
        assert reason(path)


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "page.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert reason(tmp_path / "text.png") == "not a picture that can be read"
    assert reason(tmp_path / "empty.png") == "the file is empty"
    assert reason(tmp_path / "folder.png") == "not a file"
    assert reason(tmp_path / "none.png") == "no such file or directory"
    assert reason(tmp_path / "page.png") == "not a picture that can be read"  # no program is run


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe is of Unix")
def test_a_pipe_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert reason(tmp_path / "pipe.png") == "not a file"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png")
    path.chmod(0)
    assert reason(path) == "permission denied"


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_a_decompression_bomb_is_not_decoded(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100))
    )
    assert reason(path) == (
        f"a decompression bomb: {side * side:,} pixels, at most 89,478,485 are decoded"
    )


# ---------------------------------------------------------------- size and colour


def test_the_size_that_all_have_is_kept(tmp_path: Path) -> None:
    _, column = learned(photos(tmp_path))
    assert column.shape == (10, 12, 3)
    assert column.treatment == "10 x 12 pixels, colour, standardised"


def test_large_pictures_are_scaled_down_in_proportion(tmp_path: Path) -> None:
    _, column = learned(photos(tmp_path, size=(256, 128)))
    assert column.shape == (32, 64, 3)


def test_pictures_of_several_sizes_get_the_median_as_a_square(tmp_path: Path) -> None:
    for k, side in enumerate((20, 22, 24, 28)):
        save(tmp_path / "a" / f"{k}.png", RED, (side, side + 1))
        save(tmp_path / "b" / f"{k}.png", GREEN, (side + 1, side))
    _, column = learned(tmp_path)
    assert column.height == column.width == 24


def test_size_and_colour_are_chosen(tmp_path: Path) -> None:
    _, column = learned(photos(tmp_path), size=(6, 7), colour="grey")
    assert column.shape == (6, 7, 1)
    assert learned(photos(tmp_path), size=(5,))[1].shape == (5, 5, 3)


def test_grey_pictures_in_colour_files_are_grey(tmp_path: Path) -> None:
    for k in range(3):
        save(tmp_path / "a" / f"{k}.jpg", (40 * k, 40 * k, 40 * k))
        save(tmp_path / "b" / f"{k}.png", (9 * k, 9 * k, 9 * k))
    assert learned(tmp_path)[1].channels == 1


def test_scale_is_that_of_each_channel(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", (10, 100, 7))
    save(tmp_path / "b" / "1.png", (30, 200, 7))
    _, column = learned(tmp_path)
    assert column.mean == (20, 150, 7)
    assert column.std == (10, 50, 1)


def test_mirror_images_are_told_where_left_and_right_differ() -> None:
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (400, 8, 8, 1))
    assert abs(mirror_share(noise) - 0.5) < 0.1
    leaning = noise.copy()
    leaning[:, :, :3] //= 2
    assert mirror_share(leaning) > 0.9
    assert mirror_share(noise[:20]) == 1.0


def arrows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright spots on a noisy ground, at the left of class 0 and at the right of class 1."""
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 80, (count, 9, 9, 1)).astype(np.uint8), np.arange(count) // 2 % 2
    for k in range(count):
        x[k, generator.integers(0, 9), 1 + 6 * y[k]] += 150
    return x, y


def test_classes_that_mirroring_swaps_are_not_mirrored(tmp_path: Path) -> None:
    x, y = arrows(120)
    assert mirror_share(x) < 0.6
    assert swapped_share(x, y) > 0.3
    assert swapped_share(x, np.random.default_rng(1).integers(0, 2, 120)) < 0.1
    data = {"picture": x, "class": np.array(["left", "right"])[y]}
    chosen = cr.Config(target="class")
    assert Training.of(cr.data.read(data), chosen).config.flip == "no"
    data["class"] = np.array(["dark", "light"])[(np.arange(120) % 3 > 0) * 1]
    assert Training.of(cr.data.read(data), chosen).config.flip == "yes"


# ---------------------------------------------------------------- folders


def test_a_folder_gives_files_and_classes(tmp_path: Path) -> None:
    table = read(str(photos(tmp_path / "photos", 2)))
    assert table.columns == ["picture", "class"]
    assert table["picture"].cells() == ["cats/0.png", "cats/1.png", "dogs/0.jpg", "dogs/1.jpg"]
    assert table["class"].cells() == ["cats", "cats", "dogs", "dogs"]
    assert table.notes == ()


def test_what_is_no_picture_is_left_out_and_told(tmp_path: Path) -> None:
    photos(tmp_path)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "cats" / ".hidden.png").touch()
    (tmp_path / "cats" / "Thumbs.db").touch()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "birds").mkdir()
    table = read(str(tmp_path))
    assert len(table) == 8
    assert table.notes == (
        "3 hidden files left out",
        "1 file left out whose ending is not that of a picture: 'notes.txt'",
        "1 folder without pictures: 'birds' has no rows",
    )
    (tmp_path / "cats" / "list.csv").write_text("a")
    (tmp_path / "fish").mkdir()
    assert read(str(tmp_path)).notes[1:] == (
        "2 files left out whose endings are not those of pictures: 'notes.txt', 'cats/list.csv'",
        "2 folders without pictures: 'birds', 'fish' have no rows",
    )


def test_folders_within_classes(tmp_path: Path) -> None:
    save(photos(tmp_path) / "cats" / "grey" / "old" / "9.png")
    table = read(str(tmp_path))
    assert table["class"].cells().count("cats") == 5
    assert any("the first folder is the class" in note for note in table.notes)


def test_a_lone_folder_is_opened(tmp_path: Path) -> None:
    photos(tmp_path / "outer" / "inner")
    table = read(str(tmp_path / "outer"))
    assert sorted(set(table["class"].cells())) == ["cats", "dogs"]
    assert "'inner', the only one there" in table.notes[-1]


def test_parts_of_the_data_are_no_classes(tmp_path: Path) -> None:
    photos(tmp_path / "train")
    photos(tmp_path / "test")
    with pytest.raises(DataError, match=r"parts of the data.*\n.*\n.*test, train\n.*train, --test"):
        read(str(tmp_path))


def test_a_flat_folder_has_no_classes(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    assert read(str(tmp_path)).columns == ["picture"]


def test_one_file_is_a_table_of_one_picture(tmp_path: Path) -> None:
    table = read(str(save(tmp_path / "a.png")))
    assert (table.columns, table["picture"].cells()) == (["picture"], ["a.png"])


def test_pictures_without_classes_teach_nothing(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(SettingError, match=r"have no classes[^@]*1 picture and no other column"):
        cr.train(str(tmp_path), verbose=False)


def test_sizes_are_told_and_bounded(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", RED, (30, 20))
    save(tmp_path / "b" / "1.png", GREEN, (10, 40))
    assert learned(tmp_path)[1].reason.endswith(", 20 x 10 to 40 x 30 pixels")
    with pytest.raises(SettingError, match="a height and a width"):
        learned(tmp_path, size=(1, 2, 3))


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="an empty folder"):
        read(str(tmp_path))


def test_names_of_other_scripts(tmp_path: Path) -> None:
    save(tmp_path / "猫" / "Käthe größer.png")
    save(tmp_path / "собаки" / "а б.png", GREEN)
    encoded = learned(tmp_path)[0].encode(read(str(tmp_path)))
    assert encoded.names["picture"].tolist() == ["собаки/а б.png", "猫/Käthe größer.png"]
    assert (encoded.arrays["picture"][1] == RED).all()


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on Unix")
def test_a_name_that_is_not_unicode(tmp_path: Path) -> None:
    photos(tmp_path)
    os.rename(tmp_path / "cats" / "0.png", os.fsencode(tmp_path / "cats") + b"/\xff.png")
    table = read(str(tmp_path))
    assert len(table) == 7
    assert "whose name is not Unicode" in table.notes[0]


def test_files_that_cannot_be_read_are_left_out_with_counts(tmp_path: Path) -> None:
    photos(tmp_path)
    for name in ("x", "y"):
        (tmp_path / "cats" / f"{name}.png").touch()
    (tmp_path / "dogs" / "z.png").write_text("?")
    table = read(str(tmp_path))
    schema = Schema.learn(table, "class")
    assert schema.rows == 8
    assert schema.notes == (
        "column 'picture': 3 of 11 pictures cannot be read: the file is empty (2: 'cats/x.png', "
        "'cats/y.png'); not a picture that can be read (1: 'dogs/z.png')",
        "3 rows without a picture or signal that can be read left out",
    )
    encoded = schema.encode(table, "required")
    assert len(encoded) == len(encoded.target) == 8
    assert encoded.rows.tolist() == [0, 1, 2, 3, 6, 7, 8, 9]
    whole = schema.encode(table, "none")
    assert len(whole) == 11
    assert np.flatnonzero(whole.absent).tolist() == [4, 5, 10]


def test_no_picture_can_be_read(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="no picture can be read"):
        learned(tmp_path)


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    save(tmp_path / "cats" / "1.png")
    with pytest.raises(DataError, match="a single class"):
        learned(tmp_path)


# ---------------------------------------------------------------- tables of paths


def test_a_csv_of_paths_is_relative_to_the_csv(tmp_path: Path) -> None:
    photos(tmp_path / "inner" / "photos", 2)
    lines = ["file,age,kind", "photos/cats/0.png,1,c", "photos/cats/1.png,2,c",
             "photos/dogs/0.jpg,3,d", "photos/dogs/1.jpg,4,d"]  # fmt: skip
    (tmp_path / "inner" / "list.csv").write_text("\n".join(lines))
    table = read(str(tmp_path / "inner" / "list.csv"))
    schema = Schema.learn(table, "kind")
    assert [x.kind for x in schema.describe()] == ["picture", "number", "target"]
    arrays = schema.encode(table).arrays
    assert (arrays["file"][0] == (200, 30, 30)).all()
    assert arrays["file"].shape == (4, 10, 12, 3)


def test_names_of_pictures_that_are_not_there_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("file,kind\na.png,c\nb.png,d\nb.png,d\n")
    table = read(str(tmp_path / "list.csv"))
    assert Schema.learn(table, "kind").describe()[0].kind == "category"


def test_missing_files_and_gaps_of_a_csv(tmp_path: Path) -> None:
    photos(tmp_path, 2)
    rows = ["file,kind", "cats/0.png,c", ",c", "cats/1.png,c", "gone.png,d", "dogs/0.jpg,d"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    table = read(str(tmp_path / "list.csv"))
    schema = Schema.learn(table, "kind")
    assert schema.rows == 3
    assert np.flatnonzero(schema.encode(table, "none").absent).tolist() == [1, 3]


# ---------------------------------------------------------------- arrays


def idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file of unsigned bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_and_the_labels_beside_them(tmp_path: Path, packed: bool) -> None:
    x = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    y = np.array([3, 1, 3, 1, 3], np.uint8)
    for name, array in (("train-images-idx3-ubyte", x), ("train-labels-idx1-ubyte", y)):
        content = gzip.compress(idx(array)) if packed else idx(array)
        (tmp_path / f"{name}{'.gz' * packed}").write_bytes(content)
    table = read(str(tmp_path / f"train-images-idx3-ubyte{'.gz' * packed}"))
    assert (table["picture"].values == x).all()
    assert table["class"].values.tolist() == y.tolist()
    schema = Schema.learn(table, "class")
    assert (schema.encode(table).arrays["picture"] == x[..., None]).all()


def test_idx_files_that_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "images-idx3-ubyte"
    whole = idx(np.zeros((5, 4, 3), np.uint8))
    for content in (whole[:-1], whole + b"1", whole[:9]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"damaged|cannot be read"):
            read(str(path))
    path.write_bytes(struct.pack(">HBB3I", 0, 8, 3, 60000, 60000, 60000) + b"1234")
    with pytest.raises(DataError, match="holds too much"):
        read(str(path))
    path.write_bytes(whole)
    assert read(str(path)).columns == ["picture"]
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(DataError, match="another number of labels"):
        read(str(path))
    with pytest.raises(DataError, match="name the file of the images"):
        read(str(tmp_path / "labels-idx1-ubyte"))


@pytest.mark.parametrize(
    ("x", "y"), [("x", "y"), ("X", "y"), ("images", "labels"), ("x_train", "y_train")]
)
def test_npz_files(tmp_path: Path, x: str, y: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", **{x: pixels, y: np.arange(6) % 2})
    table = read(str(tmp_path / "data.npz"))
    assert table.columns == [x, y]
    assert (table[x].values == pixels).all()
    assert Schema.learn(table, y).used[0].shape == (5, 4, 3)


def test_npz_files_of_features_and_of_other_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(3), y=np.arange(3), x_test=np.eye(2))
    table = read(str(tmp_path / "a.npz"))
    assert table.columns == ["x0", "x1", "x2", "y"]
    assert table.notes == ("1 array left out: 'x_test'",)
    np.savez(tmp_path / "b.npz", a=np.eye(3), b=np.arange(3))
    with pytest.raises(DataError, match="no names that are known"):
        read(str(tmp_path / "b.npz"))
    np.savez(tmp_path / "c.npz", x=np.array([{}], object), y=np.zeros(1))
    with pytest.raises(DataError, match="cannot be read"):
        read(str(tmp_path / "c.npz"))
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 2, 2)), y=np.eye(3))
    with pytest.raises(DataError, match="argmax"):
        read(str(tmp_path / "d.npz"))


def test_arrays_in_memory() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 5, 4)).astype(np.uint8)
    table = read({"picture": pixels, "class": list("abababab")})
    schema = Schema.learn(table, "class")
    assert schema.used[0].shape == (5, 4, 1)
    with pytest.raises(DataError, match="another size"):
        schema.encode(read({"picture": np.zeros((2, 6, 4))}), "none")
    with pytest.raises(DataError, match=r"row 2"):
        read({"picture": np.stack([np.zeros((2, 2)), np.full((2, 2), np.nan)])})


def test_arrays_are_checked_like_other_columns() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 5, 4)).astype(np.uint8)
    pixels[30:] = pixels[:10]
    table = read({"picture": pixels, "class": list("aabb" * 10)})
    assert {x.message for x in check_table(table, "class")} == {
        "only 40 rows: scores will vary with the split"
    }
    schema = Schema.learn(table, "class")
    messages = [x.message for x in check_pictures(schema, schema.encode(table))]
    assert messages[0].startswith("10 pictures are in two classes: 'row 1' and 'row 31'")
    assert messages[1] == "10 of 40 pictures (25 %) repeat another one"


# ---------------------------------------------------------------- twins


def test_equal_pictures_in_two_classes_are_told(tmp_path: Path) -> None:
    for k in range(30):
        save(tmp_path / "cats" / f"{k}.png", (200 + k, 30, 30))
        save(tmp_path / "dogs" / f"{k + 100}.png", (30, 200 + k, 30))
    save(tmp_path / "cats" / "again.png", (200, 30, 30))
    for k in (1, 7):
        save(tmp_path / "dogs" / f"{k}.png", (200 + k, 30, 30))
    schema = Schema.learn(table := read(str(tmp_path)), "class")
    two, same = check_pictures(schema, schema.encode(table, "required"))
    assert two.severity == "warning"
    assert two.message == (
        "2 pictures are in two classes: 'cats/1.png' and 'dogs/1.png', 'cats/7.png' and "
        "'dogs/7.png'"
    )
    assert same.message == "3 of 63 pictures (5 %) repeat another one"


def test_different_pictures_are_no_finding(tmp_path: Path) -> None:
    schema = Schema.learn(table := read(str(photos(tmp_path))), "class")
    assert check_pictures(schema, schema.encode(table, "required")) == []


# ---------------------------------------------------------------- a model


def test_a_model_of_pictures_and_its_file(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 20)
    model = cr.train(str(folder), epochs=12, verbose=False)
    assert model.evaluate(str(folder))["accuracy"] == 1
    model.save(tmp_path / "model.safetensors")
    (folder / "dogs" / "bad.png").touch()
    predicted = cr.load(tmp_path / "model.safetensors").predict(str(folder))
    assert predicted.labels.tolist() == ["cats"] * 20 + ["dogs"] * 20 + [""]
    assert np.isnan(predicted.values[-1]).all()
    columns = predicted.to_dict()
    assert list(columns)[:2] == ["picture", "class"]
    assert columns["picture"][-1] == "dogs/bad.png"
    assert (predicted.values[:40] == model.predict(str(folder)).values[:40]).all()


def test_pictures_beside_other_columns(tmp_path: Path) -> None:
    folder = photos(tmp_path, 20)
    table = read(str(folder))
    names = table["picture"].cells()
    data = {"file": [str(folder / x) for x in names], "age": np.arange(40) % 7,
            "kind": table["class"].cells()}  # fmt: skip
    model = cr.train(data, "kind", epochs=12, verbose=False)
    assert model.evaluate(data)["accuracy"] == 1
    assert {"file", "numbers"} <= {x.label for x in model.graph.inputs}


def test_three_pictures_a_class(tmp_path: Path) -> None:
    model = cr.train(str(photos(tmp_path, 3)), verbose=False)
    assert model.predict(str(tmp_path)).values.shape == (6, 2)
