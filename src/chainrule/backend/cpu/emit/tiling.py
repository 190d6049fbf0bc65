"""The tiling of contractions as matrix products."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

from chainrule.backend.cpu.emit.vectors import free_allowed, narrowed
from chainrule.backend.cpu.machine import Machine
from chainrule.costs.tile import MIN_SUMS, best_tile, few_rows
from chainrule.ir.kernel import BYTES
from chainrule.plan.affine import Access, AffineExpr, Analysis
from chainrule.plan.contraction import Contraction
from chainrule.plan.linearize import LinearKernel
from chainrule.plan.schedule import ASSUMED_ROWS, BUCKET
from chainrule.types import N

TILES = {16: ((6, 2), (4, 3), (12, 1)), 32: ((5, 3), (8, 2), (4, 4), (16, 1))}
"""The most rows of a tile of accumulators, and its vectors, by the number of registers.

They are at most 16: so many are the result of a function in registers.
"""

MAX_WRITTEN = 16
"""The instructions of a write up to which a tile's sums stay in registers for it."""

MAX_BLOCK = 320
"""The greatest block of k: a panel of this many rows stays in the first-level cache."""

MAX_CHUNK = 264
"""The most rows whose part of the left factor is packed at once."""

MAX_PACKED_BYTES = 9 << 17
"""The most bytes of that packed part: about the size of the second-level cache."""

MAX_LINE_IN_PLACE = 1024
"""The longest lines of a left factor that are read in place."""

MAX_COLUMNS_IN_PLACE = 64
"""The most columns for which a left factor that is contiguous along m is not packed."""

ENOUGH_ROWS = 32
"""Rows of a product that fill a few tiles."""

Left = Literal["rows_in_place", "in_place", "lines_in_place", "transpose", "pack", "pack_scalar"]
Right = Literal["in_place", "transpose", "pack"]


@dataclass(frozen=True)
class Tiling:
    """out[outer.., m, n] = f(sum over k of a[m, k] * b[k, n]).

    Attributes:
        a, b: the instructions that read the factors.
        m, n, k: axes; `outer` are the other free axes, `outer_k` the others that are summed over.
        left: `rows_in_place` and `in_place` if a is read in place, contiguous along k or along
            m; `lines_in_place` if along m, and it is a line for each k, wherever that lies; else
            the method of packing: `transpose` if it is contiguous along k, `pack` if along m,
            `pack_scalar` otherwise.
        right: `in_place` if b is read in place, contiguous along n with a fixed stride along k;
            else the method of packing: `transpose` if it is contiguous along k, `pack` if along n.
        rows, vectors, lanes: the size of a tile.
        few: the rows of the lower tile at the end.
        pairs: whether the factors are packed as pairs of bfloat16, each two terms of a sum.
    """

    a: int
    b: int
    m: int
    n: int
    k: int
    outer: tuple[int, ...]
    outer_k: tuple[int, ...]
    left: Left
    right: Right
    rows: int
    vectors: int
    lanes: int
    few: int
    pairs: bool = False

    @property
    def width(self) -> int:
        """Columns of a tile."""
        return self.vectors * self.lanes


def tiling(
    analysis: Analysis, contraction: Contraction, machine: Machine, max_rows: int
) -> Tiling | None:
    """The tiling of a contraction; None if there is none."""
    linear, pairs = analysis.linear, contraction.rounded
    if not _any_order(analysis) or (pairs and not machine.bfloat16):
        return None

    def size(axis: int) -> int:
        found = linear.sizes[axis]
        return found if isinstance(found, int) else max_rows

    def assumed(axis: int) -> int:  # so that sums have one order for any room for rows
        found = linear.sizes[axis]
        return found if isinstance(found, int) else ASSUMED_ROWS

    for n in reversed(range(1, linear.free)):
        if not isinstance(linear.sizes[n], int) or not free_allowed(analysis, n):
            continue  # the columns of x @ x.T are as many as rows
        a, b, rows = contraction.a, contraction.b, contraction.m
        if n in contraction.m:
            a, b, rows = contraction.b, contraction.a, contraction.n
        for m in _long_first(rows, size) if n in (*contraction.m, *contraction.n) else ():
            for k in sorted(contraction.k, key=assumed, reverse=True):
                roles = (a, b, m, n, k)
                if _readable(analysis, roles):
                    return _tiled(analysis, machine, roles, size, pairs)
    return None


def _long_first(rows: tuple[int, ...], size: Callable[[int], int]) -> list[int]:
    """The axes of rows, those first that fill a few tiles; of these the innermost comes first.

    Its rows lie nearest to each other, and there are as many for every share of a minibatch.
    """
    return sorted(rows, key=lambda m: (min(size(m), ENOUGH_ROWS), m), reverse=True)


def _any_order(analysis: Analysis) -> bool:
    """Whether elements may be computed in any order: the kernel does not read its own writes."""
    linear = analysis.linear
    both = linear.written() & linear.read()
    reads = [(x.data, x.args) for x in linear.instrs if x.op == "read" and x.data in both]
    writes = [(x.argument, x.place) for x in linear.stores if x.argument in both]
    apart = all(_apart(analysis, p, q) for a, p in reads for b, q in writes if a == b)
    return apart and not any(store.add for store in linear.stores)


def _apart(analysis: Analysis, one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two indices never meet, as those of two parts of a joined array."""
    bounds = (
        (analysis.bounds(analysis.exprs[k]) for k in pair) for pair in zip(one, other, strict=True)
    )
    return any(a[1] < b[0] or b[1] < a[0] for a, b in bounds)


Roles = tuple[int, int, int, int, int]
"""Instructions a and b, axes m, n and k."""


def _readable(analysis: Analysis, roles: Roles) -> bool:
    """Whether tiles can read the factors: at proven indices, and b contiguous along n or k."""
    a, b, m, n, k = roles
    left, right = analysis.reads(a), analysis.reads(b)
    if left.unproven or right.unproven or _mixes_m_and_k(analysis, left, m):
        return False
    transposed = analysis.stride(right, k) == 1 and analysis.stride(right, n) is not None
    return transposed or analysis.stride(right, n) == 1


def _mixes_m_and_k(analysis: Analysis, access: Access, m: int) -> bool:
    """Whether an instruction in an index depends on m and on an axis that is reduced over."""
    over = set(analysis.linear.over)
    symbols = (analysis.depends[i] for i in access.offset.symbols)
    return any(m in depends and depends & over for depends in symbols)


def _left(analysis: Analysis, roles: Roles, outer_k: tuple[int, ...], pairs: bool) -> Left:
    """The access to the left factor; pairs are always packed."""
    linear = analysis.linear
    a, _, m, n, k = roles
    access, size = analysis.reads(a), linear.sizes[k]
    if pairs:
        along = analysis.stride(access, k), analysis.stride(access, m)
        return "transpose" if along[0] == 1 else "pack" if along[1] == 1 else "pack_scalar"
    external = not linear.arguments[int(linear.instrs[a].data or 0)].slack
    if analysis.stride(access, k) != 1:
        if analysis.stride(access, m) != 1:
            return "pack_scalar"
        columns = linear.sizes[n]
        once = isinstance(columns, int) and columns <= MAX_COLUMNS_IN_PLACE and not outer_k
        if once and not external and analysis.stride(access, k):
            return "in_place"
        exact = isinstance(linear.sizes[m], int)  # no tile has rows past the end
        return "lines_in_place" if once and exact else "pack"
    return (
        "transpose"
        if outer_k or not isinstance(size, int) or size > MAX_LINE_IN_PLACE
        else "rows_in_place"
    )


def _right(analysis: Analysis, b: int, n: int, k: int, lanes: int, pairs: bool) -> Right:
    """The access to the right factor; pairs are always packed."""
    linear = analysis.linear
    access, argument = analysis.reads(b), linear.arguments[int(linear.instrs[b].data or 0)]
    if analysis.stride(access, n) != 1:
        return "transpose"
    size = linear.sizes[n]
    inside = argument.slack or (isinstance(size, int) and size % lanes == 0)
    return "in_place" if inside and not pairs and analysis.stride(access, k) is not None else "pack"


def _tiled(
    analysis: Analysis, machine: Machine, roles: Roles, size: Callable[[int], int], pairs: bool
) -> Tiling:
    a, b, m, n, k = roles
    linear = analysis.linear
    lanes = machine.vector // BYTES[linear.instrs[linear.value].dtype]
    columns = linear.sizes[n]
    if not pairs:
        lanes = narrowed(lanes, columns)
    wide = -(-columns // lanes) if isinstance(columns, int) else 64
    tile = best_tile(TILES[machine.registers], size(m), wide, -(-size(k) // (1 + pairs)))
    outer = tuple(x for x in range(linear.free) if x not in (m, n))
    outer_k = tuple(x for x in linear.over if x != k)
    right = _right(analysis, b, n, k, lanes, pairs)
    left = _left(analysis, roles, outer_k, pairs)
    few = few_rows(size(m), tile)
    return Tiling(a, b, m, n, k, outer, outer_k, left, right, *tile, lanes, few, pairs)


def split_terms(
    analysis: Analysis, expr: AffineExpr, axes: Collection[int]
) -> tuple[AffineExpr, AffineExpr]:
    """The terms of an expression that depend on the axes, and the others."""
    moving = AffineExpr(
        axes={a: f for a, f in expr.axes.items() if a in axes},
        symbols={i: f for i, f in expr.symbols.items() if not analysis.depends[i].isdisjoint(axes)},
    )
    return moving, expr.plus(moving, -1)


def single_row(analysis: Analysis, shape: Tiling) -> Tiling | None:
    """The tiling for a single row: enough columns that their sums hide the latency."""
    linear = analysis.linear
    columns = linear.sizes[shape.n]
    along = analysis.stride(analysis.reads(shape.a), shape.k) == 1
    if shape.right != "in_place" or shape.outer_k or not along or not isinstance(columns, int):
        return None
    slack = linear.arguments[int(linear.instrs[shape.b].data or 0)].slack
    wide = -(-columns // shape.lanes) if slack else columns // shape.lanes
    return replace(shape, left="rows_in_place", rows=1, few=1, vectors=min(MIN_SUMS, max(1, wide)))


@dataclass(frozen=True)
class Lengths:
    """The blocking of the loops of a product.

    Attributes:
        block: length of a block of k, in terms or pairs of them.
        chunk: rows whose part of the left factor is packed at once.
        single: whether one block covers the whole sum.
        levels: the sums of blocks of rows that there are at a time.
    """

    block: int
    chunk: int
    single: bool
    levels: int = 1


def lengths(linear: LinearKernel, shape: Tiling, max_rows: int) -> Lengths:
    """The blocking of a product; code differs only between powers of two of `max_rows`."""
    sizes = [s if isinstance(s, int) else 1 << (max_rows - 1).bit_length() for s in linear.sizes]
    k, m = linear.sizes[shape.k], linear.sizes[shape.m]
    if shape.pairs:
        sizes[shape.k] = -(-sizes[shape.k] // 2)
        k = sizes[shape.k] if isinstance(k, int) else k
    block = even(k, MAX_BLOCK, 1) if isinstance(k, int) else MAX_BLOCK
    single = sizes[shape.k] <= block and not shape.outer_k
    copied = BYTES[linear.instrs[linear.value].dtype] * math.prod(
        sizes[axis] for axis in (shape.k, *shape.outer_k)
    )
    fits = (
        MAX_CHUNK
        if shape.left == "rows_in_place"
        else min(MAX_CHUNK, MAX_PACKED_BYTES // max(1, copied))
    )
    most = max(2, fits // shape.rows) * shape.rows
    return Lengths(block, even(m, most, shape.rows) if isinstance(m, int) else most, single)


def by_blocks(linear: LinearKernel, shape: Tiling) -> bool:
    """Whether a product is a large sum over rows, for programs that share them, and no more."""
    for store in linear.stores:
        made = linear.arguments[store.argument]
        bytes = math.prod(x for x in made.shape if isinstance(x, int)) * BYTES[made.dtype]
        plain = linear.instrs[store.value].op == "acc"
        if made.space != "gradient" or bytes < BUCKET or not plain:
            return False
    return linear.sizes[shape.k] is N and not shape.outer_k and not shape.pairs


def even(size: int, most: int, step: int) -> int:
    """The least multiple of `step` that covers `size` in as few pieces as `most` does."""
    count = -(-size // most)
    return max(step, -(-size // (count * step)) * step)
