"""Where buffers lie in memory: strides, padding, and their places in one block."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chainrule.backend.cpu.flat import ROWS, Argument
from chainrule.backend.cpu.text import BYTES
from chainrule.plan.kernel import Buffer

LINE = 64
"""Bytes of a cache line; every buffer begins on one."""

SLACK = 256
"""Bytes after each buffer of ours, so that whole vectors may be read and written at its end."""

BROUGHT = ("data", "step")
"""Spaces whose memory is the caller's: arrays as NumPy lays them out."""


def argument(buffer: Buffer, rows: int) -> Argument:
    """How a buffer with room for `rows` rows lies in memory."""
    if buffer is ROWS:
        return Argument("int64", (1,), (1,), False, "rows")
    own = buffer.space not in BROUGHT
    return Argument(buffer.dtype, buffer.shape, strides(buffer, rows), own, buffer.space)


def strides(buffer: Buffer, rows: int) -> tuple[int, ...]:
    """In elements. The first axis of our own buffers steps over some padding."""
    sizes = _sizes(buffer, rows)
    inner = [math.prod(sizes[k + 1 :]) for k in range(len(sizes))]
    if len(inner) > 1 and buffer.space not in BROUGHT:
        inner[0] = padded(inner[0], BYTES[buffer.dtype])
    return tuple(inner)


def padded(width: int, size: int) -> int:
    """The width of a row in memory: whole cache lines, away from multiples of 1 KiB."""
    if width * size < LINE // 2:
        return width
    line = LINE // size
    row = -(-width // line) * line
    return row + line if row * size % 1024 == 0 else row


def _sizes(buffer: Buffer, rows: int) -> list[int]:
    return [d if isinstance(d, int) else rows for d in buffer.shape]


def extent(buffer: Buffer, rows: int) -> int:
    """Bytes that a buffer takes, with room for `rows` rows."""
    first = strides(buffer, rows)[0] * _sizes(buffer, rows)[0] if buffer.shape else 1
    return first * BYTES[buffer.dtype]


@dataclass(frozen=True)
class Memory:
    """One block with a place for every buffer of ours.

    Attributes:
        block: the bytes; the first is on a cache line.
        offsets: of each buffer, one for each of its sides.
        rows: for how many rows there is room.
    """

    block: npt.NDArray[np.uint8]
    offsets: dict[Buffer, tuple[int, ...]]
    rows: int

    def address(self, buffer: Buffer, side: int = 0) -> int:
        """Of a buffer's first element."""
        places = self.offsets[buffer]
        return int(self.block.ctypes.data) + places[side % len(places)]

    def view(self, buffer: Buffer, side: int = 0) -> npt.NDArray[np.generic]:
        """The buffer as an array, without the padding; it shows what kernels write."""
        places = self.offsets[buffer]
        size = BYTES[buffer.dtype]
        shape, steps = _sizes(buffer, self.rows), strides(buffer, self.rows)
        return np.ndarray(
            shape,
            buffer.dtype,
            self.block.data,
            places[side % len(places)],
            [step * size for step in steps],
        )


def allotted(
    buffers: Iterable[Buffer], twice: Iterable[Buffer], rows: int
) -> tuple[dict[Buffer, tuple[int, ...]], int]:
    """Where the sides of each buffer of ours begin in a block, and the bytes of the block."""
    double = set(twice)
    offsets: dict[Buffer, tuple[int, ...]] = {}
    end = 0
    for buffer in buffers:
        if buffer.space in BROUGHT:
            continue
        places = []
        for _ in range(2 if buffer in double else 1):
            places.append(end)
            end += -(-(extent(buffer, rows) + SLACK) // LINE) * LINE
            end += LINE * (math.gcd(end, 4096) == 4096)
        offsets[buffer] = tuple(places)
    return offsets, end


def memory(buffers: Iterable[Buffer], twice: Iterable[Buffer], rows: int) -> Memory:
    """Memory, all zero, for the buffers that are ours; `twice` has those with two sides."""
    offsets, end = allotted(buffers, twice, rows)
    raw = np.zeros(end + 4096, np.uint8)
    start = -raw.ctypes.data % 4096
    made = Memory(raw[start : start + max(end, 1)], offsets, rows)
    for buffer in offsets:
        if buffer.value is not None:
            made.view(buffer)[...] = buffer.value
    return made
