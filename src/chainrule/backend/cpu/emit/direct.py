"""Sums of products over several axes: tiles of sums in registers, factors read where they lie.

    [for rows:] for tiles in chunks:
        [for blocks of the outer sums:] for panels of columns: for tiles: sums += a * b
        for panels, tiles, rows of a tile, vectors of columns: the kernel's writes

All strides are constants in the code. The order of additions depends on nothing but the sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product

from chainrule.backend.cpu.emit.blocks import MAX_SUMS_BYTES, Blocks, fixed
from chainrule.backend.cpu.emit.body import Body, Vectors
from chainrule.backend.cpu.emit.nest import Compiled, Nest, begin, finish
from chainrule.backend.cpu.emit.scalars import intrinsic
from chainrule.backend.cpu.emit.text import SCALARS, type_of
from chainrule.backend.cpu.emit.tiling import split_terms
from chainrule.backend.cpu.layout import LINE
from chainrule.backend.cpu.machine import Machine
from chainrule.ir.kernel import BYTES
from chainrule.plan.affine import Analysis

UNROLLED = 8
"""The turns of an innermost loop up to which it is written out."""

LIMIT = 60
"""The products up to which it is: more hide the cost of a loop, and take long to compile.

LLVM reads ahead for all of them, and so has to store sums of depthwise convolutions in memory.
"""

Extents = tuple[tuple[int, int], ...]


def direct(name: str, analysis: Analysis, shape: Blocks, machine: Machine) -> Compiled:
    """The code of such a kernel."""
    body = Body(begin(name, analysis.linear), analysis, Vectors())
    work = Direct(body, shape, machine)
    work.write()
    return finish(body, (work.scratch, 0))


class Direct:
    """Writes one sum of products into the function of a body."""

    def __init__(self, body: Body, shape: Blocks, machine: Machine) -> None:
        self.body, self.f, self.linear, self.shape = body, body.f, body.linear, shape
        self.nest, self.fused = Nest(body, machine), machine.fma
        self.dtype = self.linear.instrs[self.linear.value].dtype
        self.element, self.size = SCALARS[self.dtype], BYTES[self.dtype]
        columns = self.linear.sizes[shape.n]
        assert isinstance(columns, int)
        self.columns, self.panels = columns, -(-columns // shape.width)
        self.roots = [p for s in self.linear.stores for p in (s.value, *s.place)]
        rows = math.prod(extent for _, extent in shape.extents(False))
        self.each = rows * shape.width
        self.chunk = shape.tiles
        self.scratch = 0
        if shape.outer:
            most = MAX_SUMS_BYTES // (self.each * self.panels * self.size)
            self.chunk = max(1, min(shape.tiles, most))
            self.scratch = (self.chunk * self.panels * self.each + 2 * shape.width) * self.size
            self.scratch += LINE
        body.vectors = Vectors(shape.n, min(shape.width & -shape.width, 2 * shape.lanes))
        self.nest.vectors = body.vectors
        self._apart = self._reads_rows()
        self._tile_sums = "" if shape.outer else self._tile_memory()

    def _reads_rows(self) -> bool:
        """Whether the writes read arrays, other than the factors, at the rows of a tile."""
        tile, analysis = set(self.shape.tile), self.body.analysis
        needed = {i for root in self.roots for i in analysis.needs(root)}
        return any(
            self.linear.instrs[i].op == "read" and tile & analysis.depends[i]
            for i in needed - set(self.shape.factors)
        )

    def _tile_memory(self) -> str:
        return self.f.local(f"[{self.each + 2 * self.shape.width} x {self.element}]")

    def write(self) -> None:
        """Write all of it."""
        f, body, shape = self.f, self.body, self.shape
        body.hoist([*self.roots, *shape.factors], self.linear.stores)
        if not shape.by_rows:
            self._chunks("%low", "%high")
            return
        with f.loop("%low", "%high") as row, body.inside(0, row):
            body.hoist([*self.roots, *shape.factors], self.linear.stores)
            self._chunks("0", str(shape.tiles))

    def _chunks(self, low: str, high: str) -> None:
        f, shape = self.f, self.shape
        if not shape.outer:
            self._tiles(low, high, low, self._whole)
            return
        with f.loop(low, high, self.chunk) as first, self.body.inside():
            last = f.least(f.add(first, str(self.chunk)), high)
            self._clear(f.sub(last, first))
            self._outer(shape.outer, first, last)
            self._tiles(first, last, first, self._finish)

    def _clear(self, tiles: str) -> None:
        f = self.f
        kind = type_of(self.dtype, self.shape.lanes)
        end = f.mul(tiles, str(self.panels * self.each))
        with f.loop("0", end, self.shape.lanes) as k:
            f.store(kind, "zeroinitializer", f.shift(self.element, "%scratch", k), self.size)

    def _outer(self, axes: Sequence[int], first: str, last: str) -> None:
        """The loops of the outer sums, the last one in blocks."""
        f, axis, block = self.f, axes[0], self.shape.block
        high = self.nest.bounds(axis)[1]
        step = block if len(axes) == 1 else 1
        with f.loop("0", high, step) as k, self.body.inside(axis, k):
            if len(axes) > 1:
                self._outer(axes[1:], first, last)
                return
            self._count = f.least(f.sub(high, k), str(block)) if block > 1 else "1"
            self._tiles(first, last, first, self._part)

    # ------------------------------------------------------------ tiles

    def _tiles(
        self, low: str, high: str, first: str, inner: Callable[[Extents, str, int], None]
    ) -> None:
        """`inner` for each panel and tile: (extents of the tile, its sums, columns in use)."""
        f, shape = self.f, self.shape
        full = self.columns // shape.width
        if full:
            with f.loop("0", str(full)) as panel, self.body.inside():
                self._panel(panel, shape.width, low, high, first, inner)
        if full < self.panels:
            self._panel(str(full), self.columns % shape.width, low, high, first, inner)

    def _panel(
        self, panel: str, used: int, low: str, high: str, first: str,
        inner: Callable[[Extents, str, int], None],
    ) -> None:  # fmt: skip
        f, shape = self.f, self.shape
        self._column = f.mul(panel, str(shape.width))
        with f.loop(low, high) as tile, self.body.inside():
            sums = self._tile_sums
            if shape.outer:
                number = f.add(f.mul(f.sub(tile, first), str(self.panels)), panel)
                sums = f.shift(self.element, "%scratch", f.mul(number, str(self.each)))
            index = self._decoded(tile)
            self._base = {axis: f.mul(index[axis], str(e)) for axis, _, e in shape.order}
            if not shape.rest:
                inner(shape.extents(False), sums, used)
                return
            steps = next(steps for axis, steps, _ in shape.order if axis == shape.tile[0])
            if steps == 1:
                inner(shape.extents(True), sums, used)
                return
            short = f.value(f"icmp eq i64 {index[shape.tile[0]]}, {steps - 1}")
            long = f.value(f"xor i1 {short}, true")
            for rest, condition in ((False, long), (True, short)):
                with f.when(condition), self.body.inside():
                    inner(shape.extents(rest), sums, used)

    def _decoded(self, tile: str) -> dict[int, str]:
        """The step along each axis, from the number of the tile."""
        f, found = self.f, dict[int, str]()
        several = [(axis, steps) for axis, steps, _ in self.shape.order if steps > 1]
        for axis, steps, _ in self.shape.order:
            if steps == 1:
                found[axis] = "0"
        for k, (axis, steps) in enumerate(reversed(several)):
            if k == len(several) - 1:
                found[axis] = tile
            else:
                found[axis] = f.sub(tile, f.mul(f.div(tile, steps), str(steps)))
                tile = f.div(tile, steps)
        return found

    def _whole(self, extents: Extents, sums: str, used: int) -> None:
        """The sums of a tile, and the writes."""
        self._sum(extents, sums, used, add=False)
        self._finish(extents, sums, used)

    def _part(self, extents: Extents, sums: str, used: int) -> None:
        """A block of the sums of a tile, added to those in memory."""
        self._sum(extents, sums, used, add=True)

    # ------------------------------------------------------------ sums

    def _sum(self, extents: Extents, sums: str, used: int, *, add: bool) -> None:
        f, shape = self.f, self.shape
        vectors = -(-used // shape.lanes)
        kind = type_of(self.dtype, shape.lanes)
        rows = list(product(*(range(extent) for _, extent in extents)))
        places = [(r, v) for r in range(len(rows)) for v in range(vectors)]
        acc = {place: f.local(kind) for place in places}
        for place in places:
            f.store(kind, "zeroinitializer", acc[place], 64)
        starts = [self._start(x) for x in shape.factors]
        loops = self._loops()
        offsets = [self._offsets(x, extents, rows) for x in shape.factors]
        self._turns = min(UNROLLED, LIMIT // len(places))
        self._terms(loops, starts, lambda at: self._term(at, offsets, acc, vectors, used))
        for r, v in places:
            to = f.shift(self.element, sums, str((r * vectors + v) * shape.lanes))
            total = f.load(kind, acc[r, v], 64)
            if add:
                total = f.value(f"fadd {kind} {f.load(kind, to, self.size)}, {total}")
            f.store(kind, total, to, self.size)

    @contextmanager
    def _at_tile(self) -> Iterator[None]:
        """The first element of the tile."""
        with ExitStack() as stack:
            for axis, value in self._base.items():
                stack.enter_context(self.body.inside(axis, value))
            stack.enter_context(self.body.inside(self.shape.n, self._column))
            yield

    def _start(self, factor: int) -> str:
        """The address of the first element of a factor that a tile needs."""
        analysis = self.body.analysis
        _, steady = split_terms(analysis, analysis.reads(factor).offset, self.shape.inner)
        argument = self.linear.instrs[factor].data
        with self._at_tile():
            return self.f.shift(self.element, f"%b{argument}", self.body.affine_scalar(steady))

    def _strides(self, axis: int) -> list[int]:
        analysis = self.body.analysis
        found = [analysis.stride(analysis.reads(x), axis) for x in self.shape.factors]
        return [0 if x is None else x for x in found]

    def _loops(self) -> list[tuple[str, list[int]]]:
        """(length, strides of the factors) of the loops over terms, joined where they can be."""
        found: list[tuple[str, list[int]]] = []
        if self.shape.outer and self.shape.block > 1:
            found.append((self._count, self._strides(self.shape.outer[-1])))
        for axis in self.shape.inner:
            size, strides = fixed(self.linear.sizes[axis]), self._strides(axis)
            joins = found and found[-1][1] == [s * size for s in strides]
            if joins and found[-1][0].isdigit():
                found[-1] = (str(int(found[-1][0]) * size), strides)
            else:
                found.append((str(size), strides))
        return found

    def _terms(
        self, loops: Sequence[tuple[str, list[int]]], at: Sequence[str],
        term: Callable[[Sequence[str]], None],
    ) -> None:  # fmt: skip
        """The loops over the terms; `term` gets the addresses of the factors."""
        f = self.f
        if not loops:
            term(at)
            return
        length, strides = loops[0]

        def there(k: str) -> list[str]:
            return [
                f.shift(self.element, p, f.mul(k, str(s))) for p, s in zip(at, strides, strict=True)
            ]

        if len(loops) == 1 and length.isdigit() and int(length) <= self._turns:
            for turn in range(int(length)):
                term(there(str(turn)))
            return
        with f.loop("0", length) as k:
            self._terms(loops[1:], there(k), term)

    def _offsets(self, factor: int, extents: Extents, rows: Sequence[tuple[int, ...]]) -> list[int]:
        """The distance of each row's element from the first row's."""
        read = self.body.analysis.reads(factor)
        strides = [self.body.analysis.stride(read, axis) or 0 for axis, _ in extents]
        return [sum(i * s for i, s in zip(at, strides, strict=True)) for at in rows]

    def _term(
        self, at: Sequence[str], offsets: Sequence[Sequence[int]], acc: dict[tuple[int, int], str],
        vectors: int, used: int,
    ) -> None:  # fmt: skip
        """Add one term to the sums."""
        f, shape = self.f, self.shape
        kind = type_of(self.dtype, shape.lanes)
        along = self._strides(shape.n)
        known: dict[tuple[int, int, int], str] = {}

        def factor(k: int, offset: int, v: int) -> str:
            key = (k, offset, v if along[k] else 0)
            if key not in known:
                pointer = f.shift(self.element, at[k], str(offset + key[2] * shape.lanes))
                if along[k]:
                    known[key] = self._vector(k, pointer, used - v * shape.lanes)
                else:
                    one = f.load(self.element, pointer, self.size)
                    known[key] = f.splat(one, self.element, shape.lanes)
            return known[key]

        for (r, v), place in acc.items():
            a, b = (factor(k, offsets[k][r], v) for k in (0, 1))
            old = f.load(kind, place, 64)
            if self.fused:
                new = intrinsic(f, "fma", self.dtype, shape.lanes, a, b, old)
            else:
                new = f.value(f"fadd {kind} {old}, {f.value(f'fmul {kind} {a}, {b}')}")
            f.store(kind, new, place, 64)

    def _vector(self, factor: int, pointer: str, left: int) -> str:
        """A vector of columns; those past the end are 0 where memory may end there."""
        argument = int(self.linear.instrs[self.shape.factors[factor]].data or 0)
        lanes = self.shape.lanes
        whole = left >= lanes or self.linear.arguments[argument].slack
        mask = None if whole else self.nest.mask(str(left), lanes)
        return self.body.load(argument, pointer, lanes, mask)

    # ------------------------------------------------------------ the kernel's writes

    def _finish(self, extents: Extents, sums: str, used: int) -> None:
        """The writes for the rows of a tile, from the sums in memory."""
        body = self.body
        still = [(axis, v) for axis, v in self._base.items() if axis not in dict(extents)]
        with ExitStack() as stack:
            stack.enter_context(body.finite.scope())
            for axis, value in still:
                stack.enter_context(body.inside(axis, value))
            self._rows(extents, "0", sums, used)

    def _rows(self, extents: Extents, row: str, sums: str, used: int) -> None:
        """The rows one after the other, in loops where each waits for what it reads.

        Written out, LLVM keeps the sums in registers until they are stored.
        """
        f, body = self.f, self.body
        if extents:
            axis, extent = extents[0]

            def at(k: str) -> None:
                here = f.add(f.mul(row, str(extent)), k)
                with body.inside(axis, f.add(self._base[axis], k)):
                    self._rows(extents[1:], here, sums, used)

            if not self._apart:
                for k in range(extent):
                    at(str(k))
                return
            with f.loop("0", str(extent)) as turn:
                at(turn)
            return
        body.hoist(self.roots, self.linear.stores)
        width = -(-used // self.shape.lanes) * self.shape.lanes
        line = f.shift(self.element, sums, f.mul(row, str(width)))
        self.nest.write_sums(self.dtype, self._column, used, line)
