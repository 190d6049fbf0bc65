"""How contractions are cut into tiles of a matrix product."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from chainrule.backend.cpu.emit.microkernel import BUSY
from chainrule.backend.cpu.emit.vectors import free_allowed
from chainrule.backend.cpu.machine import Machine
from chainrule.costs.cost import best_tile
from chainrule.ir.kernel import BYTES
from chainrule.plan.affine import Access, AffineExpr, Analysis
from chainrule.plan.contraction import Contraction
from chainrule.plan.linearize import LinearKernel

TILES = {16: ((6, 2), (4, 3), (12, 1)), 32: ((8, 3), (12, 2), (6, 4), (14, 1))}
"""Rows and vectors of a tile of accumulators, by the number of registers; the best first."""

BLOCK = 320
"""Length of a block of k, at most: a panel of so many rows stays in the first cache."""

CHUNK = 264
"""Rows whose part of the left factor is copied at once, at most."""

COPY = 9 << 17
"""Bytes of that copy, if CHUNK does not make it less: about the size of the second cache."""

NEAR = 512
"""Length of lines of the left factor up to which they are read where they lie, if just written."""

FEW = 64
"""Columns up to which a left factor that lies along its rows is not copied."""

Left = Literal["rows_in_place", "in_place", "transpose", "pack", "pack_scalar"]
Right = Literal["in_place", "transpose", "pack"]


@dataclass(frozen=True)
class Tiling:
    """out[outer.., m, n] = f(sum over k of a[m, k] * b[k, n]).

    Attributes:
        a, b: the instructions that read the factors.
        m, n, k: axes; `outer` are the other free ones, `also` others that are summed over.
        left: `rows_in_place` and `in_place` where a is read where it lies, along k or along m;
            else how it is copied: `transpose` where it lies along k, `pack` where it lies along
            m, `pack_scalar` otherwise.
        right: `in_place` where b is read where it lies, along n with a fixed step from k to k;
            else how it is copied: `transpose` where it lies along k, `pack` where along n.
        rows, vectors, lanes: of a tile.
    """

    a: int
    b: int
    m: int
    n: int
    k: int
    outer: tuple[int, ...]
    also: tuple[int, ...]
    left: Left
    right: Right
    rows: int
    vectors: int
    lanes: int

    @property
    def width(self) -> int:
        """Columns of a tile."""
        return self.vectors * self.lanes


def tiling(
    analysis: Analysis, known: Contraction, machine: Machine, max_rows: int
) -> Tiling | None:
    """How a contraction is cut into tiles; None where it cannot be."""
    linear = analysis.linear
    if not _safe(linear):
        return None

    def size(axis: int) -> int:
        found = linear.sizes[axis]
        return found if isinstance(found, int) else max_rows

    for n in reversed(range(1, linear.free)):
        if not free_allowed(analysis, n):
            continue
        a, b, rows = known.a, known.b, known.m
        if n in known.m:
            a, b, rows = known.b, known.a, known.n
        for m in rows if n in (*known.m, *known.n) else ():
            for k in sorted(known.k, key=size, reverse=True):
                roles = (a, b, m, n, k)
                if _fits(analysis, roles):
                    return _tiled(analysis, machine, roles)
    return None


def _safe(linear: LinearKernel) -> bool:
    """Whether rows and columns may be computed twice: nothing reads what the kernel writes."""
    written = linear.written()
    reads = {instr.data for instr in linear.instrs if instr.op == "read"}
    return not (written & reads) and not any(store.add for store in linear.stores)


Roles = tuple[int, int, int, int, int]
"""Instructions a and b, axes m, n and k."""


def _fits(analysis: Analysis, roles: Roles) -> bool:
    """Whether tiles can read their factors: at proven indices, and b along n or along k."""
    a, b, m, n, k = roles
    left, right = analysis.reads(a), analysis.reads(b)
    if left.unproven or right.unproven or _mixed(analysis, left, m):
        return False
    turned = analysis.stride(right, k) == 1 and analysis.stride(right, n) is not None
    return turned or analysis.stride(right, n) == 1


def _mixed(analysis: Analysis, access: Access, m: int) -> bool:
    """Whether an instruction in an index depends on m and on an axis that is reduced over."""
    over = set(analysis.linear.over)
    symbols = (analysis.depends[i] for i in access.offset.symbols)
    return any(m in depends and depends & over for depends in symbols)


def _left(analysis: Analysis, roles: Roles, also: tuple[int, ...]) -> Left:
    """How the left factor is read."""
    linear = analysis.linear
    a, _, m, n, k = roles
    access, size = analysis.reads(a), linear.sizes[k]
    far = not linear.arguments[int(linear.instrs[a].data or 0)].slack
    if analysis.stride(access, k) != 1:
        if analysis.stride(access, m) != 1:
            return "pack_scalar"
        columns = linear.sizes[n]
        once = isinstance(columns, int) and columns <= FEW and not also
        return "in_place" if once and not far and analysis.stride(access, k) else "pack"
    return (
        "transpose" if far or also or not isinstance(size, int) or size > NEAR else "rows_in_place"
    )


def _right(analysis: Analysis, b: int, n: int, k: int, width: int) -> Right:
    """How the right factor is read."""
    linear = analysis.linear
    access, known = analysis.reads(b), linear.arguments[int(linear.instrs[b].data or 0)]
    if analysis.stride(access, n) != 1:
        return "transpose"
    size = linear.sizes[n]
    inside = known.slack or (isinstance(size, int) and size >= width)
    return "in_place" if inside and analysis.stride(access, k) is not None else "pack"


def _tiled(analysis: Analysis, machine: Machine, roles: Roles) -> Tiling:
    a, b, m, n, k = roles
    linear = analysis.linear
    lanes = machine.vector // BYTES[linear.instrs[linear.value].dtype]
    columns, rows = linear.sizes[n], linear.sizes[m]
    wide = -(-columns // lanes) if isinstance(columns, int) else 64
    height, vectors = best_tile(TILES[machine.registers], wide)
    if isinstance(rows, int):
        height = max(1, min(height, rows))
    vectors = min(vectors, wide)
    outer = tuple(x for x in range(linear.free) if x not in (m, n))
    also = tuple(x for x in linear.over if x != k)
    right = _right(analysis, b, n, k, vectors * lanes)
    left = _left(analysis, roles, also)
    return Tiling(a, b, m, n, k, outer, also, left, right, height, vectors, lanes)


def parts(
    analysis: Analysis, expr: AffineExpr, axes: Collection[int]
) -> tuple[AffineExpr, AffineExpr]:
    """The terms of an expression that depend on the axes, and the others."""
    moving = AffineExpr(
        axes={a: f for a, f in expr.axes.items() if a in axes},
        symbols={i: f for i, f in expr.symbols.items() if not analysis.depends[i].isdisjoint(axes)},
    )
    return moving, expr.plus(moving, -1)


def thin(analysis: Analysis, shape: Tiling) -> Tiling | None:
    """The product cut for a single row: so many columns that their sums hide their latency."""
    linear = analysis.linear
    columns = linear.sizes[shape.n]
    along = analysis.stride(analysis.reads(shape.a), shape.k) == 1
    if shape.right != "in_place" or shape.also or not along or not isinstance(columns, int):
        return None
    slack = linear.arguments[int(linear.instrs[shape.b].data or 0)].slack
    wide = -(-columns // shape.lanes) if slack else columns // shape.lanes
    return replace(shape, left="rows_in_place", rows=1, vectors=min(BUSY, max(1, wide)))


@dataclass(frozen=True)
class Lengths:
    """How the loops of a product are cut.

    Attributes:
        block: length of a block of k.
        chunk: rows whose part of the left factor is copied at once.
        single: whether one block is all there is to sum over.
    """

    block: int
    chunk: int
    single: bool


def lengths(linear: LinearKernel, shape: Tiling, max_rows: int) -> Lengths:
    """How a product is cut; code for more rows differs only from power of two to power of two."""
    sizes = [s if isinstance(s, int) else 1 << (max_rows - 1).bit_length() for s in linear.sizes]
    k, m = linear.sizes[shape.k], linear.sizes[shape.m]
    block = even(k, BLOCK, 1) if isinstance(k, int) else BLOCK
    single = sizes[shape.k] <= block and not shape.also
    copied = BYTES[linear.instrs[linear.value].dtype] * math.prod(
        sizes[axis] for axis in (shape.k, *shape.also)
    )
    fits = CHUNK if shape.left == "rows_in_place" else min(CHUNK, COPY // max(1, copied))
    most = max(2, fits // shape.rows) * shape.rows
    return Lengths(block, even(m, most, shape.rows) if isinstance(m, int) else most, single)


def even(size: int, most: int, step: int) -> int:
    """The least multiple of `step` of which as few make up `size` as of `most`."""
    count = -(-size // most)
    return max(step, -(-size // (count * step)) * step)
