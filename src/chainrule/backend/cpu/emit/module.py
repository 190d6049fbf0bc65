"""A plan as LLVM modules: every kernel's function once, and the code that programs share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import NamedTuple, TypeAlias

from chainrule.backend.cpu.abi import Launch, Program, slots_of
from chainrule.backend.cpu.emit.blocks import blocks
from chainrule.backend.cpu.emit.direct import direct
from chainrule.backend.cpu.emit.gemm import gemm
from chainrule.backend.cpu.emit.lengths import first_size, with_runtime_length
from chainrule.backend.cpu.emit.loops import loops
from chainrule.backend.cpu.emit.merge import merged
from chainrule.backend.cpu.emit.nest import Compiled
from chainrule.backend.cpu.emit.shared import Shared
from chainrule.backend.cpu.emit.steps import entry, loss_task, run_function
from chainrule.backend.cpu.emit.tiling import TILES, tiling
from chainrule.backend.cpu.layout import argument
from chainrule.backend.cpu.machine import Machine
from chainrule.backend.cpu.maths import library as math
from chainrule.costs.cost import rough_seconds
from chainrule.costs.speeds import default_speeds
from chainrule.plan.affine import Analysis
from chainrule.plan.contraction import Contraction, contraction
from chainrule.plan.linearize import Argument, LinearKernel, laid_out
from chainrule.plan.plan import Plan, Task
from chainrule.types import Dim

PART, MOST_PARTS = 32_768, 8
"""The least length of a part's text, and the most parts: each takes 2 ms for itself."""


class _Text(NamedTuple):
    """The text of functions, and the declarations of intrinsics that they need."""

    text: str
    declared: Iterable[str] = ()


_Known: TypeAlias = tuple[str, Compiled, Dim, float]
"""A function: its name, its code, the length of its first loop, its seconds by a rough guess."""


def build(plan: Plan, machine: Machine, max_rows: int) -> Program:
    """The module of a plan; minibatches have up to `max_rows` rows."""
    functions = _Functions(machine, max_rows, forward=plan.loss is None)
    phases = [[functions.launch(task) for task in phase.tasks] for phase in plan.phases]
    parts = [code for _, code in functions.compiled.values()]
    run = Shared(run_function(machine.triple, exact=plan.loss is None))
    helpers = {helper.name: helper for part in parts for helper in part.helpers}
    shared = (*_maths(parts, machine), *(helpers[name] for name in sorted(helpers)), run)
    fixed, each_row = (max((part.scratch[k] for part in parts), default=0) for k in (0, 1))
    slots, words = slots_of(plan.signature)
    texts = [_text(linear, *known) for linear, known in functions.compiled.items()]
    if plan.loss is not None:
        texts.append(_Text(loss_task(plan.loss.dtype)))
    own = tuple(
        Shared(
            "\n".join(x.text for x in some),
            frozenset[str]().union(*(x.declared for x in some)),
            shared,
        )
        for some in _divided(texts)
    )
    return Program(own, slots, words, phases, (fixed, each_row))


def _text(linear: LinearKernel, name: str, code: Compiled) -> _Text:
    """A kernel's function, and the one that calls it for a task."""
    task = entry(f"{name}.task", name, linear.arguments, commit=linear.commit)
    return _Text(f"{code.text}\n{task}", code.declared)


def _divided(texts: Sequence[_Text]) -> list[list[_Text]]:
    """The texts in parts of about equal length, which several processors compile."""
    count = max(min(sum(len(x.text) for x in texts) // PART, MOST_PARTS), 1)
    parts: list[list[_Text]] = [[] for _ in range(count)]
    lengths = [0] * count
    for item in sorted(texts, key=lambda x: -len(x.text)):
        least = lengths.index(min(lengths))
        parts[least].append(item)
        lengths[least] += len(item.text)
    return parts


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
            seconds, made.least, made.by_blocks,
        )  # fmt: skip

    def _written(self, task: Task) -> _Known:
        machine, max_rows = self._machine, self._max_rows
        linear = merged(laid_out(task.linear, task.operands, self._layout))
        size, product = first_size(linear), task.contraction
        if product is not None and len(linear.sizes) < len(task.linear.sizes):
            product = contraction(Analysis(linear))
        shape = blocks(linear, product, machine)
        if shape is not None:
            size = size if shape.by_rows else shape.tiles
        elif product is None:
            linear, size = with_runtime_length(linear)
        if linear not in self.compiled:
            name, analysis = f"k{len(self.compiled)}", Analysis(linear)
            if shape is not None:
                made = direct(name, analysis, shape, machine)
            else:
                made = code(name, analysis, product, machine, max_rows, self._forward)
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
