"""Code for each kind of processor uses what that kind has, and no more."""

from __future__ import annotations

import random
import re
from functools import cache

import numpy as np
import pytest

import chainrule as cr
from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.machine import Machine, host, machine, without
from chainrule.backend.cpu.run import objects
from chainrule.backend.cpu.run.jit import LEFT_OUT, assembly, compiled
from chainrule.engine.compile import build_step, plan_step
from chainrule.graph import Graph
from chainrule.graph.step import Step
from chainrule.plan.plan import Plan
from networks import network

X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
AVX512 = dict.fromkeys(("avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl"), True)
MACHINES = {
    "sse2": machine(X86, "x86-64", {}),
    "older": without(machine(X86, "skylake-avx512", AVX512), 16),
    "avx2 without fma": machine(X86, "x86-64", {"avx2": True, "fma": False}),
    "avx2": without(machine(X86, "skylake-avx512", AVX512), 32),
    "avx512": machine(X86, "x86-64", AVX512),
    "neon": machine(ARM, "generic", {}),
}

SSE4 = r"p?blend\w*|round[sp][sd]|pmul(ld|dq)|p(min|max)(s[bd]|u[wd])|pmov[sz]x\w+|ptest|p(ext|ins)r[bdq]|insertps|extractps|pcmpeqq|pcmpgtq|pshufb|pabs[bwd]|phadd\w|haddp[sd]|movddup|movs[hl]dup|lddqu|popcnt"  # noqa: E501
BEYOND = {
    "sse2": rf"^({SSE4}|v\w+)\b|%[yz]mm",
    "older": rf"^({SSE4}|v\w+)\b|%[yz]mm",
    "avx2 without fma": r"^vfn?m(add|sub)|%zmm|%[xy]mm(1[6-9]|2\d|3[01])|%k[0-7]",
    "avx2": r"%zmm|%[xy]mm(1[6-9]|2\d|3[01])|%k[0-7]",
    "avx512": r"^(v4f|vp4|vpdp|vdp|tdp)",
    "neon": r"\bz\d+\.|\bp\d+/",
}
"""What no instruction may look like: those of other kinds, their registers."""

MUST = {"avx2 without fma": "%ymm", "avx2": "vfmadd", "avx512": "%zmm", "neon": "fmla"}


def tower(dtype: str) -> Step:
    """Matrix products of odd sizes, vector maths, sums over rows, updates with momentum."""
    x, t = cr.input("x", (45,), dtype=dtype), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, 70, "gelu")), 0.2)
    loss = cr.cross_entropy(cr.dense(cr.dense(h, 46, "tanh"), 3), t)
    return build_step(Graph(loss), loss, cr.Adam(0.1), clip_norm=1.0)


def pictures(dtype: str) -> Step:
    """A convolution with a stride, its gradients and the largest of windows."""
    x, t = cr.input("x", (9, 8, 3), dtype=dtype), cr.input("t", (), dtype="int32")
    w = cr.parameter("w", np.ones((3, 3, 3, 17)), dtype=dtype)
    v = cr.parameter("v", np.ones((3, 3, 17, 5)), dtype=dtype)
    h = cr.relu(cr.einsum("nyxijc,ijco->nyxo", cr.windows(x, (3, 3), padding=1), w))
    h = cr.einsum("nyxijc,ijco->nyxo", cr.windows(h, (3, 3), stride=2), v)
    h = cr.max(cr.windows(h, (2, 2), padding=1, fill=-float("inf")), axis=(3, 4))
    loss = cr.cross_entropy(cr.dense(cr.flatten(h), 3), t)
    return build_step(Graph(loss), loss, cr.SGD(0.1))


@cache
def plans() -> list[Plan]:
    steps = [tower("float32"), tower("float64"), pictures("float32"), pictures("float64")]
    steps += [network(random.Random(seed)).step() for seed in (0, 2, 5)]
    return [plan_step(step) for step in steps]


def instructions(plan: Plan, kind: Machine) -> list[str]:
    """The lines that are instructions; LLVM has verified the module."""
    lines = (re.split(r"\s(#|//)", line)[0] for line in assembly(
        build(plan, kind, 17).text, kind).splitlines())  # fmt: skip
    return [line.strip() for line in lines if line.startswith("\t") and line[1] != "."]


@pytest.mark.parametrize("name", MACHINES)
def test_no_instruction_beyond_the_kind(name: str) -> None:
    found = [x for plan in plans() for x in instructions(plan, MACHINES[name])]
    beyond = [x for x in found if re.search(BEYOND[name], x)]
    assert not beyond, beyond[:5]
    assert len(found) > 1000
    assert any(MUST.get(name, "mulps") in x for x in found)


def test_the_pattern_knows_instructions_that_are_newer() -> None:
    for text in ("pblendvb\t%xmm0, %xmm1", "roundps\t$9, %xmm0", "vaddps\t%xmm0", "pminsd\t%xmm1"):
        assert re.search(BEYOND["sse2"], text)
    for text in ("addps\t%xmm0, %xmm1", "pmuludq\t%xmm0, %xmm1", "pminsw\t%xmm0, %xmm1"):
        assert not re.search(BEYOND["sse2"], text)
    assert re.search(BEYOND["avx2"], "vaddps\t%ymm17, %ymm0, %ymm1")
    assert not re.search(BEYOND["avx2"], "vaddps\t%ymm15, %ymm0, %ymm1")


def test_options_of_llvm_are_put_back_where_compiling_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    llvm = pytest.importorskip("llvmlite.binding")
    told, once = [], llvm.set_option

    def set_option(program: str, option: str) -> None:
        told.append(option)
        once(program, option)

    monkeypatch.setattr(llvm, "set_option", set_option)
    with pytest.raises(RuntimeError):
        compiled("this is no module", host())
    assert told[: len(LEFT_OUT)] == [*LEFT_OUT]
    assert told[len(LEFT_OUT) :] == [f"{option}=false" for option in LEFT_OUT]


def test_parts_of_a_module_are_the_same_object_files_for_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHAINRULE_CODE_CACHE", "off")
    program = build(plans()[0], host(), 17)
    own, shared = program.modules
    defined = [x for text in (*own, *shared) for x in text.splitlines() if x.startswith("define")]
    assert len(own) > 1
    assert sorted(defined) == sorted(x for x in program.text.splitlines() if x.startswith("define"))
    made = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        objects._held.cache_clear()
        made.append(objects.object_files(program, host()))
    assert made[0] == made[1]
    assert made[0][: len(own)] == [compiled(text, host()) for text in own]
