"""The features of the processor that generated code depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

X86 = "x86_64", "i386", "i686"
"""The begins of triples."""


@dataclass(frozen=True)
class Machine:
    """A target of code.

    Attributes:
        triple, cpu, features: as LLVM names them.
        vector: bytes of a vector register.
        registers: the number of vector registers.
        fma: whether there is a fused multiply-add.
        bfloat16: whether there are products of bfloat16, two at once in a lane of float32.
    """

    triple: str
    cpu: str
    features: str
    vector: int
    registers: int
    fma: bool
    bfloat16: bool = False

    @property
    def convention(self) -> str:
        """The calling convention whose results may fill 16 vector registers; else that of C."""
        return "x86_regcallcc" if self.triple.startswith(X86) else ""


@cache
def host() -> Machine:
    """This machine, with all of its features."""
    import llvmlite.binding as llvm  # noqa: PLC0415  # takes 120 ms

    features = dict(llvm.get_host_cpu_features())
    return machine(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)


def machine(triple: str, cpu: str, features: Mapping[str, bool]) -> Machine:
    """A machine by its triple, processor and features."""
    text = ",".join(f"{'+' if there else '-'}{name}" for name, there in sorted(features.items()))
    if not triple.startswith(X86):
        return Machine(triple, cpu, text, 16, 32, True)
    wide = all(features.get(name) for name in ("avx512f", "avx512dq", "avx512bw", "avx512vl"))
    vector = 64 if wide else 32 if features.get("avx2") else 16
    pairs = wide and bool(features.get("avx512bf16"))
    return Machine(triple, cpu, text, vector, 32 if wide else 16, bool(features.get("fma")), pairs)


def without(base: Machine, vector: int) -> Machine:
    """An older x86 with vectors of only `vector` bytes: 16 or 32; else the machine itself."""
    if vector >= base.vector:
        return base
    cpu = "x86-64" if vector == 16 else "x86-64-v3"
    return Machine(base.triple, cpu, "", vector, 16, vector > 16)
