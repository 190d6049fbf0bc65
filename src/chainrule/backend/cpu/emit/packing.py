"""The factors of a matrix product: their addresses, and their packing in the thread's memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.backend.cpu.emit.microkernel import Helper, pack, prefetch, transpose
from chainrule.backend.cpu.emit.nest import Nest
from chainrule.backend.cpu.emit.pairs import pack_pairs, pair_of, transpose_pairs
from chainrule.backend.cpu.emit.text import SCALARS
from chainrule.backend.cpu.emit.tiling import Lengths, Tiling, split_terms
from chainrule.backend.cpu.layout import LINE
from chainrule.ir.kernel import BYTES
from chainrule.plan.affine import AffineExpr

MAX_NEAR = 1 << 15
"""The bytes of a factor up to which it stays in the first-level cache."""


MAX_KEPT = 1 << 19
"""The bytes of a right factor up to which all of it is packed, for several products."""


MAX_FETCHED = 256
"""The bytes at the begin of a row that are prefetched; the processor sees what follows them."""


@dataclass(frozen=True)
class Chunk:
    """Some rows of a product, as names of values: from `first` to before `last`, in strips."""

    first: str
    last: str
    lines: str
    strips: str


class Factors:
    """Writes the code that addresses and packs the factors.

    Lengths along k count what a packed factor consists of, terms or pairs of them; addresses of
    the factors in memory count terms.
    The thread's memory begins with the sums of a chunk; then follow a panel of b, addresses of
    lines, and packed a.
    """

    def __init__(self, nest: Nest, shape: Tiling, lengths: Lengths) -> None:
        self.nest, self.body, self.f, self.linear = nest, nest.body, nest.f, nest.linear
        self.shape, self.helpers = shape, dict[str, Helper]()
        self.dtype = self.linear.instrs[self.linear.value].dtype
        self.element, self.size = SCALARS[self.dtype], BYTES[self.dtype]
        columns = self.linear.sizes[shape.n]
        assert isinstance(columns, int)
        self.columns, self.all_terms = columns, nest.bounds(shape.k)[1]
        self.each = 2 if shape.pairs else 1
        self.depth = self.f.div(self.f.add(self.all_terms, str(self.each - 1)), self.each)
        self._split_offsets()
        self._memory(lengths)

    def _split_offsets(self) -> None:
        """Split the offsets of the factors by the axes that their terms depend on."""
        shape, analysis = self.shape, self.body.analysis
        a, b = (analysis.reads(x).offset for x in (shape.a, shape.b))
        self._a_rows, rest = split_terms(analysis, a, {shape.m})
        self._a_depth, self._a_base = split_terms(analysis, rest, self.linear.over)
        self._b_depth, rest = split_terms(analysis, b, self.linear.over)
        self._b_columns, self._b_base = split_terms(analysis, rest, {shape.n})

    def _memory(self, lengths: Lengths) -> None:
        f, shape = self.f, self.shape
        fixed, total, by_rows = 1, "1", False
        for axis in (*shape.outer_k, shape.k):
            size = self.linear.sizes[axis]
            if not isinstance(size, int):
                total, by_rows = self.depth if axis == shape.k else "%n", True
            else:
                fixed *= -(-size // self.each) if axis == shape.k else size
        total = f.mul(str(fixed), total)
        pad = max(shape.rows, shape.lanes)
        room = pad + (shape.lanes * shape.rows if shape.pairs else 0)  # after a strip
        self._strip_stride = f.add(f.mul(total, str(shape.rows)), str(room))
        rows = lengths.chunk + shape.rows
        self.sums = (shape.rows if lengths.single else rows) * shape.width
        sums = self.sums * lengths.levels
        lines = max(lengths.block * self.each, shape.width)
        panel = 0 if shape.right == "in_place" else (lengths.block + shape.lanes) * shape.width
        self.keeps = self._keeps()
        if self.keeps:
            wide = -(-self.columns // shape.width) * shape.width
            panel, lines = (int(self.depth) + shape.lanes) * wide, 2 * int(self.depth) + shape.width
        of_lines, copies = shape.left in ("pack", "lines_in_place"), "in_place" not in shape.left
        self._panel = f.shift(self.element, "%scratch", str(sums))
        self._b_table = f.shift(self.element, self._panel, str(panel))
        self._a_table = f.shift("ptr", self._b_table, str(lines))
        runs = f.mul(total, str(self.each)) if of_lines else str(rows + 2 * pad)
        self._copied = f.shift("ptr", self._a_table, runs)
        strips = rows // shape.rows * copies
        each = strips * shape.rows * fixed * self.size + 8 * fixed * self.each * of_lines
        here = (sums + panel + strips * room) * self.size + 8 * (lines + rows + 2 * pad) + 2 * LINE
        self.scratch = (here, each) if by_rows else (here + each, 0)

    def _keeps(self) -> bool:
        """Whether all of b is packed at once, as each of several products would pack it again."""
        shape = self.shape
        if not (shape.pairs and shape.outer and self.depth.isdigit()) or shape.outer_k:
            return False
        steady = self.body.analysis.depends[shape.b].isdisjoint(shape.outer)
        return steady and int(self.depth) * self.columns * self.size <= MAX_KEPT

    def call(self, helper: Helper, *operands: str) -> str:
        """Call a helper, and give its result; each operand is a type and a value."""
        self.helpers |= {x.name: x for x in (helper, *helper.calls)}
        text = f"call {helper.result} @{helper.name}({', '.join(operands)})"
        if helper.result != "void":
            return self.f.value(text)
        self.f.do(text)
        return ""

    def begin(self, factors: tuple[int, ...] = ()) -> None:
        """Compute the addresses of both factors, or of some, as far as they are invariant here."""
        bases = {self.shape.a: self._a_base, self.shape.b: self._b_base}
        for instr in factors or bases:
            offset = self.body.affine_scalar(bases[instr])
            start = self.f.shift(self.element, f"%b{self.linear.instrs[instr].data}", offset)
            if instr == self.shape.a:
                self._a_start = start
            else:
                self._b_start = start

    def panel(self, used: int) -> None:
        """Compute the address of the current columns of b, of which `used` are used."""
        self._used = used
        columns = self.body.affine_scalar(self._b_columns)
        self._b_here = self.f.shift(self.element, self._b_start, columns)

    def terms(self, start: str) -> str:
        """The number of terms before term `start` in the current iteration of the outer sums."""
        f, done = self.f, "0"
        for axis in self.shape.outer_k:
            done = f.add(f.mul(done, self.nest.bounds(axis)[1]), self.body.at[axis])
        return f.add(f.mul(done, self.depth), start)

    def _table(self, table: str, low: str, high: str, place: Callable[[str], str]) -> None:
        """Fill a table with the addresses of some lines."""
        f = self.f
        with f.loop(low, high) as line, self.body.inside():
            f.store("ptr", place(line), f.shift("ptr", table, f.sub(line, low)), 8)

    def _deep(self, k: str, start: str, expr: AffineExpr) -> str:
        with self.body.inside(self.shape.k, k):
            return self.f.shift(self.element, start, self.body.affine_scalar(expr))

    @property
    def large(self) -> bool:
        """Whether the next columns of b, which is read in place, have probably left the cache."""
        rows = self.linear.sizes[self.shape.k]
        known = isinstance(rows, int) and rows * self.columns * self.size <= MAX_NEAR
        return self.shape.right == "in_place" and self.columns > self.shape.width and not known

    # ------------------------------------------------------------ the left factor

    def copy(self, chunk: Chunk) -> None:
        """Pack a chunk's part of a into strips, or fill a table with addresses in it."""
        f, shape, body = self.f, self.shape, self.body
        done, depth = self.terms("0"), self.all_terms
        to = f.shift(self.element, self._copied, f.mul(done, str(shape.rows)))
        if shape.left in ("rows_in_place", "transpose"):
            others, _ = split_terms(body.analysis, self._a_depth, shape.outer_k)
            end = f.add(chunk.first, f.mul(chunk.strips, str(shape.rows)))
            more = f.add(end, str(shape.lanes)) if shape.left == "transpose" else end
            start = f.shift(self.element, self._a_start, body.affine_scalar(others))

            def place(row: str) -> str:
                return self._fetched(self._row(row, start, chunk))

            self._table(self._a_table, chunk.first, more, place)
        if shape.left == "transpose":
            for group in reversed(range(0, shape.rows, shape.lanes)):
                self.call(
                    self._transpose(),
                    f"ptr {f.shift('ptr', self._a_table, str(group))}",
                    f"ptr {f.shift(self.element, to, str(group))}",
                    f"i64 {chunk.strips}", f"i64 {shape.rows}", "i64 0", f"i64 {depth}",
                    f"i64 {self._strip_stride}", f"i64 {shape.rows}",
                )  # fmt: skip
        elif shape.left in ("pack", "lines_in_place"):
            table = f.shift("ptr", self._a_table, f.mul(done, str(self.each)))
            start = self._row(chunk.first, self._a_start, chunk)
            self._table(table, "0", depth, lambda k: self._deep(k, start, self._a_depth))
            if shape.left == "pack":
                self.call(
                    self._pack(shape.rows), f"ptr {table}", f"i64 {chunk.lines}",
                    f"i64 {depth}", f"i64 {self._strip_stride}", f"ptr {to}",
                )  # fmt: skip
        elif shape.left == "pack_scalar":
            self._pack_scalars(to, chunk)

    def _fetched(self, row: str) -> str:
        """The address of a row of a, prefetched if it may be any row of the caller's."""
        f, argument = self.f, int(self.linear.instrs[self.shape.a].data or 0)
        if self.shape.left == "rows_in_place" and not self.linear.arguments[argument].slack:
            for line in range(0, min(int(self.all_terms) * self.size, MAX_FETCHED), LINE):
                prefetch(f, f.shift("i8", row, str(line)), 3)
        return row

    def _pack_scalars(self, to: str, chunk: Chunk) -> None:
        """Pack a, element by element."""
        f, tile = self.f, str(self.shape.rows)
        with f.loop("0", chunk.strips) as strip, self.body.inside():
            begin_at = f.shift(self.element, to, f.mul(strip, self._strip_stride))
            with f.loop("0", tile) as r, self.body.inside():
                row = f.add(chunk.first, f.add(f.mul(strip, tile), r))
                source = self._row(row, self._a_start, chunk)
                line = f.shift(self.element, begin_at, r)
                with f.loop("0", self.depth) as k, self.body.inside():
                    at = f.shift(self.element, line, f.mul(k, tile))
                    f.store(self.element, self._scalar(k, source), at, self.size)

    def _scalar(self, k: str, source: str) -> str:
        """Element k of a packed line of a, from where the line begins."""
        f = self.f

        def term(number: str) -> str:
            return f.load(self.element, self._deep(number, source, self._a_depth), self.size)

        if self.each == 1:
            return term(k)
        first = f.mul(k, "2")
        second, last = f.add(first, "1"), f.sub(self.all_terms, "1")
        there, value = f.less(first, last), term(f.least(second, last))
        return pair_of(f, term(first), f.value(f"select i1 {there}, float {value}, float 0.0"))

    def _transpose(self) -> Helper:
        lanes = self.shape.lanes
        return transpose_pairs() if self.shape.pairs else transpose(self.dtype, lanes)

    def _pack(self, height: int) -> Helper:
        return pack_pairs(height) if self.shape.pairs else pack(self.dtype, height)

    def _row(self, row: str, start: str, chunk: Chunk) -> str:
        """The address of a row of a; the last one for rows past the end of the chunk."""
        f = self.f
        here = f.least(row, f.sub(chunk.last, "1"))
        with self.body.inside(self.shape.m, here):
            return f.shift(self.element, start, self.body.affine_scalar(self._a_rows))

    @property
    def a_stride(self) -> str:
        """The stride of a along k, as a strip reads it."""
        if self.shape.left != "in_place":
            return str(self.shape.rows)
        return str(self.body.analysis.stride(self.body.analysis.reads(self.shape.a), self.shape.k))

    def left(self, number: str, start: str, chunk: Chunk) -> str:
        """The address of a strip of a, from term `start` on."""
        f, shape = self.f, self.shape
        if shape.left == "rows_in_place":
            return f.shift("ptr", self._a_table, f.mul(number, str(shape.rows)))
        if shape.left == "lines_in_place":
            return f.shift("ptr", self._a_table, self.terms(start))
        if shape.left == "in_place":
            row = f.add(chunk.first, f.mul(number, str(shape.rows)))
            return self._deep(start, self._row(row, self._a_start, chunk), self._a_depth)
        at = f.shift(self.element, self._copied, f.mul(self.terms(start), str(shape.rows)))
        return f.shift(self.element, at, f.mul(number, self._strip_stride))

    # ------------------------------------------------------------ the right factor

    def right(self, start: str, depth: str) -> tuple[str, str]:
        """The address of a block of the current columns of b, and its stride along k."""
        f, shape, body = self.f, self.shape, self.body
        if shape.right == "in_place":
            b_stride = body.analysis.stride(body.analysis.reads(shape.b), shape.k)
            return self._deep(start, self._b_here, self._b_depth), str(b_stride)
        if self.keeps:
            return f.shift(self.element, self._kept(), f.mul(start, str(shape.width))), str(
                shape.width
            )
        if shape.pairs:
            start = f.mul(start, "2")
            depth = f.least(f.mul(depth, "2"), f.sub(self.all_terms, start))
        self._pack_right(start, depth, self._panel)
        return self._panel, str(shape.width)

    def keep(self, used: int) -> None:
        """Pack all terms of the current columns of b, of which `used` are used."""
        self.panel(used)
        self._pack_right("0", self.all_terms, self._kept())

    def _kept(self) -> str:
        """The address of the current columns, where all of b is packed."""
        each = f"{int(self.depth) + self.shape.lanes}"
        place = self.f.mul(self.body.at[self.shape.n], each)
        return self.f.shift(self.element, self._panel, place)

    def _pack_right(self, start: str, depth: str, to: str) -> None:
        """Pack terms of the current columns of b."""
        f, shape = self.f, self.shape
        if shape.right == "transpose":
            self._table(self._b_table, "0", str(shape.width), self._column)
            self.call(
                self._transpose(), f"ptr {self._b_table}", f"ptr {to}",
                f"i64 {shape.vectors}", f"i64 {shape.lanes}", f"i64 {start}", f"i64 {depth}",
                f"i64 {shape.lanes}", f"i64 {shape.width}",
            )  # fmt: skip
        else:
            end, at = f.add(start, depth), self._b_here
            self._table(self._b_table, start, end, lambda k: self._deep(k, at, self._b_depth))
            self.call(
                self._pack(shape.width), f"ptr {self._b_table}",
                f"i64 {self._used}", f"i64 {depth}", "i64 0",
                f"ptr {to}",
            )  # fmt: skip

    def _column(self, number: str) -> str:
        """The address of a column of b, contiguous along k; past the end that of the last one."""
        f = self.f
        others, _ = split_terms(self.body.analysis, self._b_depth, self.shape.outer_k)
        start = f.shift(self.element, self._b_here, self.body.affine_scalar(others))
        stride = self._b_columns.axes[self.shape.n]
        held = f.mul(f.least(number, str(self.columns - 1)), str(stride))
        return f.shift(self.element, start, held)

    def next(self, start: str, depth: str, chunk: Chunk) -> dict[str, str]:
        """The words that locate a block of the next columns of b for the prefetch."""
        f, shape = self.f, self.shape
        if shape.right != "transpose" or self.columns <= shape.width or self.keeps:
            return {}
        run_stride = self._b_columns.axes[shape.n]
        first = f.add(f.mul(start, str(self.each)), str(run_stride * shape.width))
        at = f.shift(self.element, self._column("0"), first)
        runs, run_lines = str(shape.width), f.div(f.mul(depth, str(self.size * self.each)), LINE)
        share = f.add(f.value(f"udiv i64 {runs}, {chunk.strips}"), "1")
        return {
            "next": at,
            "run_stride": str(run_stride),
            "runs": runs,
            "share": share,
            "run_lines": run_lines,
        }
