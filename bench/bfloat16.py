"""The speed of products of bfloat16 beside float32: `python -m bench.bfloat16`, with AVX512_BF16.

A tile of 12 rows and 2 vectors, from panels as packing leaves them; and the rounding of float32.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import partial

import llvmlite.binding as llvm
import numpy as np

ROWS, VECTORS, LANES = 12, 2, 16
SINGLE, PAIRS = "<16 x float>", "<32 x bfloat>"
FUNCTIONS = {
    SINGLE: "@llvm.fma.v16f32",
    PAIRS: "@llvm.x86.avx512bf16.dpbf16ps.512",
}
"""By the type of a vector of operands, what multiplies and adds."""
DECLARED = f"""
declare {SINGLE} @llvm.fma.v16f32({SINGLE}, {SINGLE}, {SINGLE})
declare {SINGLE} @llvm.x86.avx512bf16.dpbf16ps.512({SINGLE}, {PAIRS}, {PAIRS})
declare <16 x bfloat> @llvm.x86.avx512bf16.cvtneps2bf16.512({SINGLE})
"""
SHORT, LONG = 512, 4096
"""Steps of two runs, whose difference is free of what a call costs."""


def loop(name: str, state: list[str], body: list[str], end: list[str]) -> str:
    """A function of three addresses and a count, with a loop."""
    return "\n".join([
        f"define void @{name}(ptr %a, ptr %b, ptr %c, i64 %k) {{", "entry:", "  br label %turn",
        "turn:", "  %i = phi i64 [0, %entry], [%n, %turn]", *state, *body,
        "  %n = add i64 %i, 1", "  %m = icmp slt i64 %n, %k",
        "  br i1 %m, label %turn, label %done", "done:", *end, "  ret void", "}",
    ])  # fmt: skip


def tile(name: str, kind: str) -> str:
    """A step adds the products of a column of `a` and a row of `b`, or of two of them."""
    cells = [(m, v) for m in range(ROWS) for v in range(VECTORS)]
    state = [
        f"  %p{m}.{v} = phi {SINGLE} [zeroinitializer, %entry], [%q{m}.{v}, %turn]"
        for m, v in cells
    ]
    body = [f"  %at = mul i64 %i, {VECTORS}", f"  %from = mul i64 %i, {ROWS}"]
    for v in range(VECTORS):
        body += [f"  %bi{v} = add i64 %at, {v}",
                 f"  %bp{v} = getelementptr <16 x i32>, ptr %b, i64 %bi{v}",
                 f"  %y{v} = load {kind}, ptr %bp{v}, align 64"]  # fmt: skip
    for m in range(ROWS):
        body += [f"  %ai{m} = add i64 %from, {m}",
                 f"  %ap{m} = getelementptr i32, ptr %a, i64 %ai{m}",
                 f"  %al{m} = load i32, ptr %ap{m}, align 4",
                 f"  %as{m} = insertelement <16 x i32> poison, i32 %al{m}, i32 0",
                 f"  %av{m} = shufflevector <16 x i32> %as{m}, <16 x i32> poison, "
                 "<16 x i32> zeroinitializer",
                 f"  %x{m} = bitcast <16 x i32> %av{m} to {kind}"]  # fmt: skip
        for v in range(VECTORS):
            factors, old = f"{kind} %x{m}, {kind} %y{v}", f"{SINGLE} %p{m}.{v}"
            order = f"{factors}, {old}" if kind == SINGLE else f"{old}, {factors}"
            body.append(f"  %q{m}.{v} = call {SINGLE} {FUNCTIONS[kind]}({order})")
    end = []
    for k, (m, v) in enumerate(cells):
        end += [f"  %g{k} = getelementptr {SINGLE}, ptr %c, i64 {k}",
                f"  store {SINGLE} %q{m}.{v}, ptr %g{k}"]  # fmt: skip
    return loop(name, state, body, end)


def rounding() -> str:
    """Float32 to bfloat16, as packing does it at best."""
    return loop("rounded", [], [
        f"  %ap = getelementptr {SINGLE}, ptr %a, i64 %i",
        f"  %x = load {SINGLE}, ptr %ap, align 4",
        f"  %y = call <16 x bfloat> @llvm.x86.avx512bf16.cvtneps2bf16.512({SINGLE} %x)",
        "  %bp = getelementptr <16 x bfloat>, ptr %b, i64 %i",
        "  store <16 x bfloat> %y, ptr %bp, align 2",
    ], [])  # fmt: skip


def best(call: Callable[[], object], times: int) -> float:
    """The seconds of the quickest of some calls."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return min(found)


def main() -> None:
    """Prints a line for each type, and one for the rounding."""
    if not llvm.get_host_cpu_features().get("avx512bf16"):
        raise SystemExit("this processor has no AVX512_BF16")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    parts = [DECLARED, tile("single", SINGLE), tile("pairs", PAIRS), rounding()]
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly("\n".join(parts)), target)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)
    memory = [np.zeros(4 << 20 | 4096, np.uint8) for _ in range(3)]
    a, b, c = (x.ctypes.data + -x.ctypes.data % 4096 for x in memory)
    for name, depth in (("single", 1), ("pairs", 2)):
        function = kind(engine.get_function_address(name))
        taken = [best(partial(function, a, b, c, k), 2000) for k in (SHORT, LONG)]
        flops = 2 * ROWS * VECTORS * LANES * depth * (LONG - SHORT)
        print(f"{name:>7}: {flops / (taken[1] - taken[0]) / 1e9:.0f} GFLOP/s")
    function = kind(engine.get_function_address("rounded"))
    count = 1 << 20
    taken_once = best(partial(function, a, b, c, count // LANES), 100)
    print(f"rounding of {count:,} numbers: {taken_once * 1e3:.3f} ms")


if __name__ == "__main__":
    main()
