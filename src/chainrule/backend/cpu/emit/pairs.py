"""The packing of float32 as pairs of bfloat16: an element of a strip is two terms of a sum.

Both are rounded half to even, and what is subnormal becomes 0. The last pair of an odd number of
terms ends in 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

from chainrule.backend.cpu.emit.microkernel import Helper, helper, prefetch, transposed
from chainrule.backend.cpu.emit.text import Function
from chainrule.backend.cpu.layout import LINE
from chainrule.ir.kernel import BYTES

LANES = 16
"""The lanes of a vector: processors with bfloat16 have vectors of 64 bytes."""

SINGLE, HALVES, WORDS = "<16 x float>", "<32 x bfloat>", "<32 x i16>"
ORDER = ", ".join(f"i32 {x + LANES * y}" for x in range(LANES) for y in (0, 1))


def packed(f: Function, first: str, second: str) -> str:
    """Two vectors of float32, rounded: those of `first`, then those of `second`, as 16 floats."""
    halves = f.call(
        HALVES, "llvm.x86.avx512bf16.cvtne2ps2bf16.512", (SINGLE, second), (SINGLE, first)
    )
    return f.value(f"bitcast {HALVES} {halves} to {SINGLE}")


def interleaved(f: Function, first: str, second: str) -> str:
    """The pairs of the lanes of two vectors, as 16 floats."""
    words = f.value(f"bitcast {SINGLE} {packed(f, first, second)} to {WORDS}")
    words = f.value(f"shufflevector {WORDS} {words}, {WORDS} poison, <32 x i32> <{ORDER}>")
    return f.value(f"bitcast {WORDS} {words} to {SINGLE}")


def some(f: Function, pointer: str, count: str) -> str:
    """The first `count` of 16 floats at an address; 0 after them."""
    lanes = ", ".join(f"i64 {k}" for k in range(LANES))
    mask = f.value(f"icmp sgt <16 x i64> {f.splat(count, 'i64', LANES)}, <{lanes}>")
    return f.value(
        f"call {SINGLE} @llvm.masked.load.v16f32.p0(ptr align 4 {pointer}, <16 x i1> {mask}, "
        f"{SINGLE} zeroinitializer)"
    )


def transpose_pairs() -> Helper:
    """`(table, to, strips, lines, first, depth, strip_stride, height)`: see `transpose`.

    `first` and `depth` count floats, `strip_stride` and `height` pairs. Sixteen pairs are written
    for each line at a time, so that the memory after a strip must be free for so many.
    """
    words = ("strips", "lines", "first", "depth", "strip_stride", "height")
    parameters = "ptr %table, ptr %to, " + ", ".join(f"i64 %{word}" for word in words)
    f = Function("transpose.pairs", parameters, external=True)
    whole = f.mul(f.div("%depth", 2 * LANES), str(2 * LANES))
    with f.loop("0", "%strips") as number:
        strip = f.shift("float", "%to", f.mul(number, "%strip_stride"))
        table = f.shift("ptr", "%table", f.mul(number, "%lines"))
        pointers = [f.load("ptr", f.shift("ptr", table, str(r)), 8) for r in range(LANES)]
        lines = [f.shift("float", p, "%first") for p in pointers]

        def square(rows: list[str], k: str) -> None:
            at = f.shift("float", strip, f.mul(f.div(k, 2), "%height"))
            for vector in transposed(f, SINGLE, rows):
                f.store(SINGLE, vector, at, 4)
                at = f.shift("float", at, "%height")

        with f.loop("0", whole, 2 * LANES) as k:
            places = [(f.shift("float", p, k), f.add(k, str(LANES)), p) for p in lines]
            square([packed(f, f.load(SINGLE, one, 4), f.load(SINGLE, f.shift("float", p, two), 4))
                    for one, two, p in places], k)  # fmt: skip
        with f.when(f.less(whole, "%depth")):
            left, more = f.sub("%depth", whole), f.add(whole, str(LANES))
            rest = f.sub(left, str(LANES))
            rows = [
                (
                    some(f, f.shift("float", p, whole), left),
                    some(f, f.shift("float", p, more), rest),
                )
                for p in lines
            ]
            square([packed(f, *row) for row in rows], whole)
    return helper(f)


def pack_pairs(height: int) -> Helper:
    """`(table, lines, depth, strip_stride, to)`: see `pack`; missing lines are 0.

    `depth` counts floats, `strip_stride` pairs. What lies behind the lines, which is probably
    packed next, is prefetched.
    """
    parameters = "ptr %table, i64 %lines, i64 %depth, i64 %strip_stride, ptr %to"
    f = Function(f"pack.pairs.{height}", parameters, external=True)
    whole = -(-height // LANES) * LANES
    room = f.value(f"call i64 @llvm.smax.i64(i64 {f.add('%lines', str(height - whole))}, i64 0)")
    full = f.mul(f.div(room, height), str(height))
    pairs = f.div(f.add("%depth", "1"), 2)

    @contextmanager
    def strips(k: str, low: str, high: str) -> Iterator[tuple[str, str]]:
        """For each strip its first line, and the address of its pairs."""
        target = f.shift("float", "%to", f.mul(k, str(height)))
        with f.loop(low, high, height) as line:
            yield line, f.shift("float", target, f.mul(f.div(line, height), "%strip_stride"))

    def address(k: str) -> str:
        return f.load("ptr", f.shift("ptr", "%table", k), 8)

    with f.loop("0", pairs) as k:
        one = f.mul(k, "2")
        sources = address(one), address(f.least(f.add(one, "1"), f.sub("%depth", "1")))
        for p, byte in product(sources, range(0, BYTES["float32"] * height, LINE)):
            prefetch(f, f.shift("i8", f.shift("float", p, "%lines"), str(byte)), 2)
        # the second of the last pair may be missing: none of its elements is read
        there = f.less(f.add(one, "1"), "%depth")
        both = f.value(f"select i1 {there}, i64 {full}, i64 0")
        with strips(k, "0", both) as (line, at):
            for v in range(0, whole, LANES):
                first, second = (
                    f.load(SINGLE, f.shift("float", p, f.add(line, str(v))), 4) for p in sources
                )
                f.store(SINGLE, interleaved(f, first, second), f.shift("float", at, str(v)), 4)
        with strips(k, both, "%lines") as (line, at):
            for v in range(0, whole, LANES):
                place = f.add(line, str(v))
                left = f.sub("%lines", place)
                seconds = f.value(f"select i1 {there}, i64 {left}, i64 0")
                first, second = (
                    some(f, f.shift("float", p, place), n)
                    for p, n in zip(sources, (left, seconds), strict=True)
                )
                f.store(SINGLE, interleaved(f, first, second), f.shift("float", at, str(v)), 4)
    return helper(f)


def pair_of(f: Function, first: str, second: str) -> str:
    """The pair of two floats, as a float."""
    start = "<16 x float> zeroinitializer"
    vectors = [f.value(f"insertelement {start}, float {x}, i32 0") for x in (first, second)]
    return f.value(f"extractelement {SINGLE} {interleaved(f, *vectors)}, i32 0")
