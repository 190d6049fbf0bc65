"""The microkernel of matrix products and the packing of factors, shared by the kernels of a module.

A packed factor consists of strips of `height` lines: for each k the elements of all lines, one
after the other. So a tile reads contiguous memory, without bank conflicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chainrule.backend.cpu.emit.scalars import intrinsic, pairs_added
from chainrule.backend.cpu.emit.shared import Shared
from chainrule.backend.cpu.emit.text import SCALARS, Function, type_of
from chainrule.backend.cpu.layout import LINE
from chainrule.ir.kernel import BYTES

PANEL_WORDS = (
    "b", "b_stride", "depth", "add", "first", "a_stride",
    "next", "run_stride", "runs", "share", "run_lines", "row_bytes",
)  # fmt: skip
"""The words that the strips of a panel share; addresses follow.

b, b_stride, depth, add, first, a_stride: as for `sums`. next: the address of the next panel of b:
`runs` runs of `run_lines` cache lines, `run_stride` elements apart; each strip prefetches `share`
runs. The addresses are those of what the first row of the first strip needs at the end, each row
`row_bytes` after the one before.
"""


@dataclass(frozen=True)
class Helper(Shared):
    """A function that several kernels may call, and its result as `Function` has it."""

    calls: tuple[Helper, ...] = ()
    name: str = ""
    result: str = "void"


def helper(f: Function) -> Helper:
    """A function that is written, to be shared."""
    return Helper(f.end(), frozenset(f.declared), name=f.name)


Table = Literal["rows", "lines"]


@dataclass(frozen=True)
class Tile:
    """The sums that are held in registers: `rows` times `vectors` of `lanes` columns.

    The left factor is a strip, or with `table` the addresses of its rows, or those of its lines:
    in a line the elements of all rows for one k lie side by side. `few` is the number of rows of a
    lower tile, for the end. `convention` is that of calls with the sums as result. While the sums
    are made, the next columns of b are prefetched if `ahead`, and for the next strip what its end
    needs, at `needed` addresses. With `pairs`, an element of a factor is two bfloat16, of two
    terms, and the products of both are added; the depth counts pairs.
    """

    dtype: str
    rows: int
    vectors: int
    lanes: int
    fused: bool
    table: Table | None
    few: int
    convention: str
    ahead: bool
    needed: int
    pairs: bool = False

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.vectors * self.lanes

    @property
    def places(self) -> list[tuple[int, int]]:
        """The row and the vector of each sum, in their order in memory."""
        return [(r, c) for r in range(self.rows) for c in range(self.vectors)]

    @property
    def results(self) -> str:
        """The type of all sums."""
        return f"[{len(self.places)} x {self._kind}]"

    def sums(self) -> Helper:
        """`(job, a, number)`: the sums of a strip, in registers where results may be there.

        sums[row, column] = sum over k of a[k * a_stride + row] * b[k * b_stride + column]. In a
        table of rows, the left factor is element `first + k` of the row; in one of lines, element
        `number * rows + row` of line k. The order of additions does not depend on the shape of the
        tile. First this strip's share of the next panel of b is prefetched.
        """
        name, result = f"sums.{self._name}", f"{self.convention} {self.results}".strip()
        f = Function(name, "ptr %job, ptr %a, i64 %number", external=True, result=result)
        sums, total = self._summed(f, self._words(f), self.rows), "poison"
        for k, place in enumerate(self.places):
            total = f.value(f"insertvalue {self.results} {total}, {self._kind} {sums[place]}, {k}")
        text = f.end(result=f"{self.results} {total}")
        return Helper(text, frozenset(f.declared), name=name, result=result)

    def taken(self, f: Function, total: str) -> dict[tuple[int, int], str]:
        """The sums by row and vector, out of what `sums` gave."""
        return {
            place: f.value(f"extractvalue {self.results} {total}, {k}")
            for k, place in enumerate(self.places)
        }

    def _summed(self, f: Function, word: dict[str, str], rows: int) -> dict[tuple[int, int], str]:
        """The sums of rows of a strip."""
        kind = self._kind
        self._fetch_next(f, word)
        sums = {place: f.local(kind) for place in self.places if place[0] < rows}
        for place in sums:
            f.store(kind, "zeroinitializer", sums[place], 64)
        self._terms(f, word, rows, sums)
        return {place: f.load(kind, at, 64) for place, at in sums.items()}

    def _words(self, f: Function) -> dict[str, str]:
        """The words of a job, loaded."""
        kinds = {"b": "ptr", "next": "ptr", "add": "i1"}
        return {
            word: f.load(kinds.get(word, "i64"), f.shift("i64", "%job", str(k)), 8)
            for k, word in enumerate(PANEL_WORDS)
        }

    def _terms(
        self, f: Function, word: dict[str, str], rows: int, sums: dict[tuple[int, int], str]
    ) -> None:
        """The loops over k, which add to the sums in registers."""
        element = SCALARS[self.dtype]
        a_at, b_at = f.local("ptr"), f.local("ptr")
        f.store("ptr", "%a", a_at, 8)
        f.store("ptr", word["b"], b_at, 8)
        pointers = [f.shift("ptr", "%a", str(r)) for r in range(rows * (self.table == "rows"))]
        lines = [f.shift(element, f.load("ptr", p, 8), word["first"]) for p in pointers]
        begun = f.mul("%number", str(self.rows)) if self.table == "lines" else "0"

        def terms(low: str, high: str) -> None:
            with f.loop(low, high) as k:
                a, b = f.load("ptr", a_at, 8), f.load("ptr", b_at, 8)
                if self.table == "lines":
                    f.store("ptr", f.shift("ptr", a, "1"), a_at, 8)
                    a = f.shift(element, f.load("ptr", a, 8), begun)
                elif self.table is None:
                    f.store("ptr", f.shift(element, a, word["a_stride"]), a_at, 8)
                f.store("ptr", f.shift(element, b, word["b_stride"]), b_at, 8)
                if self.table == "rows":
                    places = [f.shift(element, p, k) for p in lines]
                else:
                    places = [f.shift(element, a, str(r)) for r in range(rows)]
                self._term(f, places, b, sums)

        if not self.needed:
            terms("0", word["depth"])
            return
        part = f.add(f.div(word["depth"], rows), "1")
        begin = f.mul(f.add("%number", "1"), f.mul(word["row_bytes"], str(self.rows)))
        with f.loop("0", str(rows)) as r:
            row = f.add(begin, f.mul(r, word["row_bytes"]))
            for n in range(self.needed):
                base = f.load("ptr", f.shift("i64", "%job", str(len(PANEL_WORDS) + n)), 8)
                self._fetch(f, f.shift("i8", base, row), 3)
            low = f.least(f.mul(r, part), word["depth"])
            terms(low, f.least(f.add(low, part), word["depth"]))

    def _term(
        self, f: Function, places: list[str], b: str, sums: dict[tuple[int, int], str]
    ) -> None:
        """Add one term to the sums.

        Args:
            places: the address of the term's element of each row of a.
            b: the address of its row of b.
        """
        kind, element, size = self._kind, SCALARS[self.dtype], BYTES[self.dtype]
        if self.ahead:
            self._fetch(f, f.shift(element, b, str(self.width)), 2)
        vectors = [f.load(kind, f.shift(element, b, str(c * self.lanes)), size)
                   for c in range(self.vectors)]  # fmt: skip
        for r, at in enumerate(places):
            spread = f.splat(f.load(element, at, size), element, self.lanes)
            for c, vector in enumerate(vectors):
                old = f.load(kind, sums[r, c], 64)
                f.store(kind, self._madd(f, spread, vector, old), sums[r, c], 64)

    def _fetch(self, f: Function, pointer: str, level: int) -> None:
        """Prefetch as many columns as the tile has."""
        for line in range(0, self.width * BYTES[self.dtype], LINE):
            prefetch(f, f.shift("i8", pointer, str(line)), level)

    def _fetch_next(self, f: Function, word: dict[str, str]) -> None:
        """Prefetch a strip's share of the next panel of b."""
        start = f.mul("%number", word["share"])
        with f.loop(start, f.least(f.add(start, word["share"]), word["runs"])) as n:
            run = f.shift(SCALARS[self.dtype], word["next"], f.mul(n, word["run_stride"]))
            with f.loop("0", word["run_lines"]) as piece:
                prefetch(f, f.shift("i8", run, f.mul(piece, str(LINE))), 2)

    def strip(self) -> Helper:
        """`(job, a, sums, number, left)`: the sums of a strip, of which `left` rows are needed.

        They are stored at `sums`, to which the old values are added if `add`.
        """
        whole = self.sums()
        f = Function(
            f"strip.{self._name}.{self.few}",
            "ptr %job, ptr %a, ptr %sums, i64 %number, i64 %left",
            external=True,
        )
        kind, element, size = self._kind, SCALARS[self.dtype], BYTES[self.dtype]
        word, sums = self._words(f), {place: f.local(kind) for place in self.places}

        def put(made: dict[tuple[int, int], str]) -> None:
            for place, value in made.items():
                f.store(kind, value, sums[place], 64)

        many = "true"
        if self.few < self.rows:
            many = f.less(str(self.few), "%left")
            with f.when(f.value(f"xor i1 {many}, true")):
                put(self._summed(f, word, self.few))
        with f.when(many):
            total = f.value(f"call {whole.result} @{whole.name}(ptr %job, ptr %a, i64 %number)")
            put(self.taken(f, total))
        targets = {
            (r, c): f.shift(element, "%sums", str((r * self.vectors + c) * self.lanes))
            for r, c in sums
        }
        with f.when(word["add"]):
            for place, at in sums.items():
                old, new = f.load(kind, targets[place], size), f.load(kind, at, 64)
                f.store(kind, f.value(f"fadd {kind} {old}, {new}"), at, 64)
        for place, at in sums.items():
            f.store(kind, f.load(kind, at, 64), targets[place], size)
        return Helper(f.end(), frozenset(f.declared), (whole,), f.name)

    @property
    def _name(self) -> str:
        left = self.table or "strips"
        fetched = f"{'a' * self.ahead}{self.needed or ''}"
        element = "pairs" if self.pairs else SCALARS[self.dtype]
        return f"{left}{fetched}.{element}.{self.rows}.{self.vectors}x{self.lanes}"

    @property
    def _kind(self) -> str:
        return type_of(self.dtype, self.lanes)

    def _madd(self, f: Function, a: str, b: str, c: str) -> str:
        if self.pairs:
            return pairs_added(f, a, b, c)
        if self.fused:
            return intrinsic(f, "fma", self.dtype, self.lanes, a, b, c)
        product = f.value(f"fmul {self._kind} {a}, {b}")
        return f.value(f"fadd {self._kind} {product}, {c}")


def prefetch(f: Function, pointer: str, level: int) -> None:
    """Prefetch a line of memory into the first-level cache, 3, or the second-level one, 2."""
    f.do(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 {level}, i32 1)")


# ---------------------------------------------------------------- packing


def transpose(dtype: str, lanes: int) -> Helper:
    """`(table, to, strips, lines, first, depth, strip_stride, height)`: strips of contiguous lines.

    The table has the addresses of the lines, `lines` for each strip and `lanes` more; elements
    `first` and on are copied, `depth` of them. Strips are `strip_stride` elements apart, and in a
    strip the values of k `height` elements. For each k `lanes` elements are written, those of the
    following lines if a strip has fewer: so the memory after a strip must be free, and strips are
    copied in order.
    """
    element, size, kind = SCALARS[dtype], BYTES[dtype], type_of(dtype, lanes)
    words = ("strips", "lines", "first", "depth", "strip_stride", "height")
    parameters = "ptr %table, ptr %to, " + ", ".join(f"i64 %{word}" for word in words)
    f = Function(f"transpose.{element}.{lanes}", parameters, external=True)
    target = f.local("ptr")
    whole = f.mul(f.div("%depth", lanes), str(lanes))
    with f.loop("0", "%strips") as number:
        f.store("ptr", f.shift(element, "%to", f.mul(number, "%strip_stride")), target, 8)
        table = f.shift("ptr", "%table", f.mul(number, "%lines"))
        pointers = (f.shift("ptr", table, str(r)) for r in range(lanes))
        lines = [f.shift(element, f.load("ptr", p, 8), "%first") for p in pointers]
        with f.loop("0", whole, lanes) as k:
            vectors = [f.load(kind, f.shift(element, p, k), size) for p in lines]
            at = f.load("ptr", target, 8)
            for vector in transposed(f, kind, vectors):
                f.store(kind, vector, at, size)
                at = f.shift(element, at, "%height")
            f.store("ptr", at, target, 8)
        with f.loop(whole, "%depth") as k:
            at = f.load("ptr", target, 8)
            for r, p in enumerate(lines):
                one = f.load(element, f.shift(element, p, k), size)
                f.store(element, one, f.shift(element, at, str(r)), size)
            f.store("ptr", f.shift(element, at, "%height"), target, 8)
    return helper(f)


def transposed(f: Function, kind: str, rows: list[str]) -> list[str]:
    """A square of vectors with rows and columns exchanged: ever smaller blocks are swapped.

    Squares of four floats are done by interleaving, for which x86 has one instruction each.
    """
    rows, lanes = list(rows), len(rows)
    half, least = lanes // 2, 4 if kind.endswith("x float>") and lanes >= 4 else 1
    while half >= least:
        for r in (r for r in range(lanes) if not r & half):
            low = [c if not c & half else lanes + c - half for c in range(lanes)]
            high = [c + half if not c & half else lanes + c for c in range(lanes)]
            x, y = rows[r], rows[r | half]
            rows[r], rows[r | half] = (_mixed(f, kind, x, y, order) for order in (low, high))
        half //= 2
    for start in range(0, lanes, 4) if least == 4 else ():
        rows[start : start + 4] = _square(f, kind, lanes, rows[start : start + 4])
    return rows


def _square(f: Function, kind: str, lanes: int, rows: list[str]) -> list[str]:
    """Four rows, each square of four columns transposed."""

    def pairs(x: str, y: str, *lane: int) -> str:
        order = [g + (n & 3) + (lanes if n & 4 else 0) for g in range(0, lanes, 4) for n in lane]
        return _mixed(f, kind, x, y, order)

    a, b, c, d = rows
    low, high = (0, 4, 1, 5), (2, 6, 3, 7)  # x0 y0 x1 y1 and x2 y2 x3 y3
    ab, cd, ab2, cd2 = pairs(a, b, *low), pairs(c, d, *low), pairs(a, b, *high), pairs(c, d, *high)
    left, right = (0, 1, 4, 5), (2, 3, 6, 7)
    return [pairs(x, y, *half) for x, y in ((ab, cd), (ab2, cd2)) for half in (left, right)]


def _mixed(f: Function, kind: str, x: str, y: str, order: list[int]) -> str:
    lanes = ", ".join(f"i32 {lane}" for lane in order)
    return f.value(f"shufflevector {kind} {x}, {kind} {y}, <{len(order)} x i32> <{lanes}>")


def pack(dtype: str, height: int) -> Helper:
    """`(table, lines, depth, strip_stride, to)`: strips of lines that are interleaved in memory.

    The table has the address of the first line's element for each k. Strips are `strip_stride`
    elements apart, with room for `height` more after each; missing lines repeat the last one.
    """
    element, size = SCALARS[dtype], BYTES[dtype]
    whole = 1 << (height - 1).bit_length()  # a vector of all lines of a strip, or more
    kind = f"<{whole} x {element}>"
    parameters = "ptr %table, i64 %lines, i64 %depth, i64 %strip_stride, ptr %to"
    f = Function(f"pack.{element}.{height}", parameters, external=True)
    room = f.add("%lines", str(height - whole))
    room = f.value(f"call i64 @llvm.smax.i64(i64 {room}, i64 0)")
    vectors = f.mul(f.div(room, height), str(height))
    last = f.sub("%lines", "1")
    with f.loop("0", "%depth") as k:
        source = f.load("ptr", f.shift("ptr", "%table", k), 8)
        target = f.shift(element, "%to", f.mul(k, str(height)))
        with f.loop("0", vectors, height) as line:
            vector = f.load(kind, f.shift(element, source, line), size)
            at = f.shift(element, target, f.mul(f.div(line, height), "%strip_stride"))
            f.store(kind, vector, at, size)
        with f.loop(vectors, "%lines", height) as line:
            at = f.shift(element, target, f.mul(f.div(line, height), "%strip_stride"))
            with f.loop("0", str(height)) as r:
                one = f.load(element, f.shift(element, source, f.least(f.add(line, r), last)), size)
                f.store(element, one, f.shift(element, at, r), size)
    return helper(f)
