"""Sums over the blocks of a minibatch in memory that all ranks have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from chainrule.engine.treesum import Array, S, Tree, TreeSum
from chainrule.system.ranks.communicator import Communicator, meet

LINE = 64
"""Elements at whose multiples shares begin: no two ranks write to one cache line."""


class CommonSum(TreeSum[S]):
    """A TreeSum of which each rank adds a share of the elements, for all.

    What blocks of one rank add up to lies in common memory. When all of it is there, a rank adds
    its share of the elements in the order of the tree, and all read the totals.

    Args:
        tree, ranks, make: see TreeSum.
        parts: sums in common memory for each part of the tree.
        whole: that of the totals.
    """

    def __init__(
        self, tree: Tree, ranks: Communicator, make: Callable[[], S], parts: Sequence[S], whole: S
    ) -> None:
        super().__init__(tree, ranks, make)
        self._common = dict(zip(tree.parts, parts, strict=True))
        self._first = {low: sums for (low, _), sums in self._common.items()}
        self._whole = whole

    def begin(self) -> None:
        """See TreeSum."""
        self._parts = [x for x in self._parts if x[0][0] not in self._first]
        super().begin()

    def take(self, block: int) -> S:
        """See TreeSum: what blocks add up to lies where the first of them has it."""
        return self._first[block] if block in self._first else super().take(block)

    def total(self) -> S:
        """See TreeSum."""
        return common_totals([self])[0]

    def add_share(self) -> S:
        """Add this rank's share of the elements, when all are there; returns the totals."""
        self._parts = []
        have = {span: self._shares(sums) for span, sums in self._common.items()}
        for low, mid, high in self.tree.joints:
            left, right = have[low, mid], have[mid, high]
            have[low, high] = self._shares(self._whole) if high - low == self.tree.count else left
            with np.errstate(over="ignore", invalid="ignore"):  # the step that follows finds it
                for x, y, to in zip(left, right, have[low, high], strict=True):
                    np.add(x, y, out=to)
        return self._whole

    def _shares(self, sums: S) -> list[Array]:
        """The elements of this rank's share."""
        size, rank = self.ranks.size, self.ranks.rank
        return [x[_edge(len(x), rank, size) : _edge(len(x), rank + 1, size)] for x in sums.flats]


def _edge(count: int, rank: int, size: int) -> int:
    """The element at which the share of a rank begins."""
    return count if rank == size else count * rank // size // LINE * LINE


def common_totals(sums: Sequence[CommonSum[S]]) -> list[S]:
    """The sums over all blocks of each, the same on every rank."""
    ranks = sums[0].ranks
    meet(ranks)  # all blocks are added
    found = [x.add_share() for x in sums]
    meet(ranks)
    return found
