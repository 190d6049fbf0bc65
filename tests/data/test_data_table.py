"""The table itself: immutable, ordered, and able to say where a cell came from."""

import numpy as np
import pytest

from chainrule.data import read
from chainrule.errors import DataError


@pytest.fixture
def table():
    return read({"a": [1, 2, 3], "b": ["x", None, "y"], "c": [0.5, np.nan, 1.5]})


def test_columns_rows_select_drop(table):
    assert len(table) == 3
    assert table.columns == ["a", "b", "c"]
    assert table.select(["c", "a"]).columns == ["c", "a"]
    assert table.drop("b").columns == ["a", "c"]
    assert table.columns == ["a", "b", "c"]
    assert "b" in table
    assert "z" not in table


def test_take_keeps_the_place_in_the_source(table):
    part = table.take([2, 0]).take([1])
    assert part["a"].values.tolist() == [1]
    assert "row 1," in part.place(0, "a")
    assert "row 3," in table.take(np.array([False, False, True])).place(0, "a")
    assert len(table.take(slice(0, 2))) == 2
    assert len(table.take([])) == 0


def test_labels_are_the_same_from_every_storage():
    forms = {"i": [3, 10, 3], "f": [3.0, 10.0, 3.0], "t": ["3", "10", "3"]}
    for column in read(forms):
        codes, labels = column.labels()
        assert [labels[code] for code in codes] == ["3", "10", "3"]


def test_distinct_counts_values_that_are_there(table):
    assert table["b"].distinct == 2
    assert table.take([0])["b"].distinct == 1
    assert table["c"].distinct == 2


def test_unknown_column_names_the_nearest():
    with pytest.raises(DataError, match="island"):
        read({"island": [1]})["Island"]


def test_repr_shows_what_each_column_holds(table):
    text = repr(table)
    assert "3 rows x 3 columns" in text
    assert "2 distinct: 'x', 'y', 1 gaps" in text
    assert "0.5 to 1.5" in text
    assert "only gaps" in repr(read({"a": [None]}))
