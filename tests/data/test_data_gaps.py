"""Texts are gaps where their container, their number or the user says so."""

import numpy as np
import pytest

from chainrule.data import Schema, read
from chainrule.errors import DataError

CODES = ["NA"] * 20 + ["ZA"] * 20 + ["US"] * 20 + [None] * 5
Y = [1] * 20 + [2] * 20 + [3] * 20 + [9] * 5


def csv(quote="", **columns):
    rows = zip(*columns.values(), strict=True)
    cells = [[f"{quote}{x}{quote}" if isinstance(x, str) and x else str(x or "") for x in row]
             for row in rows]  # fmt: skip
    return "".join(",".join(row) + "\n" for row in [list(columns), *cells])


def frames(tmp_path, **columns):
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(columns)
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_ndjson(tmp_path / "t.jsonl")
    return [columns, pandas.DataFrame(columns), frame, tmp_path / "t.parquet", tmp_path / "t.jsonl",
            [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
            ]  # fmt: skip


def test_namibia_is_a_country_in_every_container(write, tmp_path):
    quoted = write(csv('"', c=CODES, y=Y), "q.csv")
    for source in [*frames(tmp_path, c=CODES, y=Y), quoted, write(csv(c=CODES, y=Y))]:
        table = read(source)
        schema = Schema.learn(table, "y")
        assert schema.columns[0].levels == ("NA", "US", "ZA")
        assert table["c"].gaps == 5
        later = write('c,x\nNA,1\n"NA",1\n,1\nZA,1\n', "later.csv")
        encoded = schema.encode(read(later))
        assert encoded.arrays["c"].tolist() == [2, 2, 0, 4]
        assert not [note for note in encoded.notes if "NA" in note]
    notes = read(write(csv(c=CODES, y=Y))).notes
    assert notes == ("column 'c': 'NA' is frequent, and read as a value: 20 of 65 cells",)


def test_a_quoted_text_is_a_value_beside_unquoted_gaps(write):
    path = write('c,d,n\nx,"None",1\nNA,b,NA\n"NA",c,"NA"\nx,?,3\nx,"?",4\n')
    table = read(path)
    assert table["c"].to_numpy().tolist() == ["x", None, "NA", "x", "x"]
    assert table["d"].to_numpy().tolist() == ["None", "b", "c", None, "?"]
    np.testing.assert_array_equal(table["n"].to_numpy(), [1, np.nan, np.nan, 3, 4])
    assert table["c"].cells() == ["x", "NA", "NA", "x", "x"]
    assert table.notes == (
        "'NA' read as a gap: 3 cells in columns 'c', 'n'",
        "'?' read as a gap: 1 cell in column 'd'",
    )


@pytest.mark.parametrize("rows", [["NA", "x", "", "y"], ['"NA"', "x", "", "NA", "", ""]])
def test_blank_lines_in_a_quoted_column_keep_their_place(write, rows):
    table = read(write("c\n" + "\n".join(rows) + "\n"))
    bare = [text.strip('"') for text in rows]
    while not bare[-1]:
        bare.pop()
    shown = [cell or "" for cell in table["c"].cells()]
    assert shown == bare
    assert table["c"].missing.tolist() == [text in ("", "NA") for text in rows[: len(bare)]]


def test_a_rare_word_is_a_gap_and_a_frequent_one_a_value(write):
    sexes = ["male"] * 80 + ["female"] * 80 + ["NA"] * 5
    answers = ["yes"] * 60 + ["no"] * 60 + ["N/A"] * 45
    marks = ["a"] * 60 + ["b"] * 60 + ["?"] * 45
    flags = ["true"] * 60 + ["False"] * 60 + ["null"] * 45
    table = read(write(csv(sex=sexes, answer=answers, mark=marks, flag=flags)))
    assert [table[name].gaps for name in table.columns] == [5, 0, 45, 45]
    assert table.notes == (
        "column 'answer': 'N/A' is frequent, and read as a value: 45 of 165 cells",
        "'NA' read as a gap: 5 cells in column 'sex'",
        "'?' read as a gap: 45 cells in column 'mark'",
        "'null' read as a gap: 45 cells in column 'flag'",
    )
    schema = Schema.learn(table, "answer")
    assert schema.columns[-1].kind == "boolean"
    assert schema.classes.tolist() == ["N/A", "no", "yes"]
    gap = schema.encode(
        read({"sex": ["NA", None, "other"], "mark": ["a", "b", "?"], "flag": [True, False, None]})
    )
    assert gap.arrays["sex"].tolist() == [0, 0, 1]
    assert gap.arrays["mark"].tolist() == [2, 3, 0]


@pytest.mark.parametrize("word", ["NA", "?", "null", "NONE", "n/a", "nan", "-"])
def test_words_among_numbers_and_dates_are_gaps(write, word):
    days = ["2024-01-05", word, "2024-03-01", "2024-04-02"] * 9
    numbers = ["1.5", "2.5", word, "7"] * 9
    for source in (write(csv(n=numbers, d=days)), write(csv('"', n=numbers, d=days), "q.csv"),
                   {"n": numbers, "d": days}):  # fmt: skip
        schema = Schema.learn(read(source), None)
        assert [(e.kind, e.gaps) for e in schema.columns] == [("number", 9), ("date", 9)]


def test_damage_that_is_none_is_a_class(write):
    damage = ["None"] * 900 + ["roof"] * 60 + ["wall"] * 40
    for source in (write(csv(x=range(1000), damage=damage)), {"x": range(1000), "damage": damage}):
        schema = Schema.learn(read(source), "damage")
        assert schema.target.counts == (900, 60, 40)
        assert schema.rows == 1000


@pytest.mark.parametrize(
    ("cells", "words"),
    [(["a", "b", "?", "a"], "'?' in 250"), (["1.5", "2.25", "unknown", "7.5"], "'unknown' in 250"),
     (["a", "b", "#N/A", "NaN"], "'#N/A' in 250, 'NaN' in 250")],
)  # fmt: skip
def test_words_that_would_cost_a_fifth_of_the_targets_are_asked_about(write, cells, words):
    numbers = [f"{k}.5" for k in range(60)]  # so that the rest are numbers, if there are any
    column = [*cells * 250, *(numbers if "1.5" in cells else [])]
    path = write(csv(x=range(1, len(column) + 1), y=column))
    with pytest.raises(DataError) as caught:
        Schema.learn(read(path), "y")
    if "NaN" in cells:
        assert "'#N/A' in 250" in str(caught.value)
        return
    assert words in str(caught.value)
    word = cells[2]
    assert f"gaps={[word]}" in str(caught.value)
    schema = Schema.learn(read(path, gaps=[word]), "y")
    assert schema.rows == len(column) - 250
    assert f"{word!r} read as a gap: 250 cells in column 'y'" in schema.notes
    classes = Schema.learn(read(path, gaps=[]), "y", task="classification")
    assert word in classes.classes.tolist()


def test_empty_targets_are_left_out_without_a_question():
    schema = Schema.learn(read({"x": range(10), "y": ["a", "b", None, "", None] * 2}), "y")
    assert schema.rows == 4


GAPS = ["-999", "missing", "1900-01-01"]


def test_chosen_gaps_are_gaps_in_every_container_and_later(write, tmp_path):
    texts = ["x", "missing", "NA", "y"] * 5
    typed = {"n": [1, -999, 3, 4] * 5, "f": [1.5, -999.0, 2.5, 3.5] * 5, "t": texts}
    bare = write(csv(n=typed["n"], f=typed["f"], t=texts, m=["1", "missing", "3", "4"] * 5,
                     d=["2024-01-05", "1900-01-01", "2024-02-05", "2024-03-05"] * 5))  # fmt: skip
    for source in [*frames(tmp_path, **typed), bare]:
        table = read(source, gaps=GAPS)
        assert [table[name].gaps for name in ("n", "f", "t")] == [5, 5, 5]
        assert "NA" in table["t"].levels
        schema = Schema.from_dict(Schema.learn(table, None).to_dict())
        assert schema.gaps == tuple(GAPS)
        later = schema.encode(read({"n": [-999], "f": ["-999"], "t": ["missing"], "m": ["missing"],
                                    "d": ["1900-01-01"]}))  # fmt: skip
        assert np.isnan(later.arrays["numbers"]).all()
        assert later.arrays["t"].tolist() == [0]
    assert [table[name].storage for name in ("m", "d")] == ["integer", "date"]
    assert [table[name].gaps for name in ("m", "d")] == [5, 5]
    assert table["m"].cells()[:4] == ["1", "missing", "3", "4"]
    assert "'missing' read as a gap: 10 cells in columns 't', 'm'" in table.notes


def test_without_gaps_only_empty_cells_are_gaps(write):
    table = read(write("a,b\n1,NA\n2,?\n,x\n"), gaps=[])
    assert table["b"].to_numpy().tolist() == ["NA", "?", "x"]
    assert table["a"].gaps == 1
    assert not table.notes
    assert read(table, gaps=[]) is table
    again = read(table, gaps=["?"])
    assert again["b"].to_numpy().tolist() == ["NA", None, "x"]
    assert again.notes == ("'?' read as a gap: 1 cell in column 'b'",)
