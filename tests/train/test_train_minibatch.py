"""Which rows make which minibatch."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.testing as npt
import pytest

from chainrule.engine.minibatch import Minibatches
from chainrule.engine.order import NativeOrder
from chainrule.train.minibatch import MANY, order_of, shuffle


def test_an_order_is_a_function_of_seed_and_epoch_alone() -> None:
    rows = np.arange(100, 150)
    npt.assert_array_equal(shuffle(rows, 3, 2), shuffle(rows, 3, 2))
    npt.assert_array_equal(np.sort(shuffle(rows, 3, 2)), rows)
    npt.assert_array_equal(rows, np.arange(100, 150))
    seeds = (0, 1, 2**32, 2**63, 2**63 + 1, 2**64 - 1)
    orders = [tuple(shuffle(rows, seed, epoch)) for seed in seeds for epoch in (1, 2, 1000)]
    assert len(set(orders)) == len(orders)


def test_the_order_is_that_of_philox() -> None:
    """Fixed numbers: another order would be another training run for everybody."""
    assert shuffle(np.arange(6), 0, 1).tolist() == shuffle(np.arange(6), 2**64, 1).tolist()
    words = np.random.Philox(key=np.array([7, 3], np.uint64)).random_raw(6)
    assert shuffle(np.arange(6), 7, 3).tolist() == np.argsort(words).tolist()


def test_every_place_is_as_likely() -> None:
    firsts = [shuffle(np.arange(4), seed, 1)[0] for seed in range(2000)]
    assert np.bincount(firsts, minlength=4).min() > 430


@pytest.mark.parametrize(
    ("rows", "size", "sizes"),
    [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 4, [3]), (1, 1, [1]), (0, 4, []), (5, 100, [5])],
)
def test_minibatches(rows: int, size: int, sizes: list[int]) -> None:
    parts = Minibatches(np.arange(rows), size)
    assert parts.ends.tolist() == [0, *itertools.accumulate(sizes)]
    assert [len(part) for part in parts] == sizes
    assert list(itertools.chain(*parts)) == list(range(rows))


def test_some_of_the_minibatches() -> None:
    parts = Minibatches(np.arange(10), 4)
    assert parts[-1].tolist() == [8, 9]
    assert [p.tolist() for p in parts[1:3]] == [[4, 5, 6, 7], [8, 9]]
    assert parts[1:3].ends.tolist() == [0, 4, 6]
    assert len(parts[2:2]) == len(parts[5:]) == 0
    with pytest.raises(IndexError):
        parts[3]


@pytest.mark.parametrize("size", [3, 5, 10, 11])
@pytest.mark.parametrize("seed", [None, 4])
def test_several_epochs_are_cut_one_by_one(size: int, seed: int | None) -> None:
    rows = np.arange(100, 110)
    parts = Minibatches(order_of(rows, seed)(7, 3), size, 3)
    orders = [rows if seed is None else shuffle(rows, seed, epoch) for epoch in (7, 8, 9)]
    single = [Minibatches(order, size) for order in orders]
    expected = [batch.tolist() for each in single for batch in each]
    assert [batch.tolist() for batch in parts] == expected
    assert parts[-1].tolist() == expected[-1]
    assert np.diff(parts.ends).tolist() == [len(batch) for batch in expected]
    assert parts.ends[0] == 0
    assert [parts.epoch(k).rows.tolist() for k in range(3)] == [x.tolist() for x in orders]
    with pytest.raises(IndexError):
        parts[len(expected)]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 33, 1000, 1023, 1024, 1025, 5000])
def test_machine_code_gives_the_same_orders(n: int) -> None:
    rows = np.random.default_rng(n).permutation(n) + 5
    for seed in (0, 3, 2**63, 2**64 - 1, 2**64 + 3):
        order = order_of(rows, seed, MANY, native=True)
        assert isinstance(order, NativeOrder)
        for first, count in ((1, 1), (2, 3), (10**6, 1)):
            expected = [shuffle(rows, seed, first + k) for k in range(count)]
            npt.assert_array_equal(order(first, count), np.concatenate(expected))


def test_machine_code_is_loaded_for_long_runs_alone() -> None:
    rows = np.arange(100)
    assert isinstance(order_of(rows, 1, MANY // 100 + 1, native=True), NativeOrder)
    short, interpreted = order_of(rows, 1, 20, native=True), order_of(rows, 1, MANY)
    assert not isinstance(short, NativeOrder)
    assert not isinstance(interpreted, NativeOrder)
    npt.assert_array_equal(short(3, 2), interpreted(3, 2))
    npt.assert_array_equal(order_of(rows, None, MANY, native=True)(3, 1), rows)
