"""Digests of the columns of tables that are read in parts: a change is found where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.data.streams import tables
from chainrule.data.streams.stream import COLUMNS

TOWNS = ["Ulm", "Bonn", "Jena"]
WORDS = ["heavy rain and wind", "sunny and dry", "cold wind from the north", "warm and dry"]
NAMES = ["id", "size", "town", "open", "day", "said", "same", "kind"]


def rows(count: int = 600) -> list[list[str]]:
    random = np.random.default_rng(0)
    return [
        [f"H{k:04d}", f"{random.normal():.3f}", TOWNS[random.integers(3)],
         ["yes", "no"][random.integers(2)], f"2024-0{1 + k % 9}-1{k % 10}",
         f"{WORDS[random.integers(4)]} {WORDS[random.integers(4)]} {random.integers(50)}", "1",
         "ab"[random.integers(2)]]
        for k in range(count)
    ]  # fmt: skip


def digests(folder: Path, cells: list[list[str]]) -> dict[str, str]:
    text = "\n".join(",".join(row) for row in [NAMES, *cells])
    (folder / "t.csv").write_text(text + "\n", "utf-8")
    with cr.data.stream(folder / "t.csv", target="kind") as stream:
        found: dict[str, str] = stream.facts[COLUMNS]
        return found


CHANGES = {
    "size": "9.5", "town": "Bonn", "open": "no", "day": "2024-12-24", "said": "hail", "kind": "b",
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_cell_changes_the_digest_of_its_column(name: str, tmp_path: Path) -> None:
    cells, k = rows(), NAMES.index(name)
    before = digests(tmp_path, cells)
    at = next(i for i in range(300, 600) if cells[i][k] != CHANGES[name])
    cells[at][k] = CHANGES[name]
    after = digests(tmp_path, cells)
    assert [x for x in NAMES if before[x] != after[x]] == [name]


def test_a_gap_and_a_label_that_is_written_otherwise(tmp_path: Path) -> None:
    cells = rows()
    before = digests(tmp_path, cells)
    after = digests(tmp_path, [[x.replace("Ulm", "Ulx") for x in row] for row in cells])
    assert [x for x in NAMES if before[x] != after[x]] == ["town"]
    cells[7][1] = ""
    after = digests(tmp_path, cells)
    assert [x for x in NAMES if before[x] != after[x]] == ["size"]


def test_a_column_that_is_left_out_does_not_matter(tmp_path: Path) -> None:
    cells = rows()
    before = digests(tmp_path, cells)
    assert digests(tmp_path, [["X" + row[0], *row[1:]] for row in cells]) == before


def test_the_blocks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = rows()
    before = digests(tmp_path, cells)
    for size in (7, 599):
        monkeypatch.setattr(tables, "block_rows", lambda memory, columns, size=size: size)
        assert digests(tmp_path, cells) == before


def test_many_categories_in_one_array(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table = {f"c{k}": random.integers(0, 5, 400).astype(str) for k in range(60)}
    table = {name: np.char.add("v", x) for name, x in table.items()}
    table["y"] = np.arange(400.0)

    def found() -> dict[str, str]:
        (tmp_path / "t.csv").write_text("\n".join(
            ",".join(map(str, row)) for row in [[*table], *zip(*table.values(), strict=True)]
        ) + "\n", "utf-8")  # fmt: skip
        with cr.data.stream(tmp_path / "t.csv", target="y") as stream:
            assert stream.schema.blocks[0].kind == "categories"
            digests: dict[str, str] = stream.facts[COLUMNS]
            return digests

    before = found()
    table["c33"][200] = "v0" if table["c33"][200] != "v0" else "v1"
    after = found()
    assert [x for x in table if before[x] != after[x]] == ["c33"]
