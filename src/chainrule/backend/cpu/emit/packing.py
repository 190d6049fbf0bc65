"""The factors of a matrix product: their addresses, and their packing in the thread's memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.backend.cpu.emit.loops import Nest
from chainrule.backend.cpu.emit.microkernel import Helper, pack, transpose
from chainrule.backend.cpu.emit.text import SCALARS
from chainrule.backend.cpu.emit.tiling import Lengths, Tiling, split_terms
from chainrule.backend.cpu.layout import LINE
from chainrule.ir.kernel import BYTES
from chainrule.plan.affine import AffineExpr

MAX_NEAR = 1 << 15
"""The bytes of a factor up to which it stays in the first-level cache."""


@dataclass(frozen=True)
class Chunk:
    """Some rows of a product, as names of values: from `first` to before `last`, in strips."""

    first: str
    last: str
    lines: str
    strips: str


class Factors:
    """Writes the code that addresses and packs the factors.

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
        self.columns, self.depth = columns, nest.bounds(shape.k)[1]
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
        fixed, by_rows = 1, False
        for axis in (*shape.outer_k, shape.k):
            size = self.linear.sizes[axis]
            fixed, by_rows = (fixed * size, by_rows) if isinstance(size, int) else (fixed, True)
        total = f.mul(str(fixed), "%n") if by_rows else str(fixed)
        pad = max(shape.rows, shape.lanes)
        self._strip_stride = f.add(f.mul(total, str(shape.rows)), str(pad))
        rows = lengths.chunk + shape.rows
        sums = (shape.rows if lengths.single else rows) * shape.width
        lines = max(lengths.block, shape.width)
        panel = 0 if shape.right == "in_place" else (lengths.block + shape.lanes) * shape.width
        packs_lines, copies = shape.left == "pack", shape.left not in ("rows_in_place", "in_place")
        self._panel = f.shift(self.element, "%scratch", str(sums))
        self._b_table = f.shift(self.element, self._panel, str(panel))
        self._a_table = f.shift("ptr", self._b_table, str(lines))
        runs = total if packs_lines else str(rows + 2 * pad)
        self._copied = f.shift("ptr", self._a_table, runs)
        strips = rows // shape.rows * copies
        each = strips * shape.rows * fixed * self.size + 8 * fixed * packs_lines
        here = (sums + panel + strips * pad) * self.size + 8 * (lines + rows + 2 * pad) + 2 * LINE
        self.scratch = (here, each) if by_rows else (here + each, 0)

    def call(self, helper: Helper, *operands: str) -> None:
        """Call a helper; each operand is a type and a value."""
        self.helpers[helper.name] = helper
        self.f.do(f"call void @{helper.name}({', '.join(operands)})")

    def begin(self) -> None:
        """Compute the addresses of the factors, as far as they are invariant here."""
        bases = ((self.shape.a, self._a_base), (self.shape.b, self._b_base))
        self._a_start, self._b_start = (
            self.f.shift(
                self.element, f"%b{self.linear.instrs[instr].data}", self.body.affine_scalar(expr)
            )
            for instr, expr in bases
        )

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
        """Pack a chunk's part of a into strips, or fill a table with the addresses of its rows."""
        f, shape, body = self.f, self.shape, self.body
        done = self.terms("0")
        to = f.shift(self.element, self._copied, f.mul(done, str(shape.rows)))
        if shape.left in ("rows_in_place", "transpose"):
            others, _ = split_terms(body.analysis, self._a_depth, shape.outer_k)
            more = f.add(chunk.last, str(shape.rows + shape.lanes))
            start = f.shift(self.element, self._a_start, body.affine_scalar(others))
            self._table(self._a_table, chunk.first, more, lambda row: self._row(row, start, chunk))
        if shape.left == "transpose":
            for group in reversed(range(0, shape.rows, shape.lanes)):
                self.call(
                    transpose(self.dtype, shape.lanes),
                    f"ptr {f.shift('ptr', self._a_table, str(group))}",
                    f"ptr {f.shift(self.element, to, str(group))}",
                    f"i64 {chunk.strips}", f"i64 {shape.rows}", "i64 0", f"i64 {self.depth}",
                    f"i64 {self._strip_stride}", f"i64 {shape.rows}",
                )  # fmt: skip
        elif shape.left == "pack":
            table = f.shift("ptr", self._a_table, done)
            start = self._row(chunk.first, self._a_start, chunk)
            self._table(table, "0", self.depth, lambda k: self._deep(k, start, self._a_depth))
            self.call(
                pack(self.dtype, shape.rows), f"ptr {table}", f"i64 {chunk.lines}",
                f"i64 {self.depth}", f"i64 {self._strip_stride}", f"ptr {to}",
            )  # fmt: skip
        elif shape.left == "pack_scalar":
            self._pack_scalars(to, chunk)

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
                    one = f.load(self.element, self._deep(k, source, self._a_depth), self.size)
                    f.store(
                        self.element, one, f.shift(self.element, line, f.mul(k, tile)), self.size
                    )

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
        if shape.right == "transpose":
            self._table(self._b_table, "0", str(shape.width), self._column)
            self.call(
                transpose(self.dtype, shape.lanes), f"ptr {self._b_table}", f"ptr {self._panel}",
                f"i64 {shape.vectors}", f"i64 {shape.lanes}", f"i64 {start}", f"i64 {depth}",
                f"i64 {shape.lanes}", f"i64 {shape.width}",
            )  # fmt: skip
        else:
            end, at = f.add(start, depth), self._b_here
            self._table(self._b_table, start, end, lambda k: self._deep(k, at, self._b_depth))
            self.call(
                pack(self.dtype, shape.width), f"ptr {self._b_table}",
                f"i64 {self._used}", f"i64 {depth}", "i64 0",
                f"ptr {self._panel}",
            )  # fmt: skip
        return self._panel, str(shape.width)

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
        if shape.right != "transpose" or self.columns <= shape.width:
            return {}
        run_stride = self._b_columns.axes[shape.n]
        at = f.shift(self.element, self._column("0"), f.add(start, str(run_stride * shape.width)))
        runs, run_lines = str(shape.width), f.div(f.mul(depth, str(self.size)), LINE)
        share = f.add(f.value(f"udiv i64 {runs}, {chunk.strips}"), "1")
        return {
            "next": at,
            "run_stride": str(run_stride),
            "runs": runs,
            "share": share,
            "run_lines": run_lines,
        }
