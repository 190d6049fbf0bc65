"""The text of a plan: a function for each kernel that differs, and what is launched of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from chainrule.backend.gpu.emit.dialect import head
from chainrule.backend.gpu.emit.launches import Function, Launches
from chainrule.backend.gpu.emit.levels import joined, levels
from chainrule.backend.gpu.emit.loops import Written, loops
from chainrule.backend.gpu.emit.products import product
from chainrule.backend.gpu.layout import argument
from chainrule.backend.gpu.program import Part, Program, Traits
from chainrule.ir.kernel import Buffer
from chainrule.plan.affine import ACC, Analysis
from chainrule.plan.linearize import LinearKernel, laid_out
from chainrule.plan.plan import Plan, Task

ITEMS = 256
"""The most work-items of a group."""

SMALL = 2**21
"""The most operations of a step that one group does, many steps in a launch."""

BRIEF = 2**18
"""The most operations that one group does in a launch, where others would wait for its end."""

PARTS = 64
"""The most parts of a step whose levels are put together: each is written once more."""


def build(plan: Plan, max_rows: int, traits: Traits) -> Program:
    """The kernels of a plan for minibatches of up to `max_rows` rows on a device.

    Kernels that differ in their buffers alone share code.
    """
    made = functions(plan, max_rows, traits)
    return replace(made, text=head(float64=traits.float64) + made.text)


def functions(plan: Plan, max_rows: int, traits: Traits, prefix: str = "") -> Program:
    """The program of a plan, its text without the head.

    prefix: of the names of functions, where plans share a text.
    """
    items = next(x for x in (ITEMS, 64, 32, 16, 8, 4, 2, 1) if x <= traits.items)
    kernels = _Kernels(max_rows, items, traits.local, prefix)
    ordered = levels([(x, kernels.parts(x)) for x in plan.tasks], plan.updates)
    signature = replace(plan.signature, buffers=(*plan.buffers, *kernels.scratch))
    total = sum(kernels.work(part) for level in ordered for part in level)
    few = traits.joins and sum(map(len, ordered)) <= PARTS
    write = Launches(kernels.functions, signature, max_rows, items, traits, prefix, total)
    if few and plan.loss is not None and total <= SMALL:
        return write.steps(ordered)
    if not traits.joins:
        return write.each([[[part]] for level in ordered for part in level])
    return write.each(joined(ordered, kernels.work, BRIEF if few else 0))


@dataclass(frozen=True)
class _Known:
    """The one or two functions that are written for a kernel."""

    functions: list[str]
    written: list[Written]


class _Kernels:
    """The functions of kernels, each written once.

    Attributes:
        functions: by name.
        scratch: the memory that parts of kernels share.
    """

    def __init__(self, rows: int, items: int, local: int, prefix: str) -> None:
        self._rows, self._items, self._local, self._prefix = rows, items, local, prefix
        self._known: dict[LinearKernel, _Known] = {}
        self._work: dict[str, int] = {}
        self.functions: dict[str, Function] = {}
        self.scratch: list[Buffer] = []

    def work(self, part: Part) -> int:
        """The operations of a part, about."""
        return self._work[part.function]

    def parts(self, task: Task) -> list[Part]:
        """The parts of a task."""
        linear = laid_out(task.linear, task.operands, lambda x: argument(x, self._rows))
        name = task.kernel.name
        if linear not in self._known:
            self._known[linear] = self._write(task, linear)
        known, operands = self._known[linear], task.operands
        if elements := known.written[0].scratch:
            dtype = linear.instrs[linear.value].dtype
            self.scratch.append(Buffer(f"parts of {name}", (elements,), dtype))
            operands = (*operands, (self.scratch[-1], False))
        return [
            Part(name, function, operands, written.counts, linear.commit)
            for function, written in zip(known.functions, known.written, strict=True)
        ]

    def _write(self, task: Task, linear: LinearKernel) -> _Known:
        analysis, made = Analysis(linear), list[Written]()
        if task.contraction is not None:
            made = product(analysis, task.contraction, self._rows, self._items, self._local)
        made = made or [loops(analysis, self._rows, self._items)]
        names = list[str]()
        for number, written in enumerate(made):
            name = f"{self._prefix}kernel_{len(self._known)}{'_sums' * number}"
            self.functions[name] = Function(name, task.kernel.name, linear, written)
            self._work[name] = written.scratch if number else _work(analysis, self._rows)
            names.append(name)
        return _Known(names, made)


def _work(analysis: Analysis, rows: int) -> int:
    """The operations of a kernel, about: of each instruction but reads, as often as it is done."""
    linear, total = analysis.linear, 0
    for number, instr in enumerate(linear.instrs):
        if instr.op not in ("read", "at", "const", "acc", "count"):
            axes = set(analysis.depends[number])
            if ACC in axes:
                axes = (axes | set(range(linear.free))) - {ACC}
            sizes = (linear.sizes[axis] for axis in axes)
            total += math.prod(x if isinstance(x, int) else rows for x in sizes)
    return total
