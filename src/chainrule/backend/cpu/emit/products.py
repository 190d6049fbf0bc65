"""Which kernels are matrix products, and how they are cut into tiles."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from chainrule.backend.cpu.emit.microkernel import BUSY
from chainrule.backend.cpu.emit.scalars import FLOATS
from chainrule.backend.cpu.emit.text import BYTES
from chainrule.backend.cpu.emit.vectors import free_allowed
from chainrule.backend.cpu.machine import Machine
from chainrule.plan.affine import Access, AffineExpr, Analysis
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

Left = Literal["lines", "place", "turn", "gather", "apart"]
Right = Literal["place", "turn", "gather"]


@dataclass(frozen=True)
class Product:
    """out[outer.., m, v] = f(sum over k of a[m, k] * b[k, v]).

    Attributes:
        a, b: the instructions that read the factors.
        m, v, k: axes; `outer` are the other free ones, `also` others that are summed over.
        left: `lines` and `place` where a is read where it lies, along k or along m; else how it is
            copied: `turn` where it lies along k, `gather` where it lies along m, `apart` otherwise.
        right: `place` where b is read where it lies, along v with a fixed step from k to k; else
            how it is copied: `turn` where it lies along k, `gather` where it lies along v.
        rows, vectors, lanes: of a tile.
    """

    a: int
    b: int
    m: int
    v: int
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


def product(
    linear: LinearKernel, analysis: Analysis, machine: Machine, max_rows: int
) -> Product | None:
    """The kernel as a matrix product, or None."""
    if linear.combine != "sum" or linear.free < 2:
        return None
    instr = linear.instrs[linear.value]
    if instr.op != "mul" or instr.dtype not in FLOATS or not _safe(linear):
        return None

    def size(axis: int) -> int:
        known = linear.sizes[axis]
        return known if isinstance(known, int) else max_rows

    for v in reversed(range(1, linear.free)):
        if not free_allowed(analysis, v):
            continue
        for a, b in (instr.args, instr.args[::-1]):
            for m in (m for m in range(linear.free) if m != v):
                for k in sorted(linear.over, key=size, reverse=True):
                    roles = (a, b, m, v, k)
                    if _fits(linear, analysis, roles):
                        return _tiled(linear, analysis, machine, roles)
    return None


def _safe(linear: LinearKernel) -> bool:
    """Whether rows and columns may be computed twice: nothing reads what the kernel writes."""
    written = linear.written()
    reads = {instr.data for instr in linear.instrs if instr.op == "read"}
    return not (written & reads) and not any(store.add for store in linear.stores)


Roles = tuple[int, int, int, int, int]
"""Instructions a and b, axes m, v and k."""


def _fits(linear: LinearKernel, analysis: Analysis, roles: Roles) -> bool:
    """Whether the kernel is a product in m, v and k, with b along v or along k."""
    a, b, m, v, k = roles
    if any(linear.instrs[x].op != "read" for x in (a, b)):
        return False
    if v in analysis.depends[a] or m in analysis.depends[b]:
        return False
    if m not in analysis.depends[a] or v not in analysis.depends[b]:
        return False
    left, right = analysis.reads(a), analysis.reads(b)
    if left.unproven or right.unproven or _mixed(analysis, left, m):
        return False
    turned = analysis.stride(right, k) == 1 and analysis.stride(right, v) is not None
    return turned or analysis.stride(right, v) == 1


def _mixed(analysis: Analysis, access: Access, m: int) -> bool:
    """Whether an instruction in a place depends on m and on an axis that is reduced over."""
    over = set(analysis.linear.over)
    places = (analysis.depends[i] for i in access.offset.symbols)
    return any(m in depends and depends & over for depends in places)


def _left(linear: LinearKernel, analysis: Analysis, roles: Roles, also: tuple[int, ...]) -> Left:
    """How the left factor is read."""
    a, _, m, v, k = roles
    access, size = analysis.reads(a), linear.sizes[k]
    far = not linear.arguments[int(linear.instrs[a].data or 0)].slack
    if analysis.stride(access, k) != 1:
        if analysis.stride(access, m) != 1:
            return "apart"
        columns = linear.sizes[v]
        once = isinstance(columns, int) and columns <= FEW and not also
        return "place" if once and not far and analysis.stride(access, k) else "gather"
    return "turn" if far or also or not isinstance(size, int) or size > NEAR else "lines"


def _right(linear: LinearKernel, analysis: Analysis, b: int, v: int, k: int, width: int) -> Right:
    """How the right factor is read."""
    access, known = analysis.reads(b), linear.arguments[int(linear.instrs[b].data or 0)]
    if analysis.stride(access, v) != 1:
        return "turn"
    size = linear.sizes[v]
    inside = known.slack or (isinstance(size, int) and size >= width)
    return "place" if inside and analysis.stride(access, k) is not None else "gather"


def _tiled(linear: LinearKernel, analysis: Analysis, machine: Machine, roles: Roles) -> Product:
    a, b, m, v, k = roles
    lanes = machine.vector // BYTES[linear.instrs[linear.value].dtype]
    columns, rows = linear.sizes[v], linear.sizes[m]
    wide = -(-columns // lanes) if isinstance(columns, int) else 64

    def cost(tile: tuple[int, int]) -> float:
        """Vectors of columns that are computed, and what a tile loads for each of its sums."""
        rows, vectors = tile
        return -(-wide // vectors) * vectors * (1 + max(0, (rows + vectors) / (rows * vectors) - 1))

    height, vectors = min(TILES[machine.registers], key=cost)
    if isinstance(rows, int):
        height = max(1, min(height, rows))
    vectors = min(vectors, wide)
    outer = tuple(x for x in range(linear.free) if x not in (m, v))
    also = tuple(x for x in linear.over if x != k)
    right = _right(linear, analysis, b, v, k, vectors * lanes)
    left = _left(linear, analysis, roles, also)
    return Product(a, b, m, v, k, outer, also, left, right, height, vectors, lanes)


def parts(
    analysis: Analysis, expr: AffineExpr, axes: Collection[int]
) -> tuple[AffineExpr, AffineExpr]:
    """The terms of an expression that depend on the axes, and the others."""
    moving = AffineExpr(
        axes={a: f for a, f in expr.axes.items() if a in axes},
        symbols={i: f for i, f in expr.symbols.items() if not analysis.depends[i].isdisjoint(axes)},
    )
    return moving, expr.plus(moving, -1)


def thin(linear: LinearKernel, analysis: Analysis, shape: Product) -> Product | None:
    """The product cut for a single row: so many columns that their sums hide their latency."""
    columns = linear.sizes[shape.v]
    along = analysis.stride(analysis.reads(shape.a), shape.k) == 1
    if shape.right != "place" or shape.also or not along or not isinstance(columns, int):
        return None
    slack = linear.arguments[int(linear.instrs[shape.b].data or 0)].slack
    wide = -(-columns // shape.lanes) if slack else columns // shape.lanes
    return replace(shape, left="lines", rows=1, vectors=min(BUSY, max(1, wide)))


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


def lengths(linear: LinearKernel, shape: Product, max_rows: int) -> Lengths:
    """How a product is cut; code for more rows differs only from power of two to power of two."""
    sizes = [s if isinstance(s, int) else 1 << (max_rows - 1).bit_length() for s in linear.sizes]
    k, m = linear.sizes[shape.k], linear.sizes[shape.m]
    block = even(k, BLOCK, 1) if isinstance(k, int) else BLOCK
    single = sizes[shape.k] <= block and not shape.also
    copied = BYTES[linear.instrs[linear.value].dtype] * math.prod(
        sizes[axis] for axis in (shape.k, *shape.also)
    )
    fits = CHUNK if shape.left == "lines" else min(CHUNK, COPY // max(1, copied))
    most = max(2, fits // shape.rows) * shape.rows
    return Lengths(block, even(m, most, shape.rows) if isinstance(m, int) else most, single)


def even(size: int, most: int, step: int) -> int:
    """The least multiple of `step` of which as few make up `size` as of `most`."""
    count = -(-size // most)
    return max(step, -(-size // (count * step)) * step)
