"""The peaks of the machine: multiply-adds, bytes from memory, and what one core tells another."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from bench.process import on, place

CHAINS = 12
"""The number of independent sums: more than latency times units of any processor."""
TURNS = 1_000_000
COPIED = 128 * 2**20
HANDOVERS = 20_000
"""Times that a cache line goes to the other core and back."""


def multiply_adds(threads: int) -> float:
    """The peak float32 operations per second of the threads, two per multiply-add."""
    features = llvm.get_host_cpu_features()
    width = 16 if features.get("avx512f") else 8 if features.get("avx2") else 4
    engine = _compiled(_loop(width))
    function = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(engine.get_function_address("loop"))
    return 2 * width * CHAINS * TURNS * threads / _least(lambda: function(TURNS), threads, 400)


def bandwidth(threads: int) -> float:
    """The peak bytes per second, read and written, that the threads copy."""
    pairs = [(np.ones(COPIED, np.uint8), np.zeros(COPIED, np.uint8)) for _ in range(threads)]

    def copy() -> None:
        source, target = pairs.pop()
        np.copyto(target, source)
        pairs.append((source, target))

    return 2 * COPIED * threads / _least(copy, threads, 20)


def handover() -> float:
    """The seconds in which a cache line that one of two cores has written reaches the other.

    The processors of a virtual machine are at times near each other, and at times not.
    """
    engine, line = _compiled(HANDOVER), ctypes.c_int64()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    function = kind(engine.get_function_address("handover"))

    def pass_on(core: int, first: int) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, [core])  # this thread
        function(ctypes.addressof(line), first, 2 * HANDOVERS)

    with ThreadPoolExecutor(2) as pool:
        times = []
        for _ in range(3):
            line.value, begun = 0, time.perf_counter()
            for future in [pool.submit(pass_on, x, k) for k, x in enumerate(place(2).cores)]:
                future.result()
            times.append(time.perf_counter() - begun)
    return min(times) / (2 * HANDOVERS)


def _compiled(text: str) -> Any:
    """The engine with the machine code of a module, which lives as long as it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, jit=True
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), target)
    engine.finalize_object()
    return engine


def _least(work: Callable[[], object], threads: int, repeats: int) -> float:
    """The shortest time in which all threads do the work once, in seconds."""
    with on(place(threads).cores), ThreadPoolExecutor(threads) as pool:
        times = []
        for _ in range(repeats):
            begun = time.perf_counter()
            for future in [pool.submit(work) for _ in range(threads)]:
                future.result()
            times.append(time.perf_counter() - begun)
    return min(times)


def _loop(width: int) -> str:
    """A function that does `CHAINS` vector multiply-adds per iteration, in registers."""
    vector = f"<{width} x float>"
    zero, half = "zeroinitializer", f"<{', '.join(['float 0.5'] * width)}>"
    chains = range(CHAINS)
    phis = [f"  %a{k} = phi {vector} [{zero}, %entry], [%b{k}, %turn]" for k in chains]
    call = f"call {vector} @llvm.fma.v{width}f32({vector}"
    adds = [f"  %b{k} = {call} %a{k}, {vector} {half}, {vector} {half})" for k in chains]
    sums = [f"  %s{k} = fadd {vector} %s{k - 1}, %b{k}" for k in chains if k]
    return "\n".join([
        f"declare {vector} @llvm.fma.v{width}f32({vector}, {vector}, {vector})",
        "define float @loop(i64 %count) {", "entry:", "  br label %turn", "turn:",
        "  %i = phi i64 [0, %entry], [%next, %turn]", *phis, *adds,
        "  %next = add i64 %i, 1", "  %more = icmp slt i64 %next, %count",
        "  br i1 %more, label %turn, label %done", "done:",
        f"  %s0 = fadd {vector} %b0, {zero}", *sums,
        f"  %y = extractelement {vector} %s{CHAINS - 1}, i32 0", "  ret float %y", "}",
    ])  # fmt: skip


HANDOVER = """
define void @handover(ptr %line, i64 %first, i64 %count) {
entry:
  br label %wait
wait:
  %number = phi i64 [%first, %entry], [%number, %wait], [%next, %pass]
  %now = load atomic i64, ptr %line seq_cst, align 8
  %mine = icmp eq i64 %now, %number
  br i1 %mine, label %pass, label %wait
pass:
  %after = add i64 %number, 1
  store atomic i64 %after, ptr %line release, align 8
  %next = add i64 %number, 2
  %more = icmp slt i64 %next, %count
  br i1 %more, label %wait, label %done
done:
  ret void
}
"""
"""Wait for every second number in a place, and write the next one there."""
