"""Sums of blocks in a fixed tree: the same bits, whichever ranks have which blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule.engine.treesum import Tree, TreeSum, share
from chainrule.system.ranks.communicator import Serial
from chainrule.system.ranks.local import run_threads
from chainrule.system.ranks.world import world

SHAPES = [((5, 3), "float32"), ((), "float64"), ((2,), "float32"), ((0,), "float32")]


def arrays_of(block: int) -> list[Any]:
    rng = np.random.default_rng(block)
    return [np.asarray(rng.normal(size=shape) * 10.0**block, dtype) for shape, dtype in SHAPES]


class Plain:
    """Sums as arrays of their own."""

    def __init__(self) -> None:
        self.arrays = [np.full(shape, np.nan, dtype) for shape, dtype in SHAPES]
        self.flats = [x.reshape(-1) for x in self.arrays]

    def filled(self, block: int) -> Plain:
        for x, y in zip(self.arrays, arrays_of(block), strict=True):
            x[...] = y
        return self


def total_of(blocks: int, repeats: int = 2) -> list[bytes]:
    ranks = world()
    tree = Tree(blocks, ranks)
    sums = TreeSum(tree, ranks, Plain)
    for _ in range(repeats):  # arrays are used again
        for k in tree.blocks:
            sums.add(k, sums.take().filled(k))
        found = [x.tobytes() for x in sums.total().arrays]
    return found


def by_hand(low: int, high: int) -> list[Any]:
    """The tree: the left part is the largest power of two below all."""
    if high - low == 1:
        return arrays_of(low)
    half = 1
    while half * 2 < high - low:
        half *= 2
    left, right = by_hand(low, low + half), by_hand(low + half, high)
    return [np.asarray(x + y, x.dtype) for x, y in zip(left, right, strict=True)]


@pytest.mark.parametrize("blocks", [1, 2, 3, 5, 8, 12])
def test_a_process_alone_adds_in_the_tree(blocks: int) -> None:
    assert total_of(blocks) == [x.tobytes() for x in by_hand(0, blocks)]


@pytest.mark.parametrize(
    ("blocks", "size"), [(8, 1), (8, 2), (8, 3), (8, 4), (8, 5), (8, 7), (8, 8), (5, 2), (5, 3),
                         (12, 8), (7, 7), (3, 3)]
)  # fmt: skip
def test_every_rank_has_the_same_bits_as_one_alone(blocks: int, size: int) -> None:
    alone = total_of(blocks)
    assert run_threads(size, lambda: total_of(blocks), patience=20) == [alone] * size


def test_a_step_that_was_not_done_leaves_nothing() -> None:
    sums = TreeSum(Tree(4, Serial()), Serial(), Plain)
    sums.add(0, sums.take().filled(9))
    sums.begin()
    for k in range(4):
        sums.add(k, sums.take().filled(k))
    assert [x.tobytes() for x in sums.total().arrays] == [x.tobytes() for x in by_hand(0, 4)]


@pytest.mark.parametrize(("blocks", "size"), [(8, 3), (8, 8), (9, 4), (2, 2)])
def test_ranks_share_all_blocks_evenly(blocks: int, size: int) -> None:
    shares = [share(blocks, size, k) for k in range(size)]
    assert [k for x in shares for k in x] == list(range(blocks))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
