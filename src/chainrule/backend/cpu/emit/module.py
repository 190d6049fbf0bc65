"""A plan as LLVM modules: every kernel's function once, and the code that programs share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from typing import TypeAlias

from chainrule.backend.cpu.abi import Launch, Program, slots_of
from chainrule.backend.cpu.emit.blocks import blocks
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
from chainrule.plan.linearize import Argument, LinearKernel, laid_out
from chainrule.plan.plan import Plan, Task
from chainrule.types import Dim

_Known: TypeAlias = tuple[str, Compiled, Dim, float]
"""A function: its name, its code, the length of its first loop, its seconds by a rough guess."""


def build(plan: Plan, machine: Machine, max_rows: int) -> Program:
    """The module of a plan; minibatches have up to `max_rows` rows."""
    functions = _Functions(machine, max_rows, forward=plan.loss is None)
    phases = [[functions.launch(task) for task in phase.tasks] for phase in plan.phases]
    compiled = functions.compiled
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


class _Functions:
    """The functions of the kernels of a plan: kernels that differ in names alone share one.

    Attributes:
        compiled: the name and the code of each.
    """

    def __init__(self, machine: Machine, max_rows: int, *, forward: bool) -> None:
        self._machine, self._max_rows, self._forward = machine, max_rows, forward
        self._guessed = default_speeds(machine.vector, TILES[machine.registers])
        self._layout = cache(partial(argument, rows=max_rows))
        self._known: dict[tuple[Analysis, tuple[Argument, ...]], _Known] = {}
        self.compiled: dict[LinearKernel, tuple[str, Compiled]] = {}

    def launch(self, task: Task) -> Launch:
        """The call of a task's function, which is written where there is none yet."""
        key = task.analysis, tuple(self._layout(buffer) for buffer, _ in task.operands)
        if key not in self._known:  # equal kernels have one analysis
            self._known[key] = self._written(task)
        name, made, size, seconds = self._known[key]
        return Launch(
            task.kernel.name, name, task.operands, task.split, task.owner, size, made.granule,
            seconds, made.least,
        )  # fmt: skip

    def _written(self, task: Task) -> _Known:
        machine, max_rows = self._machine, self._max_rows
        linear, size = laid_out(task.linear, task.operands, self._layout), first_size(task.linear)
        shape = blocks(linear, task.contraction, machine)
        if shape is not None:
            size = size if shape.by_rows else shape.tiles
        elif task.contraction is None:
            linear, size = with_runtime_length(linear)
        if linear not in self.compiled:
            name, analysis = f"k{len(self.compiled)}", Analysis(linear)
            if shape is not None:
                made = direct(name, analysis, shape, machine)
            else:
                made = code(name, analysis, task.contraction, machine, max_rows, self._forward)
            self.compiled[linear] = name, made
        return *self.compiled[linear], size, rough_seconds(task, max_rows, self._guessed)


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
