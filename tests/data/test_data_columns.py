"""Encoders of single columns, against hand-computed arrays."""

import msgspec
import numpy as np
import pytest

from chainrule.data import read
from chainrule.data.columns.columns import BooleanColumn, CategoryColumn, NumberColumn, learn_column
from chainrule.data.columns.dates import DateColumn
from chainrule.data.columns.stats import KNOTS, Stats, stats_of
from chainrule.data.columns.text import TextColumn
from chainrule.errors import DataError


def column(values, name="c"):
    return read({name: values})[name]


def test_statistics_against_numpy():
    values = np.random.default_rng(0).normal(3, 2, 501)
    stats = stats_of(np.append(values, [np.nan, np.nan]))
    assert (stats.count, stats.gaps) == (501, 2)
    np.testing.assert_allclose(
        [stats.mean, stats.std, stats.median],
        [values.mean(), values.std(), np.median(values)],
        rtol=1e-12,
    )
    np.testing.assert_allclose(stats.quantiles, np.quantile(values, np.linspace(0, 1, KNOTS)))
    assert stats.quantiles[0] == values.min()
    assert stats.quantiles[-1] == values.max()


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e300, 1.7e308])
def test_statistics_of_extreme_numbers_stay_finite(scale):
    stats = stats_of(np.array([-scale, 0.0, scale]))
    assert np.isfinite(stats.std)
    assert stats.std == pytest.approx(scale * np.sqrt(2 / 3), rel=1e-2)
    assert stats.median == 0


def test_statistics_without_a_number_are_zero():
    assert stats_of(np.array([np.nan])) == Stats(0, 1, 0.0, 0.0, 0.0, (0.0,) * KNOTS)


@pytest.mark.parametrize(
    "bad",
    [
        {"std": -1.0},
        {"mean": float("inf")},
        {"quantiles": (0.0,) * 5},
        {"quantiles": (1.0,) + (0.0,) * (KNOTS - 1)},
        {"count": -1},
    ],
)
def test_statistics_refuse_nonsense(bad):
    good = {
        "count": 1,
        "gaps": 0,
        "mean": 0.0,
        "std": 0.0,
        "median": 0.0,
        "quantiles": (0.0,) * KNOTS,
    }
    with pytest.raises(ValueError, match=r"finite|quantiles|negative"):
        Stats(**(good | bad))


def test_number_reads_any_storage():
    encoder = NumberColumn.fit(column([1.5, 2, 4]))
    for values, expected in [
        ([1, None], [1, np.nan]),
        ([True, False], [1, 0]),
        (["1,000.5", "x"], [1000.5, np.nan]),
    ]:
        array, notes = encoder.encode(column(values))
        np.testing.assert_array_equal(array[:, 0], expected)
        assert len(notes) == np.isnan(expected).sum()
    assert encoder.encode(column(["x", "3"]))[1] == [
        "column 'c': 1 unseen value ('x'; 1 of 2 rows) not numbers, treated as gaps"
    ]


def test_number_learns_the_decimal_comma_for_later_rows():
    encoder = NumberColumn.fit(column(["3,14", "2,5", "1,234"]))
    assert encoder.encode(column(["1,234"]))[0].tolist() == [[1.234]]


def test_boolean_in_many_spellings():
    encoder = BooleanColumn.fit(column(["Yes", "No", None]))
    assert (encoder.false, encoder.true) == ("No", "Yes")
    for values in (["no", "YES"], [False, True], [0, 1], [0.0, 1.0], ["f", "t"]):
        assert encoder.encode(column(values))[0].tolist() == [[0], [1]]
    array, notes = encoder.encode(column(["maybe", "yes"]))
    np.testing.assert_array_equal(array, [[np.nan], [1]])
    assert notes == ["column 'c': 1 unseen value ('maybe'; 1 of 2 rows) treated as gaps"]


def test_boolean_by_choice_takes_any_two_words():
    encoder = BooleanColumn.fit(column([1, 2, 1]))
    assert encoder.encode(column([2, 1]))[0].tolist() == [[1], [0]]
    with pytest.raises(DataError, match="3 distinct"):
        BooleanColumn.fit(column(["a", "b", "c"]))


def test_category_codes_gap_unseen_levels():
    encoder = CategoryColumn.fit(column(["b", "a", None, "a"]))
    assert encoder.levels == ("a", "b")
    assert encoder.width == 4
    codes, notes = encoder.encode(column(["a", "z", None, "b", "z", "y"]))
    assert codes.tolist() == [2, 1, 0, 3, 1, 1]
    assert codes.dtype == np.int32
    assert notes == ["column 'c': 2 unseen values ('y', 'z'; 3 of 6 rows) treated as unseen"]


def test_category_of_numbers_meets_them_in_any_storage():
    encoder = CategoryColumn.fit(column([1, 2, 10]))
    for values in ([10, 1], [10.0, 1.0], ["10", "1"]):
        codes, notes = encoder.encode(column(values))
        assert [encoder.levels[c - 2] for c in codes] == ["10", "1"]
        assert notes == []


def test_new_gaps_are_noted_only_where_training_had_none():
    for values, told in [(["a", "b"], 1), (["a", None], 0)]:
        notes = CategoryColumn.fit(column(values)).encode(column(["a", None]))[1]
        assert len(notes) == told


def test_rare_levels_are_grouped_only_in_large_columns():
    values = [f"common {i % 60}" for i in range(600)] + [f"once {i}" for i in range(30)]
    encoder = CategoryColumn.fit(column(values))
    assert (len(encoder.levels), encoder.rare) == (60, 30)
    assert (encoder.encode(column(["once 3"]))[0] == 1).all()
    assert CategoryColumn.fit(column(["a", "b", "b"])).rare == 0
    many = [f"l{i % 1500}" for i in range(4500)] + ["l7"] * 9
    encoder = CategoryColumn.fit(column(many))
    assert len(encoder.levels) == 1000
    assert "l7" in encoder.levels


def test_date_parts_by_hand():
    encoder = DateColumn.fit(column(["2020-01-01", "2021-07-02", "2022-12-31T12:00"]))
    stamps = column([np.datetime64("2020-01-01"), np.datetime64("1970-01-02T06:00"), None])
    array, _ = encoder.encode(stamps)
    parts = {name.split(".")[1]: array[:, i] for i, (name, _) in enumerate(encoder.parts)}
    np.testing.assert_allclose(parts["days"], [18262, 1.25, np.nan])
    np.testing.assert_allclose(parts["year"], [2020, 1970, np.nan])
    np.testing.assert_allclose(parts["yearday_sin"][0], 0, atol=1e-12)
    np.testing.assert_allclose(parts["hour_sin"][:2], [0, 1], atol=1e-12)
    wednesday, friday = np.exp(2j * np.pi * np.array([2, 4]) / 7)
    np.testing.assert_allclose(parts["weekday_sin"][:2], [wednesday.imag, friday.imag])
    np.testing.assert_allclose(parts["weekday_cos"][:2], [wednesday.real, friday.real])


def test_date_leaves_out_parts_that_do_not_vary():
    names = [name for name, _ in DateColumn.fit(column(["2020-01-01", "2020-06-01"])).parts]
    assert "c.days" in names
    assert "c.year" not in names
    assert "c.hour_sin" not in names


def test_date_format_of_training_reads_later_rows():
    encoder = DateColumn.fit(column(["13/02/2020", "01/02/2020"]))
    array, notes = encoder.encode(column(["03/04/2020", "2020-04-03", "soon"]))
    assert (
        array[0, 0]
        == array[1, 0]
        == (np.datetime64("2020-04-03") - np.datetime64("1970")).astype(int)
    )
    assert np.isnan(array[2]).all()
    assert notes == ["column 'c': 1 cell not a date read as day/month/year, treated as gaps"]


def test_text_against_an_independent_tf_idf():
    texts = ["red red dress", "blue dress", "red shoe", None]
    encoder = TextColumn.fit(column(texts))
    assert encoder.words == ("dress", "red")  # in two rows or more
    array, notes = encoder.encode(column(["Red, RED dress!", "green", None]))
    idf = np.log(4 / 3) + 1  # 3 rows with text, each word in 2
    expected = np.array([1, 2]) * idf
    np.testing.assert_allclose(array[0], expected / np.linalg.norm(expected), rtol=1e-6)
    assert not array[1:].any()
    assert array.dtype == np.float32
    assert notes == ["column 'c': 1 text without a known word"]


def test_text_keeps_the_most_frequent_words():
    encoder = TextColumn.fit(column(["a b", "a b", "a c", "a c", "b"]), width=2)
    assert encoder.words == ("a", "b")


@pytest.mark.parametrize(
    ("values", "kind"),
    [(["x", "y"], "number"), (["x", "y"], "date"), (["?!", "!!"], "text"),
     ([np.datetime64("2020-01-01")], "number")],
)  # fmt: skip
def test_a_kind_that_does_not_fit_is_refused(values, kind):
    with pytest.raises(DataError, match=f"'c'] cannot be read as {kind}"):
        learn_column(column(values), kind)


@pytest.mark.parametrize("kind", ["number", "boolean", "category", "date", "text", "id"])
def test_every_encoder_is_plain_data(kind):
    values = {"number": [1.5, None], "boolean": ["no", "yes"], "date": ["2020-01-01", None]}
    encoder = learn_column(column(values.get(kind, ["some words", "more words"])), kind, "why")
    content = msgspec.json.encode(encoder)
    assert msgspec.json.decode(content, type=type(encoder)) == encoder
