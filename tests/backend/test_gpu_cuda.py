"""The kernels of every op case are CUDA C too: NVRTC compiles them without a graphics processor."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.test_gpu_ops import part
from chainrule.backend.gpu.emit.dialect import head
from chainrule.backend.gpu.emit.module import build, functions
from chainrule.backend.gpu.program import Traits
from chainrule.engine.compile import build_split, plan_step
from chainrule.engine.step import Objective
from engine.test_native_training import NETWORKS, Made
from opcases import CASES
from ops.test_ops_cases import variants

TRAITS = Traits(float64=True, items=1024, local=48 * 1024)
GROUP = 24
"""Cases whose code is built at once."""


@pytest.fixture(scope="module")
def nvrtc() -> Any:
    """The library of NVIDIA's compiler, from the wheel nvidia-cuda-nvrtc."""
    places = (Path(x) / "nvidia" for x in sys.path)
    found = [y for x in places if x.is_dir() for y in x.glob("*/lib/libnvrtc.so.*[0-9]")]
    if not found:
        pytest.skip("no NVRTC: pip install nvidia-cuda-nvrtc")
    return ctypes.CDLL(str(found[0]))


def ptx(nvrtc: Any, text: str) -> int:
    """The bytes of a text as PTX."""
    made, size = ctypes.c_void_p(), ctypes.c_size_t()
    name = b"plan.cu"
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(made), text.encode(), name, 0, None, None) == 0
    options = (ctypes.c_char_p * 2)(b"--gpu-architecture=compute_80", b"--fmad=false")
    failed = nvrtc.nvrtcCompileProgram(made, len(options), options)
    nvrtc.nvrtcGetProgramLogSize(made, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(made, log)
    assert not failed, log.value.decode()[:2000]
    nvrtc.nvrtcGetPTXSize(made, ctypes.byref(size))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(made))
    return size.value


@pytest.mark.parametrize("first", range(0, len(CASES), GROUP))
def test_kernels_of_every_case(nvrtc: Any, first: int) -> None:
    texts = []
    for number in range(first, min(first + GROUP, len(CASES))):
        every = list(variants(CASES[number]))
        for turn, dtype in enumerate(("float32", "float64")):
            made = part(CASES[number], dtype, every[(number + turn) % len(every)])
            name = f"case_{number}_{dtype}_"
            texts.append(functions(made.plan, max(made.rows, 1), TRAITS, name)[0])
    assert ptx(nvrtc, head(float64=True) + "\n".join(texts)) > 1000


@pytest.mark.parametrize("made", NETWORKS)
def test_kernels_of_steps(nvrtc: Any, made: Made) -> None:
    model, options = made("float32")
    assert model.loss is not None
    split = build_split(Objective(model.graph, model.loss, options["optimizer"]))
    for float64 in (True, False):
        program = build(plan_step(split.body), 64, replace(TRAITS, float64=float64))
        assert ptx(nvrtc, program.text) > 1000


def test_a_text_that_is_wrong_is_refused(nvrtc: Any) -> None:
    with pytest.raises(AssertionError, match="nonsense"):
        ptx(nvrtc, head(float64=True) + "KERNEL(1) broken(GLOBAL i64 *frame) { nonsense; }")
