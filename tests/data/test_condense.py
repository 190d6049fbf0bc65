"""A schema learned in SQL, part by part, is that of the table in memory; and so are the arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from pollution import polluted

import chainrule as cr
from chainrule.data.readers import datasets
from chainrule.data.readers.inparts import InParts
from chainrule.data.streams import condense
from chainrule.data.streams.stream import Stream
from chainrule.data.streams.tables import table_stream
from chainrule.errors import DataError

MEMORY = 500 * 10**6
EACH = 25
"""Of so many polluted files one is tried."""


def streamed(source: Any, target: str | None = None, **how: Any) -> Stream:
    sources = source if isinstance(source, str) else [source]
    name = "the SQL query" if isinstance(source, str) else source.name
    return table_stream(InParts(sources, name, MEMORY, ""), target, **how)


def same(a: Any, b: Any, where: str = "") -> None:
    """Both have the same bits; the share of a tail to the last digits."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{where}[{k}]")
    elif where.endswith(".tail"):
        assert b == pytest.approx(a, rel=1e-12, abs=1e-12), where
    else:
        assert a == b, where


def compare(source: Any, target: str | None, **how: Any) -> Stream:
    """The stream of a source, held against the table in memory."""
    table = cr.data.read(source)
    stream = streamed(source, target, **how)
    schema = cr.data.Schema.learn(table, target, **how)
    same(schema.to_dict(), stream.schema.to_dict())
    encoded = schema.encode(table, "required" if target else "none")
    arrays = stream.read(0, stream.rows)
    for name, array in encoded.arrays.items():
        np.testing.assert_array_equal(arrays[name], array)
    if target:
        np.testing.assert_array_equal(arrays[target], encoded.target)
    return stream


@pytest.mark.parametrize("name", ["penguins", "moons", "digits"])
def test_embedded_tables(name):
    known = datasets.get(name)
    compare(datasets.find(name), known.target)


def test_a_table_of_all_kinds(tmp_path):
    random = np.random.default_rng(3)
    n = 4000
    towns, words = ["Ulm", "Bonn", "Köln", "NA", "n/a"], ["red", "old", "car", "bus", "blue", "big"]
    lines = ["id,row,size,price,town,sold,yes,note,code,zip,mixed,euro,y"]
    for k in range(n):
        cells = [
            f"H{k:05d}", str(k + 1), "" if k % 17 == 3 else f"{random.uniform(4, 20):.1f}",
            f"{random.normal():.6g}", towns[k % 4 if k % 50 else 4],
            f"20{20 + k % 4}-0{1 + k % 9}-1{k % 10}", "yes" if k % 3 else "no",
            '"' + " ".join(random.choice(words, 4)) + f' {k}"', f"{k % 40:03d}", f"89{k % 30:03d}",
            "x" if k % 500 == 7 else str(k % 90), f'"{k % 1000},{k % 10}"',
            "" if k % 71 == 5 else "?" if k % 301 == 2 else "ab"[k % 2],
        ]  # fmt: skip
        lines.append(",".join(cells))
    path = tmp_path / "all.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    stream = compare(path, "y")
    kinds = {x.name: getattr(x, "guessed", x.kind) for x in stream.schema.columns}
    assert kinds["id"] == "id"
    assert {"number", "category", "date", "boolean", "text"} <= set(kinds.values())
    compare(path, "price", ignore=["note"], kinds={"zip": "number"})
    again = streamed(path, "y", gaps=["NA"])
    whole = cr.data.Schema.learn(cr.data.read(path, gaps=["NA"]), "y")
    same(whole.to_dict(), again.schema.to_dict())


def learned(learn: Callable[[], cr.data.Schema]) -> dict[str, Any]:
    try:
        return learn().to_dict()
    except DataError as error:
        return {"error": error.what}


def test_polluted_tables(write):
    for k, file in enumerate(list(polluted())[2::EACH]):
        path = write(file.content, f"p{k}.csv")
        whole = learned(lambda path=path: cr.data.Schema.learn(cr.data.read(path)))
        part = learned(lambda path=path: streamed(path).schema)
        same(whole, part, where=file.name)


def test_typed_sources(tmp_path):
    query = (
        "SELECT i AS n, i % 7 AS seven, (i * 37 % 1009) / 8.0 AS x, 'g' || (i % 80) AS g, "
        "i % 2 = 0 AS flag, DATE '2024-01-01' + (i % 400)::INT AS d, "
        "CASE WHEN i % 9 = 0 THEN NULL ELSE i * 0.5 END AS gappy, (i * i) % 3 AS t "
        "FROM range(3000) r(i)"
    )
    compare(query, "t")
    path = tmp_path / "t.parquet"
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    compare(path, "gappy")


def test_columns_of_many_values_are_sampled(monkeypatch):
    """Counts, means and extremes are exact; quantiles are those of a sample."""
    monkeypatch.setattr(condense, "MOST_DISTINCT", 2000)
    monkeypatch.setattr(condense, "MOST_GROUPS", 5000)
    query = (
        "SELECT exp(sin(i) * 3) AS x, i * 3 AS k, 'w' || (i * 7919 % 15013) AS w, i AS row, "
        "CASE WHEN i % 10 = 0 THEN NULL ELSE cos(i) END AS y FROM range(60000) r(i)"
    )
    table = cr.data.read(query)
    whole, part = cr.data.Schema.learn(table, "y"), streamed(query, "y").schema
    assert [type(x) for x in whole.columns] == [type(x) for x in part.columns]
    assert whole.rows == part.rows == 54000
    for a, b in zip([*whole.members], [*part.members], strict=True):
        near(a.stats, b.stats)
    near(whole.target.stats, part.target.stats)
    w, v = ({x.name: x for x in schema.columns}["w"] for schema in (whole, part))
    assert (w.kind, w.distinct, w.gaps) == (v.kind, v.distinct, v.gaps)
    if w.kind == "category":
        assert w.levels == v.levels
        assert w.counts == v.counts


def near(a: Any, b: Any) -> None:
    assert (a.count, a.gaps) == (b.count, b.gaps)
    assert (b.mean, b.std) == (a.mean, a.std)
    for end in (0, -1):
        assert b.quantiles[end] == pytest.approx(a.quantiles[end], rel=1e-15)
    spread = a.quantiles[-1] - a.quantiles[0]
    np.testing.assert_allclose(a.quantiles, b.quantiles, atol=0.06 * spread)


def test_a_number_that_becomes_text_far_down(tmp_path, monkeypatch):
    monkeypatch.setattr(condense, "MOST_DISTINCT", 1000)
    path = tmp_path / "t.csv"
    lines = [f"{k * 1.5},{k % 2}" for k in range(30000)]
    lines[25000] = "broken,1"
    path.write_text("x,y\n" + "\n".join(lines) + "\n")
    stream = streamed(path, "y")
    (column,) = stream.schema.columns
    assert column.kind == "number"
    notes = " ".join(stream.schema.notes)
    assert "'broken' in row 25001" in notes
    assert "not numbers, read as gaps: 1 cell" in notes
    assert column.stats.gaps == 1
    assert column.stats.quantiles[-1] == 29999 * 1.5


def test_an_infinity_has_its_file_and_row(tmp_path):
    for k in range(3):
        value = "'inf'::DOUBLE" if k == 1 else "0.5"
        query = (
            f"SELECT CASE WHEN i = 77 THEN {value} ELSE i END AS x, i % 2 AS y FROM range(100) r(i)"
        )
        duckdb.sql(f"COPY ({query}) TO '{tmp_path}/{k}.parquet' (FORMAT parquet)")
    files = sorted(Path(tmp_path).iterdir())
    with pytest.raises(DataError, match=r"1\.parquet, row 78, column 'x'"):
        table_stream(InParts(files, "all", MEMORY, ""), "y")


def test_a_store_is_read_again_while_its_files_are_the_same(tmp_path, monkeypatch):
    path, folder = tmp_path / "t.csv", tmp_path / "store"
    path.write_text("x,y\n" + "".join(f"{k * 1.5},{k % 2}\n" for k in range(100)))
    first = cr.data.stream(path, target="y", folder=folder)
    digest = first.digest
    first.close()
    monkeypatch.setattr("chainrule.data.readers.inparts.Spool", None)  # it is not read again
    again = cr.data.stream(path, target="y", folder=folder)
    assert (again.rows, again.digest, again.schema.target.name) == (100, digest, "y")
    monkeypatch.undo()
    path.write_text("x,y\n" + "".join(f"{k * 1.5},{k % 2}\n" for k in range(120)))
    changed = cr.data.stream(path, target="y", folder=folder)
    assert changed.rows == 120
    assert cr.data.stream(folder).schema.rows == 120


def test_arrays_have_no_schema():
    with pytest.raises(DataError, match="no schema"):
        cr.data.stream({"x": np.ones(3)}).schema  # noqa: B018
