"""The text form of a plan: phases, kernels, and what each stores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from chainrule.display.repeats import Block, blocks, pattern
from chainrule.ir.kernel import Acc, At, Axis, Const, Expr, Kernel, Read, Row, Write
from chainrule.plan.plan import Plan, Split, Task
from chainrule.types import N

_SIGNS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "^", "eq": "==", "ne": "!=", "lt": "<",
    "le": "<=", "gt": ">", "ge": ">=", "and": "and", "or": "or", "xor": "xor", "mod": "%",
    "floordiv": "//",
}  # fmt: skip
SPLITS: Mapping[Split, str] = {
    "rows": "by rows",
    "first": "by first axis",
    "none": "on one thread",
    "every": "at the start",
}
"""The division of a kernel among threads, in words."""

_OUTER, _INNER = "ijklmopq", "rstuvw"
_WIDTH = 400

_Names = Mapping[Axis, str]


def show(plan: Plan, *, full: bool = False) -> str:
    """The plan as text.

    A kernel is a line with its name and loops, `n` over the rows of the minibatch, how threads
    share it, and what was fused into it; then one line for its reduction and one for each buffer
    that it stores. State is read as it was before the step. A kernel that commits runs only if all
    new values are finite, and writes a state in place. A call of a user's op that has no lowering
    comes between phases.

    Kernels that come again and again, with the same code on other buffers, are written once, after
    a line with how often; `full` writes all.
    """
    lines: list[str] = []
    for k, phase in enumerate(plan.phases):
        lines += _calls(plan, k)
        lines.append(f"phase {k}")
        for block in task_blocks(phase.tasks, full=full):
            first, last = (phase.tasks[x].kernel.name for x in (block.start, block.last))
            inside = "  "
            if block.times > 1:
                lines.append(f"  {block.times} times, {first} to {last}:")
                inside = "    "
            for task in (phase.tasks[x] for x in block.shown):
                lines += [inside + line for line in _kernel(task.kernel, task.split)]
    return "\n".join(lines + _calls(plan, len(plan.phases)))


def _calls(plan: Plan, phase: int) -> list[str]:
    """The calls of a user's ops before a phase."""
    return [
        f"call {x.name}: a user's op, by its NumPy, of {', '.join(y.name for y in x.operands)}"
        for x in plan.calls if x.phase == phase
    ]  # fmt: skip


def task_blocks(tasks: Sequence[Task], *, full: bool = False) -> Iterator[Block]:
    """Tasks in blocks; those that are alike share their code, and the pattern of their names."""
    alike = ((id(x.analysis), x.split, pattern(x.kernel.name)) for x in tasks)
    return blocks(range(len(tasks)) if full else list(alike))


def show_kernels(kernels: Iterable[Kernel]) -> str:
    """Kernels as text, as `show` writes them, before they are scheduled."""
    return "\n".join(line for kernel in kernels for line in _kernel(kernel))


def _kernel(kernel: Kernel, split: Split | None = None) -> list[str]:
    names = _named(kernel)
    made = ", ".join(kernel.nodes)
    loops = _loops(kernel.axes, names) or "once"
    shared = f" {SPLITS[split]}" if split else ""
    commits = ", commits" if kernel.commit else ""
    lines = [f"{kernel.name}: {loops}{shared}{commits}  # {made}"]
    if kernel.reduction is not None:
        over = _loops(kernel.reduction.over, names)
        value = _cut(_text(kernel.reduction.value, names))
        lines.append(f"  acc = {kernel.reduction.combine} {over}: {value}")
    return lines + ["  " + _write(write, names) for write in kernel.writes]


def _named(kernel: Kernel) -> _Names:
    """n for rows, i j k ... for loops, r s t ... for what is reduced."""
    names: dict[Axis, str] = {}
    over = kernel.reduction.over if kernel.reduction is not None else ()
    for axes, letters in ((kernel.axes, iter(_OUTER)), (over, iter(_INNER))):
        for axis in axes:
            free = axis.size is N and "n" not in names.values()
            names[axis] = "n" if free else next(letters)
    return names


def _loops(axes: tuple[Axis, ...], names: _Names) -> str:
    return " ".join(f"{names[axis]}<{axis.size}" for axis in axes)


def _write(write: Write, names: _Names) -> str:
    buffer = write.buffer
    place = ", ".join(_text(p, names) for p in write.place)
    sign = "+=" if write.add else "="
    return f"{buffer.space} {buffer.name}[{place}] {sign} {_cut(_text(write.value, names))}"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _text(expr: Expr, names: _Names) -> str:
    match expr:
        case Const(value):
            return f"{value:.6g}" if isinstance(value, float) else str(value)
        case At(axis):
            return names[axis]
        case Row(at):
            return f"row {_text(at, names)}"
        case Acc():
            return "acc"
        case Read(buffer, place):
            inner = ", ".join(_text(p, names) for p in place)
            return f"{buffer.name}[{inner}]" if place else buffer.name
    parts = [_text(x, names) for x in expr.operands]
    if expr.function in _SIGNS:
        return f"({parts[0]} {_SIGNS[expr.function]} {parts[1]})"
    name = expr.dtype if expr.function == "cast" else expr.function
    return f"{name}({', '.join(parts)})"
