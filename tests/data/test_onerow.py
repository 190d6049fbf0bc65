"""One row at a time: the same arrays, notes and errors as any table, whatever came before."""

from __future__ import annotations

import datetime
import math
import random
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import onerow
from chainrule.data.onerow import RowReader, given_row
from chainrule.data.readers.sources import read
from chainrule.data.schema import Schema
from chainrule.errors import ChainruleError

N = 300
COLOURS = ["red", "blue", "green", "grey", "white", "black", "brown"]


def table(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "a": rng.normal(size=N),
        "b": rng.integers(-3, 900, N),
        "gappy": [None if k % 7 == 0 else k / 3 for k in range(N)],
        "city": [str(x) for x in rng.choice(["Rome", "Oslo", "Bern", "Rome, Italy"], N)],
        "size": [int(x) for x in rng.choice([0, 1, 2, 5], N)],
        "yes": [bool(x) for x in rng.integers(0, 2, N)],
        "day": [datetime.date(2020, 1, 1) + datetime.timedelta(int(x)) for x in range(N)],
        "told": [f"2021-0{1 + k % 9}-1{k % 10}" for k in range(N)],
        "price": [f"{k % 40},5" if k % 2 else f"{k % 40}.5" for k in range(N)],
        "id": [f"row {k}" for k in range(N)],
        "words": [" ".join(rng.choice(COLOURS, 4)) for _ in range(N)],
        "y": [str(x) for x in rng.choice(["p", "q"], N)],
    }  # fmt: skip


KINDS = {"size": "category", "id": "ignore", "told": "date", "words": "text"}


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema.learn(read(table()), "y", kinds=KINDS)


def row(k: int, names: Any = None) -> dict[str, list[Any]]:
    """A row of the training data, as a dict of lists of Python's own values."""
    all_of = table()
    wanted = [name for name in all_of if name not in ("y", "id")] if names is None else names
    cells = {name: all_of[name][k] for name in wanted}
    return {k: [v.item() if isinstance(v, np.generic) else v] for k, v in cells.items()}


def outcome(encode: Any, data: Any) -> Any:
    """What comes of data: the arrays as bytes and all else, or the error."""
    try:
        found = encode(data)
    except (ChainruleError, TypeError, ValueError) as error:
        return type(error).__name__, str(error)
    arrays = [(name, x.dtype, x.shape, x.tobytes()) for name, x in found.arrays.items()]
    return arrays, found.target, found.rows.tolist(), found.rows.dtype, list(found.notes)


def same(reader: RowReader, schema: Schema, data: Any, times: int = 3) -> None:
    """The reader gives the same as the schema, again and again."""
    expected = outcome(lambda x: schema.encode(read(x), "none"), data)
    for _ in range(times):
        assert outcome(reader.encode, data) == expected


def recalled(reader: RowReader, data: Any) -> bool:
    """Whether the reader answers without making a table."""
    found = given_row(data)
    order = None if found is None else reader._order(found)
    return found is not None and order is not None and reader._recalled(found, order) is not None


def forms(cells: dict[str, list[Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "lists": cells,
        "records": [{name: x[0] for name, x in cells.items()}],
        "tuples": {name: tuple(x) for name, x in cells.items()},
        "arrays": {name: np.array(x) for name, x in cells.items()},
        "float32": {k: np.array(x, "f4") if type(x[0]) is float else x for k, x in cells.items()},
        "scalars": {k: list(np.array(x)) for k, x in cells.items()},
        "read": read(cells),
    }
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    made["pandas"] = pandas.DataFrame(cells)
    made["pandas index"] = pandas.DataFrame(cells, index=["x"])
    made["pandas objects"] = pandas.DataFrame(cells).astype(object)
    made["pandas nullable"] = pandas.DataFrame(cells).convert_dtypes()
    made["pandas category"] = pandas.DataFrame(cells).astype({"city": "category"})
    made["pandas float32"] = pandas.DataFrame(cells).astype({"a": "float32", "b": "int16"})
    made["polars"] = polars.DataFrame(cells)
    made["arrow"] = polars.DataFrame(cells).to_arrow()
    return made


@pytest.mark.parametrize("k", [1, 2, 7, 14])
def test_every_form_of_a_row(schema: Schema, k: int) -> None:
    for data in forms(row(k)).values():
        same(RowReader(schema), schema, data)


def test_one_reader_for_rows_in_all_forms(schema: Schema) -> None:
    reader, generator = RowReader(schema), random.Random(0)
    rows = [x for k in range(12) for x in forms(row(k)).values()]
    generator.shuffle(rows)
    for data in rows:
        same(reader, schema, data, 1)
    for data in rows:
        same(reader, schema, data, 1)


@pytest.mark.parametrize("form", ["lists", "records", "arrays", "pandas", "polars", "float32"])
def test_a_row_that_came_before_is_recalled(schema: Schema, form: str) -> None:
    reader, cells = RowReader(schema), row(1)
    cells["day"], cells["price"] = ["2020-02-03"], [3.5]
    data = forms(cells)[form]
    assert not recalled(reader, data)
    reader.encode(data)
    assert recalled(reader, data)
    for name, number in (("a", 0.25), ("b", 17), ("gappy", 1.5)):  # other numbers, within range
        other = forms(cells | {name: [number]})[form]
        assert recalled(reader, other)
        same(reader, schema, other)
    assert not recalled(reader, forms(cells | {"city": ["Oslo"]})[form])


CELLS: list[Any] = [
    None, "", " ", "NA", "nan", "Rome", " Rome ", "rome", "Paris", "1", "1.0", "1,5", "1.500",
    "0", "-0", "yes", "no", "TRUE", "2021-01-11", "11.1.2021", "2021-13-45", "x" * 500, "p",
    0, 1, 2, -1, 5, 10**6, 2**53, 2**53 + 1, 2**63, 10**30, 0.0, -0.0, 1.0, 2.5, 1e-320, 1e308,
    math.nan, math.inf, -math.inf, True, False, b"bytes", 1 + 2j, [1], {"a": 1}, object,
    np.float32(0.1), np.float64(0.1), np.int64(1), np.int8(1), np.bool_(True), np.str_("Rome"),
    np.datetime64("2020-03-01"), np.datetime64("NaT"), np.timedelta64(3, "s"),
    datetime.date(2020, 3, 1), datetime.datetime(2020, 3, 1, 12, 30),
    datetime.datetime(2020, 3, 1, 12, 30, tzinfo=datetime.UTC),
    datetime.datetime(2020, 3, 1, 12, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=5))),
    datetime.timedelta(1), datetime.time(3),
]  # fmt: skip
"""Cells, usual or not, some of them equal and yet not the same."""


@pytest.mark.parametrize("name", [*row(0), "y", "id"])
def test_any_cell_in_any_column_after_any_other(schema: Schema, name: str) -> None:
    reader, generator = RowReader(schema), random.Random(1)
    names = None if name in row(0) else [*row(0), name]
    usual = row(2, names)
    reader.encode(usual)
    assert recalled(reader, usual)
    cells = CELLS * 2
    generator.shuffle(cells)
    for cell in cells:
        given = usual | {name: [cell]}
        same(reader, schema, given, 1)
        same(reader, schema, [{k: v[0] for k, v in given.items()}], 1)
    same(reader, schema, usual)
    assert recalled(reader, usual)


def test_dtypes_of_numbers_in_a_category(schema: Schema) -> None:
    reader = RowReader(schema)
    for value in (0, 1, 2, 5, 7):
        for dtype in ("int8", "uint64", "int64", "float32", "float64", ">f8", "bool", "float16"):
            for name in ("size", "a", "yes", "city"):
                same(reader, schema, row(3) | {name: np.array([value], dtype)}, 2)


def test_columns_missing_added_or_in_another_order(schema: Schema) -> None:
    reader, usual = RowReader(schema), row(4)
    same(reader, schema, usual)
    names = list(usual)
    for data in (
        {k: usual[k] for k in reversed(names)},
        {k: usual[k] for k in names[1:]},
        usual | {"new": [1]},
        usual | {"y": ["p"], "id": ["row 4"]},
        usual | {"y": ["never seen"]},
        {"id": ["row 4"]} | usual,
        usual | {3: [1]},
        {},
        {k: [] for k in names},
        {k: v * 2 for k, v in usual.items()},
        {k: v[0] for k, v in usual.items()},
        [{k: v[0] for k, v in usual.items()}] * 2,
        [],
        [1],
    ):
        same(reader, schema, data)
        same(reader, schema, usual)


def test_a_decimal_comma_elsewhere_is_not_forgotten() -> None:
    data = {"n": [f"{k}.125" for k in range(1, 60)], "m": [f"{k}.5" for k in range(1, 60)],
            "c": [*"ab"] * 29 + ["a"], "t": [float(k) for k in range(59)]}  # fmt: skip
    schema = Schema.learn(read(data), "t", kinds={"n": "number", "m": "number"})
    reader = RowReader(schema)
    points = {"n": ["1.125"], "m": ["3.5"], "c": ["a"]}
    commas = {"n": ["1.125"], "m": ["3,5"], "c": ["a"]}
    for data in (points, commas, points, commas, {**commas, "t": ["1,5"]}, {**points, "t": ["1,5"]},
                 {**points, "t": ["1.5"]}, {**points, "t": ["1,5"]}):  # fmt: skip
        same(reader, schema, data, 2)


def test_chosen_gaps_are_gaps() -> None:
    data = {"n": [-999, *range(59)], "c": ["none", *["a", "b"] * 29, "a"], "t": [*range(60)]}
    schema = Schema.learn(read(data, gaps=["-999", "none", " 7 "]), "t")
    reader = RowReader(schema)
    for n in (5, 7, -999, 7.0, "7", "none", "5"):
        for c in ("a", "none", "b", "-999"):
            same(reader, schema, {"n": [n], "c": [c]})
            same(reader, schema, {"n": [n], "c": [c], "t": ["other"]})
            same(reader, schema, {"n": [n], "c": [c], "t": ["none"]})


def test_many_categories_in_one_block() -> None:
    data: dict[str, Any] = {f"c{k}": [f"v{(j * k) % 5}" for j in range(60)] for k in range(1, 40)}
    data["t"] = list(range(60))
    schema = Schema.learn(read(data), "t")
    reader = RowReader(schema)
    for j in range(4):
        given = {name: [x[j]] for name, x in data.items() if name != "t"}
        given = {name: given[name] for name in (x.name for x in schema.used)}
        same(reader, schema, given)
        assert recalled(reader, given)


def test_memory_is_bounded(schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onerow, "MOST_BYTES", 500_000)
    reader, usual = RowReader(schema), row(6)
    for k in range(300):
        reader.encode(usual | {"words": [f"red blue {k} green"]})
        assert sum(slot.bytes for slot in reader._slots.values()) <= 500_000
    assert 1 < len(reader._slots["words"].known) < 300
    for k in range(40):
        reader.encode(dict(list(usual.items())[: k % 5]) | usual | {f"z{k}": [1]})
    assert len(reader._orders) <= 16


def test_predictions_of_rows_are_those_of_the_table() -> None:
    data = table()
    data.pop("words")
    kinds = {name: kind for name, kind in KINDS.items() if name in data}
    model = cr.train(data, "y", kinds=kinds, quality="fast", verbose=False)
    names = [x for x in data if x not in ("y", "id")]
    whole = {name: data[name] for name in names}
    expected = model.predict(whole)
    predict = model.predictor()
    for k in (*range(20), *range(20)):
        cells = row(k, names)
        for given in (cells, [{name: x[0] for name, x in cells.items()}]):
            for found in (model.predict(given), predict(given)):
                assert found.labels.tolist() == expected.labels[k : k + 1].tolist()
                np.testing.assert_allclose(found.values, expected.values[k : k + 1], rtol=1e-6)
        reference = model._own.forward(
            model._values, model.schema.encode(read(cells), "none").arrays, np.arange(1)
        )
        assert model.predict(cells).values.tobytes() == reference[0].tobytes()


def test_integers_that_floats_cannot_tell_apart() -> None:
    pandas = pytest.importorskip("pandas")
    large = [2**53, 2**53 + 1, 2**53 + 2, 5]
    data = {"k": large * 10, "x": [j / 4 for j in range(40)], "t": [float(j) for j in range(40)]}
    schema = Schema.learn(read(data), "t", kinds={"k": "category"})
    reader = RowReader(schema)
    for k in large * 2:
        frame = pandas.DataFrame({"k": [k], "x": [0.5]})  # whose row has floats alone
        same(reader, schema, frame)
    assert not recalled(reader, pandas.DataFrame({"k": [2**53 + 1], "x": [0.5]}))
    assert recalled(reader, pandas.DataFrame({"k": [5], "x": [0.5]}))


class Turned(datetime.tzinfo):
    """A zone in which the clock is turned back at all times: `fold` tells times apart."""

    def utcoffset(self, when: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(hours=12 * when.fold if when else 0)

    def dst(self, when: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(0)


def test_times_that_are_equal_and_yet_not_the_same() -> None:
    zone = Turned()
    first = datetime.datetime(2020, 5, 5, 6, tzinfo=zone)
    again = first.replace(fold=1)
    assert first == again
    days = [datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=7 * k) for k in range(999)]
    schema = Schema.learn(read({"when": days, "t": list(range(999))}), "t")
    reader = RowReader(schema)
    for when in (first, again, first, again, first.replace(tzinfo=None)):
        same(reader, schema, {"when": [when]}, 2)


def test_equal_numbers_of_other_dtypes_are_other_categories() -> None:
    narrow = float(np.float32(0.1))
    data = {"c": [0.1, narrow, 0.5] * 20, "t": list(range(60))}
    schema = Schema.learn(read(data), "t", kinds={"c": "category"})
    reader = RowReader(schema)
    for dtype in ("float64", "float32", "float64"):
        for value in (narrow, 0.1):
            same(reader, schema, {"c": np.array([value], dtype)}, 2)
    wide, short = (reader.encode({"c": np.array([narrow], x)}).arrays["c"] for x in ("f8", "f4"))
    assert wide != short
