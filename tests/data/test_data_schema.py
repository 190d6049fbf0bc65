"""The data contract: what training learned is kept by every later table, in one line each."""

import copy
import json
import pickle

import msgspec
import numpy as np
import pytest

from chainrule.data import Schema, read
from chainrule.errors import DataError, ModelFileError, SettingError

N = 60
RNG = np.random.default_rng(0)
DATA = {
    "id": np.arange(N),
    "size": np.where(np.arange(N) % 10 == 3, np.nan, RNG.normal(size=N)),
    "smoker": ["yes", "no"] * (N // 2),
    "island": ["Dream", "Biscoe", "Torgersen"] * (N // 3),
    "when": np.datetime64("2020-01-01") + 7 * np.arange(N),
    "words": [f"fine dress {['red', 'blue', 'green'][i % 3]} number {i}" for i in range(N)],
    "fixed": ["x"] * N,
    "y": ["a", "b", "b"] * (N // 3),
}


@pytest.fixture
def table():
    return read(DATA)


@pytest.fixture
def schema(table):
    return Schema.learn(table, "y")


def test_blocks_and_their_arrays(schema, table):
    encoded = schema.encode(table)
    assert [(b.name, b.kind) for b in schema.blocks] == [
        ("numbers", "numbers"), ("island", "category"), ("words", "array"),
    ]  # fmt: skip
    for block in schema.blocks:
        array = encoded.arrays[block.name]
        dtype = {"numbers": "float64", "category": "int32", "array": "float32"}[block.kind]
        assert array.dtype == dtype
        assert array.shape == ((N,) if block.kind == "category" else (N, block.width))
    numbers = schema.blocks[0]
    assert numbers.columns == ("size", "smoker", "when")
    assert [m.name for m in numbers.members][:3] == ["size", "smoker", "when.days"]
    assert [m.kind for m in numbers.members][:3] == ["number", "boolean", "date"]
    np.testing.assert_array_equal(encoded.arrays["numbers"][:, 0], DATA["size"])
    np.testing.assert_array_equal(encoded.arrays["numbers"][:, 1], [1, 0] * (N // 2))
    assert encoded.target.tolist() == [0, 1, 1] * (N // 3)
    assert schema.classes.tolist() == ["a", "b"]


def test_what_follows_from_the_fields_is_made_once_and_travels_with_no_copy(table, schema):
    before, twin = pickle.dumps(schema), Schema.learn(table, "y")
    schema.encode(table)
    assert schema.blocks is schema.blocks
    assert schema.used is schema.used
    assert pickle.dumps(schema) == before
    assert schema == twin
    again = pickle.loads(before)
    assert again == schema
    assert again.blocks == schema.blocks
    renamed = msgspec.structs.replace(schema, columns=schema.columns[:3])
    assert [block.name for block in renamed.blocks] == ["numbers"]


def test_of_one_row_only_a_number_outside_of_the_training_range_is_told(table, schema):
    for row in range(N):
        assert not schema.encode(table.take([row])).notes
    far = {name: list(values[:1]) for name, values in DATA.items()} | {"size": [1e6]}
    (note,) = schema.encode(read(far)).notes
    assert note.startswith("column 'size': 1 of 1 row (100 %) outside of the training range")


def test_members_carry_statistics(schema):
    present = DATA["size"][~np.isnan(DATA["size"])]
    size = schema.members[0]
    assert size.stats.gaps == 6
    assert size.stats.mean == pytest.approx(present.mean())
    assert size.stats.median == pytest.approx(np.median(present))


def test_a_column_called_numbers_keeps_its_name():
    table = read({"numbers": ["a", "b", "a"], "x": [1.5, 2.5, 3.5], "y": [0, 1, 0]})
    schema = Schema.learn(table, "y")
    assert list(schema.encode(table).arrays) == ["numbers_", "numbers"]


def test_later_tables_are_met_by_one_line_each(schema):
    later = read(
        {
            "extra": [1, 2, 3],
            "island": ["Dream2", "Biscoe", "Dream2"],
            "words": ["red dress", "nothing", "blue"],
            "when": ["2021-01-01", "soon", "2021-01-03"],
            "smoker": [1, None, 0],
            "size": ["1.5", "2", "big"],
        }
    )
    encoded = schema.encode(later)
    assert encoded.target is None
    np.testing.assert_array_equal(encoded.arrays["numbers"][:, 0], [1.5, 2, np.nan])
    np.testing.assert_array_equal(encoded.arrays["numbers"][:, 1], [1, np.nan, 0])
    assert encoded.arrays["island"].tolist() == [1, 2, 1]
    assert sorted(encoded.notes) == sorted(
        [
            "column 'extra' was not in training: ignored",
            "columns in another order than in training: matched by name",
            "column 'island': 1 unseen value ('Dream2'; 2 of 3 rows) treated as unseen",
            "column 'words': 1 text without a known word",
            "column 'when': 1 cell not a date read as year-month-day, treated as gaps",
            "column 'smoker': 1 gap, training had none",
            "column 'size': 1 unseen value ('big'; 1 of 3 rows) not numbers, treated as gaps",
        ]
    )


def test_one_row_gives_what_it_gave_in_training(schema, table):
    whole = schema.encode(table).arrays
    for row in (0, 3, 59):
        one = schema.encode(table.take([row])).arrays
        for name, array in whole.items():
            np.testing.assert_array_equal(one[name][0], array[row])


def test_healthy_data_is_silent(schema, table):
    assert schema.encode(table).notes == []


def test_rows_without_a_target():
    table = read({"x": [1.5, 2.5, 3.5, 4.5], "y": ["a", None, "b", ""]})
    schema = Schema.learn(table, "y")
    assert schema.rows == 2
    assert "2 rows without a target 'y' left out" in schema.notes
    needed = schema.encode(table, "required")
    assert needed.rows.tolist() == [0, 2]
    assert needed.arrays["numbers"].tolist() == [[1.5], [3.5]]
    assert needed.target.tolist() == [0, 1]
    assert schema.encode(table, "optional").target.tolist() == [0, -1, 1, -1]
    assert schema.encode(table, "none").target is None
    assert schema.encode(table.take([1, 2]), "required").rows.tolist() == [1]


def test_missing_columns_list_both_sides_and_the_nearest(schema, table):
    later = read({"Island": ["Dream"], "size": [1.0], "smoker": ["no"], "wen": ["2020-01-01"]})
    with pytest.raises(DataError) as caught:
        schema.encode(later)
    message = str(caught.value)
    assert "lacks 3 columns that training had: 'island', 'when', 'words'" in message
    assert "rename 'Island' to 'island'" in message
    assert "rename 'wen' to 'when'" in message
    assert "add a column 'words'" in message
    schema.encode(table.drop("id", "fixed", "y"))  # what was left out may be absent
    with pytest.raises(DataError, match="'y'"):
        schema.encode(table.drop("y"), "required")


def test_infinities_name_the_row_of_the_source(schema, table):
    later = read(DATA | {"size": np.where(np.arange(N) == 41, -np.inf, 1.0)})
    with pytest.raises(DataError, match="row 42, column 'size'"):
        schema.encode(later)
    with pytest.raises(DataError, match="row 42, column 'size'"):
        schema.encode(later.take(np.arange(40, 60)))
    with pytest.raises(DataError, match="row 42, column 'size'"):
        Schema.learn(later, "y")
    with pytest.raises(DataError, match="row 42, column 'size'"):
        Schema.learn(later.drop("y"), "size")


def test_guesses_are_overruled(table):
    schema = Schema.learn(table, "y", kinds={"id": "number", "words": "ignore"}, ignore=["when"])
    assert schema.blocks[0].columns == ("id", "size", "smoker")
    rows = {row.column: row for row in schema.describe()}
    assert rows["id"].reason == "chosen by you"
    assert rows["words"].treatment == "left out"
    assert rows["when"].kind == "ignore"
    assert Schema.learn(read({"x": [1.5, 2], "y": [1, 2]}), "y", kinds={"y": "category"}).task == (
        "classification"
    )
    assert Schema.learn(read({"x": [1.5, 2], "y": [0, 1]}), "y", task="regression").task == (
        "regression"
    )


def test_an_id_is_used_where_there_is_nothing_else():
    schema = Schema.learn(read({"id": np.arange(50), "y": np.arange(50) * 0.5}), "y")
    assert schema.blocks[0].columns == ("id",)


def test_describe_has_a_row_for_each_column(schema):
    rows = schema.describe()
    assert [row.column for row in rows] == list(DATA)
    kinds = [row.kind for row in rows]
    assert kinds == ["id", "number", "boolean", "category", "date", "text", "constant", "target"]
    assert rows[1].gaps == 6
    assert rows[3].distinct == 3
    assert "2 classes: a, b" in rows[-1].treatment
    assert all(row.reason for row in rows)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"target": "Y"}, SettingError, "no column 'Y'"),
        ({"target": "y", "ignore": ["sise"]}, SettingError, "did you mean 'size'"),
        ({"target": "y", "kinds": {"sise": "number"}}, SettingError, "did you mean 'size'"),
        ({"target": "y", "kinds": {"size": "numbr"}}, SettingError, "did you mean 'number'"),
        ({"target": "y", "task": "classify"}, SettingError, "classification"),
        ({"target": "fixed"}, DataError, "single class"),
        ({"target": "when"}, DataError, "dates"),
        ({"target": "y", "kinds": {"island": "number"}}, DataError, "cannot be read as number"),
    ],
)
def test_what_cannot_be_learned(table, options, error, words):
    with pytest.raises(error, match=words):
        Schema.learn(table, **options)


def test_targets_and_features_that_are_empty():
    with pytest.raises(DataError, match="only gaps"):
        Schema.learn(read({"x": [1, 2], "y": [None, ""]}), "y")
    with pytest.raises(DataError, match="no column is left"):
        Schema.learn(read({"x": [1, 1], "y": [0, 1]}), "y")
    with pytest.raises(DataError, match="no column is left"):
        Schema.learn(read({"y": [0, 1]}), "y")


def test_round_trip_through_json(schema, table):
    again = Schema.from_dict(json.loads(json.dumps(schema.to_dict(), allow_nan=False)))
    assert again == schema
    for name, array in schema.encode(table).arrays.items():
        np.testing.assert_array_equal(again.encode(table).arrays[name], array)


def _paths(content, path=()):
    """Every place in nested dicts and lists; of long lists the first entry."""
    if isinstance(content, (dict, list)):
        items = content.items() if isinstance(content, dict) else list(enumerate(content))[:2]
        for key, value in items:
            yield (*path, key)
            yield from _paths(value, (*path, key))


def test_damage_anywhere_is_refused_or_harmless(schema):
    content = schema.to_dict()
    for path in _paths(content):
        for bad in (None, -1, "zz", [], {}, 1e400, [1, 2]):
            damaged = copy.deepcopy(content)
            place = damaged
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = bad
            try:
                loaded = Schema.from_dict(damaged)
            except ModelFileError:
                continue
            assert loaded.blocks  # a valid contract of other content


@pytest.mark.parametrize("content", [None, 5, [], {}, {"columns": []}, {"columns": [{}]}])
def test_a_contract_that_is_not_valid_is_refused(content):
    with pytest.raises(ModelFileError, match="data contract"):
        Schema.from_dict(content)


def test_unknown_fields_duplicates_and_formats_are_refused(schema):
    content = schema.to_dict()
    for change in (
        lambda c: c.update(surprise=1),
        lambda c: c["columns"].append(c["columns"][1]),
        lambda c: c["columns"][4].update(form="%s"),
        lambda c: c["columns"][3].update(kind="pickle"),
        lambda c: c["target"].update(labels=["a"]),
        lambda c: c["target"].update(type="int"),
    ):
        damaged = copy.deepcopy(content)
        change(damaged)
        with pytest.raises(ModelFileError):
            Schema.from_dict(damaged)


@pytest.mark.parametrize("storage", ["csv", "dict"])
def test_training_from_a_file_predicts_from_memory_and_back(tmp_path, storage):
    path = tmp_path / "t.csv"
    rows = [
        f"{z},{f},{i % 2},{i}.5" for i, (z, f) in enumerate([("02134", "T"), ("94110", "F")] * 20)
    ]
    path.write_text("zip,flag,y,x\n" + "\n".join(rows) + "\n")
    memory = {"zip": ["02134", "94110"], "flag": [True, False], "x": ["1.5", "2.5"]}
    schema = Schema.learn(read(path), "y")
    if storage == "csv":
        later = tmp_path / "later.csv"
        later.write_text("zip,flag,x\n94110,0,2\n")
        encoded = schema.encode(read(later))
        assert encoded.arrays["zip"].tolist() == [3]
        assert encoded.arrays["numbers"].tolist() == [[0, 2]]
    else:
        encoded = schema.encode(read(memory))
        assert encoded.arrays["zip"].tolist() == [2, 3]
        assert encoded.arrays["numbers"].tolist() == [[1, 1.5], [0, 2.5]]
    assert encoded.notes == []


def test_a_million_categories():
    n = 1_000_000
    users = np.char.add("u", np.arange(n).astype(str)).astype(object)
    users[: n // 10] = "u0"
    table = read({"user": users, "x": np.arange(n) % 97, "y": np.arange(n) % 11 / 7})
    schema = Schema.learn(table, "y")
    assert [e.kind for e in schema.columns] == ["dropped", "number"]
    kept = Schema.learn(table, "y", kinds={"user": "category"})
    levels = kept.columns[0]
    assert (levels.levels, levels.rare) == (("u0",), 900_000)
    few = kept.encode(table.take([0, 5, n - 1]), "none")
    assert few.arrays["user"].tolist() == [2, 2, 1]
    with pytest.raises(DataError, match="too many to distinguish"):
        Schema.learn(table, "user", task="classification")
