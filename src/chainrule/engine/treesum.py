"""Sums over the blocks of a minibatch, added in a fixed tree, whichever rank has which blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from chainrule.system.ranks.communicator import Communicator

Array: TypeAlias = npt.NDArray[Any]
Span: TypeAlias = tuple[int, int]
"""Blocks that follow each other: the first, and the one after the last."""


def share(blocks: int, size: int, rank: int) -> range:
    """The blocks of a rank: as many as others have, or one less."""
    return range(rank * blocks // size, (rank + 1) * blocks // size)


def middle(span: Span) -> int:
    """The block at which the tree cuts some in two: before it stand the power of two below."""
    return span[0] + (1 << (span[1] - span[0] - 1).bit_length() - 1)


def in_tree(edges: Sequence[int]) -> npt.NDArray[np.int64]:
    """The words of blocks between some edges, by which a kernel adds them in their tree."""
    words, count = [len(edges) - 1], len(edges) - 1
    for k in range(count):
        level = k.bit_count()
        joins = level if k == count - 1 else (k + 1 & -k - 1).bit_length() - 1
        words += (edges[k] - edges[0], edges[k + 1] - edges[0], level, joins)
    return np.array(words, np.int64)


@dataclass(frozen=True)
class Join:
    """A node of the tree whose two parts are not on one rank alone, as a rank does it.

    Attributes:
        left, right: its parts, which are added in this order.
        sent: ranks that this one sends a part to.
        received: the rank that it has a part from; None where it has both.
    """

    left: Span
    right: Span
    sent: Sequence[tuple[int, Span]] = ()
    received: tuple[int, Span] | None = None


class Tree:
    """The fixed tree of so many blocks, as a rank sees it.

    Attributes:
        count: the blocks.
        blocks: that this rank computes.
        joins: that it takes part in, in order.
        joints: the nodes whose blocks are not on one rank alone, in order: the first block, that
            of the right part, and the one after the last.
        parts: what is left of the tree without them, in order: each on one rank.
    """

    def __init__(self, blocks: int, ranks: Communicator) -> None:
        self.count = blocks
        self._owner = [rank for rank in range(ranks.size) for _ in share(blocks, ranks.size, rank)]
        self.blocks = share(blocks, ranks.size, ranks.rank)
        self._rank = ranks.rank
        self._wholes = {(x, y) for x, _, y in self._nodes((0, blocks))}
        self.joins = [
            join
            for low, mid, high in self._nodes((0, blocks))
            if (join := self._join((low, mid), (mid, high))) is not None
        ]
        self.joints = [
            (low, mid, high)
            for low, mid, high in self._nodes((0, blocks))
            if self._owner[low] != self._owner[high - 1]
        ]
        spans = [x for low, mid, high in self.joints for x in ((low, mid), (mid, high))]
        joined = {(low, high) for low, _, high in self.joints}
        self.parts: list[Span] = sorted(x for x in spans if x not in joined)

    def spans(self, most: int) -> list[Span]:
        """The blocks of this rank in parts of the tree with at most so many, as large as may be."""
        return list(self._spans((0, self.count), most))

    def _spans(self, span: Span, most: int) -> Iterator[Span]:
        low, high = span
        if low >= self.blocks.stop or high <= self.blocks.start:
            return
        if self.blocks.start <= low and high <= self.blocks.stop and high - low <= most:
            yield span
            return
        mid = middle(span)
        yield from self._spans((low, mid), most)
        yield from self._spans((mid, high), most)

    def siblings(self, left: Span, right: Span) -> bool:
        """Whether two parts that follow each other are those of one node of the tree."""
        whole = left[0], right[1]
        return whole in self._wholes and middle(whole) == left[1]

    def _nodes(self, span: Span) -> Iterator[tuple[int, int, int]]:
        """The nodes of the tree within some blocks, parts before the whole."""
        low, high = span
        if high - low > 1:
            mid = middle(span)
            yield from self._nodes((low, mid))
            yield from self._nodes((mid, high))
            yield low, mid, high

    def _join(self, left: Span, right: Span) -> Join | None:
        """The part of this rank in a node; None where it has none, or all of it alone."""
        have = [sorted({self._owner[k] for k in range(*x)}) for x in (left, right)]
        ranks = sorted({*have[0], *have[1]})
        if self._rank not in ranks or len(ranks) == 1:
            return None
        sent: list[tuple[int, Span]] = []
        received: tuple[int, Span] | None = None
        for part, (holders, others) in zip((left, right), (have, have[::-1]), strict=True):
            lacking = [x for x in others if x not in holders]
            for k, to in enumerate(lacking):
                source = holders[k % len(holders)]
                if source == self._rank:
                    sent.append((to, part))
                if to == self._rank:
                    received = source, part
        return Join(left, right, tuple(sent), received)


class Sums(Protocol):
    """The sums of some rows: arrays of numbers, the same number of the same sizes everywhere.

    Attributes:
        flats: all elements, as arrays of one axis; what lies between them counts for nothing.
    """

    @property
    def flats(self) -> Sequence[Array]: ...


S = TypeVar("S", bound=Sums)


@dataclass
class TreeSum(Generic[S]):
    """The sums of one exchange: those of each block in turn, then those of all blocks.

    Args:
        tree: of the blocks.
        ranks: that have them.
        make: makes sums, to be filled.
    """

    tree: Tree
    ranks: Communicator
    make: Callable[[], S]
    _parts: list[tuple[Span, S]] = field(default_factory=list, init=False)
    _free: list[S] = field(default_factory=list, init=False)

    def begin(self) -> None:
        """Forget what a step that was not done has added."""
        self._free += [sums for _, sums in self._parts]
        self._parts = []

    def take(self, block: int) -> S:
        """Sums to fill with those from a block of this rank on, which `add` takes."""
        return self._free.pop() if self._free else self.make()

    def add(self, span: Span, sums: S) -> None:
        """Take the sums of a part of the tree that this rank has; they come in order."""
        parts = self._parts
        parts.append((span, sums))
        while len(parts) > 1 and self.tree.siblings(parts[-2][0], parts[-1][0]):
            (right, more), (left, sums) = parts.pop(), parts.pop()
            self._join(sums, more)
            parts.append(((left[0], right[1]), sums))

    def total(self) -> S:
        """The sums over all blocks, the same on every rank; the next `take` may give them again."""
        have = dict(self._parts)
        self._parts = []
        for join in self.tree.joins:
            sent = [(to, x) for to, span in join.sent for x in have[span].flats]
            received: list[tuple[int, Array]] = []
            if join.received is not None:
                source, span = join.received
                have[span] = self.take(span[0])
                received = [(source, x) for x in have[span].flats]
            self.ranks.exchange(sent, received)
            left, right = have.pop(join.left), have.pop(join.right)
            self._join(left, right)
            have[join.left[0], join.right[1]] = left
        (sums,) = have.values()
        self._free.append(sums)
        return sums

    def _join(self, left: S, right: S) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # the step that follows finds it
            for x, y in zip(left.flats, right.flats, strict=True):
                x += y
        self._free.append(right)
