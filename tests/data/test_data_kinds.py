"""Kinds of columns, task of the target: the guess, its reason, and being overruled."""

import numpy as np
import pytest

from chainrule.data import guess_kinds, guess_task, read
from chainrule.data.columns import cells
from chainrule.data.columns.cells import guess_form, parse_numbers
from chainrule.data.columns.datetexts import guess_date_forms, parse_dates
from chainrule.data.columns.kinds import guess_kind
from chainrule.data.schema import Schema
from chainrule.errors import DataError, SettingError

N = 200
RNG = np.random.default_rng(0)


def kind_of(values, name="c"):
    return guess_kinds(read({name: values}))[name].name


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("c", RNG.normal(size=N), "number"),
        ("c", RNG.integers(0, 17, N), "number"),  # pixels, counts, grades: amounts
        ("c", RNG.integers(0, 2, N), "boolean"),
        ("c", RNG.integers(0, 2, N) * 1.0, "boolean"),
        ("c", RNG.random(N) < 0.5, "boolean"),
        ("c", ["yes", "no", None] * 50, "boolean"),
        ("c", ["T", "F"] * 50, "boolean"),
        ("c", ["male", "female"] * 50, "category"),
        ("c", ["1", "2", "3"] * 50, "category"),  # texts on purpose, and few
        ("c", [str(v) for v in RNG.normal(size=N)], "number"),
        ("c", ["1,234.5", "$12", "45 %"] * 20 + [str(i) for i in range(40)], "number"),
        ("c", [str(i / 7) for i in range(100)] + ["broken"], "number"),
        ("c", ["1", "2", "3+"] * 50, "category"),
        ("zip", ["02134", "94110", "10001"] * 30, "category"),
        ("zip", [94110, 10001, 60601] * 30, "category"),
        ("zip_code", [str(10_000 + i % 90) for i in range(N)] + ["V1A"], "category"),
        ("c", [f"{i:06d}" for i in range(N)], "id"),
        ("id", np.arange(N), "id"),
        ("user_id", RNG.permutation(N) + 5000, "id"),
        ("customerId", RNG.integers(0, 10**9, N), "id"),
        ("customer_id", RNG.integers(0, 20, N), "category"),
        ("customer_id", [float(i % 20) for i in range(N)] + [None], "category"),  # 3.0
        ("customer_id", [float(i) for i in RNG.permutation(N)] + [None], "id"),
        ("user_id", [*range(60), *range(60), *range(60, 90)], "category"),  # most rows share theirs
        ("tail", [f"N{k}" for k in [*range(60), *range(60), *range(60, 90)]], "category"),
        ("x", np.arange(N), "number"),  # y = f(x) on a grid is not an id
        ("day", np.arange(N), "number"),
        ("level_rank", np.arange(1, N + 1), "number"),  # levels may be in order
        ("case", np.arange(1, N + 1), "id"),  # numbers the rows
        ("case", np.arange(1, N + 1)[::-1], "number"),
        ("rank", np.arange(1, N + 1), "number"),
        ("userid", RNG.permutation(N) + 5000, "id"),
        ("covid", RNG.permutation(N) + 5000, "number"),
        ("row#", np.arange(1.0, N + 1), "id"),
        ("Seq#", RNG.permutation(N), "id"),
        ("X", np.arange(1, N + 1), "id"),  # the name that R gives to row numbers
        ("S. No.", np.arange(1, N + 1), "id"),
        ("pixel_row", RNG.integers(0, 28, N), "number"),
        ("row", RNG.integers(0, 28, N), "number"),
        ("price_index", RNG.permutation(3 * N)[:N], "number"),
        ("refractive index", RNG.normal(size=N), "number"),
        ("c", RNG.permutation(N) + 2**60, "id"),
        ("c", [f"u{i}" for i in range(N)], "id"),
        ("c", [7] * N, "constant"),
        ("c", [None] * N, "constant"),
        ("c", ["Y", None] * 50, "category"),  # one value or a gap tells something
        ("c", np.datetime64("2020-01-01") + np.arange(N), "date"),
        ("c", [f"{d}/3/2020" for d in range(1, 29)], "date"),
        ("c", ["Jan 5, 2020", "Feb 29, 2020"] * 5, "date"),
        ("c", ["5 January 2020"] * 5 + ["6 March 2021"], "date"),
        ("date", [20200131, 20191231, 20200229] * 9, "date"),
        ("amount", [20200131, 20191231, 20200229] * 9, "number"),
        ("c", [f"a fine dress number {i} indeed" for i in range(N)], "text"),
        ("c", ["north west", "south"] * 50, "category"),
    ],
)
def test_kinds(name, values, kind):
    found = guess_kinds(read({name: values}))[name]
    assert found.name == kind, found.reason
    assert found.reason
    assert "\n" not in found.reason


def test_kinds_can_be_overruled():
    table = read({"zip": [1, 2, 3], "b": ["x", "y", "x"]})
    kinds = guess_kinds(table, {"zip": "category"})
    assert (kinds["zip"].name, kinds["b"].name) == ("category", "category")
    assert kinds["zip"].reason == "chosen by you"
    with pytest.raises(SettingError, match="did you mean 'zip'"):
        guess_kinds(table, {"zipp": "category"})
    with pytest.raises(SettingError, match="did you mean 'category'"):
        guess_kinds(table, {"zip": "categorical"})


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 10, "classification"),
        ([True, False] * 10, "classification"),
        ([0, 1, 1, 0], "classification"),
        ([0.0, 1.0, 1.0, 0.0], "classification"),
        ([3, 4, 5, 6] * 10, "classification"),
        ([1, 2, 3], "regression"),
        (range(100), "regression"),
        ([0.5, 1.5] * 10, "regression"),
        ([str(i / 3) for i in range(50)], "regression"),
    ],
)
def test_task(values, task):
    column = read({"y": list(values)})["y"]
    found = guess_task(column)
    assert found.name == task
    assert found.reason
    other = {"classification": "regression", "regression": "classification"}[task]
    assert guess_task(column, other).name == other


def test_task_refusals():
    with pytest.raises(DataError, match="dates"):
        guess_task(read({"y": np.arange("2020-01", "2021-01", dtype="M8[M]")})["y"])
    with pytest.raises(SettingError, match="did you mean 'regression'"):
        guess_task(read({"y": [1, 2]})["y"], "regresion")


def test_numbers_in_texts():
    texts = ["1,234.5", "$12", "45 %", "-3e2", " 7 ", "1 234", "12a", "", "1,2,3"]
    expected = [1234.5, 12, 45, -300, 7, 1234, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(parse_numbers(texts), expected)
    np.testing.assert_array_equal(parse_numbers(["1.234,5", "3,14", "8"], ","), [1234.5, 3.14, 8])


@pytest.mark.parametrize(
    ("text", "unit"),
    [("{} kg", "kg"), ("{}kg", "kg"), ("{} \u20ac/m\u00b2", "\u20ac/m\u00b2"),
     ("{} \u00b0C", "\u00b0C"), ("EUR {}", "EUR"), ("{} Mio.", "Mio."),
     ("{} sq. ft", "sq. ft"), ("${}", ""), ("{} %", "")],
)  # fmt: skip
def test_numbers_of_one_unit_are_numbers(text, unit):
    values = [12.5, -3, 1234.5, 0.25, 7, *range(50, 80)]
    texts = [text.format(f"{v:,}") for v in values]
    assert guess_form(texts) == (".", unit)
    np.testing.assert_array_equal(parse_numbers(texts, ".", unit), values)
    commas = [t.translate(str.maketrans(",.", ".,")) if "." not in unit else t for t in texts]
    np.testing.assert_array_equal(parse_numbers(commas, *guess_form(commas)), values)
    kind = kind_of_texts(texts)
    assert kind.name == "number"
    assert unit in kind.reason
    encoder = Schema.learn(read({"x": texts, "z": values}), None).columns[0]
    found, notes = encoder.encode(read({"x": [text.format("5"), text.format("x"), None]})["x"])
    np.testing.assert_array_equal(found[:, 0], [5, np.nan, np.nan])
    assert "not numbers" in notes[0]


@pytest.mark.parametrize(
    "texts", [[f"A{k}" for k in range(60)], [f"{k} {'kg' if k % 2 else 'lb'}" for k in range(60)],
              [f"{k}:30 am" for k in range(12)], ["1st", "2nd", "3rd", "4th"], ["12ab3", "1ab4"]],
)  # fmt: skip
def test_codes_and_several_units_are_no_numbers(texts):
    assert kind_of_texts(texts).name != "number"


def kind_of_texts(texts):
    return guess_kind(read({"x": texts * 2})["x"])


def test_a_few_words_among_numbers_are_gaps_even_where_they_are_frequent():
    numbers = [f"{k / 7:.3f}" for k in range(100)]
    assert kind_of_texts(numbers + ["unknown"] * 60).name == "number"
    assert kind_of_texts(numbers + [f"word {k % 9}" for k in range(60)]).name != "number"
    task = guess_task(read({"y": numbers + ["not measured"] * 40})["y"])
    assert task.name == "regression"


def test_texts_are_parsed_once_for_all_who_share_them(monkeypatch):
    seen = []
    real = cells.parse_numbers
    monkeypatch.setattr(
        cells, "parse_numbers", lambda texts, *form: seen.append(len(texts)) or real(texts, *form)
    )
    table = read({"x": [f"${k:,}.5" for k in range(5000)], "y": [f"{k} kg" for k in range(5000)]})
    schema = Schema.learn(table, "y")
    encoded = schema.encode(table.take(np.arange(0, 5000, 2)), "required")
    np.testing.assert_array_equal(encoded.target, np.arange(0, 5000, 2))
    assert sum(size == 5000 for size in seen) == 2, "one for each column"


def test_negative_amounts_as_ledgers_write_them():
    texts = ["($1,234.50)", "$(2)", "-$5", "$-6", "\u22127.5", "- 8", "(9 %)", "-inf"]
    expected = [-1234.5, -2, -5, -6, -7.5, -8, -9, -np.inf]
    np.testing.assert_array_equal(parse_numbers(texts), expected)
    np.testing.assert_array_equal(parse_numbers(["(1.234,50 \u20ac)"], ","), [-1234.5])
    assert np.isnan(parse_numbers(["--5", "(-5)", "-(5)", "()", "-", "(", "5)"])).all()
    assert guess_form(["3,14", "2,5"]) == (",", "")
    assert guess_form(["1,234", "5.5"]) == (".", "")


@pytest.mark.parametrize(
    ("texts", "form", "first"),
    [
        (["2020-02-03", "2021-01-01"], "iso", "2020-02-03"),
        (["2020-02-03T10:00:00+02:00"], "iso", "2020-02-03T08:00"),
        (["02/13/2020", "01/02/2020"], "%m/%d/%Y", "2020-02-13"),
        (["13/02/2020", "01/02/2020"], "%d/%m/%Y", "2020-02-13"),
        (["01/02/2020"], "%m/%d/%Y", "2020-01-02"),
        (["01.02.2020"], "%d.%m.%Y", "2020-02-01"),
        (["3-Feb-2020"], "%d-%b-%Y", "2020-02-03"),
        (["02/13/2020 14:05"], "%m/%d/%Y %H:%M", "2020-02-13T14:05"),
        (["2/13/2020 2:05 PM"], "%m/%d/%Y %I:%M %p", "2020-02-13T14:05"),
    ],
)
def test_date_formats(texts, form, first):
    assert guess_date_forms(texts) == (form,)
    assert parse_dates(texts, form)[0] == np.datetime64(first)


@pytest.mark.parametrize("texts", [["a-b-c", "d e f"], ["10:30"], ["1.2.3"], ["north", "south"]])
def test_texts_that_are_not_dates(texts):
    assert guess_date_forms(texts) == ()


def test_infinities_among_integers_make_no_kind_of_integers():
    for name in ("a", "id", "date", "zip"):
        column = read({name: [np.inf, *range(1, 60)]})[name]
        assert guess_kind(column).name == "number"
    with pytest.raises(DataError, match="holds an infinity"):
        Schema.learn(read({"a": [np.inf, *range(1, 60)], "t": [0.5, *range(1, 60)]}), "t")
