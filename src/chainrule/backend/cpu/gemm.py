"""Matrix products: factors copied into strips, tiles of sums in registers, any epilogue.

    for rows in chunks: copy the chunk's part of a
        for panels of columns:
            for blocks of k: [copy the block of b]; for tiles of rows: sums of the tile += a * b
            for rows: for vectors of columns: the kernel's writes, with the sum as `acc`

Every sum runs over k in order, in blocks that are added up in order, wherever its row and column
lie in a tile. So results do not depend on how threads share rows. Rows past the end of a chunk are
computed from its last row and not used; columns past the end are either computed twice or, where a
product is narrower than a tile, not stored.
"""

from __future__ import annotations

from collections.abc import Callable

from chainrule.backend.cpu.affine import Analysis, Form
from chainrule.backend.cpu.body import Body, Vectors
from chainrule.backend.cpu.flat import Flat
from chainrule.backend.cpu.layout import LINE
from chainrule.backend.cpu.loops import Compiled, Nest, begin, finish
from chainrule.backend.cpu.machine import Machine
from chainrule.backend.cpu.products import Product, parts
from chainrule.backend.cpu.text import BYTES, SCALARS, type_of
from chainrule.backend.cpu.tiles import JOB, Helper, Tile, gather, turn

BLOCK = 320
"""About the length of a block of k: a panel of that many rows stays in the first cache."""

CHUNK = 192
"""Rows whose part of the left factor is copied at once, at most."""

COPY = 1 << 19
"""Bytes of that copy, if CHUNK does not make it less: it stays in the second cache."""


def gemm(
    name: str, flat: Flat, analysis: Analysis, shape: Product, machine: Machine, max_rows: int
) -> Compiled:
    """The code of a kernel that is a matrix product."""
    step = shape.width & -shape.width  # a power of two: what vectors are cut into without waste
    body = Body(begin(name, flat), flat, analysis, Vectors(shape.v, step))
    work = Gemm(body, shape, machine, max_rows)
    work.write()
    granule = shape.rows if shape.m == 0 else 1
    return finish(body, work.scratch, granule, tuple(work.helpers.values()))


class Gemm:
    """Writes one matrix product into the function of a body."""

    def __init__(self, body: Body, shape: Product, machine: Machine, max_rows: int) -> None:
        self.body, self.f, self.flat, self.shape = body, body.f, body.flat, shape
        self.nest, self.helpers, self.job = Nest(body, machine), dict[str, Helper](), ""
        self.dtype = self.flat.items[self.flat.value].dtype
        self.element, self.size = SCALARS[self.dtype], BYTES[self.dtype]
        self.tile = Tile(
            self.dtype, shape.rows, shape.vectors, shape.lanes, machine.fma, shape.left == "lines"
        )
        self.roots = [p for s in self.flat.stores for p in (s.value, *s.place)]
        self._forms()
        self._lengths(max_rows)
        self._memory()

    def _forms(self) -> None:
        """Where the factors lie, by the axes that it depends on."""
        shape, analysis = self.shape, self.body.analysis
        a, b = (analysis.reads(x).form for x in (shape.a, shape.b))
        self.a_rows, rest = parts(analysis, a, {shape.m})
        self.a_depth, self.a_base = parts(analysis, rest, self.flat.over)
        self.b_depth, rest = parts(analysis, b, self.flat.over)
        self.b_columns, self.b_base = parts(analysis, rest, {shape.v})

    def _lengths(self, max_rows: int) -> None:
        """How k is cut into blocks, and rows into chunks."""
        shape, sizes = self.shape, self.flat.sizes
        k = sizes[shape.k]
        if isinstance(k, int):
            self.depth, self.block = str(k), _even(k, BLOCK, 1)
        else:
            self.depth, self.block = "%n", BLOCK
        known = k if isinstance(k, int) else max_rows
        self.single = known <= self.block and not shape.also
        total = known
        for axis in shape.also:
            size = sizes[axis]
            total *= size if isinstance(size, int) else max_rows
        fits = COPY // (self.size * max(1, 1 << (total - 1).bit_length()))
        most = max(2 * shape.rows, min(CHUNK, fits) // shape.rows * shape.rows)
        m = sizes[shape.m]
        self.chunk = _even(m, most, shape.rows) if isinstance(m, int) else most

    def _memory(self) -> None:
        """The thread's memory: sums, a panel of b, addresses of lines, the copy of a."""
        f, shape = self.f, self.shape
        fixed, each_row = 1, ""
        for axis in (*shape.also, shape.k):
            size = self.flat.sizes[axis]
            fixed, each_row = (fixed * size, each_row) if isinstance(size, int) else (fixed, "%n")
        self.total = f.mul(str(fixed), each_row) if each_row else str(fixed)
        pad = max(shape.rows, shape.lanes)
        self.pitch = f.add(f.mul(self.total, str(shape.rows)), str(pad))
        rows = self.chunk + shape.rows
        sums = rows * shape.width
        panel = 0 if shape.right == "place" else (self.block + shape.lanes) * shape.width
        lines = max(self.block, shape.width)
        gathers = shape.left == "gather"
        self.panel = f.shift(self.element, "%scratch", str(sums))
        self.b_table = f.shift(self.element, self.panel, str(panel))
        self.a_table = f.shift("ptr", self.b_table, str(lines))
        many = self.total if gathers else str(rows + shape.rows + shape.lanes)
        self.copy = f.shift("ptr", self.a_table, many)
        strips = rows // shape.rows
        each = strips * shape.rows * fixed * self.size + 8 * fixed * gathers
        here = (sums + panel + strips * pad) * self.size + 8 * (lines + rows + pad + pad) + 2 * LINE
        self.scratch = (here, each) if each_row else (here + each, 0)

    def write(self) -> None:
        """Write the whole product."""
        needed = [*self.roots, self.shape.a, self.shape.b]
        self.nest.nest(self.shape.outer, needed, self.flat.stores, self._chunks)

    def _chunks(self) -> None:
        f = self.f
        self.body.hoist([*self.roots, self.shape.a, self.shape.b], self.flat.stores)
        low, high = self.nest.bounds(self.shape.m)
        self.a_start, self.b_start = (
            self._start(self.shape.a, self.a_base),
            self._start(self.shape.b, self.b_base),
        )
        with f.loop(low, high, self.chunk) as first, self.body.inside():
            self.first, self.last = first, f.least(f.add(first, str(self.chunk)), high)
            self.lines = f.sub(self.last, self.first)
            strips = f.add(self.lines, str(self.shape.rows - 1))
            self.strips = f.div(strips, self.shape.rows)
            self.nest.nest(self.shape.also, [self.shape.a], (), self._copy)
            self._panels()

    def _start(self, item: int, form: Form) -> str:
        base = f"%b{self.flat.items[item].data}"
        return self.f.shift(self.element, base, self.body.scalar_form(form))

    def _panels(self) -> None:
        """Panels of columns; the last one begins early enough to be whole."""
        f, width, size = self.f, self.shape.width, self._columns
        if size <= width:
            with self.body.inside(self.shape.v, "0"):
                self._panel()
            return
        with f.loop("0", str(size), width) as column:
            begin_at = f.least(column, str(size - width))
            with self.body.inside(self.shape.v, begin_at):
                self._panel()

    @property
    def _columns(self) -> int:
        size = self.flat.sizes[self.shape.v]
        assert isinstance(size, int)
        return size

    def _panel(self) -> None:
        f = self.f
        self.b_panel = f.shift(self.element, self.b_start, self.body.scalar_form(self.b_columns))
        if self.single:
            self._block("0", self.depth)
            return
        self.nest.nest(self.shape.also, [self.shape.a, self.shape.b], (), self._blocks)
        with f.loop(self.first, self.last, self.shape.rows) as row, self.body.inside():
            self._finish(row)

    def _blocks(self) -> None:
        f = self.f
        with f.loop("0", self.depth, self.block) as start, self.body.inside():
            self._block(start, f.least(f.add(start, str(self.block)), self.depth))

    # ------------------------------------------------------------ copies

    def _call(self, helper: Helper, *operands: str) -> None:
        self.helpers[helper.name] = helper
        self.f.do(f"call void @{helper.name}({', '.join(operands)})")

    def _table(self, table: str, low: str, high: str, place: Callable[[str], str]) -> None:
        """Note the addresses of some lines."""
        f = self.f
        with f.loop(low, high) as line, self.body.inside():
            f.store("ptr", place(line), f.shift("ptr", table, f.sub(line, low)), 8)

    def _copy(self) -> None:
        """Copy the chunk's part of a into strips."""
        f, shape, body = self.f, self.shape, self.body
        done = "0"
        for axis in shape.also:
            done = f.add(f.mul(done, self.nest.bounds(axis)[1]), body.at[axis])
        done = f.mul(done, self.depth)
        to = f.shift(self.element, self.copy, f.mul(done, str(shape.rows)))
        if shape.left == "lines":
            more = f.add(self.last, str(shape.rows))
            self._table(self.a_table, self.first, more, lambda row: self._row(row, self.a_start))
        elif shape.left == "turn":
            others, _ = parts(body.analysis, self.a_depth, shape.also)
            more = f.add(self.last, str(shape.rows + shape.lanes))
            start = f.shift(self.element, self.a_start, body.scalar_form(others))
            self._table(self.a_table, self.first, more, lambda row: self._row(row, start))
            for group in reversed(range(0, shape.rows, shape.lanes)):
                self._call(
                    turn(self.dtype, shape.lanes),
                    f"ptr {f.shift('ptr', self.a_table, str(group))}",
                    f"ptr {f.shift(self.element, to, str(group))}",
                    f"i64 {self.strips}", f"i64 {shape.rows}", "i64 0", f"i64 {self.depth}",
                    f"i64 {self.pitch}", f"i64 {shape.rows}",
                )  # fmt: skip
        elif shape.left == "gather":
            table, start = f.shift("ptr", self.a_table, done), self._row(self.first, self.a_start)
            self._table(table, "0", self.depth, lambda k: self._deep(k, start, self.a_depth))
            self._call(
                gather(self.dtype, shape.rows), f"ptr {table}", f"i64 {self.lines}",
                f"i64 {self.depth}", f"i64 {self.pitch}", f"ptr {to}",
            )  # fmt: skip
        else:
            self._copy_apart(to)

    def _copy_apart(self, to: str) -> None:
        """The copy of a, element by element."""
        f, tile = self.f, str(self.shape.rows)
        with f.loop(self.first, self.last, self.shape.rows) as strip, self.body.inside():
            begin_at = f.shift(self.element, to, self._strip(strip))
            with f.loop("0", tile) as r, self.body.inside():
                source = self._row(f.add(strip, r), self.a_start)
                line = f.shift(self.element, begin_at, r)
                with f.loop("0", self.depth) as k, self.body.inside():
                    one = f.load(self.element, self._deep(k, source, self.a_depth), self.size)
                    f.store(self.element, one, f.shift(self.element, line, f.mul(k, tile)), 4)

    def _strip(self, row: str) -> str:
        """How far from the first strip the one that begins at `row` is."""
        number = self.f.div(self.f.sub(row, self.first), self.shape.rows)
        return self.f.mul(number, self.pitch)

    def _row(self, row: str, start: str) -> str:
        """Where a row of a begins; past the end of the chunk it is the last one."""
        f = self.f
        here = f.least(row, f.sub(self.last, "1"))
        with self.body.inside(self.shape.m, here):
            return f.shift(self.element, start, self.body.scalar_form(self.a_rows))

    def _deep(self, k: str, start: str, form: Form) -> str:
        with self.body.inside(self.shape.k, k):
            return self.f.shift(self.element, start, self.body.scalar_form(form))

    def _right(self, start: str, depth: str) -> tuple[str, str]:
        """Where a block of b begins, and its step from k to k."""
        f, shape, body = self.f, self.shape, self.body
        if shape.right == "place":
            step = body.analysis.stride(body.analysis.reads(shape.b), shape.k)
            return self._deep(start, self.b_panel, self.b_depth), str(step)
        if shape.right == "turn":
            others, _ = parts(body.analysis, self.b_depth, shape.also)
            self.b_from = f.shift(self.element, self.b_panel, body.scalar_form(others))
            stride, last = self.b_columns.axes[shape.v], str(self._columns - 1)

            def column(number: str) -> str:
                held = f.mul(f.least(number, last), str(stride))
                return f.shift(self.element, self.b_from, held)

            self._table(self.b_table, "0", str(shape.width), column)
            self._call(
                turn(self.dtype, shape.lanes), f"ptr {self.b_table}", f"ptr {self.panel}",
                f"i64 {shape.vectors}", f"i64 {shape.lanes}", f"i64 {start}", f"i64 {depth}",
                f"i64 {shape.lanes}", f"i64 {shape.width}",
            )  # fmt: skip
        else:
            end = f.add(start, depth)
            at = self.b_panel
            self._table(self.b_table, start, end, lambda k: self._deep(k, at, self.b_depth))
            self._call(
                gather(self.dtype, shape.width), f"ptr {self.b_table}",
                f"i64 {min(self._columns, shape.width)}", f"i64 {depth}", "i64 0",
                f"ptr {self.panel}",
            )  # fmt: skip
        return self.panel, str(shape.width)

    # ------------------------------------------------------------ sums

    def _block(self, start: str, end: str) -> None:
        """Sums over a block of k."""
        f, shape = self.f, self.shape
        depth = f.sub(end, start)
        b, step = self._right(start, depth)
        before, done = start, "0"
        for axis in shape.also:
            before = f.value(f"or i64 {before}, {self.body.at[axis]}")
            done = f.add(f.mul(done, self.nest.bounds(axis)[1]), self.body.at[axis])
        done = f.add(f.mul(done, self.depth), start)
        a = f.shift(self.element, self.copy, f.mul(done, str(shape.rows)))
        add = (
            "0" if self.single else f.value(f"zext i1 {f.value(f'icmp ne i64 {before}, 0')} to i64")
        )
        self._job(b, step, start, depth, add)
        strip, *others = self.tile.strip()
        self.helpers |= {helper.name: helper for helper in others}
        with f.loop("0", self.strips) as number, self.body.inside():
            row = f.add(self.first, f.mul(number, str(shape.rows)))
            left = f.sub(self.last, row)
            here = f.shift(self.element, a, f.mul(number, self.pitch))
            if shape.left == "lines":
                here = f.shift("ptr", self.a_table, f.mul(number, str(shape.rows)))
            self._call(
                strip, f"ptr {self.job}", f"ptr {here}", f"ptr {self._sums(row)}",
                f"i64 {number}", f"i64 {left}",
            )  # fmt: skip
            if self.single:
                self._finish(row)

    def _sums(self, row: str) -> str:
        """Where the sums of a row are."""
        f = self.f
        here = f.mul(f.sub(row, self.first), str(self.shape.width))
        return f.shift(self.element, "%scratch", here)

    def _job(self, b: str, step: str, start: str, depth: str, add: str) -> None:
        """Write down what the strips of a panel have in common."""
        wanted = self._wanted()
        words = dict.fromkeys(JOB, "0") | {
            "b": b, "step": step, "depth": depth, "add": add, "first": start,
            "next": b, "wanted": str(len(wanted)),
        }  # fmt: skip
        words |= self._next(start, depth, b, step)
        pairs = [x for pair in wanted for x in pair]
        self.job = self.job or self.f.local(f"[{len(JOB) + len(pairs)} x i64]")
        pointers = {JOB.index("b"), JOB.index("next"), *range(len(JOB), len(JOB) + len(pairs), 2)}
        for k, word in enumerate([*words.values(), *pairs]):
            kind = "ptr" if k in pointers else "i64"
            self.f.store(kind, word, self.f.shift("i64", self.job, str(k)), 8)

    def _next(self, start: str, depth: str, b: str, step: str) -> dict[str, str]:
        """The words of a job that tell where the next panel of b is."""
        f, shape = self.f, self.shape
        if shape.right == "gather" or self._columns <= shape.width:
            return {}
        if shape.right == "place":
            lines = -(-shape.width * self.size // LINE)
            at, apart, many = f.shift(self.element, b, str(shape.width)), step, depth
            pieces = str(lines)
        else:
            stride = self.b_columns.axes[shape.v]
            at = f.shift(self.element, self.b_from, f.add(start, str(stride * shape.width)))
            apart, many = str(stride), str(shape.width)
            pieces = f.div(f.mul(depth, str(self.size)), LINE)
        share = f.add(f.value(f"udiv i64 {many}, {self.strips}"), "1")
        return {"next": at, "apart": apart, "many": many, "share": share, "pieces": pieces}

    def _wanted(self) -> list[tuple[str, str]]:
        """The state that the tiles' writes will need: it comes while the sums run."""
        f, body, shape = self.f, self.body, self.shape
        places = {(s.argument, s.place) for s in self.flat.stores}
        for item in {i for root in self.roots for i in body.needs(root)}:
            entry = self.flat.items[item]
            if entry.op == "read" and {shape.m, shape.v} <= body.analysis.depends[item]:
                places.add((int(entry.data or 0), entry.args))
        found = []
        for argument, place in sorted(places):
            access = body.analysis.access(argument, place)
            stride = body.analysis.stride(access, shape.m)
            if self.flat.arguments[argument].space != "state" or access.risky or stride is None:
                continue
            with body.inside(shape.m, self.first):
                offset = body.scalar_form(access.form)
            pointer = f.shift(self.element, f"%b{argument}", offset)
            found.append((pointer, str(stride * self.size)))
        return found

    # ------------------------------------------------------------ the kernel's writes

    def _finish(self, row: str) -> None:
        """The writes for the rows of a tile, from the sums in memory."""
        f, body, shape = self.f, self.body, self.shape
        column, step = body.at[shape.v], body.vectors.lanes
        del body.at[shape.v]
        used = min(self._columns, shape.width)
        end = f.least(f.add(row, str(shape.rows)), self.last)
        with body.watch.part(), f.loop(row, end) as r, body.inside(shape.m, r):
            body.hoist(self.roots, self.flat.stores)
            sums = self._sums(r)
            for offset in range(0, used, step):
                self._write(column, sums, offset, min(used - offset, step))
        body.at[shape.v] = column

    def _write(self, column: str, sums: str, offset: int, used: int) -> None:
        f, body = self.f, self.body
        step = body.vectors.lanes
        with body.inside(self.shape.v, f.add(column, str(offset))):
            kind = type_of(self.dtype, step)
            body.set_acc(f.load(kind, f.shift(self.element, sums, str(offset)), self.size), True)
            body.mask = None if used == step else self.nest.mask(str(used))
            for store in self.flat.stores:
                body.store(store)
            body.mask = None
            body.set_acc(None, False)


def _even(size: int, most: int, step: int) -> int:
    """The least multiple of `step` of which as few make up `size` as of `most`."""
    count = -(-size // most)
    return max(step, -(-size // (count * step)) * step)
