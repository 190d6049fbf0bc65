"""Targets: classes keep their type and order, numbers stay numbers, and odd ones are refused."""

import numpy as np
import pytest

from chainrule.data import check_table, read
from chainrule.data.columns.target import ClassTarget, NumberTarget
from chainrule.errors import DataError


def column(values):
    return read({"y": values})["y"]


@pytest.mark.parametrize(
    ("values", "classes", "kind"),
    [
        (["b", "a", "b"], ["a", "b"], "U"),
        ([10, 2, 10], [2, 10], "i"),
        (["10", "2", "1"], ["1", "2", "10"], "U"),
        (["0.5", "0.25", "-1"], ["-1", "0.25", "0.5"], "U"),
        (["day 10", "day 2", "a"], ["a", "day 2", "day 10"], "U"),
        ([1.0, 0.0, 1.0], [0.0, 1.0], "f"),
        ([True, False, True], [False, True], "b"),
        ([2**53 + 1, 2**53 + 3], [2**53 + 1, 2**53 + 3], "i"),
    ],
)
def test_classes_keep_type_and_order(values, classes, kind):
    target = ClassTarget.fit(column(values))
    assert target.classes.tolist() == classes
    assert target.classes.dtype.kind == kind
    codes = target.encode(column(values))
    assert codes.dtype == np.int32
    assert target.decode(codes).tolist() == values


def test_gaps_are_minus_one_and_other_storages_agree():
    target = ClassTarget.fit(column([0, 1, None, 1]))
    assert target.counts == (1, 2)
    assert target.encode(column(["1", None, "0"])).tolist() == [1, -1, 0]
    flags = ClassTarget.fit(column([True, False]))
    assert flags.encode(column(["true", "no", "1"])).tolist() == [1, 0, 1]


def test_numbers():
    target = NumberTarget.fit(column(["1.5", "2,000", None]))
    np.testing.assert_array_equal(target.encode(column(["3", None])), [3, np.nan])
    assert target.decode(np.array([1.25])).tolist() == [1.25]


def test_yes_and_no_in_many_words_are_two_classes():
    words = ["yes", "Y", "TRUE", "1", "no", "N", "False", "0", None, "off"]
    target = ClassTarget.fit(column(words))
    assert target.labels == ("False", "True")
    assert target.counts == (5, 4)
    assert target.encode(column(words)).tolist() == [1, 1, 1, 1, 0, 0, 0, 0, -1, 0]
    assert target.decode(np.array([1, 0])).tolist() == [True, False]
    kept = ClassTarget.fit(column(["yes", "no", "no"]))
    assert kept.labels == ("no", "yes")
    mixed = {"x": np.arange(90) % 7, "y": words[:8] * 11 + ["on", "off"]}
    assert not [f for f in check_table(read(mixed), "y") if f.column == "y"]


def test_unknown_classes_are_refused_with_both_sides():
    target = ClassTarget.fit(column(["a", "b"]))
    with pytest.raises(DataError, match="training did not have") as caught:
        target.encode(column(["a", "c", "c"]))
    assert "'a', 'b'" in str(caught.value)
    assert "'c' in 2 rows, the first is row 2" in str(caught.value)


@pytest.mark.parametrize(
    ("learner", "values", "words"),
    [
        (ClassTarget, ["a", "a", None], "single class"),
        (ClassTarget, [f"n{i}" for i in range(60)], "class of its own"),
        (ClassTarget, [f"n{i % 10_001}" for i in range(10_002)], "10,001 classes: too many"),
        (NumberTarget, [2.0, 2.0], "one value"),
        (NumberTarget, ["x", "y"], "no cell is a number"),
    ],
)
def test_targets_that_cannot_be_learned(learner, values, words):
    with pytest.raises(DataError, match=words):
        learner.fit(column(values))


@pytest.mark.parametrize(
    ("values", "heavy"),
    [([-1.5, 2.5, 1.3, 0.1, 1.4], False), ([-1.5, 2.5, 1.3, 0.1, 1e9], True),
     ([0.0] * 90 + [5.0, 1e9], False), (list(range(30)), False),
     ([*range(30), -1e300, 1e300], True), ([*range(97), 5e4, 6e4, 7e4], True)],
)  # fmt: skip
def test_a_heavy_tail_is_some_numbers_far_out(values, heavy):
    assert NumberTarget.fit(column(values)).heavy is heavy
