"""Folders that name a column, as year=2024: read in every format, whole and in parts."""

from __future__ import annotations

import gzip
from pathlib import Path

import duckdb
import pytest

import chainrule as cr
from chainrule.data.readers.spool import Spool
from chainrule.data.table import Table

YEARS = (2023, 2024)
KINDS = ("csv", "csv.gz", "tsv", "json", "json.gz", "parquet")


def written(folder: Path, kind: str) -> Path:
    for year in YEARS:
        place = folder / f"year={year}" / "town=Bad%20Ems"
        place.mkdir(parents=True)
        path = place / f"part.{kind}"
        mark = "\t" if kind == "tsv" else ","
        text = "".join(f"{k}{mark}t{k % 3}\n" for k in range(year, year + 4))
        lines = "".join(f'{{"a": {k}, "b": "t{k % 3}"}}\n' for k in range(year, year + 4))
        content = f"a{mark}b\n{text}" if "json" not in kind else lines
        if kind == "parquet":
            chosen = "a, 't' || (a % 3) AS b"
            query = f"SELECT {chosen} FROM range({year}, {year + 4}) AS r(a)"
            duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
        else:
            packed = gzip.compress(content.encode()) if kind.endswith("gz") else content.encode()
            path.write_bytes(packed)
    return folder


def cells(table: Table) -> dict[str, list[str | None]]:
    return {column.name: column.cells() for column in table}


@pytest.mark.parametrize("kind", KINDS)
def test_folders_name_columns(kind: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "t", kind)
    pattern = f"{folder}/*/*/*"
    table = cr.data.read(pattern)
    assert cells(table) == {
        "a": [str(k) for year in YEARS for k in range(year, year + 4)],
        "b": [f"t{k % 3}" for year in YEARS for k in range(year, year + 4)],
        "year": ["2023"] * 4 + ["2024"] * 4,
        "town": ["Bad Ems"] * 8,
    }
    assert table["year"].storage == "integer"
    files = sorted(folder.rglob("part.*"))
    with Spool(files, "these", memory=500 * 10**6) as spool:
        assert cells(spool.table()) == cells(table)
    one = cr.data.read(files[1])  # as for a prediction
    assert cells(one) == {name: x[4:] for name, x in cells(table).items()}
    with Spool(files[1:], "this", memory=500 * 10**6) as spool:
        assert cells(spool.table()) == cells(one)


def test_several_packed_files_of_json(tmp_path: Path) -> None:
    for k in range(3):
        (tmp_path / f"{k}.json.gz").write_bytes(gzip.compress(f'{{"a": {k}}}\n'.encode()))
    assert cells(cr.data.read(f"{tmp_path}/*.gz")) == {"a": ["0", "1", "2"]}


def test_a_column_of_the_file_and_a_gap(tmp_path: Path) -> None:
    place = tmp_path / "a=1" / "it's=__HIVE_DEFAULT_PARTITION__"
    place.mkdir(parents=True)
    (place / "t.csv").write_text("a,b\n5,6\n7,8\n")
    table = cr.data.read(place / "t.csv")
    assert cells(table) == {"a": ["5", "7"], "b": ["6", "8"], "it's": [None, None]}
