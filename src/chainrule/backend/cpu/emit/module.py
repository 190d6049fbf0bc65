"""A plan as LLVM modules: every kernel's function once, and the code that programs share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from chainrule.backend.cpu.abi import Launch, Program, slots_of
from chainrule.backend.cpu.emit.blocks import Blocks, blocks
from chainrule.backend.cpu.emit.direct import direct
from chainrule.backend.cpu.emit.gemm import gemm
from chainrule.backend.cpu.emit.lengths import first_size, with_runtime_length
from chainrule.backend.cpu.emit.loops import Compiled, loops
from chainrule.backend.cpu.emit.shared import Shared
from chainrule.backend.cpu.emit.steps import entry, loss_task, run_function
from chainrule.backend.cpu.emit.tiling import TILES, tiling
from chainrule.backend.cpu.layout import argument
from chainrule.backend.cpu.machine import Machine
from chainrule.backend.cpu.maths import library as math
from chainrule.costs.cost import rough_seconds
from chainrule.costs.speeds import default_speeds
from chainrule.plan.affine import Analysis
from chainrule.plan.contraction import Contraction
from chainrule.plan.linearize import LinearKernel, laid_out
from chainrule.plan.plan import Plan


def build(plan: Plan, machine: Machine, max_rows: int) -> Program:
    """The module of a plan; minibatches have up to `max_rows` rows."""
    layout = partial(argument, rows=max_rows)
    guessed = default_speeds(machine.vector, TILES[machine.registers])
    compiled: dict[LinearKernel, tuple[str, Compiled]] = {}
    shapes: dict[LinearKernel, Blocks | None] = {}
    phases: list[list[Launch]] = []
    for phase in plan.phases:
        phases.append([])
        for task in phase.tasks:
            linear, size = laid_out(task.linear, task.operands, layout), first_size(task.linear)
            if linear not in shapes:
                shapes[linear] = blocks(linear, task.contraction, machine)
            shape = shapes[linear]
            if shape is not None:
                size = size if shape.by_rows else shape.tiles
            elif task.contraction is None:
                linear, size = with_runtime_length(linear)
            if linear not in compiled:
                name, analysis = f"k{len(compiled)}", Analysis(linear)
                if shape is not None:
                    made = direct(name, analysis, shape, machine)
                else:
                    forward = plan.loss is None
                    made = code(name, analysis, task.contraction, machine, max_rows, forward)
                compiled[linear] = name, made
            name, made = compiled[linear]
            seconds = rough_seconds(task, max_rows, guessed)
            phases[-1].append(
                Launch(
                    task.kernel.name, name, task.operands, task.split, task.owner, size,
                    made.granule, seconds, made.least,
                )
            )  # fmt: skip
    parts = [code for _, code in compiled.values()]
    entries = [
        entry(f"{name}.task", name, linear.arguments, commit=linear.commit)
        for linear, (name, _) in compiled.items()
    ]
    if plan.loss is not None:
        entries.append(loss_task(plan.loss.dtype))
    own = "\n".join([*(part.text for part in parts), *entries])
    declared = frozenset(x for part in parts for x in part.declared)
    run = Shared(run_function(machine.triple, exact=plan.loss is None))
    helpers = {helper.name: helper for part in parts for helper in part.helpers}
    shared = (*_maths(parts, machine), *(helpers[name] for name in sorted(helpers)), run)
    scratch = tuple(max((part.scratch[k] for part in parts), default=0) for k in (0, 1))
    slots, words = slots_of(plan.signature)
    return Program(Shared(own, declared, shared), slots, words, phases, scratch)  # type: ignore[arg-type]


def code(
    name: str,
    analysis: Analysis,
    contraction: Contraction | None,
    machine: Machine,
    max_rows: int,
    forward: bool,
) -> Compiled:
    """The function of a kernel: a matrix product, or a loop nest."""
    tiles = None if contraction is None else tiling(analysis, contraction, machine, max_rows)
    if tiles is not None:
        return gemm(name, analysis, tiles, machine, max_rows, forward)
    return loops(name, analysis, machine)


def _maths(parts: Iterable[Compiled], machine: Machine) -> list[Shared]:
    """The functions of the maths library that the kernels call."""
    called = {x for part in parts for x in part.maths}
    kinds = sorted({(dtype, lanes) for _, dtype, lanes in called})
    return [
        Shared(
            math.definitions(
                sorted(name for name, *kind in called if tuple(kind) == (dtype, lanes)),
                dtype,
                lanes,
                fma=machine.fma,
                external=True,
            )
        )
        for dtype, lanes in kinds
    ]
