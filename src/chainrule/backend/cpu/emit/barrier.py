"""The barrier of the threads of native code, as LLVM IR."""

from __future__ import annotations

import sys

SPINS = 200
"""Iterations that spin; after them a waiting thread yields the processor."""


def barrier(triple: str) -> str:
    """The IR of `@barrier(ptr words, i64 threads)`: no thread leaves before all have arrived.

    words: two cache lines, zero at first: the number of arrivals, and that of barriers so far.
    """
    rest = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
    pause = ""
    if triple.startswith("x86_64"):
        pause = "call void @llvm.x86.sse2.pause()"
    elif triple.startswith(("aarch64", "arm64")):
        pause = "call void @llvm.aarch64.hint(i32 1)"
    return BARRIER.replace("PAUSE", pause).replace("REST", rest).replace("SPINS", str(SPINS))


BARRIER = """
declare i32 @REST()
define internal void @barrier(ptr %words, i64 %threads) nounwind noinline {
entry:
  %alone = icmp eq i64 %threads, 1
  br i1 %alone, label %out, label %come
come:
  %turns = getelementptr i64, ptr %words, i64 8
  %turn = load atomic i64, ptr %turns acquire, align 8
  %before = atomicrmw add ptr %words, i64 1 acq_rel
  %count = add i64 %before, 1
  %last = icmp eq i64 %count, %threads
  br i1 %last, label %open, label %wait
open:
  store atomic i64 0, ptr %words monotonic, align 8
  %next = add i64 %turn, 1
  store atomic i64 %next, ptr %turns release, align 8
  br label %out
wait:
  %n = phi i64 [0, %come], [%more, %look]
  %more = add i64 %n, 1
  %long = icmp ugt i64 %n, SPINS
  br i1 %long, label %offer, label %spin
offer:
  %ignored = call i32 @REST()
  br label %look
spin:
  PAUSE
  br label %look
look:
  %now = load atomic i64, ptr %turns acquire, align 8
  %same = icmp eq i64 %now, %turn
  br i1 %same, label %wait, label %out
out:
  ret void
}"""
