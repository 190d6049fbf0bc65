"""Tables unlike the training data are told, a line a column; like ones are not."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import Schema, read

RNG = np.random.default_rng(0)


def drawn(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Columns that are hard to judge: heavy tails, mostly one value, few rows of a level."""
    return {
        "normal": rng.normal(size=n),
        "huge": -rng.lognormal(sigma=2, size=n),
        "cauchy": rng.standard_cauchy(n),
        "counts": rng.poisson(1, n).astype(float),
        "zeros": np.where(rng.random(n) < 0.97, 0.0, rng.lognormal(sigma=2, size=n)),
        "gaps": np.where(rng.random(n) < 0.5, np.nan, rng.normal(size=n)),
        "flag": rng.random(n) < 0.05,
        "level": np.array([f"l{k}" for k in np.minimum(rng.zipf(1.5, n), 45)]),
        "many": np.array([f"m{k}" for k in np.minimum(rng.zipf(1.3, n), 5000)]),
        "when": np.datetime64("2020-01-01") + rng.integers(0, 900, n),
        "y": rng.normal(size=n),
    }


def told(train: object, later: object) -> list[str]:
    """The notes on a later table, but those on values that training had not at all."""
    kinds = {"level": "category", "many": "category"}
    names = read(train).columns
    schema = Schema.learn(read(train), "y", kinds={k: v for k, v in kinds.items() if k in names})
    return others(schema.encode(read(later), "none").notes)


def others(notes: list[str]) -> list[str]:
    return [x for x in notes if "unseen value" not in x and "training had none" not in x]


@pytest.mark.parametrize("rows", [40, 150, 1000, 4000])
def test_a_random_part_of_the_same_rows_is_silent(rows: int) -> None:
    for _ in range(8):
        table = read(drawn(rows + rows // 3, RNG))
        train = table.take(np.arange(rows))
        for count in (12, rows // 3):
            assert told(train, table.take(np.arange(rows, rows + count))) == []


def test_the_sets_that_are_included_are_silent_too() -> None:
    for name, target in (("penguins", "species"), ("digits", "digit"), ("moons", "label")):
        table = read(name)
        for seed in range(4):
            order = np.random.default_rng(seed).permutation(len(table))
            cut = len(table) * 3 // 4
            schema = Schema.learn(table.take(np.sort(order[:cut])), target)
            notes = schema.encode(table.take(np.sort(order[cut:])), "none").notes
            assert all("read as a gap" in note for note in others(notes))


AGES = {"age": RNG.uniform(1, 80, 900).round(), "y": RNG.normal(size=900)}


@pytest.mark.parametrize(
    ("ages", "line"),
    [
        ([30_000.0], "1 of 1 row (100 %) outside of the training range 1 to 80: 30,000"),
        ([20_000.0, 45, 70_000],
         "2 of 3 rows (67 %) outside of the training range 1 to 80: 20,000 to 70,000"),
        ([-90.0, 190], "2 of 2 rows (100 %) outside of the training range 1 to 80: -90 to 190"),
        (list(np.linspace(60, 100, 200)),
         "100 of 200 rows (50 %) outside of the training range 1 to 80: 80.1 to 100"),
    ],
)  # fmt: skip
def test_numbers_far_outside_are_told_with_count_and_range(ages, line: str) -> None:
    assert told(AGES, {"age": ages}) == [f"column 'age': {line}"]


def test_numbers_within_the_range_but_elsewhere_are_told() -> None:
    (line,) = told(AGES, {"age": np.linspace(1, 2, 60)})
    assert "half of the values up to 1.5, there up to 4" in line
    assert told(AGES, {"age": [1.0, 2.0]}) == [], "two rows may be so by chance"


def test_where_the_middles_are_written_alike_the_shares_are_told() -> None:
    train = {"year": np.linspace(2023.6, 2024.4, 600), "y": np.arange(600.0)}
    assert told(train, {"year": np.linspace(2023.61, 2023.7, 200)}) == [
        "column 'year': distributed otherwise than in training: 100 % of the values up to 2024, "
        "there 14 %"
    ]


def test_dates_far_outside_are_told_as_dates() -> None:
    days = np.datetime64("2020-01-01") + np.arange(400)
    (line,) = told({"when": days, "y": np.arange(400.0)}, {"when": days[:50] + 3000})
    assert line.startswith(
        "column 'when': 50 of 50 rows (100 %) outside of the training range "
        "2020-01-01 to 2021-02-03: 2028-03-19 to"
    )


def test_shares_of_categories_and_gaps_that_differ_grossly_are_told() -> None:
    train = {
        "sex": ["f", "m", "m"] * 100, "x": [*np.arange(297.0), None, None, None],
        "town": ["a", "b", None] * 100, "y": np.arange(300.0),
    }  # fmt: skip
    later = {"sex": ["f"] * 60, "x": [None] * 50 + [1.0] * 10, "town": ["a", "b", None] * 20}
    assert told(train, later) == [
        "column 'x': 50 of 60 rows (83 %; in training 1 %) are gaps",
        "column 'sex': 'f' in 60 of 60 rows (100 %), in training 33 %",
    ]


def test_unseen_categories_have_their_share_and_rare_ones_only_where_there_are_more() -> None:
    train = {"c": [f"c{k % 60}" for k in range(600)] + [f"once {k}" for k in range(30)]}
    train["y"] = np.arange(630.0)
    schema = Schema.learn(read(train), "y", kinds={"c": "category"})
    usual = {"c": [f"c{k % 60}" for k in range(95)] + [f"new {k}" for k in range(5)]}
    assert schema.encode(read(usual), "none").notes == []
    notes = schema.encode(read({"c": ["c1"] * 60 + ["new"] * 40}), "none").notes
    assert "column 'c': 40 of 100 rows with unseen or rare values, grouped" in notes
    assert len(schema.encode(read({"c": ["new"]}), "none").notes) == 1


def test_many_columns_are_named_together() -> None:
    train = {f"p{k}": RNG.normal(size=100) for k in range(30)} | {"y": np.arange(100.0)}
    notes = told(train, {name: 1e6 * x for name, x in train.items()})
    assert len(notes) == 11
    assert notes[-1].startswith("20 more columns unlike training: 'p10', 'p11'")


def test_predictions_and_scores_pass_them_on() -> None:
    model = cr.train(AGES, "y", epochs=1, verbose=False)
    later = {"age": AGES["age"][:50] * 1000, "y": AGES["y"][:50]}
    (line,) = model.predict(later).notes
    assert line.startswith("column 'age': 50 of 50 rows (100 %) outside")
    assert model.evaluate(later).notes == (line,)


def test_models_of_earlier_versions_have_no_shares_and_are_silent_about_them() -> None:
    schema = Schema.learn(read({"c": ["a", "b"] * 50, "y": np.arange(100.0)}), "y")
    content = schema.to_dict()
    del content["columns"][0]["counts"]
    old = Schema.from_dict(content)
    assert old.encode(read({"c": ["a"] * 100}), "none").notes == []
