"""Which kernels are matrix products, and how they are cut into tiles."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from chainrule.backend.cpu.affine import Access, Analysis, Form
from chainrule.backend.cpu.flat import Flat
from chainrule.backend.cpu.machine import Machine
from chainrule.backend.cpu.scalars import FLOATS
from chainrule.backend.cpu.text import BYTES
from chainrule.backend.cpu.vectors import free_allowed

TILES = {16: ((6, 2), (4, 3), (12, 1)), 32: ((8, 3), (12, 2), (6, 4), (14, 1))}
"""Rows and vectors of a tile of accumulators, by the number of registers; the best first."""

PACKED = 4096
"""Terms of a sum up to which its left factor is copied."""


@dataclass(frozen=True)
class Product:
    """out[outer.., m, v] = f(sum over k of a[m, k] * b[k, v]).

    Attributes:
        a, b: the instructions that read the factors.
        m, v, k: axes; `outer` are the other free ones, `also` others that are summed over.
        along: whether b lies along v; else along k, and is turned round in panels.
        packed: whether a lies along m, and is copied in chunks.
        rows, vectors, lanes: of a tile.
    """

    a: int
    b: int
    m: int
    v: int
    k: int
    outer: tuple[int, ...]
    also: tuple[int, ...]
    along: bool
    packed: bool
    rows: int
    vectors: int
    lanes: int

    @property
    def width(self) -> int:
        """Columns of a tile."""
        return self.vectors * self.lanes


def product(flat: Flat, analysis: Analysis, machine: Machine, max_rows: int) -> Product | None:
    """The kernel as a matrix product, or None."""
    if flat.combine != "sum" or flat.free < 2:
        return None
    item = flat.items[flat.value]
    if item.op != "mul" or item.dtype not in FLOATS or not _safe(flat):
        return None

    def size(axis: int) -> int:
        known = flat.sizes[axis]
        return known if isinstance(known, int) else max_rows

    for v in reversed(range(1, flat.free)):
        if not free_allowed(analysis, v):
            continue
        for a, b in (item.args, item.args[::-1]):
            for m in (m for m in range(flat.free) if m != v):
                for k in sorted(flat.over, key=size, reverse=True):
                    along = _fits(flat, analysis, (a, b, m, v, k))
                    if along is not None:
                        one = len(flat.over) == 1 and size(k) <= PACKED
                        packed = one and analysis.stride(analysis.reads(a), m) == 1
                        return _tiled(flat, machine, (a, b, m, v, k), along, packed)
    return None


def _safe(flat: Flat) -> bool:
    """Whether rows and columns may be computed twice: nothing reads what the kernel writes."""
    written = flat.written()
    reads = {item.data for item in flat.items if item.op == "read"}
    return not (written & reads) and not any(store.add for store in flat.stores)


Roles = tuple[int, int, int, int, int]
"""Instructions a and b, axes m, v and k."""


def _fits(flat: Flat, analysis: Analysis, roles: Roles) -> bool | None:
    """Whether b lies along v (True) or along k (False); None where it is no product in m, v."""
    a, b, m, v, k = roles
    if any(flat.items[x].op != "read" for x in (a, b)):
        return None
    if v in analysis.depends[a] or m in analysis.depends[b]:
        return None
    if m not in analysis.depends[a] or v not in analysis.depends[b]:
        return None
    left, right = analysis.reads(a), analysis.reads(b)
    if left.risky or right.risky or _mixed(analysis, left, m):
        return None
    if analysis.stride(right, v) == 1:
        return True
    turned = analysis.stride(right, k) == 1 and analysis.stride(right, v) is not None
    return False if turned and isinstance(flat.sizes[k], int) else None


def _mixed(analysis: Analysis, access: Access, m: int) -> bool:
    """Whether an instruction in a place depends on m and on an axis that is reduced over."""
    over = set(analysis.flat.over)
    places = (analysis.depends[i] for i in access.form.rest)
    return any(m in depends and depends & over for depends in places)


def _tiled(flat: Flat, machine: Machine, roles: Roles, along: bool, packed: bool) -> Product:
    a, b, m, v, k = roles
    lanes = machine.vector // BYTES[flat.items[flat.value].dtype]
    columns, rows = flat.sizes[v], flat.sizes[m]
    wide = -(-columns // lanes) if isinstance(columns, int) else 64

    def cost(tile: tuple[int, int]) -> float:
        """Vectors of columns that are computed, and what a tile loads for each of its sums."""
        rows, vectors = tile
        return -(-wide // vectors) * vectors * (1 + max(0, (rows + vectors) / (rows * vectors) - 1))

    height, vectors = min(TILES[machine.registers], key=cost)
    if isinstance(rows, int):
        height = max(1, min(height, rows))
    vectors = min(vectors, wide)
    outer = tuple(x for x in range(flat.free) if x not in (m, v))
    also = tuple(x for x in flat.over if x != k)
    return Product(a, b, m, v, k, outer, also, along, packed, height, vectors, lanes)


def parts(analysis: Analysis, form: Form, axes: Collection[int]) -> tuple[Form, Form]:
    """What of a form depends on the axes, and the rest of it."""
    moving = Form(
        axes={a: f for a, f in form.axes.items() if a in axes},
        rest={i: f for i, f in form.rest.items() if not analysis.depends[i].isdisjoint(axes)},
    )
    return moving, form.plus(moving, -1)
