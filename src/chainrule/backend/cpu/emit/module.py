"""A plan as one LLVM module: every kernel's function once, and the function that runs steps."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from chainrule.backend.cpu.abi import Program, Task, slots_of
from chainrule.backend.cpu.emit.affine import Analysis
from chainrule.backend.cpu.emit.flat import Flat, flatten
from chainrule.backend.cpu.emit.gemm import gemm
from chainrule.backend.cpu.emit.loops import Compiled, loops
from chainrule.backend.cpu.emit.products import product
from chainrule.backend.cpu.emit.sizes import general
from chainrule.backend.cpu.emit.steps import entry, loss_task, run_function
from chainrule.backend.cpu.layout import argument
from chainrule.backend.cpu.machine import Machine
from chainrule.backend.cpu.maths import library as math
from chainrule.backend.cpu.stages import split_of, stages
from chainrule.plan.plan import Plan

ROW_GRANULE = 4
"""Threads split the rows at multiples of this, all kernels at the same."""


def build(plan: Plan, machine: Machine, max_rows: int) -> Program:
    """The module of a plan; minibatches have up to `max_rows` rows."""
    layout = partial(argument, rows=max_rows)
    compiled: dict[Flat, tuple[Analysis, str, Compiled]] = {}
    tasks = []
    for phase in plan.phases:
        for kernel in phase.kernels:
            flat, places = flatten(kernel, layout)
            flat, size = general(flat)
            if flat not in compiled:
                name, analysis = f"k{len(compiled)}", Analysis(flat)
                made = code(name, analysis, machine, max_rows, plan.loss is None)
                compiled[flat] = analysis, name, made
            analysis, name, made = compiled[flat]
            split = split_of(analysis, size)
            granule = ROW_GRANULE if split == "rows" else made.granule
            tasks.append((Task(kernel.name, name, places, split, size, granule), analysis))
    parts = [code for _, _, code in compiled.values()]
    entries = [
        entry(f"{name}.task", name, flat.arguments) for flat, (_, name, _) in compiled.items()
    ]
    if plan.loss is not None:
        entries.append(loss_task(plan.loss.dtype))
    text = "\n".join(
        [
            *sorted({x for part in parts for x in part.declared}),
            _maths(parts, machine),
            *sorted({helper.text for part in parts for helper in part.helpers}),
            *(part.text for part in parts),
            *entries,
            run_function(machine.triple),
        ]
    )
    scratch = tuple(max((part.scratch[k] for part in parts), default=0) for k in (0, 1))
    slots, words = slots_of(plan)
    return Program(text, slots, words, stages(tasks), scratch)  # type: ignore[arg-type]


def code(name: str, analysis: Analysis, machine: Machine, max_rows: int, forward: bool) -> Compiled:
    """The function of a kernel: a matrix product, or a loop nest."""
    flat = analysis.flat
    shape = product(flat, analysis, machine, max_rows)
    if shape is not None:
        return gemm(name, flat, analysis, shape, machine, max_rows, forward)
    return loops(name, flat, analysis, machine)


def _maths(parts: Iterable[Compiled], machine: Machine) -> str:
    """The functions of the maths library that the kernels call."""
    wanted = {x for part in parts for x in part.maths}
    kinds = sorted({(dtype, lanes) for _, dtype, lanes in wanted})
    return "\n".join(
        math.definitions(
            sorted(name for name, *kind in wanted if tuple(kind) == (dtype, lanes)),
            dtype,
            lanes,
            fma=machine.fma,
        )
        for dtype, lanes in kinds
    )
