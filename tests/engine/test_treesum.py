"""Sums of blocks in a fixed tree: the same bits, whichever ranks have which blocks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from chainrule.backend.cpu.emit.frame import BLOCK, TREE
from chainrule.engine.buckets import MOST
from chainrule.engine.commonsum import CommonSum
from chainrule.engine.treesum import Tree, TreeSum, in_tree, middle, share
from chainrule.system.ranks.communicator import Serial
from chainrule.system.ranks.local import run_threads
from chainrule.system.ranks.world import world

SHAPES = [((5, 3), "float32"), ((), "float64"), ((2,), "float32"), ((0,), "float32"),
          ((997,), "float32")]  # fmt: skip


def arrays_of(block: int) -> list[Any]:
    rng = np.random.default_rng(block)
    return [np.asarray(rng.normal(size=shape) * 10.0**block, dtype) for shape, dtype in SHAPES]


class Plain:
    """Sums as arrays of their own, or in given ones."""

    def __init__(self, arrays: list[Any] | None = None) -> None:
        self.arrays = arrays or [np.full(shape, np.nan, dtype) for shape, dtype in SHAPES]
        self.flats = [x.reshape(-1) for x in self.arrays]

    def filled(self, block: int) -> Plain:
        for x, y in zip(self.arrays, arrays_of(block), strict=True):
            x[...] = y
        return self


def in_common(tree: Tree, block: Any) -> CommonSum[Plain]:
    """Sums of which all ranks see the same memory."""
    made, start = list[Plain](), 0
    for _ in [*tree.parts, "whole"]:
        arrays = []
        for shape, dtype in SHAPES:
            end = start + np.zeros(shape, dtype).nbytes
            arrays.append(block[start:end].view(dtype).reshape(shape))
            start += 64 * -(-(end - start) // 64)
        made.append(Plain(arrays))
    return CommonSum(tree, world(), Plain, made[:-1], made[-1])


def total_of(blocks: int, repeats: int = 3) -> list[bytes]:
    ranks = world()
    tree = Tree(blocks, ranks)
    block = ranks.common(1 << 17) if ranks.size > 1 else None
    sums = TreeSum(tree, ranks, Plain) if block is None else in_common(tree, block)
    for _ in range(repeats):  # arrays are used again
        sums.begin()
        for k in tree.blocks:
            sums.add((k, k + 1), sums.take(k).filled(k))
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
@pytest.mark.parametrize("apart", [True, False])
def test_every_rank_has_the_same_bits_as_one_alone(blocks: int, size: int, apart: bool) -> None:
    alone = total_of(blocks)
    found = run_threads(size, lambda: total_of(blocks), patience=20, apart=apart)
    assert found == [alone] * size


def test_a_step_that_was_not_done_leaves_nothing() -> None:
    sums = TreeSum(Tree(4, Serial()), Serial(), Plain)
    sums.add((0, 1), sums.take(0).filled(9))
    sums.begin()
    for k in range(4):
        sums.add((k, k + 1), sums.take(k).filled(k))
    assert [x.tobytes() for x in sums.total().arrays] == [x.tobytes() for x in by_hand(0, 4)]


@pytest.mark.parametrize(("blocks", "size"), [(8, 3), (8, 8), (9, 4), (2, 2)])
def test_ranks_share_all_blocks_evenly(blocks: int, size: int) -> None:
    shares = [share(blocks, size, k) for k in range(size)]
    assert [k for x in shares for k in x] == list(range(blocks))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_step_that_was_not_done_leaves_nothing_in_common_memory_either() -> None:
    def run() -> list[bytes]:
        ranks = world()
        tree = Tree(8, ranks)
        sums = in_common(tree, ranks.common(1 << 17))
        for k in list(tree.blocks)[:1]:
            sums.add((k, k + 1), sums.take(k).filled(9))
        sums.begin()
        for k in tree.blocks:
            sums.add((k, k + 1), sums.take(k).filled(k))
        return [x.tobytes() for x in sums.total().arrays]

    assert run_threads(3, run, patience=20) == [[x.tobytes() for x in by_hand(0, 8)]] * 3


def joined(low: int, high: int) -> str:
    if high - low == 1:
        return str(low)
    return f"({joined(low, middle((low, high)))} {joined(middle((low, high)), high)})"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 13, 63, MOST])
def test_words_add_blocks_in_their_tree(count: int) -> None:
    edges = [100 + 3 * k for k in range(count + 1)]
    number, *words = in_tree(edges)
    assert number == count
    levels = [""] * TREE
    for k, (start, end, level, joins) in enumerate(np.reshape(words, (count, len(BLOCK)))):
        assert (start, end) == (3 * k, 3 * k + 3)
        levels[level] = str(k)
        for top in range(level, level - joins, -1):
            levels[top - 1] = f"({levels[top - 1]} {levels[top]})"
    assert levels[0] == joined(0, count)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 64])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_spans_are_the_largest_parts_of_the_tree_on_one_rank(size: int, most: int) -> None:
    def spans() -> list[tuple[int, int]]:
        return Tree(11, world()).spans(most)

    found = run_threads(size, spans) if size > 1 else [spans()]
    blocks = [k for each in found for span in each for k in range(*span)]
    assert blocks == list(range(11))
    assert all(high - low <= most for each in found for low, high in each)
    whole = Tree(11, Serial())
    for each in found:
        for left, right in pairwise(each):
            assert not whole.siblings(left, right) or right[1] - left[0] > most
