"""Streams: stores on disk, complete or not there at all, and what is read of them."""

from __future__ import annotations

import gc
import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.data.streams import writer
from chainrule.data.streams.fields import FileRows
from chainrule.errors import DataError, SettingError

R = np.random.default_rng(2)
DATA = {
    "x": R.normal(size=(1000, 3)).astype("float32"),
    "k": R.integers(0, 5, 1000).astype("int8"),
    "w": np.where(R.random(1000) < 0.1, np.nan, R.random(1000)),
}


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAINRULE_CACHE", os.fspath(tmp_path / "caches"))
    return tmp_path / "caches"


def blocks(size: int = 130, upto: int = 1000) -> Iterator[dict[str, Any]]:
    for k in range(0, upto, size):
        yield {name: x[k : k + size] for name, x in DATA.items()}


def whole(stream: cr.data.Stream, rows: int | None = None) -> dict[str, Any]:
    parts = list(stream.blocks(rows))
    return {name: np.concatenate([x[name] for x in parts]) for name in parts[0]}


def files(folder: Path) -> list[str]:
    return sorted(os.fspath(x.relative_to(folder)) for x in folder.rglob("*"))


def test_blocks_become_a_stream_with_the_same_rows(caches: Path) -> None:
    stream = cr.data.stream(blocks())
    assert len(stream) == stream.rows == 1000
    assert stream.bytes == sum(x.nbytes for x in DATA.values())
    for rows in (None, 1, 77, 5000):
        for name, x in whole(stream, rows).items():
            assert x.dtype == DATA[name].dtype
            npt.assert_array_equal(x, DATA[name])
    npt.assert_array_equal(stream.read(990, 10, ["k"])["k"], DATA["k"][990:])
    assert files(caches) == ["streams"], "the files have no names"


def test_rows_are_taken_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainrule.data.streams.stream.READ_BYTES", 500)
    stream = cr.data.stream(blocks())
    for rows in ([3], [999, 0, 999, 500, 501], [], list(range(1000))[::-7]):
        found = stream.take(np.array(rows, np.int64), ["x", "k"])
        assert list(found) == ["x", "k"]
        npt.assert_array_equal(found["x"], DATA["x"][rows].reshape(-1, 3))
        npt.assert_array_equal(found["k"], DATA["k"][rows].ravel())


def test_the_least_and_largest_numbers_are_known_with_their_rows() -> None:
    for stream in (cr.data.stream(blocks()), cr.data.stream(DATA)):
        for name, x in DATA.items():
            found = stream.extremes(name)
            assert (found.least, found.most) == (np.nanmin(x), np.nanmax(x))
            for row, value in zip(found.rows, (found.least, found.most), strict=True):
                assert value in x[row].ravel()


def test_equal_rows_have_equal_digests_whatever_the_blocks() -> None:
    same = [cr.data.stream(blocks(7)).digest, cr.data.stream(lambda: blocks(999)).digest]
    assert same == [cr.data.stream(DATA).digest] * 2
    other = DATA["x"].copy()
    other[500, 1] += 1
    assert cr.data.stream(DATA | {"x": other}).digest not in same


def test_a_memory_mapped_array_is_read_from_its_file(tmp_path: Path) -> None:
    for name, x in DATA.items():
        np.save(tmp_path / name, x)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in DATA}
    stream = cr.data.stream(mapped)
    assert all(isinstance(x.source, FileRows) for x in stream.fields.values())
    for name, x in whole(stream, 33).items():
        npt.assert_array_equal(x, DATA[name])
    part = {name: x[100:200:2] for name, x in mapped.items()}  # no file has these rows in a row
    npt.assert_array_equal(whole(cr.data.stream(part))["x"], DATA["x"][100:200:2])
    later = {name: x[100:200] for name, x in mapped.items()}
    npt.assert_array_equal(whole(cr.data.stream(later))["x"], DATA["x"][100:200])


def test_a_kept_stream_is_opened_again(tmp_path: Path) -> None:
    made = cr.data.stream(blocks(), folder=tmp_path / "kept")
    assert made.folder == tmp_path / "kept"
    assert files(tmp_path / "kept") == ["0.rows", "1.rows", "2.rows", "stream.json"]
    again = cr.data.stream(tmp_path / "kept")
    assert again.digest == made.digest
    assert again.extremes("w") == made.extremes("w")
    for name, x in whole(again).items():
        npt.assert_array_equal(x, DATA[name])
    with pytest.raises(DataError, match="has a stream already"):
        cr.data.stream(blocks(), folder=tmp_path / "kept")
    assert files(tmp_path / "kept") == ["0.rows", "1.rows", "2.rows", "stream.json"]


def test_a_store_is_used_again_where_its_sources_are_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with writer.StoreWriter(folder, fingerprint="one", facts={"a": [1, "b"]}) as out:
        out.write(DATA)
        out.finish()
    found = writer.kept(folder, "one")
    assert found is not None
    assert found.facts == {"a": [1, "b"]}
    assert writer.kept(folder, "two") is None
    assert writer.kept(tmp_path / "none", "one") is None
    with writer.StoreWriter(folder, fingerprint="two") as out:  # takes its place
        out.write({"x": DATA["x"][:5]})
        out.finish()
    assert files(tmp_path) == ["kept", "kept/0.rows", "kept/stream.json"]
    npt.assert_array_equal(whole(found)["k"], DATA["k"])  # whose files are open


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"x": DATA["x"][:5], "k": DATA["k"][:5]}, r"(?s)w: float64\[\].*w: not there"),
        ({**DATA, "x": DATA["x"][:, :2]}, r"(?s)x: float32\[3\].*x: float32\[2\]"),
        ({**DATA, "k": DATA["k"].astype("int32")}, r"(?s)k: int8\[\].*k: int32\[\]"),
        ({**DATA, "k": DATA["k"][:5]}, "differ in their number of rows"),
        ({**DATA, "k": DATA["k"].astype(str)}, "'k': not numbers"),
        ({**DATA, "k": [[1], [2, 3]]}, "'k': rows differ in length"),
        ({**DATA, "k": 3}, "no axis for its rows"),
        ([1, 2], "not a dict of arrays"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kept", [True, False])
def test_a_block_that_differs_is_refused_and_nothing_kept(
    second: Any, message: str, kept: bool, tmp_path: Path, caches: Path
) -> None:
    folder = tmp_path / "kept" if kept else None
    with pytest.raises(DataError, match=message) as told:
        cr.data.stream(iter([*blocks(250, 500), second]), folder=folder)
    assert "block 3 of the stream, after row 500" in str(told.value)
    assert not files(tmp_path) or files(tmp_path) == ["caches", "caches/streams"]


def test_an_iterable_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield from blocks(100, 300)
        raise ConnectionError("the server went away")

    with pytest.raises(ConnectionError) as told:
        cr.data.stream(failing, folder=tmp_path / "kept")
    assert told.value.__notes__ == ["in block 4 of the stream, after row 300; nothing was kept"]
    assert files(tmp_path) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, writer.RESERVE + 2000))
    with pytest.raises(DataError, match="the disk is full") as told:
        cr.data.stream(blocks(), folder=tmp_path / "kept")
    assert "block 1 of the stream, after row 0" in str(told.value)
    assert files(tmp_path) == []
    with (
        pytest.raises(DataError, match="the disk is full"),
        writer.StoreWriter(tmp_path / "kept", rows=10**6) as out,
    ):
        out.write({name: x[:1] for name, x in DATA.items()})
    assert files(tmp_path) == []


def test_a_writer_that_was_killed_leaves_nothing_to_the_next(caches: Path) -> None:
    cr.data.stream(blocks())
    left = caches / "streams" / ".private-12345678-abcdef01.partial"
    left.mkdir()
    (left / "0.rows").write_bytes(b"1234")
    cr.data.stream(blocks())
    assert files(caches) == ["streams"]


@pytest.mark.parametrize("source", [[], iter(()), {}, {"x": np.empty((0, 3))}, list])
def test_no_rows_are_refused(source: Any) -> None:
    with pytest.raises(DataError, match="there are no rows"):
        cr.data.stream(source)


@pytest.mark.parametrize("source", [7, lambda: 7, None])
def test_what_has_no_blocks_is_refused(source: Any) -> None:
    with pytest.raises(DataError, match="neither arrays nor blocks"):
        cr.data.stream(source)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(SettingError, match="files that are not of a stream"):
        cr.data.stream(blocks(), folder=tmp_path)
    assert files(tmp_path) == ["mine.txt"]
    with pytest.raises(DataError, match="has no rows"):  # read as a table
        cr.data.stream(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{}", b"[1]", b'{"format": 1}',
        pytest.param(("0.rows", "../../../etc/passwd"), id="path"),
        pytest.param(('"<f4"', '"|O"'), id="objects"),
        pytest.param(('"rows":1000', '"rows":0'), id="rows"),
        pytest.param(('"shape":[3]', '"shape":[-3]'), id="shape"),
        pytest.param(('"format":1', '"format":99'), id="newer"),
    ],
)  # fmt: skip
def test_a_damaged_index_is_told(damage: Any, tmp_path: Path) -> None:
    cr.data.stream(blocks(), folder=tmp_path / "kept").close()
    index = tmp_path / "kept" / "stream.json"
    text = index.read_text()
    if isinstance(damage, tuple):
        assert damage[0] in text
        index.write_text(text.replace(*damage))
    else:
        index.write_bytes(damage)
    with pytest.raises(DataError, match=r"stream\.json|kept"):
        cr.data.stream(tmp_path / "kept")


def test_a_file_that_was_cut_short_is_told_with_its_row(tmp_path: Path) -> None:
    stream = cr.data.stream(blocks(), folder=tmp_path / "kept")
    os.truncate(tmp_path / "kept" / "0.rows", 600 * 12 + 5)
    with pytest.raises(DataError, match=r"0\.rows, row 600"):
        list(stream.blocks())
    with pytest.raises(DataError, match=r"(?s)12,000 bytes.*7,205 bytes"):
        cr.data.stream(tmp_path / "kept")


def test_a_file_that_was_changed_is_told(tmp_path: Path) -> None:
    stream = cr.data.stream(blocks(), folder=tmp_path / "kept")
    os.utime(tmp_path / "kept" / "1.rows", ns=(1, 1))
    with pytest.raises(DataError, match="changed while it was read"):
        stream.check()


def test_removed_files_stay_readable_while_they_are_open(tmp_path: Path) -> None:
    stream = cr.data.stream(blocks(), folder=tmp_path / "kept")
    shutil.rmtree(tmp_path / "kept")
    npt.assert_array_equal(whole(stream)["x"], DATA["x"])


def test_a_stream_is_closed_with_its_last_reference() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    stream = cr.data.stream(blocks())
    assert descriptors() == before + 3
    del stream
    gc.collect()
    assert descriptors() == before
    with cr.data.stream(blocks()) as stream:
        pass
    with pytest.raises(DataError, match="is closed"):
        stream.read(0, 1)
    assert descriptors() == before
