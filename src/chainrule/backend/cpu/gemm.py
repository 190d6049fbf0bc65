"""Matrix products: tiles of accumulators in registers, panels in the first cache, any epilogue.

    for rows in chunks: for panels of columns:
        for blocks of k: [turn the block of b round]; for tiles of rows: sums of the tile += a * b
        for rows: for vectors of columns: the kernel's writes, with the sum as `acc`

Every sum runs over k in order, in blocks of BLOCK that are added up in order, wherever its row and
column lie in a tile. So results do not depend on how threads share rows. Rows past the end of a
chunk are computed from its last row and not used; columns past the end are either computed twice
or, where a product is narrower than a tile, not stored.
"""

from __future__ import annotations

from chainrule.backend.cpu.affine import Analysis, Form
from chainrule.backend.cpu.body import Body, Vectors
from chainrule.backend.cpu.flat import Flat
from chainrule.backend.cpu.layout import LINE
from chainrule.backend.cpu.loops import Compiled, Nest, begin, finish
from chainrule.backend.cpu.machine import Machine
from chainrule.backend.cpu.products import Product, parts
from chainrule.backend.cpu.scalars import intrinsic
from chainrule.backend.cpu.text import BYTES, SCALARS, type_of

BLOCK = 256
"""Length of a block of k: a panel of that many rows stays in the first cache."""

CHUNK = 96
"""Rows whose sums are kept while the blocks of k go by."""


def gemm(name: str, flat: Flat, analysis: Analysis, shape: Product, machine: Machine) -> Compiled:
    """The code of a kernel that is a matrix product."""
    step = shape.width & -shape.width  # a power of two: what vectors are cut into without waste
    body = Body(begin(name, flat), flat, analysis, Vectors(shape.v, step))
    work = Gemm(body, shape, machine)
    work.write()
    return finish(body, (work.bytes, work.each_row), shape.rows if shape.m == 0 else 1)


class Gemm:
    """Writes one matrix product into the function of a body."""

    def __init__(self, body: Body, shape: Product, machine: Machine) -> None:
        self.body, self.f, self.flat, self.shape = body, body.f, body.flat, shape
        self.machine, self.nest = machine, Nest(body, machine)
        self.dtype = self.flat.items[self.flat.value].dtype
        self.element, self.size = SCALARS[self.dtype], BYTES[self.dtype]
        self.kind = type_of(self.dtype, shape.lanes)
        k = self.flat.sizes[shape.k]
        self.single = isinstance(k, int) and k <= BLOCK + BLOCK // 2 and not shape.also
        self.depth = str(k) if isinstance(k, int) else "%n"
        self.panel_rows = k if isinstance(k, int) and self.single else BLOCK
        sums = (CHUNK + shape.rows) * shape.width
        turned = 0 if shape.along else self.panel_rows * shape.width
        copied = (CHUNK + shape.rows) * k if isinstance(k, int) else 0
        self.bytes = (sums + turned + copied * shape.packed + 2 * LINE) * self.size
        self.each_row = 0 if isinstance(k, int) else (CHUNK + shape.rows) * self.size * shape.packed
        self.panel = self.f.shift(self.element, "%scratch", str(sums))
        self.copy = self.f.shift(self.element, self.panel, str(turned))
        self.roots = [p for s in self.flat.stores for p in (s.value, *s.place)]
        a, b = (body.analysis.reads(x).form for x in (shape.a, shape.b))
        self.a_rows, rest = parts(body.analysis, a, {shape.m})
        self.a_depth, self.a_base = parts(body.analysis, rest, self.flat.over)
        self.b_depth, rest = parts(body.analysis, b, self.flat.over)
        self.b_columns, self.b_base = parts(body.analysis, rest, {shape.v})

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
        with f.loop(low, high, CHUNK) as first, self.body.inside():
            self.first, self.last = first, f.least(f.add(first, str(CHUNK)), high)
            if self.shape.packed:
                self._pack()
            self._panels()

    def _start(self, item: int, form: Form) -> str:
        base = f"%b{self.flat.items[item].data}"
        return self.f.shift(self.element, base, self.body.scalar_form(form))

    def _panels(self) -> None:
        """Panels of columns; the last one begins early enough to be whole."""
        f, width, size = self.f, self.shape.width, self.flat.sizes[self.shape.v]
        assert isinstance(size, int)
        if size <= width:
            with self.body.inside(self.shape.v, "0"):
                self._panel()
            return
        with f.loop("0", str(size), width) as column:
            begin_at = f.least(column, str(size - width))
            with self.body.inside(self.shape.v, begin_at):
                self._panel()

    def _panel(self) -> None:
        f = self.f
        self.b_panel = f.shift(self.element, self.b_start, self.body.scalar_form(self.b_columns))
        if self.single:
            self._block("0", self.depth)
        else:
            self._clear()
            needed = [self.shape.a, self.shape.b]
            self.nest.nest(self.shape.also, needed, (), self._blocks)
        self._epilogue()

    def _blocks(self) -> None:
        f = self.f
        with f.loop("0", self.depth, BLOCK) as start, self.body.inside():
            self._block(start, f.least(f.add(start, str(BLOCK)), self.depth))

    def _clear(self) -> None:
        """No sums yet."""
        f = self.f
        end = f.mul(f.sub(self.last, self.first), str(self.shape.width))
        with f.loop("0", end, self.shape.lanes) as place:
            pointer = f.shift(self.element, "%scratch", place)
            f.store(self.kind, "zeroinitializer", pointer, self.size)

    # ------------------------------------------------------------ sums

    def _pack(self) -> None:
        """Copy the chunk's part of a, which lies along m, so that tiles read it in one run."""
        f, shape = self.f, self.shape
        whole = 1 << (shape.rows - 1).bit_length()  # a vector of all rows of a tile, or more
        with f.loop(self.first, self.last, shape.rows) as row, self.body.inside():
            rows = [self._row(row, r) for r in range(shape.rows)]
            inside = f.value(f"icmp sle i64 {f.add(row, str(whole))}, {self.last}")
            outside = f.value(f"xor i1 {inside}, true")
            kind = type_of(self.dtype, whole)
            with f.when(inside), f.loop("0", self.depth) as k, self.body.inside(shape.k, k):
                across = self.body.scalar_form(self.a_depth)
                vector = f.load(kind, f.shift(self.element, rows[0], across), self.size)
                f.store(kind, vector, self._packed(row, k), self.size)
            with f.when(outside), f.loop("0", self.depth) as k, self.body.inside(shape.k, k):
                across, to = self.body.scalar_form(self.a_depth), self._packed(row, k)
                for r in range(shape.rows):
                    one = f.load(self.element, f.shift(self.element, rows[r], across), self.size)
                    f.store(self.element, one, f.shift(self.element, to, str(r)), self.size)

    def _packed(self, row: str, k: str) -> str:
        """Where the packed column k of the tile that begins at `row` lies."""
        f, tile = self.f, f"{self.shape.rows}"
        start = f.mul(f.sub(row, self.first), self.depth)
        return f.shift(self.element, self.copy, f.add(start, f.mul(k, tile)))

    def _block(self, start: str, end: str) -> None:
        if not self.shape.along:
            self._turn(start, end)
        with self.f.loop(self.first, self.last, self.shape.rows) as row, self.body.inside():
            self._tile(row, start, end)

    def _tile(self, row: str, start: str, end: str) -> None:
        """Sums over a block of k in registers, then to memory."""
        f, shape = self.f, self.shape
        self._fetch_ahead(row)
        rows = [] if shape.packed else [self._row(row, r) for r in range(shape.rows)]
        places = [(r, c) for r in range(shape.rows) for c in range(shape.vectors)]
        sums = {place: f.local(self.kind) for place in places}
        for place in places:
            f.store(self.kind, "zeroinitializer", sums[place], 64)
        with f.loop(start, end) as k, self.body.inside(shape.k, k):
            columns = self._columns(k, start)
            across = "0" if shape.packed else self.body.scalar_form(self.a_depth)
            packed = self._packed(row, k) if shape.packed else ""
            for r in range(shape.rows):
                at = f.shift(self.element, packed or rows[r], str(r) if packed else across)
                one = f.load(self.element, at, self.size)
                many = f.splat(one, self.element, shape.lanes)
                for c in range(shape.vectors):
                    old = f.load(self.kind, sums[r, c], 64)
                    f.store(self.kind, self._madd(many, columns[c], old), sums[r, c], 64)
        here = f.mul(f.sub(row, self.first), str(shape.width))
        for r, c in places:
            offset = f.add(here, str(r * shape.width + c * shape.lanes))
            pointer = f.shift(self.element, "%scratch", offset)
            total = f.load(self.kind, sums[r, c], 64)
            if not self.single:
                before = f.load(self.kind, pointer, self.size)
                total = f.value(f"fadd {self.kind} {before}, {total}")
            f.store(self.kind, total, pointer, self.size)

    def _fetch_ahead(self, row: str) -> None:
        """Ask for the state that the tile's writes will need: it comes while the sums run."""
        f, body, shape = self.f, self.body, self.shape
        places = {(s.argument, s.place) for s in self.flat.stores}
        for item in {i for root in self.roots for i in body.needs(root)}:
            entry = self.flat.items[item]
            if entry.op == "read" and {shape.m, shape.v} <= body.analysis.depends[item]:
                places.add((int(entry.data or 0), entry.args))
        for argument, place in sorted(places):
            access = body.analysis.access(argument, place)
            if self.flat.arguments[argument].space != "state" or access.risky or access.form.rest:
                continue
            for r in range(shape.rows):
                with body.inside(shape.m, f.add(row, str(r))):
                    offset = body.scalar_form(access.form)
                pointer = f.shift(self.element, f"%b{argument}", offset)
                for start in range(0, shape.width * self.size, LINE):
                    line = f.shift("i8", pointer, str(start))
                    f.do(f"call void @llvm.prefetch.p0(ptr {line}, i32 0, i32 3, i32 1)")

    def _row(self, row: str, number: int) -> str:
        """Where a row of a begins; past the end of the chunk it is the last one."""
        f = self.f
        here = row
        if number:
            here = f.least(f.add(row, str(number)), f.sub(self.last, "1"))
        with self.body.inside(self.shape.m, here):
            return f.shift(self.element, self.a_start, self.body.scalar_form(self.a_rows))

    def _columns(self, k: str, start: str) -> list[str]:
        """The vectors of b for one k."""
        f, shape = self.f, self.shape
        if shape.along:
            base = f.shift(self.element, self.b_panel, self.body.scalar_form(self.b_depth))
        else:
            base = f.shift(self.element, self.panel, f.mul(f.sub(k, start), str(shape.width)))
        return [self._vector(base, c) for c in range(shape.vectors)]

    def _vector(self, base: str, number: int) -> str:
        f, lanes = self.f, self.shape.lanes
        pointer = f.shift(self.element, base, str(number * lanes))
        size = self.flat.sizes[self.shape.v]
        assert isinstance(size, int)
        argument = self.flat.arguments[int(self.flat.items[self.shape.b].data or 0)]
        left = size - number * lanes
        if left >= lanes or argument.slack or not self.shape.along:
            return f.load(self.kind, pointer, self.size)
        bits = ", ".join(f"i1 {'true' if lane < left else 'false'}" for lane in range(lanes))
        return f.value(
            f"call {self.kind} @llvm.masked.load.v{lanes}f{8 * self.size}.p0(ptr align {self.size} "
            f"{pointer}, <{lanes} x i1> <{bits}>, {self.kind} zeroinitializer)"
        )

    def _madd(self, a: str, b: str, c: str) -> str:
        if self.machine.fma:
            return intrinsic(self.f, "fma", self.dtype, self.shape.lanes, a, b, c)
        product = self.f.value(f"fmul {self.kind} {a}, {b}")
        return self.f.value(f"fadd {self.kind} {product}, {c}")

    # ------------------------------------------------------------ b the other way round

    def _turn(self, start: str, end: str) -> None:
        """Copy a block of b, which lies along k, into a panel that lies along the columns."""
        f, shape = self.f, self.shape
        size = self.flat.sizes[shape.v]
        assert isinstance(size, int)
        stride = self.b_columns.axes[shape.v]
        others, _ = parts(self.body.analysis, self.b_depth, shape.also)
        base = f.shift(self.element, self.b_panel, self.body.scalar_form(others))
        for c in range(shape.vectors):
            lanes = [min(c * shape.lanes + lane, size - 1) for lane in range(shape.lanes)]
            columns = [f.shift(self.element, base, str(x * stride)) for x in lanes]
            whole = f.mul(f.div(f.sub(end, start), shape.lanes), str(shape.lanes))
            middle = f.add(start, whole)
            with f.loop(start, middle, shape.lanes) as k:
                found = [f.load(self.kind, f.shift(self.element, p, k), self.size) for p in columns]
                for lane, vector in enumerate(self._transposed(found)):
                    self._put(vector, self.kind, f.add(f.sub(k, start), str(lane)), c * shape.lanes)
            with f.loop(middle, end) as k:
                for lane, p in enumerate(columns):
                    one = f.load(self.element, f.shift(self.element, p, k), self.size)
                    self._put(one, self.element, f.sub(k, start), c * shape.lanes + lane)

    def _put(self, value: str, kind: str, row: str, column: int) -> None:
        offset = self.f.add(self.f.mul(row, str(self.shape.width)), str(column))
        self.f.store(kind, value, self.f.shift(self.element, self.panel, offset), self.size)

    def _transposed(self, rows: list[str]) -> list[str]:
        """A square of vectors with rows and columns exchanged: ever smaller blocks swapped."""
        lanes, kind = self.shape.lanes, self.kind
        half = lanes // 2
        while half:
            for r in range(lanes):
                if r & half:
                    continue
                x, y = rows[r], rows[r | half]
                low = [c if not c & half else lanes + c - half for c in range(lanes)]
                high = [c + half if not c & half else lanes + c for c in range(lanes)]
                rows[r], rows[r | half] = (
                    self.f.value(
                        f"shufflevector {kind} {x}, {kind} {y}, "
                        f"<{lanes} x i32> <{', '.join(f'i32 {c}' for c in order)}>"
                    )
                    for order in (low, high)
                )
            half //= 2
        return rows

    # ------------------------------------------------------------ the kernel's writes

    def _epilogue(self) -> None:
        """The writes for all rows of the chunk, from the sums in memory."""
        f, body, shape = self.f, self.body, self.shape
        column, step = body.at[shape.v], body.vectors.lanes
        size = self.flat.sizes[shape.v]
        assert isinstance(size, int)
        del body.at[shape.v]
        used = min(size, shape.width)
        with body.watch.part(), f.loop(self.first, self.last) as row, body.inside(shape.m, row):
            body.hoist(self.roots, self.flat.stores)
            here = f.mul(f.sub(row, self.first), str(shape.width))
            for offset in range(0, used, step):
                self._write(column, f.add(here, str(offset)), offset, min(used - offset, step))
        body.at[shape.v] = column

    def _write(self, column: str, place: str, offset: int, used: int) -> None:
        f, body = self.f, self.body
        step = body.vectors.lanes
        with body.inside(self.shape.v, f.add(column, str(offset))):
            kind = type_of(self.dtype, step)
            pointer = f.shift(self.element, "%scratch", place)
            body.set_acc(f.load(kind, pointer, self.size), True)
            body.mask = None if used == step else self.nest.mask(str(used))
            for store in self.flat.stores:
                body.store(store)
            body.mask = None
            body.set_acc(None, False)
