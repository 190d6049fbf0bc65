"""Arrays, dicts, records and data frames become tables, without needless copies."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pytest

from chainrule.data import read
from chainrule.errors import DataError


def refusal(source):
    with pytest.raises(DataError) as caught:
        read(source)
    return str(caught.value)


def test_array_columns_are_views():
    array = np.arange(6.0).reshape(3, 2)
    table = read(array)
    assert table.columns == ["x0", "x1"]
    assert np.shares_memory(table["x1"].values, array)
    assert table["x1"].values.tolist() == [1, 3, 5]


def test_structured_masked_object_and_text_arrays():
    table = read(np.array([(1, "a"), (2, "b")], [("x", "i4"), ("y", "U3")]))
    assert table["y"].to_numpy().tolist() == ["a", "b"]
    table = read({"m": np.ma.array([1, 2], mask=[0, 1]), "f": np.ma.array([1.0, 2], mask=[1, 0])})
    assert table["m"].missing.tolist() == [False, True]
    assert table["f"].missing.tolist() == [True, False]
    table = read(np.array([[1, "a"], [None, "b"]], object))
    assert table["x0"].storage == "integer"
    assert table["x0"].gaps == 1


def test_masked_floats_leave_the_source_unchanged():
    source = np.ma.array([1.0, 2.0], mask=[True, False])
    read({"f": source})
    assert source.data.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("values", "storage", "expected"),
    [
        ([1, None, 3], "integer", [1, None, 3]),
        ([1.5, None, 2], "number", [1.5, None, 2]),
        ([True, None], "boolean", [True, None]),
        (["a", None, "?", " b ", "NA", ""], "text", ["a", None, "?", "b", "NA", None]),
        ([Decimal("1.5"), None], "number", [1.5, None]),
        ([2**70, 1], "number", [2.0**70, 1]),
        ([None, float("nan")], "number", [None, None]),
        ([dt.date(2020, 1, 2), None], "date", [np.datetime64("2020-01-02"), None]),
        ([dt.timedelta(minutes=1), None], "number", [60, None]),
        ([1, "x", 2.5], "text", ["1", "x", "2.5"]),
    ],
)
def test_lists_of_values(values, storage, expected):
    column = read({"a": values})["a"]
    assert column.storage == storage
    got = [None if gap else v for v, gap in zip(column.to_numpy(), column.missing, strict=True)]
    assert got == expected


def test_times_with_a_zone_are_utc():
    zone = dt.timezone(dt.timedelta(hours=2))
    column = read({"a": [dt.datetime(2020, 1, 1, 1, tzinfo=zone)]})["a"]
    assert column.values[0] == np.datetime64("2019-12-31T23:00")


def test_records_fill_absent_names_with_gaps():
    table = read([{"a": 1}, {"b": "x"}])
    assert table["a"].missing.tolist() == [False, True]
    assert table["b"].to_numpy().tolist() == [None, "x"]


def test_pandas_with_every_kind_of_column():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "i": [1, 2, 3],
            "f": [1.5, np.nan, 2],
            "s": ["a", None, "b"],
            "c": pd.Categorical(["u", "v", None]),
            "d": pd.to_datetime(["2020-01-01", None, "2020-01-03"]),
            "z": pd.to_datetime(["2020-01-01"] * 3).tz_localize("Europe/Berlin"),
            "I": pd.array([1, None, 2**60 + 1], dtype="Int64"),
            "B": pd.array([True, None, False], dtype="boolean"),
            "F": pd.array([1.0, None, 2], dtype="Float64"),
            "o": [1, "x", 2.5],
        }
    )
    table = read(frame)
    storages = {column.name: column.storage for column in table}
    assert storages == {
        "i": "integer", "f": "number", "s": "text", "c": "text", "d": "date", "z": "date",
        "I": "integer", "B": "boolean", "F": "number", "o": "text",
    }  # fmt: skip
    assert table["I"].values[2] == 2**60 + 1
    assert table["z"].values[0] == np.datetime64("2019-12-31T23:00")
    assert [table[c].gaps for c in "fscdIBF"] == [1] * 7
    assert read(pd.DataFrame([[1, 2]])).columns == ["0", "1"]
    assert "two columns are called 'a'" in refusal(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    assert "to_frame" in refusal(pd.Series([1]))


def test_polars_and_arrow():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(
        {"i": [1, None, 3], "f": [1.5, None, float("nan")], "s": ["a", None, "b"],
         "b": [True, None, False], "d": [dt.date(2020, 1, 1), None, dt.date(2021, 1, 1)]}
    )  # fmt: skip
    for source in (frame, frame.lazy(), frame.to_arrow()):
        table = read(source)
        assert [c.storage for c in table] == ["integer", "number", "text", "boolean", "date"]
        assert [c.gaps for c in table] == [1, 2, 1, 1, 1]
        assert table["s"].to_numpy().tolist() == ["a", None, "b"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.arange(3), "x[:, None]"),
        (np.zeros((0, 2)), "no rows"),
        (np.zeros((2, 0)), "no columns"),
        (np.zeros((2, 2), complex), "complex"),
        ({}, "no columns"),
        ({"a": []}, "no rows"),
        ({"a": [1, 2], "b": [1]}, "different lengths"),
        ({"a": 1}, "one value"),
        ({"a": np.zeros((2, 3))}, "2 axes"),
        ({"a": [1, [2]]}, "nested"),
        ({"a": [1, None, [2]]}, "list in row 3"),
        ([[1, 2]], "np.array(...)"),
        (None, "NoneType"),
        (b"abc", "bytes"),
    ],
)
def test_objects_that_are_not_tables_are_refused(source, words):
    assert words in refusal(source)
