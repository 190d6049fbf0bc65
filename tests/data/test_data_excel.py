"""Spreadsheets: types of cells, titles, sheets, and what is said without the library."""

import datetime
import sys

import numpy as np
import openpyxl
import pytest

from chainrule.data import read
from chainrule.errors import DataError, MissingExtra


@pytest.fixture
def book(tmp_path):
    def writer(*sheets):
        made = openpyxl.Workbook()
        made.remove(made.active)
        for k, rows in enumerate(sheets):
            sheet = made.create_sheet(f"s{k}")
            for row in rows:
                sheet.append(row)
        made.save(tmp_path / "b.xlsx")
        return tmp_path / "b.xlsx"

    return writer


def test_cells_keep_their_types_and_gaps(book):
    day = datetime.date(2024, 5, 1)
    table = read(book([
        ["n", "i", "t", "d", "b", "code", "w"],
        [0.5, 1, "NA", day, True, "007", datetime.time(1, 30)],
        [None, 2, None, None, None, "008", None],
        [1.5, None, "x", datetime.datetime(2024, 5, 2, 12), False, None, datetime.time(0, 0, 5)],
    ]))  # fmt: skip
    np.testing.assert_array_equal(table["n"].values, [0.5, np.nan, 1.5])
    assert table["i"].storage == "integer"
    assert table["i"].missing.tolist() == [False, False, True]
    assert table["t"].to_numpy().tolist() == ["NA", None, "x"]
    assert table["d"].values[2] == np.datetime64("2024-05-02T12:00")
    assert table["b"].storage == "boolean"
    assert table["code"].to_numpy().tolist() == ["007", "008", None]
    np.testing.assert_array_equal(table["w"].values, [5400, np.nan, 5])
    assert not table.notes


def test_titles_units_and_empty_rows_are_left_out_and_noted(book):
    table = read(book([["Report", None, None], [], ["a", "b", "c"], [None, "kg", "m"],
                       ["x", 1, 2], ["y", 3, 4], [], ["z", 5, 6], [None, None, None]]))  # fmt: skip
    assert table.columns == ["a", "b", "c"]
    assert table["b"].to_numpy().tolist()[:2] == [1, 3]
    assert any("above the header" in note for note in table.notes)
    assert any("kg, m" in note for note in table.notes)


def test_the_first_sheet_is_read_and_others_are_told_and_named(book):
    path = book([["a"], [1]], [["b"], [2]])
    assert read(path).columns == ["a"]
    assert "sheet='s1'" in read(path).notes[0]
    assert read(path, sheet="s1").columns == ["b"]
    assert not read(path, sheet="s1").notes
    with pytest.raises(DataError, match="no sheet 'S1'"):
        read(path, sheet="S1")


def test_without_the_library_the_error_names_the_extra(book, monkeypatch):
    path = book([["a"], [1]])
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(MissingExtra, match=r"pip install 'chainrule\[excel\]'"):
        read(path)


def test_remarks_and_empty_rows_of_a_sheet_are_told(book):
    table = read(
        book([["a", "b", "c"], [1, 2, 3], [], [4, 5, 6], [], ["Source: x"], ["* a guess"]])
    )
    assert [column.to_numpy().tolist() for column in table] == [[1, 4], [2, 5], [3, 6]]
    assert any("2 rows below the table left out: 'Source: x'" in note for note in table.notes)
    assert any("1 empty row between" in note for note in table.notes)
    table = read(book([["a", "b"], ["x y", 2], ["u v", None]]))
    assert table["a"].to_numpy().tolist() == ["x y", "u v"]


@pytest.mark.parametrize("second", [["c", "d"], ["name", "value"]])
def test_a_second_table_in_a_sheet_is_refused_with_its_row(book, second):
    rows = [["Title"], [], ["a", "b"], [1, 2], [3, 4], [], second, ["x", 5]]
    with pytest.raises(DataError, match="second table") as caught:
        read(book(rows))
    assert "row 7" in str(caught.value)
    assert len(read(book([*rows[2:6], ["a", "b"], [5, 6]]))) == 4
