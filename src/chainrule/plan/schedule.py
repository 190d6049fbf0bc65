"""Phases: which kernels run between two barriers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chainrule.ir.kernel import At, Buffer, Call, Expr, Kernel, Read, Row
from chainrule.plan.plan import Phase
from chainrule.types import N


def phases(kernels: Iterable[Kernel]) -> tuple[Phase, ...]:
    """The kernels in phases, each as early as it can run.

    A kernel may run in the phase of one that it reads from, or adds to, only if both are split by
    rows and it touches the rows that its own thread wrote, or if every thread has run all of that.
    Reads of the state are of the old one.
    """
    made: list[list[Kernel]] = []
    wrote: dict[Buffer, tuple[int, Kernel]] = {}
    for kernel in kernels:
        rows = by_rows(kernel)
        read = [(x.buffer, x.place, False) for x in reads(kernel) if x.buffer.space != "state"]
        added = [(write.buffer, write.place, True) for write in kernel.writes if write.add]
        phase = 0
        for buffer, place, adds in (*read, *added):
            if buffer in wrote:
                when, other = wrote[buffer]
                both = rows and by_rows(other) and bool(place)
                own = both and place[0] == At(kernel.axes[0])
                own |= everywhere(other) and not adds
                phase = max(phase, when if own else when + 1)
        while len(made) <= phase:
            made.append([])
        made[phase].append(kernel)
        wrote |= {write.buffer: (phase, kernel) for write in kernel.writes}
    return tuple(Phase(tuple(part)) for part in made)


def by_rows(kernel: Kernel) -> bool:
    """Whether the threads share the rows of a kernel: each writes those that it computes."""
    if not kernel.axes or kernel.axes[0].size is not N:
        return False
    return all(write.place[:1] == (At(kernel.axes[0]),) for write in kernel.writes)


def everywhere(kernel: Kernel) -> bool:
    """Whether every thread runs all of a kernel for itself: numbers that are quickly made."""
    adds = any(write.add for write in kernel.writes)
    return not kernel.axes and kernel.reduction is None and not adds


def reads(kernel: Kernel) -> Iterator[Read]:
    """Every read of a kernel, those in places included."""
    stack: list[Expr] = [write.value for write in kernel.writes]
    stack += [p for write in kernel.writes for p in write.place]
    if kernel.reduction is not None:
        stack.append(kernel.reduction.value)
    seen: set[int] = set()
    while stack:
        expr = stack.pop()
        if id(expr) in seen:
            continue
        seen.add(id(expr))
        if isinstance(expr, Read):
            yield expr
            stack.extend(expr.place)
        elif isinstance(expr, Call):
            stack.extend(expr.operands)
        elif isinstance(expr, Row):
            stack.append(expr.at)
