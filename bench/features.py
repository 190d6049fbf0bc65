"""Holds all systems to the vectors of an older processor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec

CHOSEN = "BENCH_FEATURES"
"""The variable by which a process of the benchmark knows of it."""

VARIABLES: Mapping[str, Mapping[str, str]] = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    }
}
"""By the name of the option, what holds the peers, and NumPy, to it."""


def chosen() -> str:
    """The name of the option; empty for the processor as it is."""
    return os.environ.get(CHOSEN, "")


def variables() -> dict[str, str]:
    """The variables of a worker."""
    return dict(VARIABLES.get(chosen(), {}))


def hold_llvm() -> None:
    """Make LLVM in this process find the older processor; call it before code is compiled."""
    if chosen() != "avx2" or find_spec("llvmlite") is None:  # peers do not have it
        return
    import llvmlite.binding as llvm  # noqa: PLC0415  # takes 120 ms

    features = llvm.get_host_cpu_features()
    for name in features:
        features[name] = features[name] and not name.startswith(("avx512", "avx10", "evex"))
    llvm.get_host_cpu_features = lambda: features
    llvm.get_host_cpu_name = lambda: "x86-64-v3"
