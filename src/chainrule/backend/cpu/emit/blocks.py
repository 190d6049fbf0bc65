"""The blocking of sums of products over several axes, such as convolutions: no factor is packed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chainrule.backend.cpu.emit.vectors import free_allowed, narrowed
from chainrule.backend.cpu.machine import Machine
from chainrule.costs.tile import MIN_SUMS
from chainrule.ir.kernel import BYTES
from chainrule.plan.affine import Access, Analysis
from chainrule.plan.contraction import Contraction
from chainrule.plan.linearize import LinearKernel
from chainrule.types import FLOATS

MAX_TERMS = 2048
"""The most terms that are added up in a register; sums of so many are added up in memory."""

BLOCK_TERMS = 1024
"""The terms of a block of an outer sum whose length is not known, at least."""

MAX_SUMS_BYTES = 1 << 19
"""The bytes of the sums that are kept in memory at once."""

MAX_VECTORS = 4
"""The most vectors of columns of a tile."""

UNEVEN = 1.03
"""The factor for tiles of two sizes: their code is as long again, and takes as long to compile."""

TILE_TURNS = 60
"""The turns of the multiply-add unit that the begin and the end of a tile take."""


@dataclass(frozen=True)
class Blocks:
    """out[rows.., n] = f(sum over terms of a * b), both factors read in place.

    Attributes:
        factors: the instructions that read them.
        n: the axis of the columns, a vector of them at once; along it each factor is contiguous,
            or the same for all columns.
        by_rows: whether the first axis is that of the minibatch, and a loop around all tiles.
        order: the other free axes, outermost first, with the number of steps and the indices of a
            step: (axis, steps, extent). Tiles are counted in this order.
        tile: the axes of which a tile has several indices, outermost first.
        rest: the indices of the last step along the first axis of `tile`, if fewer; else 0.
        inner: the axes that are summed over in registers.
        outer: the axes that are summed over in memory.
        block: the indices of the last of `outer` that are summed over in registers too.
        vectors, lanes: the columns of a tile.
    """

    factors: tuple[int, int]
    n: int
    by_rows: bool
    order: tuple[tuple[int, int, int], ...]
    tile: tuple[int, ...]
    rest: int
    inner: tuple[int, ...]
    outer: tuple[int, ...]
    block: int
    vectors: int
    lanes: int

    @property
    def tiles(self) -> int:
        """The number of tiles, of one row of the minibatch if it is a loop around them."""
        return math.prod(steps for _, steps, _ in self.order)

    @property
    def width(self) -> int:
        """Columns of a tile."""
        return self.vectors * self.lanes

    def extents(self, rest: bool) -> tuple[tuple[int, int], ...]:
        """(axis, indices) of a tile, outermost first."""
        known = {axis: extent for axis, _, extent in self.order}
        found = [(axis, known[axis]) for axis in self.tile]
        if rest and found:
            found[0] = (found[0][0], self.rest)
        return tuple(found)


def blocks(
    linear: LinearKernel, contraction: Contraction | None, machine: Machine
) -> Blocks | None:
    """The blocking of a kernel; None if it is not such a sum."""
    if linear.combine != "sum" or linear.free < 2 or linear.commit or 0 in linear.sizes:
        return None
    value, n = linear.instrs[linear.value], linear.free - 1
    if value.op != "mul" or value.dtype not in FLOATS or not isinstance(linear.sizes[n], int):
        return None
    if any(linear.instrs[x].op != "read" or linear.instrs[x].dtype != value.dtype
           for x in value.args):  # fmt: skip
        return None
    if linear.written() & linear.read() or any(s.add or s.repeats for s in linear.stores):
        return None
    factors, analysis = (value.args[0], value.args[-1]), Analysis(linear)
    reads = [analysis.reads(x) for x in factors]
    along = [analysis.stride(x, n) for x in reads]
    if not set(along) <= {0, 1} or not any(along) or not free_allowed(analysis, n):
        return None
    if any(x.unproven for x in reads):
        return None
    several = contraction is not None and max(len(contraction.m), len(contraction.k)) > 2
    if not several and not any(_slides(analysis, x) for x in factors):
        return None
    return _blocked(analysis, factors, n, machine)


def _slides(analysis: Analysis, read: int) -> bool:
    """Whether an index of a read has several axes: a window slides."""
    places = (analysis.exprs[p] for p in analysis.linear.instrs[read].args)
    return any(len(x.axes) > 1 for x in places)


def _blocked(
    analysis: Analysis, factors: tuple[int, int], n: int, machine: Machine
) -> Blocks | None:
    linear, sizes = analysis.linear, analysis.linear.sizes
    reads = [analysis.reads(x) for x in factors]
    by_rows = not isinstance(sizes[0], int)
    free = list(range(int(by_rows), n))
    if any(not isinstance(sizes[x], int) for x in free):
        return None
    inner, outer, block = _sums(analysis, reads)
    if not inner:
        return None
    columns = sizes[n]
    assert isinstance(columns, int)
    full = machine.vector // BYTES[linear.instrs[linear.value].dtype]
    lanes = narrowed(full, columns)
    terms = block * math.prod(fixed(sizes[k]) for k in inner)
    search = _Search(analysis, reads, free, n, lanes, machine.registers, terms)
    vectors, tile, extent = search.best()
    order = []
    rest = 0
    for axis in free:
        size = fixed(sizes[axis])
        if axis not in tile:
            order.append((axis, size, 1))
        elif axis == tile[0]:
            order.append((axis, -(-size // extent), extent))
            rest = size % extent
        else:
            order.append((axis, 1, size))
    return Blocks(
        factors, n, by_rows, tuple(order), tile, rest, inner, outer, block, vectors, lanes
    )


def fixed(size: object) -> int:
    """A size that a kernel has whatever the number of rows."""
    assert isinstance(size, int)
    return size


def _sums(
    analysis: Analysis, reads: Sequence[Access]
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """The axes that are summed over in registers and in memory, and the block of the latter."""
    linear, inner, terms = analysis.linear, list[int](), 1
    over = list(linear.over)
    while over:
        size = linear.sizes[over[-1]]
        if not isinstance(size, int) or not _plain(analysis, reads, over[-1]):
            break
        if inner and terms * size > MAX_TERMS:
            break
        terms *= size
        inner.insert(0, over.pop())
    block = 1
    if over and _plain(analysis, reads, over[-1]):
        block = max(1, BLOCK_TERMS // terms)
    return tuple(inner), tuple(over), block


def _plain(analysis: Analysis, reads: Sequence[Access], axis: int) -> bool:
    """Whether both factors have a fixed stride along an axis."""
    return all(analysis.stride(x, axis) is not None for x in reads)


class _Search:
    """The search for the tile that takes the fewest turns of the multiply-add unit."""

    def __init__(
        self, analysis: Analysis, reads: Sequence[Access], free: Sequence[int], n: int,
        lanes: int, registers: int, terms: int,
    ) -> None:  # fmt: skip
        self._sizes = analysis.linear.sizes
        self._strides = [[analysis.stride(x, axis) for axis in range(n + 1)] for x in reads]
        self._free, self._n, self._terms, self._registers = free, n, terms, registers
        self._wide = -(-fixed(self._sizes[n]) // lanes)

    def best(self) -> tuple[int, tuple[int, ...], int]:
        """(vectors, axes of a tile, indices of the first of them).

        Of several with one cost, that along the last axis: its rows lie side by side in memory.
        """
        found = [
            (vectors, tile, extent)
            for vectors in range(1, min(MAX_VECTORS, self._wide) + 1)
            for tile, extent in self._tiles()
            if self._fits(vectors, tile, extent)
        ]
        return min(found, key=lambda x: (self._cost(*x), x[0], [-axis for axis in x[1]], x[2]))

    def _tiles(self) -> Iterator[tuple[tuple[int, ...], int]]:
        yield (), 1
        for last in range(len(self._free)):
            tile: tuple[int, ...] = ()
            rows = 1
            for axis in reversed(self._free[: last + 1]):
                if any(strides[axis] is None for strides in self._strides):
                    break
                tile = (axis, *tile)
                size = fixed(self._sizes[axis])
                yield from ((tile, e) for e in range(2, size + 1) if e * rows <= self._registers)
                rows *= size
                if rows > self._registers:
                    break

    def _loads(self, vectors: int, tile: tuple[int, ...], extent: int) -> list[int]:
        """The elements or vectors of each factor that a term of a tile reads, at most."""
        found = []
        for strides in self._strides:
            count = vectors if strides[self._n] else 1
            for axis in tile:
                size = extent if axis == tile[0] else fixed(self._sizes[axis])
                count *= size if strides[axis] else 1
            found.append(count)
        return found

    def _rows(self, tile: tuple[int, ...], extent: int) -> int:
        return extent * math.prod(fixed(self._sizes[a]) for a in tile[1:])

    def _fits(self, vectors: int, tile: tuple[int, ...], extent: int) -> bool:
        held = min(self._loads(vectors, tile, extent)) + 1
        return self._rows(tile, extent) * vectors + held <= self._registers

    def _turns(self, vectors: int, tile: tuple[int, ...], extent: int) -> float:
        """The turns of one tile."""
        sums = self._rows(tile, extent) * vectors
        each = max(sums, sum(self._loads(vectors, tile, extent)), MIN_SUMS)
        return each * self._terms + TILE_TURNS + 8 * sums

    def _cost(self, vectors: int, tile: tuple[int, ...], extent: int) -> float:
        others = math.prod(fixed(self._sizes[a]) for a in self._free if a not in tile)
        size = fixed(self._sizes[tile[0]]) if tile else 1
        panels, tail = divmod(self._wide, vectors)

        def panel(wide: int) -> float:
            turns = size // extent * self._turns(wide, tile, extent)
            return turns + (self._turns(wide, tile, size % extent) if size % extent else 0)

        turns = others * (panels * panel(vectors) + (panel(tail) if tail else 0))
        return turns * (UNEVEN if size % extent else 1)
