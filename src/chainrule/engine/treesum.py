"""Sums over the blocks of a minibatch, added in a fixed tree, whichever rank has which blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

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
        blocks: that this rank computes.
        joins: that it takes part in, in order.
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


class _Sums:
    """Arrays of given shapes, those of one type next to each other, to be sent in one piece."""

    def __init__(self, shapes: Sequence[tuple[tuple[int, ...], str]]) -> None:
        sizes: dict[str, int] = {}
        places = []
        for shape, dtype in shapes:
            size, start = math.prod(shape), sizes.get(dtype, 0)
            sizes[dtype] = start + size
            places.append((dtype, start, start + size, shape))
        flats = {dtype: np.empty(size, dtype) for dtype, size in sizes.items()}
        self.flats: list[Array] = list(flats.values())
        self.arrays: list[Array] = [
            flats[dtype][start:end].reshape(shape) for dtype, start, end, shape in places
        ]


@dataclass
class TreeSum:
    """The sums of one exchange: the arrays of each block in turn, then those of all blocks.

    Args:
        tree: of the blocks.
        ranks: that have them.
        shapes: of the arrays, with their types.
    """

    tree: Tree
    ranks: Communicator
    shapes: Sequence[tuple[tuple[int, ...], str]]
    _parts: list[tuple[Span, _Sums]] = field(default_factory=list, init=False)
    _free: list[_Sums] = field(default_factory=list, init=False)

    @property
    def zeros(self) -> list[Array]:
        """The arrays of a block without rows."""
        return [np.zeros((), dtype) for _, dtype in self.shapes]

    def begin(self) -> None:
        """Forget what a step that was not done has added."""
        self._free += [sums for _, sums in self._parts]
        self._parts = []

    def add(self, block: int, arrays: Sequence[Array]) -> None:
        """Take the arrays of a block of this rank; its blocks come in order."""
        parts, here = self._parts, (block, block + 1)
        if parts and self.tree.siblings(parts[-1][0], here):
            span, sums = parts.pop()
            here = span[0], block + 1
            for x, y in zip(sums.arrays, arrays, strict=True):
                x += y
        else:
            sums = self._take()
            for x, y in zip(sums.arrays, arrays, strict=True):
                x[...] = y
        parts.append((here, sums))
        while len(parts) > 1 and self.tree.siblings(parts[-2][0], parts[-1][0]):
            (right, more), (left, sums) = parts.pop(), parts.pop()
            self._join(sums, more)
            parts.append(((left[0], right[1]), sums))

    def total(self) -> list[Array]:
        """The sums over all blocks, the same on every rank; the next `add` writes over them."""
        have = dict(self._parts)
        self._parts = []
        for join in self.tree.joins:
            sent = [(to, x) for to, span in join.sent for x in have[span].flats]
            received: list[tuple[int, Array]] = []
            if join.received is not None:
                source, span = join.received
                have[span] = self._take()
                received = [(source, x) for x in have[span].flats]
            self.ranks.exchange(sent, received)
            left, right = have.pop(join.left), have.pop(join.right)
            self._join(left, right)
            have[join.left[0], join.right[1]] = left
        (sums,) = have.values()
        self._free.append(sums)
        return sums.arrays

    def _join(self, left: _Sums, right: _Sums) -> None:
        for x, y in zip(left.flats, right.flats, strict=True):
            x += y
        self._free.append(right)

    def _take(self) -> _Sums:
        """Arrays to fill."""
        return self._free.pop() if self._free else _Sums(self.shapes)
