"""The processor and the compiler in words, as far as results may depend on them."""

from __future__ import annotations

from chainrule.backend.cpu.machine import host
from chainrule.backend.cpu.run.jit import llvm_versions


def processor() -> str:
    """The name of this processor, and the width of its vectors."""
    machine = host()
    fused = ", fused multiply-add" if machine.fma else ""
    return f"{machine.cpu}, vectors of {8 * machine.vector} bits{fused}"


def compiler() -> str:
    """The version of LLVM."""
    versions: tuple[object, ...] = llvm_versions()
    numbers = versions[1]
    return ".".join(map(str, numbers)) if isinstance(numbers, tuple) else str(numbers)
