"""The order of rows block by block, and the rows that validate."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.data.windows import (
    HELD_BYTES,
    HELD_ROWS,
    WINDOW_BYTES,
    WINDOW_ROWS,
    BlockShuffle,
    Held,
    held_rows,
    order_of_windows,
    windows_of,
)
from chainrule.errors import DataError, SettingError


def orders(taken: Any, total: int, seed: int | None, rows: int, window: int) -> Any:
    windows = windows_of(taken, total, BlockShuffle(rows, window=window), seed)
    order = order_of_windows(taken, windows)
    return lambda epoch: order(epoch, 1)


@pytest.mark.parametrize("total", [1, 7, 64, 65, 1000])
@pytest.mark.parametrize(("rows", "window"), [(1, 1), (3, 4), (8, 64), (2000, 2)])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_an_epoch_takes_each_row_once(total: int, rows: int, window: int, share: float) -> None:
    train, _ = Held(share, 3).numbers(total)
    if len(train):
        order = orders(train, total, 1, rows=rows, window=window)
        first, second = order(1), order(2)
        npt.assert_array_equal(np.sort(first), train)
        npt.assert_array_equal(np.sort(second), train)
        npt.assert_array_equal(first, order(1))
        if total == 1000 and rows < 2000:
            assert (first != second).any()


def test_the_order_is_fixed() -> None:
    """Fixed numbers: another order would be another training run for everybody."""
    order = orders(np.arange(12), 12, 7, rows=2, window=2)
    assert order(1).tolist() == orders(np.arange(12), 12, 7, rows=2, window=2)(1).tolist()
    windows = windows_of(np.arange(12), 12, BlockShuffle(2, window=2), 7).epoch(1).windows
    assert [sorted(x // 3 for x in w) for w in windows] == [[0, 1]] * 3, "one of each stretch"


def test_without_a_seed_rows_keep_their_order() -> None:
    npt.assert_array_equal(orders(np.arange(50), 50, None, rows=4, window=3)(5), np.arange(50))


def test_minibatches_of_a_sorted_file_are_as_mixed_as_those_of_a_shuffled_one() -> None:
    """Counts of ten classes in minibatches of 100, for rows sorted by class."""
    total, size = 200_000, 100
    classes = np.sort(np.arange(total) % 10)
    order = orders(np.arange(total), total, 0, rows=128, window=64)(1)
    shuffled = np.random.default_rng(0).permutation(total)

    def spread(rows: Any) -> float:
        batches = classes[rows].reshape(-1, size)
        counts = np.stack([np.bincount(x, minlength=10) for x in batches])
        return float(counts.std(axis=0).mean())

    assert spread(order) < 1.1 * spread(shuffled)
    whole = classes[order[: 64 * 128]]  # of the first window: nearly equal shares
    assert np.abs(np.bincount(whole) / len(whole) - 0.1).max() < 0.02
    runs = classes[orders(np.arange(total), total, 0, rows=128, window=1)(1)]
    assert spread(np.argsort(runs, kind="stable")) > 3 * spread(shuffled), "the measure sees runs"


def test_the_size_of_a_block_follows_from_that_of_a_row() -> None:
    for row_bytes in (1, 24, 3072, 1 << 30):
        rows = BlockShuffle().sized(row_bytes).rows
        assert rows is not None
        assert rows & (rows - 1) == 0
        window = rows * BlockShuffle().window
        most = min(WINDOW_ROWS, WINDOW_BYTES // row_bytes)
        assert rows == 1 or window <= most < 2 * window
    assert BlockShuffle(5).sized(24) == BlockShuffle(5)


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"window": 0}, {"rows": 1.5}, {"window": True}])
def test_a_wrong_size_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="at least 1"):
        cr.BlockShuffle(**wrong)


def test_rows_validate_by_their_number_alone() -> None:
    held = Held(0.2, 5)
    train, validates = held.numbers(100_000)
    npt.assert_array_equal(np.sort(np.concatenate([train, validates])), np.arange(100_000))
    assert abs(len(validates) - 20_000) < 600
    assert set(validates) != set(Held(0.2, 6).numbers(100_000)[1])
    assert set(Held(0.1, 5).numbers(100_000)[1]) < set(validates), "a smaller share is a part"
    npt.assert_array_equal(held.of(777, 1234), np.isin(np.arange(777, 1234), validates))
    for block in (1, 1000, 4096, 1 << 20):
        each = np.bincount(train // block, minlength=-(-100_000 // block))
        npt.assert_array_equal(held.counts(100_000, block), each)


def test_the_rows_that_validate_are_bounded() -> None:
    rows = 10**9
    assert held_rows(rows, 0.2, 0, 8).fraction * rows == pytest.approx(HELD_ROWS)
    assert held_rows(rows, 0.2, 0, 4096).fraction * rows == pytest.approx(HELD_BYTES / 4096)
    assert held_rows(1000, 0.2, 0, 4096).fraction == 0.2
    assert held_rows(1000, None, 0, 8).fraction == held_rows(1000, 0, 0, 8).fraction == 0
    with pytest.raises(SettingError, match="between 0 and 1"):
        held_rows(1000, 1.5, 0, 8)
    with pytest.raises(DataError, match="too few rows"):
        held_rows(1, 0.2, 0, 8)
