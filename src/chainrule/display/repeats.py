"""Repeats in a list, such as the steps of a sequence: shown once, with their number."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

LEAST = 4
"""The least number of repeats that are shown as one."""

SAVED = 12
"""The least number of elements that this leaves out."""

LONGEST = 64
"""The largest number of elements of a block."""


@dataclass(frozen=True)
class Block:
    """Some elements in a row, which come several times.

    Attributes:
        start: the place of the first element.
        size: the number of elements.
        times: how often they come, one after the other.
    """

    start: int
    size: int
    times: int

    @property
    def shown(self) -> range:
        """The places of the elements the first time."""
        return range(self.start, self.start + self.size)

    @property
    def last(self) -> int:
        """The place of the last element the last time."""
        return self.start + self.size * self.times - 1


def blocks(keys: Sequence[Hashable]) -> Iterator[Block]:
    """A list in blocks: elements that come once are blocks of their own.

    Args:
        keys: of each element what is equal for elements that are alike.
    """
    start = 0
    while start < len(keys):
        best = Block(start, 1, 1)
        for size in range(1, min(LONGEST, (len(keys) - start) // LEAST) + 1):
            if keys[start] == keys[start + size]:
                found = Block(start, size, _times(keys, start, size))
                left_out = size * (found.times - 1)
                if found.times >= LEAST and left_out >= max(
                    SAVED, best.size * (best.times - 1) + 1
                ):
                    best = found
        yield best
        start += best.size * best.times


def _times(keys: Sequence[Hashable], start: int, size: int) -> int:
    end, first = start + size, keys[start : start + size]
    while keys[end : end + size] == first:
        end += size
    return (end - start) // size


def pattern(name: str) -> str:
    """A name without its numbers: the same for the steps of a sequence and for equal layers."""
    return re.sub(r"\d+", "#", name)
