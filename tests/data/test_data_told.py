"""Guesses at the notation of numbers and dates are told, with count, row and text."""

from pathlib import Path

import numpy as np
import pytest

from chainrule.data import Schema, read
from chainrule.data.columns.columns import NumberColumn

POINTS, COMMAS = ["349", "893", "1.163", "13.086"], ["1,5", "2,25", "3,5", "4,5"]


@pytest.fixture
def write(tmp_path):
    def writer(*rows, name="t.csv"):
        path = tmp_path / name
        path.write_text("".join(f"{row}\n" for row in rows))
        return path

    return writer


def learned(source, name):
    schema = Schema.learn(read(source), None)
    (encoder,) = (x for x in schema.columns if x.name == name)
    return schema, encoder


def test_decimal_commas_of_one_column_say_what_a_point_is_in_another(write):
    path = write("a;b", *map(";".join, zip(POINTS, COMMAS, strict=True)))
    assert read(path)["a"].values.mean() == 3872.75
    assert read(path)["a"].cells() == POINTS
    for source in (path, {"a": POINTS, "b": COMMAS}):
        schema, encoder = learned(source, "a")
        assert encoder.stats.mean == 3872.75
        (note,) = schema.notes
        assert "'1.163' is 1163 (2 cells, the first" in note
        assert "row 3" in note
        for later in (write("a;b", "1.163;2,5", name="l.csv"), {"a": ["1.163"], "b": ["2,5"]},
                      write("a", "1.163", name="m.csv"), {"a": [1163], "b": [2.5]}):  # fmt: skip
            values, notes = encoder.encode(read(later)["a"])
            assert (values.tolist(), notes) == ([[1163]], [])


@pytest.mark.parametrize(
    ("points", "gaps", "values", "told"),
    [([".", "1.163", "2.345"], None, [np.nan, 1163, 2345], "'1.163' is 1163 (2 cells, the first "
      "in row 2)"),
     (["9.990", "7", "1.163"], ["9.990"], [np.nan, 7, 1163], "'1.163' is 1163 (1 cell, the first "
      "in row 3)")],
)  # fmt: skip
def test_gaps_beside_points_for_thousands_stay_gaps(write, points, gaps, values, told):
    path = write("a;b", *map(";".join, zip(points, COMMAS[:3], strict=True)))
    table = read(path, gaps=gaps)
    np.testing.assert_array_equal(table["a"].values, values)
    assert table["a"].gap_texts == {points[0]: 1}
    assert table.notes[1].endswith(told)


@pytest.mark.parametrize(
    ("points", "mean"), [(["1.5", "2.163"], 1.8315), (["1163", "2"], 582.5), (["0.163"] * 2, 0.163)]
)
def test_other_numbers_beside_decimal_commas_stay_as_they_are(write, points, mean):
    path = write("a;b", *map(";".join, zip(points, COMMAS[:2], strict=True)))
    assert read(path)["a"].values.mean() == pytest.approx(mean)


@pytest.mark.parametrize(
    ("rows", "told"),
    [(["1,234", "5,678"], "'1,234' is 1234 (2 cells, the first '1,234' in row 1, also '5,678')"),
     (["5", "1,234", "678"], "'1,234' is 1234 (1 cell, the first '1,234' in row 2)"),
     (["5 kg", "12,345 kg"], "'12,345 kg' is 12345 (1 cell, the first '12,345 kg' in row 2)")],
)  # fmt: skip
def test_a_comma_that_may_be_either_is_told(write, rows, told):
    for source in (write("x;t", *(f"{row};a" for row in rows)), {"x": rows}):
        schema, encoder = learned(source, "x")
        assert encoder.stats.quantiles[-1] >= 1234
        assert schema.notes == (f"column 'x': ',' taken for thousands, not for decimals: {told}",)


@pytest.mark.parametrize(
    "rows", [["1,234.5", "5,678"], ["1,234,567", "1,234"], ["1,25", "2,5"], ["0,125", "1"]]
)
def test_a_comma_that_is_proved_is_not_told(rows):
    schema, _ = learned({"x": rows}, "x")
    assert not schema.notes


def test_a_time_behind_some_of_the_dates_is_read(write):
    random = np.random.default_rng(0)
    days = [f"{d:02}/{m:02}/2024" for d, m in random.integers(1, 13, (2600, 2))]
    days[7] = "25/12/2024"
    texts = [f"{day} 18:30" if k % 26 == 3 else day for k, day in enumerate(days)]
    for source in (write("d", *texts), {"d": texts}):
        schema, encoder = learned(source, "d")
        assert encoder.gaps == 0
        assert not schema.notes
        later = {"d": ["06/02/2024 18:30", "06/02/2024", "6/2/2024 6:30 pm"]}
        stamps = encoder.stamps(read(later)["d"])
        assert [str(x)[:16] for x in stamps] == [
            "2024-02-06T18:30", "2024-02-06T00:00", "2024-02-06T18:30"]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "words"),
    [("{:02}/{:02}/2024", "month/day/year"), ("{:02}.{:02}.24", "day.month.year"),
     ("{}-{}-2024", "day-month-year"), ("{:02}/{:02}/2024 10:30", "month/day/year time")],
)  # fmt: skip
def test_days_that_are_all_12_or_less_are_told(form, words):
    texts = [form.format(a, b) for a in range(1, 13) for b in range(1, 12)]
    schema, encoder = learned({"d": texts}, "d")
    assert "a guess" in encoder.reason
    (note,) = schema.notes
    assert note.startswith(f"column 'd': read as {words}, but day and month may be exchanged")
    assert "132 cells" in note
    assert repr(texts[0]) in note
    schema, encoder = learned({"d": [*texts, form.format(13, 1), form.format(1, 13)][:-1]}, "d")
    assert not schema.notes
    assert "a guess" not in encoder.reason


def test_several_notations_are_read_and_the_rest_is_told():
    texts = ["2024-01-05", "05.02.2024", "Jan 7, 2024", "2024-03-05 10:30"] * 8 + ["soon"]
    schema, encoder = learned({"d": texts}, "d")
    assert encoder.form == "iso"
    assert set(encoder.others) == {"%d.%m.%Y", "%b %d, %Y"}
    stamps = [str(x)[:16] for x in encoder.stamps(read({"d": texts})["d"])[:4]]
    assert stamps == [
        "2024-01-05T00:00",
        "2024-02-05T00:00",
        "2024-01-07T00:00",
        "2024-03-05T10:30",
    ]
    assert encoder.gaps == 1
    assert "read as gaps: 1 cell, the first 'soon' in row 33" in schema.notes[-1]
    assert Schema.from_dict(schema.to_dict()) == schema


@pytest.mark.parametrize("row", [10, 2000])
def test_an_odd_date_is_a_gap_and_told_wherever_it_stands(write, row):
    days = [str(np.datetime64("2015-01-01") + k) for k in range(3000)]
    days[row - 1] = "24-01-05"
    schema, encoder = learned(write("d", *days), "d")
    assert (encoder.kind, encoder.gaps) == ("date", 1)
    assert schema.notes == (
        "column 'd': not a date as year-month-day, read as gaps: 1 cell, the first '24-01-05' in "
        f"row {row}",
    )


def test_texts_among_numbers_are_told_with_their_row(write):
    texts = [*(f"{k}.5" for k in range(40)), "unknown", "007", "n.d.", "unknown"]
    for source in (write("x", *texts), {"x": texts}):
        schema = Schema.learn(read(source), None, kinds={"x": "number"})
        assert isinstance(schema.columns[0], NumberColumn)
        assert schema.notes == (
            "column 'x': not numbers, read as gaps: 3 cells, the first 'unknown' in row 41, also "
            "'n.d.'",
            "column 'x': digits with leading zeros read as numbers: 1 cell, the first '007' in row "
            "42",
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2024/03/04 10:00:00Z", "2024-03-04T10:00"), ("04.03.2024 10:00 +02:00", "2024-03-04T08:00"),
     ("Mar 4, 2024 10:00 pm", "2024-03-04T22:00"), ("4 March 2024 12:05 AM", "2024-03-04T00:05"),
     ("2024-03-04 10:00 UTC", "2024-03-04T10:00"), ("04.03.2024T10:00:30", "2024-03-04T10:00")],
)  # fmt: skip
def test_times_of_day_with_offsets_in_any_notation(text, expected):
    _, encoder = learned({"d": [text] * 5 + ["2024-05-25"]}, "d")
    assert str(encoder.stamps(read({"d": [text]})["d"])[0])[:16] == expected


@pytest.mark.parametrize(
    ("rows", "told"),
    [(["$ 5", "\u20ac 7", "$ 6"], "$ and \u20ac are left out, so that all amounts count alike "
      "(1 cell, the first '\u20ac 7' in row 2)"),
     (["0.5", "50%", "0.25"], "'%' stands behind some of the numbers, and is left out: '50%' is 50 "
      "(1 cell, the first '50%' in row 2)")],
)  # fmt: skip
def test_signs_of_some_numbers_are_told(write, rows, told):
    for source in (write("v;t", *(f"{row};a" for row in rows)), {"v": rows}):
        schema, encoder = learned(source, "v")
        assert encoder.kind == "number"
        assert schema.notes == (f"column 'v': {told}",)


@pytest.mark.parametrize("rows", [["$5", "7", "$6"], ["5 %", "7%"], ["\u20ac 5", "7 \u20ac"]])
def test_one_sign_is_not_told(rows):
    assert not learned({"v": rows}, "v")[0].notes


@pytest.mark.parametrize("container", ["csv", "dict"])
def test_times_without_an_offset_beside_others_are_told(container: str, tmp_path: Path) -> None:
    texts = [f"2024-01-{k + 1:02d}T12:00:00{'+02:00' if k % 3 else ''}" for k in range(28)]
    table = {"when": texts, "y": list(range(28))}
    if container == "csv":
        path = tmp_path / "t.csv"
        path.write_text("when,y\n" + "".join(f"{t},{k}\n" for k, t in enumerate(texts)))
        found = read(path)
    else:
        found = read(table)
    notes = Schema.learn(found, "y").notes
    (note,) = [x for x in notes if "offset" in x]
    assert "taken as UTC" in note
    assert "10 cells, the first '2024-01-01T12:00:00' in row 1" in note
    for alike in (texts[1:3] * 14, [t[:19] for t in texts], [t[:19] + "Z" for t in texts]):
        whole = read({"when": alike, "y": list(range(28))})
        assert not [x for x in Schema.learn(whole, "y").notes if "offset" in x]


def test_a_column_that_turns_from_numbers_to_texts_is_told():
    rows = [*map(str, range(600)), *("late" + "abcde"[k % 5] for k in range(300))]
    notes = Schema.learn(read({"a": rows, "y": [0, 1] * 450}), "y").notes
    assert notes == (
        "column 'a': 600 of 900 cells are numbers, and it is read as texts for the others: 300 "
        "cells, the first 'latea' in row 601, also 'lateb', 'latec', ...",
    )
    chosen = Schema.learn(read({"a": rows, "y": [0, 1] * 450}), "y", kinds={"a": "category"})
    assert chosen.notes == ()
    few = [*map(str, range(99)), *(f"x{k}" for k in range(20))]  # as names of rooms may be
    assert Schema.learn(read({"a": few * 4, "y": [0, 1] * 238}), "y").notes == ()
