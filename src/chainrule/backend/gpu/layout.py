"""The places of a plan's buffers in the memory of a device: rows without padding, in two blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chainrule.backend.gpu.program import Part
from chainrule.ir.kernel import BYTES, Buffer
from chainrule.plan.linearize import ROWS, Argument
from chainrule.plan.plan import Signature

LINE = 256
"""Bytes at whose multiples buffers begin."""


def argument(buffer: Buffer, rows: int) -> Argument:
    """The layout of a buffer with room for `rows` rows."""
    if buffer is ROWS:
        return Argument("int64", (1,), "rows", (1,))
    return Argument(buffer.dtype, buffer.shape, buffer.space, strides(buffer, rows))


def sizes(buffer: Buffer, rows: int) -> tuple[int, ...]:
    """The shape of a buffer with room for `rows` rows."""
    return tuple(d if isinstance(d, int) else rows for d in buffer.shape)


def strides(buffer: Buffer, rows: int) -> tuple[int, ...]:
    """The strides of a buffer in elements; a part has those of its whole."""
    if buffer.part is not None:
        whole, axis = strides(buffer.part.whole, rows), buffer.part.axis
        return (*whole[:axis], *whole[axis + 1 :])
    shape = sizes(buffer, rows)
    return tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))


def width(buffer: Buffer, *, float64: bool) -> int:
    """Bytes of an element; without float64 on the device, float32 stands for it."""
    return 4 if buffer.dtype == "float64" and not float64 else BYTES[buffer.dtype]


@dataclass(frozen=True)
class Layout:
    """Places for all buffers but those of data and step inputs.

    Attributes:
        offsets: by buffer, in bytes, of both sides; in the block of the state, or of the rest.
        state, work: the bytes of the blocks.
    """

    offsets: dict[Buffer, tuple[int, int]]
    state: int
    work: int


def layout(
    signature: Signature, levels: Sequence[Sequence[Part]], rows: int, *, float64: bool
) -> Layout:
    """The layout for minibatches of up to `rows` rows.

    All states that a step writes have two sides. What lies between levels of kernels shares memory
    with what other levels use alone.
    """
    offsets: dict[Buffer, tuple[int, int]] = {}
    state, work = 0, 0
    for buffer in signature.buffers:
        if buffer.space == "state":
            size = _room(buffer, rows, float64=float64)
            second = state + size if buffer in signature.updates else state
            offsets[buffer] = state, second
            state = second + size
    lives = _lives(signature, levels)
    taken: list[tuple[int, int, int, int]] = []
    for buffer in signature.buffers:
        if buffer.space in ("state", "data", "step") or buffer.part is not None:
            continue
        first, last = lives.get(buffer, (0, len(levels)))
        size = _room(buffer, rows, float64=float64)
        at = _gap(sorted(x[:2] for x in taken if x[2] <= last and first <= x[3]), size)
        taken.append((at, at + size, first, last))
        offsets[buffer] = at, at
        work = max(work, at + size)
    for buffer in signature.buffers:
        if buffer.part is not None:
            whole, axis, index = buffer.part.whole, buffer.part.axis, buffer.part.index
            step = index * strides(whole, rows)[axis] * width(whole, float64=float64)
            first, second = offsets[whole]
            offsets[buffer] = first + step, second + step
    return Layout(offsets, max(state, LINE), max(work, LINE))


def _room(buffer: Buffer, rows: int, *, float64: bool) -> int:
    size = math.prod(sizes(buffer, rows)) * width(buffer, float64=float64)
    return max(-(-size // LINE), 1) * LINE


def _lives(signature: Signature, levels: Sequence[Sequence[Part]]) -> dict[Buffer, tuple[int, int]]:
    """The first and the last level that use each buffer between kernels."""
    found: dict[Buffer, tuple[int, int]] = {}
    for number, level in enumerate(levels):
        touched = {buffer.whole for part in level for buffer, _ in part.operands}
        for buffer in touched:
            if buffer.space == "work" and buffer is not ROWS:
                found[buffer] = found.get(buffer, (number, number))[0], number
    kept = {x.whole for x in signature.outputs}
    return {buffer: life for buffer, life in found.items() if buffer not in kept}


def _gap(taken: Iterable[tuple[int, int]], size: int) -> int:
    """The first offset from which `size` bytes are free, between ranges that are in order."""
    at = 0
    for start, stop in taken:
        if start - at >= size:
            break
        at = max(at, stop)
    return at
