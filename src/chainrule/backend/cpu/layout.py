"""The memory layout of buffers: strides, padding, and offsets in one block."""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule.ir.kernel import BYTES, Buffer
from chainrule.plan.linearize import ROWS, Argument, Operand
from chainrule.types import N

LINE = 64
"""Bytes of a cache line; every buffer is aligned to one."""

SLACK = 256
"""Bytes after each buffer that is not the caller's: full vectors may be accessed at its end."""

MAX_NARROW = 1024
"""The most rows of less than half a line that have a line each: examples, or those of a state.

A vector would reach into the next row, so that its write has a mask, and no read of the next row
can begin before that write has ended.
"""

CALLER_OWNED = ("data", "step")
"""Spaces whose memory is the caller's: arrays as NumPy lays them out."""


def argument(buffer: Buffer, rows: int) -> Argument:
    """The layout of a buffer with room for `rows` rows."""
    if buffer is ROWS:
        return Argument("int64", (1,), "rows", (1,))
    slack, inside = buffer.space not in CALLER_OWNED, buffer.part is not None
    steps = strides(buffer, rows)
    return Argument(buffer.dtype, buffer.shape, buffer.space, steps, slack, inside)


def strides(buffer: Buffer, rows: int) -> tuple[int, ...]:
    """The strides of a buffer in elements; rows are padded unless the caller owns it."""
    if buffer.part is not None:
        whole, axis = strides(buffer.part.whole, rows), buffer.part.axis
        return (*whole[:axis], *whole[axis + 1 :])
    sizes = _sizes(buffer, rows)
    inner = [math.prod(sizes[k + 1 :]) for k in range(len(sizes))]
    if len(inner) > 1 and buffer.space not in CALLER_OWNED:
        examples = not isinstance(buffer.shape[0], int)
        lines = sizes[0] <= MAX_NARROW and (examples or buffer.space == "state")
        inner[0] = padded(inner[0], BYTES[buffer.dtype], lines=lines)
    return tuple(inner)


def padded(width: int, size: int, *, lines: bool) -> int:
    """The width of a row in memory: full cache lines, but not a multiple of 1 KiB.

    Rows of less than half a line have one each if `lines`; else they lie side by side, as those of
    a long table, or of sums that processes exchange.
    """
    line = LINE // size
    if width == 1 or (width < line // 2 and not lines):
        return width
    row = -(-width // line) * line
    return row + line if row * size % 1024 == 0 else row


def _sizes(buffer: Buffer, rows: int) -> list[int]:
    return [d if isinstance(d, int) else rows for d in buffer.shape]


def extent(buffer: Buffer, rows: int) -> int:
    """Bytes that a buffer takes, with room for `rows` rows."""
    first = strides(buffer, rows)[0] * _sizes(buffer, rows)[0] if buffer.shape else 1
    return first * BYTES[buffer.dtype]


@dataclass(frozen=True)
class Place:
    """The position of a buffer in a block.

    Attributes:
        offsets: the offsets of its sides, in bytes.
        shape, strides: in elements, and in bytes.
    """

    offsets: tuple[int, ...]
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """A place in one block for every buffer that is not the caller's; `memory` allocates a block.

    Attributes:
        places: by buffer.
        end: bytes of a block.
    """

    places: dict[Buffer, Place]
    end: int

    def memory(self) -> Memory:
        """A block, all zero but for the buffers that have a value."""
        raw = np.zeros(self.end + 4096, np.uint8)
        start = -raw.ctypes.data % 4096
        made = Memory(raw[start : start + max(self.end, 1)], self.places)
        for buffer in self.places:
            if buffer.value is not None:
                made.view(buffer)[...] = buffer.value
        return made


@dataclass(frozen=True)
class Memory:
    """A block with the buffers of a layout.

    Attributes:
        block: the bytes; the first is on a cache line.
        places: by buffer.
    """

    block: npt.NDArray[np.uint8]
    places: dict[Buffer, Place]

    def view(self, buffer: Buffer, side: int = 0) -> npt.NDArray[np.generic]:
        """The buffer as an array, without the padding; it shows what kernels write."""
        place = self.places[buffer]
        offset = place.offsets[side % len(place.offsets)]
        return np.ndarray(place.shape, buffer.dtype, self.block.data, offset, place.strides)


Lives: TypeAlias = Mapping[Buffer, tuple[int, int]]
"""The first and the last phase that use a buffer; others may use its memory in other phases."""


def lives(phases: Iterable[Iterable[Iterable[Operand]]], outputs: Iterable[Buffer]) -> Lives:
    """The times that buffers between kernels are in use, from the operands of each phase's kernels.

    The outputs are read later, and what is not of the space `work` has its memory for itself.
    Kernels of one phase never share otherwise than `same_rows` says, as no thread waits there for
    the others.
    """
    found: dict[Buffer, tuple[int, int]] = {}
    for number, phase in enumerate(phases):
        touched = {buffer for operands in phase for buffer, _ in operands}
        for buffer in touched | {x.whole for x in touched}:
            if buffer.space == "work":
                found[buffer] = found.get(buffer, (number, number))[0], number
    kept = set(outputs)
    return {buffer: life for buffer, life in found.items() if buffer not in kept}


Same: TypeAlias = Mapping[Buffer, Buffer]
"""Buffers, each with the one whose memory it takes over, row by row."""


def same_rows(
    phases: Iterable[Sequence[tuple[str, Iterable[Operand]]]],
    outputs: Iterable[Buffer],
    rows: int,
) -> Same:
    """The buffers that take over the rows of others, from split and operands of phases' kernels.

    There is room for `rows` rows. Kernels that are split by rows are a chain: a thread runs all of
    them for some rows, and what they use in one phase alone, they use for their own rows. So a
    value may lie where an earlier one of the chain lay that no kernel needs any more, if the rows
    of both are as far apart.
    """
    kept, found = set(outputs), dict[Buffer, Buffer]()
    chains: list[list[set[Buffer]]] = []
    elsewhere = set[Buffer]()
    for phase in phases:
        chains.append([])
        for split, operands in phase:
            touched = {buffer for buffer, _ in operands}
            (chains[-1].append if split == "rows" else elsewhere.update)(touched)
    uses = Counter(x for chain in chains for x in set[Buffer]().union(*chain))
    all_used = uses.keys() | elsewhere | kept
    shared = elsewhere | kept | {x for x, n in uses.items() if n > 1}
    shared |= {x.whole for x in all_used if x.part is not None}
    for chain in chains:
        free: dict[int, list[tuple[int, Buffer]]] = {}
        for buffer, (first, last) in _spans(chain, shared).items():
            slots = free.setdefault(_row_bytes(buffer, rows), [])
            place = next((k for k, (end, _) in enumerate(slots) if end < first), len(slots))
            root = slots[place][1] if place < len(slots) else buffer
            slots[place : place + 1] = [(last, root)]
            if root is not buffer:
                found[buffer] = root
    return found


def _spans(chain: Sequence[set[Buffer]], shared: set[Buffer]) -> dict[Buffer, tuple[int, int]]:
    """The first and the last kernel of a chain that use each buffer that is not shared."""
    spans: dict[Buffer, tuple[int, int]] = {}
    for number, touched in enumerate(chain):
        for buffer in sorted(touched - shared, key=lambda x: x.name):
            rows = buffer.shape[:1] == (N,) and buffer.shape.count(N) == 1
            if rows and buffer.space == "work" and buffer.part is None:
                spans[buffer] = spans.get(buffer, (number, number))[0], number
    return spans


def _row_bytes(buffer: Buffer, rows: int) -> int:
    return strides(buffer, rows)[0] * BYTES[buffer.dtype]


def layout(
    buffers: Iterable[Buffer],
    twice: Iterable[Buffer],
    rows: int,
    alive: Lives = MappingProxyType({}),
    same: Same = MappingProxyType({}),
) -> Layout:
    """A layout without caller-owned buffers, for `rows` rows; those in `twice` have two sides.

    Buffers that are `alive` in different phases may lie in the same memory, and those in `same` lie
    where the others do.
    """
    double = set(twice)
    given = list(buffers)
    sides = [(b, extent(b, rows)) for b in given
             if b.space not in CALLER_OWNED and b.part is None and b not in same
             for _ in range(2 if b in double else 1)]  # fmt: skip
    taken = Taken()
    offsets: dict[Buffer, list[int]] = {}
    end = 0
    for buffer, bytes in sides:
        size = -(-(bytes + SLACK) // LINE) * LINE
        at = taken.place(size, *alive.get(buffer, (0, sys.maxsize))) if alive else end
        offsets.setdefault(buffer, []).append(at)
        end = max(end, _apart(at + size))
    for buffer in given:
        if buffer in same:
            offsets[buffer] = offsets[same[buffer]]
        if buffer.part is not None:
            step = strides(buffer.whole, rows)[buffer.part.axis] * BYTES[buffer.dtype]
            first = buffer.part.index * step
            offsets[buffer] = [at + first for at in offsets[buffer.whole]]
    return Layout({b: _place(b, tuple(found), rows) for b, found in offsets.items()}, end)


class Taken:
    """The ranges of a block that buffers take, each for some phases, in the order of their starts.

    Before what an equal request found there is still nothing, so a search goes on there.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ranges: list[tuple[int, int, int, int]] = []  # start, stop, first and last phase
        self._stops: list[int] = []  # the greatest stop up to each of them
        self._found: dict[tuple[int, int, int], int] = {}

    def place(self, size: int, first: int, last: int) -> int:
        """Takes the first `size` bytes that are free from a phase to another; their offset."""
        at = self._found.get((size, first, last), 0)
        for k in range(bisect_left(self._stops, at), len(self._starts)):
            start, stop, begin, end = self._ranges[k]
            if begin <= last and first <= end:
                if start - at >= size:
                    break
                at = max(at, _apart(stop))
        self._found[size, first, last] = at
        self._take(at, at + size, first, last)
        return at

    def _take(self, start: int, stop: int, first: int, last: int) -> None:
        k = bisect_left(self._starts, start)
        self._starts.insert(k, start)
        self._ranges.insert(k, (start, stop, first, last))
        self._stops.insert(k, max(stop, self._stops[k - 1] if k else 0))
        for later in range(k + 1, len(self._stops)):
            if self._stops[later] >= stop:
                break
            self._stops[later] = stop


def _apart(end: int) -> int:
    """The begin of the next buffer: not that of a page, whose cache lines many would share."""
    return end + LINE * (end % 4096 == 0)


def _place(buffer: Buffer, offsets: tuple[int, ...], rows: int) -> Place:
    steps = (step * BYTES[buffer.dtype] for step in strides(buffer, rows))
    return Place(offsets, tuple(_sizes(buffer, rows)), tuple(steps))
