"""Cells of files keep their text until it is known what they are."""

import datetime as dt
import json

import numpy as np
import pytest

from chainrule.data import Schema, read
from chainrule.data.columns.dates import dates_of
from chainrule.data.split import holdout
from chainrule.data.written import Written, written
from chainrule.errors import DataError

VERSIONS = ["1.10", "1.1", "beta"]


def csv(**columns):
    rows = zip(*columns.values(), strict=True)
    return "".join(",".join(map(str, row)) + "\n" for row in [tuple(columns), *rows])


NOTATIONS = [
    ["7E2", "700", "12E40", "7", "7.0", "700"],
    ["1.10", "1.1", "1.100", "01.1", "1.1", "+1.1"],
    ["0.50", "0.75", "1.00", "-0.25", "-0.00", "12.00"],
    ["1.500e+02", "2.000e-07", "1.5e2", "1.234e+00"],
    ["1", "2.5", "3.0", "1e3", "12E400", "inf"],
    ["0.1", "10.0", "1e+16", "1e-05", "123456.789", "0.30000000000000004"],
    ["12", "+12", "-0", "0", "9007199254740993", "7"],
    ["2024-01-05", "1999-12-31", "0001-01-01", "2024-01-05 00:00:00"],
    ["2024-01-05T10:00:00", "2024-01-05 10:00:00", "2024-01-05T12:00:00+02:00"],
    ["2024-01-05 10:00:00+00:00", "2024-01-06 10:00:00+00:00"],
]


@pytest.mark.parametrize("texts", NOTATIONS)
def test_cells_and_labels_are_the_text_of_the_file(write, texts):
    table = read(write(csv(x=[*texts, "", *texts], n=range(2 * len(texts) + 1))))
    column = table["x"]
    assert column.storage != "text"
    assert column.cells() == [*texts, None, *texts]
    codes, labels = column.labels()
    assert [labels[code] if code >= 0 else None for code in codes] == [*texts, None, *texts]
    assert len(set(labels)) == len(labels) == len(set(texts))
    some = column.take(np.array([1, 0, 1]))
    assert some.cells() == [texts[1], texts[0], texts[1]]


def test_numbers_read_from_any_notation_are_those_of_python(write):
    random = np.random.default_rng(0)
    values = random.normal(size=4000) * 10.0 ** random.integers(-8, 9, 4000)
    forms = [
        str,
        "{:.2f}".format,
        "{:.9f}".format,
        "{:.6e}".format,
        "{:.17g}".format,
        "{:g}".format,
    ]
    columns = {f"c{k}": [form(value) for value in values.tolist()] for k, form in enumerate(forms)}
    table = read(write(csv(**columns)))
    for name, texts in columns.items():
        assert table[name].values.tolist() == list(map(float, texts)), name
        assert table[name].cells() == texts, name


def test_a_version_is_the_same_in_one_row_as_among_many(write):
    many = csv(version=[v for v in VERSIONS for _ in range(30)], y=[0, 10, 20] * 30)
    schema = Schema.learn(read(write(many)), "y")
    codes = {
        text: schema.encode(read(write(csv(version=[text]), "one.csv"))).arrays["version"].tolist()
        for text in [*VERSIONS, "1.100"]
    }
    assert [codes[text] for text in ("1.1", "1.10", "beta", "1.100")] == [[2], [3], [4], [1]]
    for source in ({"version": VERSIONS[:2]}, [{"version": text} for text in VERSIONS[:2]]):
        assert schema.encode(read(source)).arrays["version"].tolist() == [3, 2]
    assert schema.encode(read({"version": [1.1]})).arrays["version"].tolist() == [2]


def test_classes_are_the_text_of_the_file(write):
    texts = [v for v in VERSIONS for _ in range(4)]
    schema = Schema.learn(read(write(csv(x=range(12), c=texts))), "c")
    assert schema.classes.tolist() == ["1.1", "1.10", "beta"]
    later = schema.encode(read(write(csv(x=[1, 2], c=["1.10", "1.10"]), "e.csv")), "required")
    assert later.target.tolist() == [1, 1]
    numbers = read(write(csv(x=range(12), c=["1.10", "1.20", "1.30"] * 4), "n.csv"))
    schema = Schema.learn(numbers, "c", task="classification")
    assert schema.classes.tolist() == ["1.10", "1.20", "1.30"]
    assert schema.encode(read({"x": [1], "c": [1.2]}), "required").target.tolist() == [1]


@pytest.mark.parametrize(
    ("texts", "classes"),
    [(["0", "1", "2"], [0, 1, 2]), (["0.0", "1.0", "2.0"], [0.0, 1.0, 2.0]),
     (["01", "02", "03"], ["01", "02", "03"]), (["1", "1.0", "2"], ["1", "1.0", "2"])],
)  # fmt: skip
def test_classes_are_numbers_where_python_writes_them_as_the_file(write, texts, classes):
    found = Schema.learn(read(write(csv(x=range(30), c=texts * 10))), "c").classes
    assert found.tolist() == classes
    assert [type(label) for label in found.tolist()] == [type(label) for label in classes]


def test_units_by_choice_are_as_many_as_there_are_texts(write):
    units = ["7E2", "700", "12E40", "7", "7.0"]
    table = read(write(csv(unit=units * 6, y=range(30))))
    (encoder,) = Schema.learn(table, "y", kinds={"unit": "category"}).columns
    assert sorted(encoder.levels) == sorted(units)
    dates = read(write(csv(d=["2024-01-05", "2024-01-05 00:00:00"] * 6, y=range(12))))
    (encoder,) = Schema.learn(dates, "y", kinds={"d": "category"}).columns
    assert encoder.levels == ("2024-01-05", "2024-01-05 00:00:00")


def test_groups_are_told_apart_by_their_text(write):
    table = read(write(csv(g=["1E1", "10"] * 10)))
    train, held, _ = holdout(20, 0.5, groups=table["g"])
    assert {len({row % 2 for row in rows}) for rows in (train, held)} == {1}
    assert set(train % 2) != set(held % 2)


@pytest.mark.parametrize("later", ["3", "3.0", 3, 3.0, np.float32(3), np.int8(3)])
@pytest.mark.parametrize("first", [[3, 4], [3.0, 4.0], ["3", "4"], ["3.0", "4.0"]])
def test_a_level_that_is_an_integer_is_met_however_it_is_stored(write, first, later):
    cells = [first[k % 2] for k in range(20)]
    tables = [read({"g": cells, "y": range(20)}), read(write(csv(g=cells, y=range(20))))]
    for table in tables:
        schema = Schema.learn(table, "y", kinds={"g": "category"})
        given = [read({"g": [later]}), read(write(csv(g=[later], x=[0]), "later.csv"))]
        found = [schema.encode(x).arrays["g"].tolist() for x in given]
        assert found == [[2], [2]]


def test_a_number_of_a_frame_is_met_in_any_notation(write):
    schema = Schema.learn(
        read({"g": [0.5, 2.5] * 10, "y": range(20)}), "y", kinds={"g": "category"}
    )
    later = read(write(csv(g=["0.50", "2.5", "5e-1", "2.75"])))
    encoded = schema.encode(later)
    assert encoded.arrays["g"].tolist() == [2, 3, 2, 1]
    assert any("'2.75'" in note for note in encoded.notes)


MOMENTS = {
    "2024-01-01T12:00:00+02:00": "2024-01-01T10:00",
    "2024-01-01T12:00:00-05:00": "2024-01-01T17:00",
    "2024-01-01 12:00:00Z": "2024-01-01T12:00",
    "2024-01-01T12:00:00.250+00:00": "2024-01-01T12:00:00.250",
    "2024-01-01 12:00": "2024-01-01T12:00",
}


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_time_with_an_offset_is_the_same_moment_in_every_container(write, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    texts, expected = list(MOMENTS), np.array(list(MOMENTS.values()), "M8[us]").tolist()
    aware = [dt.datetime.fromisoformat(text) for text in texts[:4]]
    lines = "\n".join(json.dumps({"t": text, "x": 1}) for text in texts)
    path = write(csv(t=texts, x=texts))
    sources = [path, write(csv(t=[f'"{text}"' for text in texts], x=texts), "q.csv"), {"t": texts},
               {"t": aware}, write(lines, "t.jsonl"), f"from '{path}'"]  # fmt: skip
    for source in sources:
        found = dates_of(read(source)["t"]).tolist()
        assert found == expected[: len(found)]
        assert len(found) >= 4


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_times_with_a_zone_in_parquet_and_frames_are_utc(tmp_path, monkeypatch, zone):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("TZ", zone)
    moments = pandas.to_datetime(["2024-01-01T10:00", "2024-07-01T17:00"]).tz_localize("UTC")
    frame = pandas.DataFrame({"t": moments.tz_convert("America/New_York"), "x": [1, 2]})
    frame.to_parquet(tmp_path / "t.parquet")
    for source in (frame, tmp_path / "t.parquet", f"from '{tmp_path}/t.parquet'"):
        assert [str(x)[:16] for x in read(source)["t"].values] == [
            "2024-01-01T10:00", "2024-07-01T17:00"]  # fmt: skip


def place(cells, odd, row):
    return [*cells[:row], odd, *cells[row:]]


@pytest.mark.parametrize("row", [0, 10, 1499, 2000])
def test_a_column_is_the_same_wherever_an_odd_value_stands(write, row):
    days = [str(np.datetime64("2000-01-01") + k) for k in range(2500)]
    halves = [f"{k % 99 / 2 + 0.5}" for k in range(2500)]
    counts = [str(k % 50) for k in range(2500)]
    table = read(write(csv(
        d=place(days, "24-01-05", row), z=place(halves, "007", row), c=place(counts, "007", row),
        u=place(counts, "1_000", row), w=place(halves, "unknown", row), e=place(counts, "1e2", row),
        day=place(days, "2000-1-5", row),
    )))  # fmt: skip
    storages = [table[name].storage for name in table.columns]
    assert storages == ["text", "number", "text", "text", "text", "number", "text"]
    assert table["z"].values[row] == 7
    assert table.notes == (
        f"column 'z': '007' read as the number 7, as the column has decimals: 1 cell, the first in "
        f"row {row + 1}",
    )


def test_phone_numbers_and_codes_stay_texts(write):
    table = read(write(csv(phone=["+491701234567", "01701234567"] * 5, zip=["02134", "94110"] * 5)))
    assert [column.storage for column in table] == ["text", "text"]


def test_values_in_each_form():
    assert written(1.1, ".2f") == "1.10"
    assert written(np.int64(7), "general") == "7"
    assert written(7.0, "shortest") == "7.0"
    assert written(np.datetime64("0024-01-05", "us"), "%Y-%m-%d") == "0024-01-05"
    assert Written("general").gap_texts(np.array([True])) == {}


def test_an_infinity_is_still_reported_with_its_place(write):
    path = write(csv(x=["7E2", "12E400", "1.10"] * 4, y=range(12)))
    with pytest.raises(DataError, match=r"row 2, column 'x'"):
        Schema.learn(read(path), "y").encode(read(path))
