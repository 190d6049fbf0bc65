"""Splits: every row once, classes and groups and time respected, the same for ever."""

from datetime import date, timedelta

import numpy as np
import pytest

from chainrule.data import holdout, read, shuffled
from chainrule.errors import DataError, SettingError


def test_shuffle_is_fixed_for_ever():
    assert sorted(shuffled(100, 3).tolist()) == list(range(100))
    assert shuffled(8, 0).tolist() == shuffled(8, 0).tolist()
    assert shuffled(50, 0).tolist() != shuffled(50, 1).tolist()
    words = np.random.Philox(key=7).random_raw(20)
    assert shuffled(20, 7).tolist() == sorted(range(20), key=lambda i: words[i])


@pytest.mark.parametrize("n", [2, 3, 10, 101])
@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.99])
def test_every_row_goes_to_one_side(n, fraction):
    train, validation, sentence = holdout(n, fraction, 1)
    assert sorted([*train, *validation]) == list(range(n))
    assert len(validation) == min(max(round(n * fraction), 1), n - 1)
    rows = "1 row" if len(train) == 1 else f"{len(train)} rows"
    assert f"{rows} to train, {len(validation)} to validate" in sentence


def test_sentence_is_the_promised_one():
    classes = np.repeat([0, 1, 2], [152, 124, 68])
    sentence = holdout(344, 0.2, 0, stratify=classes)[2]
    assert sentence == (
        "80 % / 20 %: 275 rows to train, 69 to validate, shuffled and stratified by class, seed 0"
    )


def test_stratified_shares_are_kept():
    classes = np.repeat(["a", "b", "c"], [500, 300, 200])
    for seed in range(5):
        _, validation, _ = holdout(1000, 0.1, seed, stratify=classes)
        _, counts = np.unique(classes[validation], return_counts=True)
        assert counts.tolist() == [50, 30, 20]


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.9])
def test_every_class_trains(fraction):
    classes = np.array([0] * 20 + [1] * 2 + [2] * 1 + [3] * 3)
    for seed in range(10):
        train, _, _ = holdout(26, fraction, seed, stratify=classes)
        assert set(classes[train]) == {0, 1, 2, 3}


def test_stratified_rows_depend_on_the_seed_only():
    classes = np.array(["x", "y"] * 50, object)
    first = holdout(100, 0.3, 5, stratify=classes)[1]
    assert first.tolist() == holdout(100, 0.3, 5, stratify=read({"c": classes})["c"])[1].tolist()
    assert first.tolist() != holdout(100, 0.3, 6, stratify=classes)[1].tolist()


def test_groups_stay_whole():
    groups = np.random.default_rng(0).integers(0, 30, 400)
    train, validation, sentence = holdout(400, 0.25, 2, groups=groups)
    assert not set(groups[train]) & set(groups[validation])
    assert abs(len(validation) - 100) <= np.bincount(groups).max()
    assert "30 groups kept whole" in sentence
    uneven = np.array([0] * 98 + [1, 2])
    for seed in range(6):
        train, validation, _ = holdout(100, 0.2, seed, groups=uneven)
        assert len(train) > 0
        assert len(validation) > 0


def test_time_validates_on_the_latest():
    days = np.datetime64("2020-01-01") + np.random.default_rng(0).permutation(100) // 4
    train, validation, sentence = holdout(100, 0.2, 0, time=days)
    assert days[train].max() < days[validation].min()
    assert len(validation) == 20
    assert "latest rows by time" in sentence


@pytest.mark.parametrize(
    ("write", "how"),
    [
        (lambda day: day.strftime("%d.%m.%Y"), ""),
        (lambda day: day.strftime("%m/%d/%Y %I:%M %p"), ""),
        (lambda day: f"{(day - date(2000, 1, 1)).days:,}", ""),
        (lambda day: day, ""),
        (lambda day: day.strftime("week %Y-%m-%d"), ", sorted as text"),
    ],
)
def test_time_as_text_is_sorted_as_what_it_means(write, how):
    days = [date(2020, 1, 1) + timedelta(days=7 * int(k)) for k in
            np.random.default_rng(0).permutation(100)]  # fmt: skip
    latest = sorted(range(100), key=days.__getitem__)[-20:]
    texts = [write(day) for day in days]
    for time in (texts, read({"t": texts})["t"]):
        _, validation, sentence = holdout(100, 0.2, 0, time=time)
        assert validation.tolist() == sorted(latest)
        assert sentence.endswith(f"the latest rows by time{how}")


@pytest.mark.parametrize(
    ("n", "fraction", "options", "error", "words"),
    [
        (10, 0.0, {}, SettingError, "between 0 and 1"),
        (10, 1.0, {}, SettingError, "between 0 and 1"),
        (10, float("nan"), {}, SettingError, "between 0 and 1"),
        (10, True, {}, SettingError, "between 0 and 1"),
        (1, 0.2, {}, DataError, "at least 2"),
        (3, 0.2, {"groups": [1, 1, 1]}, DataError, "one group"),
        (3, 0.2, {"time": [1, 1, 1]}, DataError, "same time"),
        (3, 0.2, {"time": [1, np.nan, 2]}, DataError, "row 2"),
        (3, 0.2, {"groups": ["a", None, "b"]}, DataError, "gaps"),
        (3, 0.2, {"stratify": [1, 2]}, DataError, "shape"),
        (3, 0.2, {"stratify": [1, 2, 3]}, DataError, "two rows"),
        (3, 0.2, {"stratify": [1, 2, 2], "time": [1, 2, 3]}, SettingError, "one way"),
        (3, 0.2, {"seed": -1}, SettingError, "seed"),
    ],
)
def test_what_cannot_be_split(n, fraction, options, error, words):
    with pytest.raises(error, match=words):
        holdout(n, fraction, **options)
