"""Matrix products: factors packed into strips, tiles of sums in registers, any epilogue.

    [pack all of b, as pairs of bfloat16 that several products need]
    for rows in chunks: pack the chunk's part of a
        for panels of columns:
            for blocks of k: [pack the block of b]; for tiles of rows: sums of the tile += a * b
            for rows: for vectors of columns: the kernel's writes, with the sum as `acc`

Where one block is all of k, the writes of a whole tile follow its sums, which stay in registers if
the writes are short.

A sum over rows that programs share is made for each block of rows by itself, and those of blocks
are added in their tree, tile by tile, before the kernel's writes.

Every sum runs over k in order, in blocks that are added up in order, at every position in a tile.
So results do not depend on the division of rows among threads. Rows past the end of a chunk are
computed from its last row and not used; columns past the end are not stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from chainrule.backend.cpu.emit.body import Body, Vectors
from chainrule.backend.cpu.emit.frame import BLOCK, TREE
from chainrule.backend.cpu.emit.microkernel import PANEL_WORDS, Table, Tile
from chainrule.backend.cpu.emit.nest import Compiled, Nest, begin, finish
from chainrule.backend.cpu.emit.packing import Chunk, Factors
from chainrule.backend.cpu.emit.scalars import MATHS
from chainrule.backend.cpu.emit.text import type_of
from chainrule.backend.cpu.emit.tiling import (
    MAX_WRITTEN,
    Left,
    Lengths,
    Right,
    Tiling,
    by_blocks,
    lengths,
    single_row,
)
from chainrule.backend.cpu.machine import Machine
from chainrule.plan.affine import AffineExpr, Analysis
from chainrule.types import N

TABLES: dict[Left, Table] = {"rows_in_place": "rows", "lines_in_place": "lines"}
"""The tables by which a left factor is read in place."""

REPACKED: dict[Right, int] = {"in_place": 16, "pack": 64, "transpose": 64}
"""Rows of a call, at least, by the access to the right factor, which every call packs again."""


def gemm(
    name: str,
    analysis: Analysis,
    shape: Tiling,
    machine: Machine,
    max_rows: int,
    forward: bool = False,
) -> Compiled:
    """The code of a kernel that is a matrix product.

    Args:
        forward: whether it belongs to a prediction, where a single row is worth its own code.
    """
    linear = analysis.linear
    f = begin(name, linear)
    body = Body(f, analysis, Vectors())
    cut, blocks = lengths(linear, shape, max_rows), by_blocks(linear, shape)
    if blocks:
        cut = replace(cut, single=False, levels=TREE)
    works = [Gemm(body, shape, machine, cut)]
    one = single_row(analysis, shape) if forward and linear.sizes[shape.m] is N else None
    if one is None:
        works[0].write()
    else:
        works.append(Gemm(body, one, machine, lengths(linear, one, max_rows)))
        single = f.value(f"icmp eq i64 {f.sub('%high', '%low')}, 1")
        for work, condition in zip(works, (f.value(f"xor i1 {single}, true"), single), strict=True):
            with f.when(condition), body.inside():
                work.write()
    scratch = tuple(max(work.factors.scratch[k] for work in works) for k in (0, 1))
    helpers = {k: h for work in works for k, h in work.factors.helpers.items()}
    granule = shape.rows if shape.m == 0 else 1
    least = REPACKED[shape.right] if shape.m == 0 else 1
    made = finish(body, (scratch[0], scratch[1]), granule, tuple(helpers.values()), least)
    return replace(made, by_blocks=blocks)


class Gemm:
    """Writes one matrix product into the function of a body."""

    def __init__(self, body: Body, shape: Tiling, machine: Machine, cut: Lengths) -> None:
        self.body, self.f, self.linear, self.shape = body, body.f, body.linear, shape
        self.cut, self.job, self.nest = cut, "", Nest(body, machine)
        self.origin, self.level = "0", "0"
        self.factors = Factors(self.nest, shape, cut)
        self.dtype, self.element = self.factors.dtype, self.factors.element
        self.size, self.columns = self.factors.size, self.factors.columns
        self.roots = [p for s in self.linear.stores for p in (s.value, *s.place)]
        needed = self._needed()
        self.row_bytes = needed[0][2] if needed else 0
        self.needed = [(k, offset) for k, offset, step in needed if step == self.row_bytes]
        sizes = (shape.rows, shape.vectors, shape.lanes)
        self._tile = Tile(
            self.dtype, *sizes, machine.fma, TABLES.get(shape.left), shape.few, machine.convention,
            self.factors.large, len(self.needed), shape.pairs,
        )  # fmt: skip
        size = self.linear.sizes[shape.m]
        self.exact = shape.rows == 1 or (isinstance(size, int) and size % shape.rows == 0)
        self.held = cut.single and self._light()

    def write(self) -> None:
        """Write the whole product."""
        lanes, whole = self.shape.lanes, self.shape.width & -self.shape.width
        if not self.held:
            lanes = min(whole, 2 * lanes)  # cut into powers of two, without waste
        self.body.vectors = Vectors(self.shape.n, lanes)
        self.nest.vectors = self.body.vectors
        if self.cut.levels > 1:
            self.blocks = self._blocks_of_rows()
        needed = [*self.roots, self.shape.a, self.shape.b]
        if self.factors.keeps:
            self.factors.begin((self.shape.b,))
            self._panels(lambda: self.factors.keep(self.used))
        self.nest.nest(self.shape.outer, needed, self.linear.stores, self._chunks)

    def _chunks(self) -> None:
        f, rows = self.f, self.shape.rows
        self.body.hoist([*self.roots, self.shape.a, self.shape.b], self.linear.stores)
        low, high = self.nest.bounds(self.shape.m)
        self.factors.begin()
        with f.loop(low, high, self.cut.chunk) as first, self.body.inside():
            last = f.least(f.add(first, str(self.cut.chunk)), high)
            lines = f.sub(last, first)
            strips = f.div(f.add(lines, str(rows - 1)), rows)
            self.chunk = chunk = Chunk(first, last, lines, strips)
            self.nest.nest(self.shape.outer_k, [self.shape.a], (), lambda: self.factors.copy(chunk))
            self._panels(self._panel)

    def _panels(self, inner: Callable[[], None]) -> None:
        """Full panels of columns, then the rest, in as few vectors as it takes."""
        full = self.columns // self.shape.width * self.shape.width
        if full:
            with self.f.loop("0", str(full), self.shape.width) as column:
                self._columns(column, self.shape.width, inner)
        if full < self.columns:
            self._columns(str(full), self.columns - full, inner)

    def _columns(self, column: str, used: int, inner: Callable[[], None]) -> None:
        """A panel of `used` columns."""
        shape = self.shape
        vectors = min(shape.vectors, -(-used // shape.lanes))
        self.used, self.tile = used, replace(self._tile, vectors=vectors)
        with self.body.inside(shape.n, column):
            inner()

    def _panel(self) -> None:
        f, rows = self.f, self.shape.rows
        self.factors.panel(self.used)
        if self.cut.single:
            self._block("0", self.factors.depth)
            return
        if self.cut.levels > 1:
            self._by_blocks()
        else:
            self.nest.nest(self.shape.outer_k, [self.shape.a, self.shape.b], (), self._blocks)
        with f.loop(self.chunk.first, self.chunk.last, rows) as row, self.body.inside():
            self._finish(row)

    def _blocks(self) -> None:
        f, depth = self.f, self.factors.depth
        with f.loop("0", depth, self.cut.block) as start, self.body.inside():
            self._block(start, f.least(f.add(start, str(self.cut.block)), depth))

    # ------------------------------------------------------------ blocks of rows

    def _blocks_of_rows(self) -> str:
        """The address of the words of the blocks: those given, or of one with all rows."""
        f = self.f
        words = f.local(f"[{1 + len(BLOCK)} x i64]")
        for k, word in enumerate(("1", "0", "%n", "0", "0")):
            f.store("i64", word, f.shift("i64", words, str(k)), 8)
        alone = f.value("icmp eq ptr %blocks, null")
        return f.value(f"select i1 {alone}, ptr {words}, ptr %blocks")

    def _by_blocks(self) -> None:
        """Sums over the rows of each block, added in their tree."""
        f, block = self.f, self.cut.block
        with f.loop("0", f.load("i64", self.blocks, 8)) as number, self.body.inside():
            here = f.shift("i64", self.blocks, f.add(f.mul(number, str(len(BLOCK))), "1"))
            start, end, level, joins = (
                f.load("i64", f.shift("i64", here, str(k)), 8) for k in range(len(BLOCK))
            )
            self.origin, self.level = start, f.mul(level, str(self.factors.sums))
            middle = f.least(f.add(start, str(block)), end)
            self._block(start, middle)  # also one without rows: 0
            with f.loop(middle, end, block) as first, self.body.inside():
                self._block(first, f.least(f.add(first, str(block)), end))
            with f.loop("0", joins) as join, self.body.inside():
                self._join(f.mul(f.sub(level, join), str(self.factors.sums)))
        self.origin = self.level = "0"

    def _join(self, level: str) -> None:
        """Add the sums of a level to those of the one below."""
        f, shape, lanes = self.f, self.shape, self.shape.lanes
        kind = type_of(self.dtype, lanes)
        right = f.shift(self.element, "%scratch", level)
        left = f.shift(self.element, right, str(-self.factors.sums))
        count = f.mul(self.chunk.strips, str(shape.rows * shape.width))
        with f.loop("0", count, lanes) as k:
            x, y = (f.shift(self.element, p, k) for p in (left, right))
            one, other = f.load(kind, x, self.size), f.load(kind, y, self.size)
            f.store(kind, f.value(f"fadd {kind} {one}, {other}"), x, self.size)

    # ------------------------------------------------------------ sums

    def _block(self, start: str, end: str) -> None:
        """Sums over a block of k."""
        f, shape, chunk = self.f, self.shape, self.chunk
        self._job(start, f.sub(end, start))
        with f.loop("0", chunk.strips) as number, self.body.inside():
            row = f.add(chunk.first, f.mul(number, str(shape.rows)))
            a, left = self.factors.left(number, start, chunk), f.sub(chunk.last, row)
            rest = "true"
            if self.held:
                full = "true" if self.exact else f.less(str(shape.rows - 1), left)
                with f.when(full), self.body.inside():
                    self._finish_tile(row, number, a)
                if self.exact:
                    return
                rest = f.value(f"xor i1 {full}, true")
            with f.when(rest), self.body.inside():
                self.factors.call(
                    self.tile.strip(), f"ptr {self.job}", f"ptr {a}", f"ptr {self._sums(row)}",
                    f"i64 {number}", f"i64 {left}",
                )  # fmt: skip
                if self.cut.single:
                    self._finish(row)

    def _sums(self, row: str) -> str:
        """The address of the sums of a tile; those of one block are used at once."""
        f = self.f
        if self.cut.single:
            return "%scratch"
        here = f.mul(f.sub(row, self.chunk.first), str(self.shape.width))
        return f.shift(self.element, "%scratch", f.add(here, self.level))

    def _job(self, start: str, depth: str) -> None:
        """Store the words that the strips of a panel share."""
        f = self.f
        b, step = self.factors.right(start, depth)
        add = "0"
        if not self.cut.single:
            later = f.value(f"icmp ne i64 {self.factors.terms(start)}, {self.origin}")
            add = f.value(f"zext i1 {later} to i64")
        words = dict.fromkeys(PANEL_WORDS, "0") | {
            "b": b, "b_stride": step, "depth": depth, "add": add, "first": start,
            "a_stride": self.factors.a_stride, "next": b, "row_bytes": str(self.row_bytes),
            **self.factors.next(start, depth, self.chunk),
        }  # fmt: skip
        with self.body.inside(self.shape.m, self.chunk.first):
            needed = [
                f.shift(self.element, f"%b{argument}", self.body.affine_scalar(offset))
                for argument, offset in self.needed
            ]
        self.job = self.job or f.local(f"[{len(PANEL_WORDS) + len(needed)} x i64]")
        pointers = {PANEL_WORDS.index("b"), PANEL_WORDS.index("next")}
        for k, word in enumerate([*words.values(), *needed]):
            kind = "ptr" if k in pointers or k >= len(PANEL_WORDS) else "i64"
            f.store(kind, word, f.shift("i64", self.job, str(k)), 8)

    def _needed(self) -> list[tuple[int, AffineExpr, int]]:
        """(argument, offset, row bytes) of the state that the writes need."""
        body, shape = self.body, self.shape
        reads = {
            (int(entry.data or 0), entry.args)
            for instr in {i for root in self.roots for i in body.analysis.needs(root)}
            if (entry := self.linear.instrs[instr]).op == "read"
            and {shape.m, shape.n} <= body.analysis.depends[instr]
        }
        written = {(s.argument, s.place) for s in self.linear.stores}
        known = {place for _, place in reads}  # new values usually lie where old ones do
        places = reads | {(k, place) for k, place in written if place not in known}
        found = []
        for argument, place in sorted(places):
            access = body.analysis.access(argument, place)
            stride = body.analysis.stride(access, shape.m)
            state = self.linear.arguments[argument].space == "state"
            if state and not access.unproven and stride is not None:
                found.append((argument, access.offset, stride * self.size))
        return found

    # ------------------------------------------------------------ the kernel's writes

    def _light(self) -> bool:
        """Whether the writes are short enough to be written out for a tile."""
        linear = self.linear
        instrs = [
            linear.instrs[i] for i in {i for x in self.roots for i in self.body.analysis.needs(x)}
        ]
        return len(instrs) <= MAX_WRITTEN and not any(x.op in (*MATHS, "philox") for x in instrs)

    def _finish_tile(self, row: str, number: str, a: str) -> None:
        """The sums of a whole tile, and the writes for its rows, from the sums in registers."""
        f, body, shape, tile = self.f, self.body, self.shape, self.tile
        operands = f"ptr {self.job}", f"ptr {a}", f"i64 {number}"
        sums = tile.taken(f, self.factors.call(tile.sums(), *operands))
        column = body.at.pop(shape.n)
        with body.finite.scope():
            for offset in self.nest.vectors_of(column, self.used):
                body.hoist(self.roots, self.linear.stores)
                for r in range(shape.rows):
                    with body.inside(shape.m, f.add(row, str(r))):
                        body.set_acc(sums[r, offset // tile.lanes], True)
                        self.nest.store()
        body.at[shape.n] = column

    def _finish(self, row: str) -> None:
        """The writes for the rows of a tile, from the sums in memory."""
        f, body, shape = self.f, self.body, self.shape
        column, tile = body.at[shape.n], self._sums(row)
        del body.at[shape.n]
        end = f.least(f.add(row, str(shape.rows)), self.chunk.last)
        with body.finite.scope(), f.loop(row, end) as r, body.inside(shape.m, r):
            body.hoist(self.roots, self.linear.stores)
            sums = f.shift(self.element, tile, f.mul(f.sub(r, row), str(self.tile.width)))
            self.nest.write_sums(self.dtype, column, self.used, sums)
        body.at[shape.n] = column
