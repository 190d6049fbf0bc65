"""The processor's mode in which numbers too small for all of their digits count as 0."""

from __future__ import annotations

from chainrule.backend.cpu.emit.text import Function

X86 = 0x8040
"""Bits of MXCSR: results that are subnormal become 0 (FTZ), and operands count as 0 (DAZ)."""

ARM = 1 << 24
"""The bit of FPCR that does both (FZ)."""


def flush(f: Function, triple: str) -> str:
    """Sets the mode; gives what `restore` sets back. Other processors than these have no need.

    A subnormal operand or result costs Intel's processors about 150 cycles for each vector that
    has one. Rounding keeps it for ever: 0.9 of the smallest number is the smallest number.
    """
    if triple.startswith("x86_64"):
        old, new = f.local("i32"), f.local("i32")
        _mxcsr(f, "st", old)
        mode = f.value(f"or i32 {f.load('i32', old, 4)}, {X86}")
        f.store("i32", mode, new, 4)
        _mxcsr(f, "ld", new)
        return old
    if triple.startswith(("aarch64", "arm64")):
        before = f.value("call i64 @llvm.aarch64.get.fpcr()")
        mode = f.value(f"or i64 {before}, {ARM}")
        f.do(f"call void @llvm.aarch64.set.fpcr(i64 {mode})")
        return before
    return ""


def restore(f: Function, triple: str, before: str) -> None:
    """Sets the mode that `flush` found."""
    if triple.startswith("x86_64"):
        _mxcsr(f, "ld", before)
    elif before:
        f.do(f"call void @llvm.aarch64.set.fpcr(i64 {before})")


def _mxcsr(f: Function, which: str, place: str) -> None:
    f.do(f"call void @llvm.x86.sse.{which}mxcsr(ptr {place})")
