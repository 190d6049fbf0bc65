"""Files and queries: formats, headers, gaps, exact integers, and errors that name the place."""

import contextlib
import gzip
import json
import os
import sqlite3

import duckdb
import numpy as np
import pytest

from chainrule.data import Schema, read
from chainrule.data.readers.duck import BLOCK
from chainrule.errors import DataError


def refusal(source, **options):
    with pytest.raises(DataError) as caught:
        read(source, **options)
    return str(caught.value)


def test_csv_columns_have_their_types(write):
    table = read(write("n,i,t,d\n1.5,1,x,2020-01-02\n,2,,2020-01-03 12:00:00\n2.5,,y,\n"))
    assert table.columns == ["n", "i", "t", "d"]
    np.testing.assert_array_equal(table["n"].values, [1.5, np.nan, 2.5])
    np.testing.assert_array_equal(table["i"].to_numpy(), [1, 2, np.nan])
    assert table["i"].values.dtype == np.int64
    assert table["t"].to_numpy().tolist() == ["x", None, "y"]
    assert table["d"].values[1] == np.datetime64("2020-01-03T12:00")
    assert [table[name].gaps for name in table.columns] == [1, 1, 1, 1]


def test_large_integers_stay_exact_beside_gaps(write):
    table = read(write("a,b\n9007199254740993,1\n,2\n-9007199254740995,3\n"))
    assert table["a"].values[[0, 2]].tolist() == [9007199254740993, -9007199254740995]
    assert table["a"].missing.tolist() == [False, True, False]


def test_integers_beyond_64_bits_become_text(write):
    table = read(write("a,b\n99999999999999999999,1\n1,2\n"))
    assert table["a"].to_numpy().tolist() == ["99999999999999999999", "1"]


@pytest.mark.parametrize("zips", [["02134", "94110"], ["94110"] * 3 + ["02134"]])
def test_leading_zeros_stay_text(write, zips):
    table = read(write("zip,b\n" + "".join(f"{z},1\n" for z in zips)))
    assert table["zip"].to_numpy().tolist() == zips


def test_zero_and_decimals_are_no_leading_zeros(write):
    table = read(write("a,b\n0,0.5\n10,-0.25\n"))
    assert table["a"].values.tolist() == [0, 10]
    assert table["b"].values.tolist() == [0.5, -0.25]


def test_gap_texts_are_gaps_and_are_noted_once(write):
    table = read(write("a,b,c\n1,NA,x\n?,2.5,NA\nnan,-,y\n"))
    np.testing.assert_array_equal(table["a"].to_numpy(), [1, np.nan, np.nan])
    np.testing.assert_array_equal(table["b"].to_numpy(), [np.nan, 2.5, np.nan])
    assert table["c"].to_numpy().tolist() == ["x", None, "y"]
    assert any("'NA' read as a gap: 2 cells in columns 'b', 'c'" in n for n in table.notes)
    assert any("'?' read as a gap: 1 cell in column 'a'" in n for n in table.notes)


def test_a_text_after_thousands_of_numbers_keeps_every_cell(write):
    cells = [str(i) for i in range(5000)] + ["unknown"]
    table = read(write("a\n" + "\n".join(cells) + "\n"))
    assert table["a"].to_numpy().tolist() == cells


def test_codes_agree_with_cells_above_and_below_the_enum_limit(write):
    rng = np.random.default_rng(0)
    few = [f"level {k}" for k in rng.integers(0, 40, 30_000)]
    many = [f"user {k}" for k in rng.integers(0, 25_000, 30_000)]
    many[7] = ""
    table = read(write("f,m\n" + "".join(f"{a},{b}\n" for a, b in zip(few, many, strict=True))))
    assert table["f"].to_numpy().tolist() == few
    assert table["m"].to_numpy().tolist() == [m or None for m in many]
    assert list(table["f"].levels) == sorted(set(few))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1,2,x\n3,4,y\n", ["x0", "x1", "x2"]),  # a number in the first row
        ("name,2019\nann,5\nbob,6\n", ["x0", "x1"]),
        ("name,age\nann,5\n", ["name", "age"]),
        ("who,city\nann,rome\n", ["who", "city"]),  # all text: the first row names
        ("a,2019,2020\n1,5,6\n2,7,8\n", ["a", "2019", "2020"]),  # text above numbers
        ("0,1,2,3\n5,6,7,8\n", ["0", "1", "2", "3"]),  # a frame's numbered columns
        (",b\n0,4\n1,5\n", ["unnamed_0", "b"]),
    ],
)
def test_header_is_recognised(write, text, names):
    assert read(write(text)).columns == names


def test_header_can_be_specified(write):
    path = write("1,2\n3,4\n")
    assert len(read(path, header=True)) == 1
    assert read(path, header=True).columns == ["1", "2"]
    assert len(read(path, header=False)) == 2


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_quotes_and_line_ends(write, delimiter):
    rows = [["a", "b"], ["1", f'"x{delimiter}y"'], ["2", '"say ""hi""\nthere"']]
    text = "\ufeff" + "".join(delimiter.join(row) + "\r\n" for row in rows)
    table = read(write(text))
    assert table.columns == ["a", "b"]
    assert table["b"].to_numpy().tolist() == [f"x{delimiter}y", 'say "hi"\nthere']


@pytest.mark.parametrize(
    "above", ["# exported\n", "Sales 2024\n\n", "\nSales\nNorth and south\n\n"]
)
def test_lines_above_the_header_are_left_out_and_noted(write, above):
    table = read(write(above + "a;b\n1;x\n2;y\n"))
    assert table.columns == ["a", "b"]
    assert table["a"].values.tolist() == [1, 2]
    count = len(above.splitlines())
    assert f"{count} line" in table.notes[0]
    assert not read(write("a\n\n1\n2\n")).notes
    assert "line 3" in refusal(write("a\n1\n2,3\n4\n"))


def test_names_may_hold_line_ends(write):
    for end in ("\n", "\r\n"):
        table = read(write(f'"two\nlines",b{end}1,"x\ny"{end}2,z{end}'))
        assert table.columns == ["two\nlines", "b"]
        assert table["b"].to_numpy().tolist() == ["x\ny", "z"]


def test_one_column_blank_lines_and_gzip(write):
    assert read(write("a\n1\n2\n\n\n"))["a"].values.tolist() == [1, 2]
    table = read(write(gzip.compress(b"a,b\n1,2\n"), "t.csv.gz"))
    assert table["b"].values.tolist() == [2]


def test_names_with_glob_characters_are_plain_names(write):
    write("a,b\n9,9\n", "d1x.csv")
    assert read(write("a,b\n1,2\n", "d[1]*.csv"))["a"].values.tolist() == [1]


def test_json_and_json_lines(write):
    rows = [{"a": 1, "b": "x"}, {"a": 2.5, "b": None}]
    for name, text in [("t.jsonl", "\n".join(map(json.dumps, rows))), ("t.json", json.dumps(rows))]:
        table = read(write(text, name))
        assert table["a"].values.tolist() == [1, 2.5]
        assert table["b"].to_numpy().tolist() == ["x", None]


def test_parquet_keeps_types(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    content = pyarrow.table({"b": [True, None, False], "s": ["01", "?", "02"], "i": [1, 2, None]})
    parquet.write_table(content, path)
    table = read(path)
    assert table["b"].storage == "boolean"
    assert table["b"].missing.tolist() == [False, True, False]
    assert table["s"].to_numpy().tolist() == ["01", "?", "02"]
    assert table["i"].values[:2].tolist() == [1, 2]


def test_query_reads_files_and_types(write):
    path = write("a,b\nx,1\nx,2\ny,3\n")
    query = f"SELECT a, sum(b) AS s, TIME '10:00' AS t FROM '{path}' GROUP BY a ORDER BY a; -- end"
    table = read(query)
    assert table["a"].to_numpy().tolist() == ["x", "y"]
    assert table["s"].values.tolist() == [3, 3]
    assert table["t"].values.tolist() == [36000, 36000]


@pytest.mark.parametrize(
    "query",
    [
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
        "SELECT 1; COPY (SELECT 1) TO '{out}'",
        "FROM query('COPY (SELECT 1) TO ''{out}''')",
        "SELECT 1; ATTACH '{out}'",
    ],
)
def test_query_writes_nothing(tmp_path, query):
    out = tmp_path / "out.csv"
    with pytest.raises(DataError):
        read(query.format(out=out))
    assert not out.exists()


def test_query_does_not_see_python_variables():
    secret = read({"a": [1]})
    assert "secret" in refusal("FROM secret")
    assert len(secret) == 1


def test_query_errors_are_duckdbs_words_without_a_trace():
    assert "syntax error" in refusal("SELECT FROM WHERE")
    assert "two columns are called 'a'" in refusal("SELECT 1 AS a, 2 AS a")
    assert "has no rows" in refusal("SELECT 1 AS a WHERE false")
    assert "nope.csv" in refusal("FROM 'nope.csv'")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty"]),
        ("\n\n", ["no rows"]),
        ("a,b\n", ["has no rows", "a, b"]),
        ("a,b,a\n1,2,3\n", ["two columns are called 'a'", "columns 1 and 3"]),
        ("a,b,c\n1,2,3\n4,5\n", ["line 3", "3 cells", "2 cells"]),
        ("a,b\n1,2\n4,5,6\n", ["line 3", "2 cells", "3 cells"]),
        ('a,b\n1,"x\n2,z\n', ["line 2", "quoted"]),
        (b"\x89PNG\r\n\x1a\n\0\0", ["binary"]),
        (b"\x1f\x8bnonsense", ["unpacked"]),
    ],
)
def test_refused_csv_names_file_and_place(write, content, words):
    message = refusal(write(content, "bad.csv"))
    assert all(word in message for word in [*words, "bad.csv"]), message


def test_a_western_file_is_read_and_said_to_be_one(write):
    text = "a,b\n" + "1,x\n" * 100_000 + "2,caf\u00e9 5 \u20ac\n"
    for content in (text.encode("cp1252"), gzip.compress(text.encode("cp1252"))):
        table = read(write(content))
        assert table["b"].to_numpy()[-1] == "caf\u00e9 5 \u20ac"
        assert "Windows-1252" in table.notes[0]
    assert read(write(text.replace("\n", "\r\n"), encoding="cp1252")).rows == 100_001


def test_a_bad_byte_in_a_utf8_file_is_reported_by_byte_and_line(write):
    content = ("a,b\n1,\u00e9\n" + "1,x\n" * 100_000).encode() + b"2,caf\xe9\n"
    message = refusal(write(content))
    assert f"offset {content.index(bytes([0xE9, 10]))}" in message
    assert "line 100003" in message
    assert "latin-1" in message
    assert "is not UTF-8" in refusal(write(b"a\n\x81\n"))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1250", "utf-16-be", "shift_jis", "ascii"])
def test_an_encoding_can_be_specified(write, encoding):
    word = {"cp1250": "\u0159", "shift_jis": "\u3042", "ascii": "e"}.get(encoding, "\u00e9")
    path = write(f"a,b\n1,{word}\n", encoding=encoding)
    table = read(path, encoding=encoding)
    assert table["b"].to_numpy().tolist() == [word]
    assert not table.notes
    assert "unknown encoding" in refusal(path, encoding="no such")
    assert "is not ASCII" in refusal(write(b"a\n\xe9\n"), encoding="ascii")


def test_utf16_is_recognised_by_its_first_bytes(write):
    text = "\ufeffa\tb\n1\t\u00e9\n2\tz\n"
    path = write(text, encoding="utf-16-le")
    high = write(text, "high.csv", encoding="utf-16-be")
    for table in (read(path), read(path, encoding="utf-16"), read(high)):
        assert table.columns == ["a", "b"]
        assert table["b"].to_numpy().tolist() == ["\u00e9", "z"]


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "\ufeffsep=;\r\n", "SEP=;\n"])
def test_the_delimiter_that_excel_writes_above_the_header(write, first):
    end = "\r\n" if "\r" in first else "\n"
    table = read(write(first + end.join(("a;b", "1,5;x", "2,5;y", ""))))
    assert table.columns == ["a", "b"]
    assert table["a"].to_numpy().tolist() == ["1,5", "2,5"]
    assert "line 4" in refusal(write("sep=;\na;b\n1;2\n3;4;5\n"))


@pytest.mark.parametrize(
    "page", ["<!DOCTYPE html>\n<html>\n<p>log in, first</p>", "\n<HTML>a,b", "<?xml version='1'?>"]
)
def test_a_web_page_saved_as_a_table_is_reported(write, page):
    assert "HTML or XML" in refusal(write(page))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "write it to a file first" in refusal(tmp_path / "pipe")


def test_a_folder_of_several_kinds_names_the_pattern_that_reads_it(write, tmp_path):
    write("a\n1\n", "x.csv")
    write("a\n2\n", "y.csv")
    assert len(read(tmp_path)) == len(read(f"FROM '{tmp_path}/*.csv'")) == 2
    write("{}", "z.json")
    assert f"'{tmp_path}/*.csv'" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["b.parquet", "b.json", "b.xlsx"])
def test_damaged_files_are_refused_by_name(write, name):
    assert name in refusal(write(b"PAR1zzzz" if "parquet" in name else b'[{"a":1,', name))


def test_missing_files_and_data_sets_name_the_nearest(write, tmp_path):
    write("a\n1\n", "sales.csv")
    assert "sales.csv" in refusal(tmp_path / "sale.csv")
    assert "'penguins'" in refusal("pengiuns")
    assert "'sales.csv'" not in refusal(tmp_path / "x*.csv")
    assert "sales.csv" in refusal(tmp_path / "x*.csv")
    assert "web addresses" in refusal("https://example.com/t.csv")


def test_embedded_data_set_by_name():
    table = read("penguins")
    assert len(table) == 344
    assert table["sex"].gaps == 11


def test_json_may_begin_with_a_mark_or_be_utf16(write):
    lines = '{"a": 1, "b": "\u00e9"}\n{"a": 2, "b": "y"}\n'
    for name, text in (("t.json", f"[{lines.strip()}]".replace("\n", ",")), ("t.jsonl", lines)):
        for encoding in ("utf-8-sig", "utf-16", "utf-16-le"):
            table = read(write(text, name, encoding))
            assert table["a"].values.tolist() == [1, 2]
            assert table["b"].to_numpy().tolist() == ["\u00e9", "y"]


@pytest.mark.parametrize("row", [0, 2_000])
def test_a_cell_may_be_long_in_any_row(write, row):
    cells = ["x" * 300_000 if k == row else f"t{k}" for k in range(2_100)]
    table = read(write("a,b\n" + "".join(f"{k},{c}\n" for k, c in enumerate(cells))))
    assert table["b"].to_numpy().tolist() == cells


def test_a_blank_line_of_a_file_with_a_long_cell(write):
    table = read(write("a,b\n1,x\n\n2," + "y" * 200_000 + "\n"))
    assert table["a"].values.tolist() == [1, 2]


def test_one_column_of_decimal_commas_is_not_split(write):
    table = read(write("x\n1,5\n2,25\n3,75\n"))
    assert table.columns == ["x"]
    assert table["x"].to_numpy().tolist() == ["1,5", "2,25", "3,75"]


def test_more_columns_than_a_block_keep_their_order_quotes_and_types(write):
    width = 2 * BLOCK + 3
    rows = [["NA" if k % 5 == 1 else str(k + r) for k in range(width)] for r in range(3)]
    quoted = [[f'"{c}"' if c == "NA" and r == 0 else c for c in row] for r, row in enumerate(rows)]
    names = [f"n{k}" for k in range(width)]
    text = "".join(",".join(row) + "\n" for row in [names, *quoted])
    table = read(write(text))
    assert table.columns == names
    assert table[f"n{width - 1}"].values.tolist() == [width - 1, width, width + 1]
    assert table["n1"].to_numpy().tolist() == ["NA", None, None]
    query = "SELECT " + ", ".join(f"{k} AS n{k}, 'text' AS t{k}" for k in range(BLOCK))
    typed = read(query)
    assert len(typed.columns) == 2 * BLOCK
    assert typed[f"n{BLOCK - 1}"].values.tolist() == [BLOCK - 1]
    assert typed[f"t{BLOCK - 1}"].to_numpy().tolist() == ["text"]


@pytest.mark.parametrize("source", ["x" * 100_000, "a/" * 50_000, "x" * 300 + ".csv", "x," * 2_000])
def test_a_long_argument_is_refused(source):
    message = refusal(source)
    assert "no such file" in message
    assert len(message) < 1_000


@pytest.mark.parametrize(
    ("word", "encoding"),
    [
        ("\u043d\u0435\u0442", "cp1251"),
        ("\u043d\u0435\u0442", "koi8-r"),
        ("\u6771\u4eac\u306e\u732b", "shift_jis"),
        ("\u5317\u4eac\u4e0a\u6d77", "gbk"),
        ("\u65b0\u5e74\u5feb\u6a02\u53f0\u5317\u5e02\u6c11", "big5"),
        ("\uc11c\uc6b8\uc0ac\ub78c", "euc-kr"),
        ("\u03ba\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1", "cp1253"),
    ],
)
def test_another_encoding_is_detected_and_noted(write, word, encoding):
    text = "a,b\n" + "".join(f"{k},{word}\n" for k in range(40))
    table = read(write(text, encoding=encoding))
    assert table["b"].to_numpy().tolist() == [word] * 40
    assert "is not UTF-8" in table.notes[0]
    assert word in table.notes[0]
    assert "encoding=" in table.notes[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('a,"b\n1,2\n', ["line 1", "not closed"]),
        ('a,b\n1,"x" y\n', ["line 2", "closing quote"]),
        ('a,b,c\n1,x,y\n2"p, q",z\n', ["line 3", "in the middle of a cell"]),
        ("a,b,c\n1,2,3\n,4,5,\n7,8,9\n", ["line 3", "3 cells", "4 cells"]),
        ("a b,c\n1,2,3\n4,5,6\n", ["line 1", "2 names", "3 names"]),
        ("a,b\n1,2\n3,4\n\nc,d,e\n3,4,5\n", ["line 5", "second table"]),
        ("a,b\n1,2\n3,4\n\nc,d\nx,y\n", ["line 5", "second table", "words: c, d"]),
        ("a;b\n1;2\n3;4\n\n\nc;d\n7;8\n", ["line 6", "second table", "words: c, d"]),
        ("n,v\nann,2\nbob,3\n\nn,city\ncy,rome\n", ["line 5", "second table", "n, city"]),
        ("a,b\n" + "1,2\n" * 500 + "\n3,4\n\nc,d\n" + "x,y\n" * 500, ["line 505", "c, d"]),
        ("a,b\n1,2,\n3,4,\n5,6\n", ["line 4", "3 cells, the last one empty", "got       2"]),
    ],
)
def test_a_refusal_gives_the_true_cause_and_line(write, content, words):
    message = refusal(write(content, "bad.csv"))
    assert all(word in message for word in [*words, "bad.csv"]), message


def test_what_is_left_out_is_said_with_its_place(write):
    for content, note in (
        ("a,b,c\n1,2,3\n4,5,6,\n7,8,9\n", "line 3 ends with a delimiter too many"),
        ("a,b\nkg,m\n1,2\n3,4\n", "units or further names, and is left out: kg, m"),
        ("t\n\na,b\n1,2\n", "2 lines above the header skipped: 't'"),
        ("a,b\n1,2\na,b\n3,4\n", "1 row that repeat"),
        ("a,b\n1,2\n3,4\n\nSource: x\n", "1 line below the table left out, from line 5"),
        ("a~b\n1~2\n3~4\n", "separated by '~'"),
        ("v\n1\n2\n\nw\nx\ny\n", "row 4, below an empty one, holds a word"),
        ("Sales,\n,\na,b\n1,2\n3,4\n", "2 lines above the header skipped"),
        ("a,b\n1,2\n3,4\n,\nc,d\nx,y\n", "row 4 holds words where the others hold numbers"),
        ("a,b\n1,2\n4,5\nSource: x, y\n", "row 3 holds words"),
        ("town,York\nlat,54\nx,y\n0,1\n1,3\n2,5\n", "row 2 holds words"),
        ("a,b,c\n1,2,3\n4,5,6\nSource: x,,\nSeen 2020,,\n", "the last 2 rows are left out"),
        ("a,b,c\n1,2,3\n4,5,6\nx,,\ny z,,\n", "the last 2 rows are read as rows"),
        ("# one\n# two, three\nx,y\n0,1\n1,3\n", "2 lines above the header skipped"),
        ("# one, two\n# three, four\nx,y\n0,1\n1,3\n", "2 lines above the header skipped"),
        ('a,b\n1,5" pipe\n2,x\n', "quote in the middle of a cell is kept"),
    ):
        assert any(note in line for line in read(write(content)).notes), (content, note)


@pytest.mark.parametrize("content", [",", ",\n,\n,\n", "a,b\n,\n,\n", ",,\n1,2,3\n4,5,6\n", "|"])
def test_files_of_empty_cells_are_read_or_refused(write, content):
    try:
        table = read(write(content))
    except DataError:
        return
    assert table.notes or all(column.gaps == len(column) for column in table)


def test_blank_lines_and_remarks_do_not_make_a_second_table(write):
    for content, rows in (
        ("n,v\nann,1\nbob,2\n\ncy,absent\n", 3),
        ("n,v\nann,1\n\nbob,absent\ncy,3\n", 3),
        ("n,v\nann,1\n\nbob,absent\ncy,absent\n", 3),
        ("a,b\n1,2\n\n3,4\n\nNA,NA\n5,6\n", 4),
        ("a,b\n1,2\n\na,b\n3,4\n", 2),
        ("#x,y\nm,s\n0,1\n1,3\n", 2),
    ):
        assert len(read(write(content))) == rows, content


def test_numbers_and_texts_in_one_column_of_json(write):
    lines = ['{"r":"2.50"}', '{"r":2.5}', '{"r":null}', '{"r":"a \\"b\\""}', '{"r":[1, "x"]}']
    expected = ["2.50", "2.5", None, 'a "b"', '[1,"x"]']
    for name, text in (("t.jsonl", "\n".join(lines)), ("t.json", f"[{','.join(lines)}]")):
        assert read(write(text, name))["r"].to_numpy().tolist() == expected


@pytest.mark.parametrize(
    ("content", "name", "value"),
    [('[{"a":1},2]', "t.json", 2), ('{"a":1}\n{"a":2}\n[3]\n', "t.jsonl", 3),
     ("[1, 2]", "t.json", 1), ('["x"]', "t.json", 1)],
)  # fmt: skip
def test_values_of_json_that_are_not_objects_are_refused_with_their_place(
    write, content, name, value
):
    told = refusal(write(content, name))
    assert "a value is not an object" in told
    assert f"{name}, value {value}\n" in told


def test_names_of_json_that_differ_in_case_alone_are_refused(write):
    for rows in ([{"a": 1, "A": 2}], [{"a": 1}, {"A": 2}], [{"a": 1, "A": 2, "A_1": 3}]):
        lines = "\n".join(map(json.dumps, rows))
        for name, text in (("t.json", json.dumps(rows)), ("t.jsonl", lines)):
            told = refusal(write(text, name))
            assert "names differ in small and capital letters alone" in told
            assert "A, a" in told
    table = read(write(json.dumps([{"a": 1, "a_1": 2, "b": 3, "B_2": 4}]), "n.json"))
    assert table.columns == ["a", "a_1", "b", "B_2"]


def test_texts_of_json_that_are_like_dates_are_read_as_those_of_other_containers(write):
    days = [f"2024-01-{k % 28 + 1:02}" for k in range(50)] + ["24-01-05"]
    path = write("\n".join(json.dumps({"d": day, "t": "12:30"}) for day in days), "t.jsonl")
    table = read(path)
    assert table["d"].to_numpy().tolist() == days
    assert table["t"].to_numpy().tolist() == ["12:30"] * len(days)
    for source in (path, {"d": days}, write("d\n" + "\n".join(days))):
        schema = Schema.learn(read(source).select(["d"]), None)
        (encoder,) = schema.columns
        assert encoder.kind == "date"
        assert encoder.gaps == 1
        assert any("'24-01-05' in row 51" in note for note in schema.notes)


def test_a_database_is_told_with_the_way_to_its_rows(tmp_path):
    with duckdb.connect(tmp_path / "b.duckdb") as made:
        made.execute("CREATE TABLE x AS SELECT 1 AS a; CREATE TABLE trips AS SELECT 7 AS a")
    with pytest.raises(DataError, match="a database of DuckDB") as told:
        read(tmp_path / "b.duckdb")
    query = told.value.fix.split('"')[1].replace("TABLE", "trips")
    assert read(query)["a"].values.tolist() == [7]
    with contextlib.closing(sqlite3.connect(tmp_path / "b.sqlite")) as other:
        other.execute("CREATE TABLE trips (a)")
    with pytest.raises(DataError, match=r"a database of SQLite\n.*sqlite3 -csv -header"):
        read(tmp_path / "b.sqlite")
    with pytest.raises(DataError, match=r"parameters(.|\n)*write the values into the query"):
        read("SELECT ? AS a")
