"""Several files as one table, and rows that are read once to disk: what is read, what fails."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from pollution import polluted

import chainrule as cr
from chainrule.data.readers.inparts import in_parts
from chainrule.data.readers.spool import Spool
from chainrule.data.readers.stdin import STDIN
from chainrule.data.table import Table
from chainrule.errors import DataError, SettingError
from chainrule.system.memory import free_memory, parse_size

MEMORY = 500 * 10**6
EACH = 20
"""Of so many polluted files one is tried: all take half a minute."""


def parquet(path: Path, query: str) -> Path:
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


def spooled(*paths: Path) -> Spool:
    return Spool(list(paths), "these", memory=MEMORY)


def cells(table: Table) -> dict[str, list[str | None]]:
    return {column.name: column.cells() for column in table}


def test_blocks_are_the_rows_of_the_table(write):
    path = write("a,b\n" + "\n".join(f"{k},t{k % 7}" for k in range(5000)) + "\n")
    whole = cells(cr.data.read(path))
    with spooled(path) as spool:
        assert spool.rows == 5000
        parts = [cells(block) for block in spool.blocks(777)]
    for name in ("a", "b"):
        assert [cell for part in parts for cell in part[name]] == whole[name]
    assert not spool.folder.exists()


def test_polluted_files_are_read_as_in_memory(write):
    for k, file in enumerate(list(polluted())[::EACH]):
        path = write(file.content, f"p{k}.csv")
        try:
            whole: object = cells(cr.data.read(path))
        except DataError as error:
            whole = error.what
        try:
            with spooled(path) as spool:
                part: object = cells(spool.table())
        except DataError as error:
            part = error.what
        assert part == whole, file.name


def test_several_files_are_one_table(tmp_path, write):
    write("a,b\n1,x\n2,y\n", "1.csv")
    write("b,a\nz,3\n", "2.csv")
    for source in (str(tmp_path / "*.csv"), tmp_path, [tmp_path / "1.csv", tmp_path / "2.csv"]):
        table = cr.data.read(source)
        assert table["a"].values.tolist() == [1, 2, 3]
        assert table["b"].cells() == ["x", "y", "z"]
        assert any("2.csv: columns in another order" in note for note in table.notes)
    assert table.place(2, "a") == "2.csv, row 1, column 'a'"
    assert table.take([2]).place(0, "a") == "2.csv, row 1, column 'a'"


def test_packed_and_typed_files(tmp_path):
    (tmp_path / "1.csv.gz").write_bytes(gzip.compress(b"a,b\n1,x\n"))
    (tmp_path / "2.csv.gz").write_bytes(gzip.compress(b"a,b\n2,y\n"))
    assert cr.data.read(f"{tmp_path}/*.gz")["a"].values.tolist() == [1, 2]
    folder = tmp_path / "typed"
    folder.mkdir()
    parquet(folder / "1.parquet", "SELECT 1::INTEGER AS a, DATE '2024-01-01' AS d")
    parquet(folder / "2.parquet", "SELECT TIMESTAMP '2024-01-02' AS d, 2.5 AS a")
    (folder / "_SUCCESS").touch()
    table = cr.data.read(folder)
    assert table["a"].values.tolist() == [1.0, 2.5]
    assert table["d"].storage == "date"


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ("SELECT 'x' AS a, 1 AS b", "column 'a' is of another type"),
        ("SELECT 1 AS a", "lacks column 'b'"),
        ("SELECT 1 AS a, 2 AS b, 3 AS c", "has one more column, 'c'"),
    ],
)
def test_files_that_differ(tmp_path, second, says):
    parquet(tmp_path / "1.parquet", "SELECT 1 AS a, 2 AS b")
    parquet(tmp_path / "2.parquet", second)
    with pytest.raises(DataError, match=r"2\.parquet") as found:
        cr.data.read(f"{tmp_path}/*.parquet")
    assert says in str(found.value)
    assert "1.parquet" in str(found.value)


def test_one_broken_file_of_fifty(tmp_path):
    for k in range(50):
        parquet(tmp_path / f"{k:02}.parquet", f"SELECT {k} AS a FROM range(100)")
    broken = tmp_path / "31.parquet"
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"31\.parquet"):
        cr.data.read(f"{tmp_path}/*.parquet")
    broken.write_bytes(b"")
    with pytest.raises(DataError, match=r"31\.parquet.*empty"):
        cr.data.read(f"{tmp_path}/*.parquet")


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match="no file matches the pattern"):
        cr.data.read(f"{tmp_path}/*.csv")
    with pytest.raises(DataError, match="folder without files"):
        cr.data.read(tmp_path)
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "b.txt").write_text("a\n1\n")
    with pytest.raises(DataError, match="several kinds"):
        cr.data.read(tmp_path)


@pytest.mark.parametrize("change", ["more", "less", "gone"])
def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch, change):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 100)
    add = Spool._add

    def changing(spool, *arguments):
        add(spool, *arguments)
        if change == "gone":
            path.unlink()
        else:
            path.write_text("a,b\n" + "1,2\n" * (200 if change == "more" else 50))

    monkeypatch.setattr(Spool, "_add", changing)
    folder = tmp_path / "temporary"
    folder.mkdir()
    with pytest.raises(DataError, match="disappeared" if change == "gone" else "changed") as found:
        Spool([path], "these", memory=MEMORY, folder=str(folder))
    assert "t.csv" in str(found.value)
    assert not os.listdir(folder)


def test_the_rows_of_a_killed_process_are_removed(tmp_path):
    code = (
        "import os, signal\n"
        "from chainrule.data.readers.spool import Spool\n"
        f"Spool('SELECT 1 AS a', 'q', memory=500 * 10**6, folder={str(tmp_path)!r})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = os.pathsep.join(sys.path)
    given = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], env=given, check=False)
    assert len(os.listdir(tmp_path)) == 1
    with Spool("SELECT 1 AS a", "q", memory=MEMORY, folder=str(tmp_path)) as spool:
        assert os.listdir(tmp_path) == [spool.folder.name]
    assert not os.listdir(tmp_path)


def test_a_query_that_fails_at_a_line_of_a_file_names_it(tmp_path):
    path = tmp_path / "t.csv"
    lines = [f"{k / 4},{k % 5}\n" for k in range(30_000)]
    path.write_text("".join(["a,b\n", *lines, "oops,3\n", *lines[:9]]))
    for how in ({}, {"stream": True}):
        with pytest.raises(DataError) as told:
            cr.train(f"SELECT a::double AS a, b FROM '{path}'", "b", verbose=False, **how)
        assert "of column 'a' does not fit the type of the others" in told.value.what
        assert (told.value.got, told.value.at) == ("oops,3", f"{path}, line 30002")
        fix = f"read_csv('{path}', types={{'a': 'VARCHAR'}})"
        assert fix in told.value.fix
    schema = cr.data.Schema.learn(cr.data.read(f"SELECT a, b FROM {fix}"), "b")
    assert "1 cell, the first 'oops' in row 30001" in schema.notes[0]
    with pytest.raises(DataError, match="TRY_CAST"):
        cr.data.read("SELECT (CASE WHEN i = 900 THEN 'x' ELSE '1' END)::INT FROM range(999) r(i)")


def test_a_query_that_fails_half_way():
    query = (
        "SELECT CASE WHEN i = 90000 THEN error('row 90000') ELSE i END AS a FROM range(100000) t(i)"
    )
    with pytest.raises(DataError, match="row 90000"):
        Spool(query, "the query", memory=MEMORY)
    with pytest.raises(DataError, match="only one SELECT"):
        Spool("DROP TABLE x", "the query", memory=MEMORY)


def test_a_full_disk(tmp_path):
    """Files of a process may not grow beyond 2 MB: the disk is full."""
    code = (
        "import resource, signal\n"
        "from chainrule.data.readers.spool import Spool\n"
        "from chainrule.errors import DataError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    Spool('SELECT random() AS a FROM range(3000000)', 'q', memory=500 * 10**6)\n"
        "except DataError as error:\n"
        "    print(error)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert "the disk for temporary data is full" in out.stdout, out
    assert "TMPDIR=" in out.stdout
    assert not os.listdir(tmp_path)


def test_read_in_parts_by_size_or_by_choice(tmp_path):
    path = parquet(tmp_path / "t.parquet", "SELECT i AS a, i + 1 AS b FROM range(500000) t(i)")
    assert in_parts(path) is None
    assert in_parts(path, memory="900MB") is None
    chosen = in_parts(path, stream=True)
    assert chosen is not None
    assert chosen.sentence.startswith("as asked for: streamed, with at most")
    assert chosen.memory == 10**9
    big = parquet(tmp_path / "u.parquet", "SELECT random() AS a FROM range(6000000)")
    limited = in_parts(big, memory="450MB")
    assert limited is not None
    assert re.match(r"[\d.]+ .B in memory: streamed, with at most 450 MB", limited.sentence)
    assert limited.memory == 450 * 10**6
    assert in_parts(big) is None
    for_many = in_parts(big, processes=10**6)
    assert for_many is not None
    assert "of each of 1000000 processes" in for_many.sentence
    assert in_parts(f"SELECT * FROM '{big}'", memory="450MB") is not None
    for whole in ({"a": [1]}, "-", STDIN):
        assert in_parts(whole) is None
    with pytest.raises(DataError, match="not read in parts"):
        in_parts({"a": [1]}, stream=True)


def test_sizes():
    assert parse_size("1GB") == 10**9
    assert parse_size("1.5 GiB") == 3 * 2**29
    assert parse_size(2e9) == 2 * 10**9
    for wrong in ("much", "", "-1GB", "0", True):
        with pytest.raises(SettingError):
            parse_size(wrong)
    assert 0 < free_memory() < 2**50
