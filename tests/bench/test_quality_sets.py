"""The rows of the comparison: which train, which test, which the recipe may be chosen on."""

from __future__ import annotations

import numpy as np
import pytest

from bench.quality.sets import SEEDS, SETS, development, sample, split


@pytest.mark.parametrize("name", SETS)
def test_every_row_trains_or_tests_and_no_development_row_tests(name: str) -> None:
    for seed in SEEDS:
        train, test = split(name, seed)
        np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(SETS[name].rows))
        assert np.isin(development(name), train).all()
        assert len(test) == (SETS[name].fixed or SETS[name].rows // 4)


def test_a_split_is_the_same_every_time_and_another_for_each_seed() -> None:
    tests = [split("wine", seed)[1].tolist() for seed in SEEDS]
    assert tests[0] == split("wine", 0)[1].tolist()
    assert len({tuple(x) for x in tests}) == len(SEEDS)
    # These rows may never change: figures that are published stand on them.
    assert tests[0][:8] == [0, 8, 11, 13, 17, 18, 20, 21]


def test_a_sample_is_of_these_rows_and_another_for_each_seed() -> None:
    rows = split("letter", 0)[0]
    few = sample(rows, 100, 0)
    assert len(few) == 100
    assert np.isin(few, rows).all()
    assert (few != sample(rows, 100, 1)).any()
    np.testing.assert_array_equal(sample(rows, None, 0), rows)
    np.testing.assert_array_equal(sample(few, 100, 1), few)
