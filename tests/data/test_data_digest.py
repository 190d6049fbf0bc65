"""Digests of tables: the same for the same cells, others for any change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.data.digest import TableDigest
from chainrule.data.table import Table

TEXT = "id,size,town,day\n1,2.50,Ulm,2024-01-02\n2,,Bonn,2024-01-03\n003,4.25,Ulm,2024-01-04\n"


def of(table: Table) -> TableDigest:
    return TableDigest.of(table, {})


def read(folder: Path, text: str) -> Table:
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8")
    return cr.data.read(path)


CHANGES = {
    "a number": ("2.50", "2.51", ["column 'size' has other cells"]),
    "how a number is written": ("003", "3", ["column 'id' has other cells"]),
    "a gap": ("4.25", "", ["column 'size' has other cells"]),
    "a text": ("Bonn", "Born", ["column 'town' has other cells"]),
    "a date": ("2024-01-04", "2024-01-05", ["column 'day' has other cells"]),
    "a name": ("town", "city", ["column 'town' is not there", "column 'city' is new"]),
    "a row": ("003,4.25,Ulm,2024-01-04\n", "", ["2 rows, which were 3"]),
    "two cells": (
        "Bonn,2024-01-03", "Ulm,2024-01-06", ["2 columns have other cells: 'town', 'day'"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_any_change_is_named(name: str, tmp_path: Path) -> None:
    old, new, said = CHANGES[name]
    assert old in TEXT
    before, after = of(read(tmp_path, TEXT)), of(read(tmp_path, TEXT.replace(old, new)))
    assert before.differences(after) == said
    assert of(read(tmp_path, TEXT)) == before


def test_the_order_of_columns_and_those_that_do_not_matter(tmp_path: Path) -> None:
    table = read(tmp_path, TEXT)
    turned = of(table.select(["size", "id", "town", "day"]))
    assert of(table).differences(turned) == ["the columns are in another order"]
    assert of(table).differences(turned, ["id"]) == []
    assert of(table).differences(of(table.drop("id")), ["id"]) == []


def test_digests_of_encoded_cells_are_not_compared_with_those_of_a_table() -> None:
    parts, whole = TableDigest(3, {"x": "a"}, encoded=True), TableDigest(3, {"x": "a"})
    assert parts.differences(parts) == []
    assert parts.differences(whole) == ["they were read in parts, and are now read as a whole"]
    assert whole.differences(parts) == ["they were read as a whole, and are now read in parts"]


def test_grids_stand_for_cells() -> None:
    table = cr.data.read({"file": ["a.png", "b.png"], "y": [1.0, 2.0]})
    pixels = np.arange(8, dtype="uint8").reshape(2, 2, 2, 1)
    before = TableDigest.of(table, {"file": pixels})
    assert before.differences(TableDigest.of(table, {"file": pixels.copy()})) == []
    moved = cr.data.read({"file": ["new/a.png", "new/b.png"], "y": [1.0, 2.0]})
    assert before.differences(TableDigest.of(moved, {"file": pixels})) == []
    assert before.differences(TableDigest.of(table, {"file": pixels + 1})) == [
        "column 'file' has other cells"
    ]
