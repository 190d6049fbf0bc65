"""Phases: which kernels run between two barriers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chainrule.plan.kernel import At, Buffer, Call, Expr, Kernel, Read, Row
from chainrule.plan.plan import Phase
from chainrule.types import N


def phases(kernels: Iterable[Kernel]) -> tuple[Phase, ...]:
    """The kernels in phases, each as early as it can run.

    A kernel may run in the phase of one that it reads from, or adds to, only if both are split by
    rows and it touches the rows that its own thread wrote. Reads of the state are of the old one.
    """
    made: list[list[Kernel]] = []
    wrote: dict[Buffer, tuple[int, bool]] = {}
    for kernel in kernels:
        rows = by_rows(kernel)
        touched = [(x.buffer, x.place) for x in reads(kernel) if x.buffer.space != "state"]
        touched += [(write.buffer, write.place) for write in kernel.writes if write.add]
        phase = 0
        for buffer, place in touched:
            if buffer in wrote:
                when, other = wrote[buffer]
                own = rows and other and bool(place) and place[0] == At(kernel.axes[0])
                phase = max(phase, when if own else when + 1)
        while len(made) <= phase:
            made.append([])
        made[phase].append(kernel)
        wrote |= {write.buffer: (phase, rows) for write in kernel.writes}
    return tuple(Phase(tuple(part)) for part in made)


def by_rows(kernel: Kernel) -> bool:
    """Whether the threads share the rows of a kernel: each writes those that it computes."""
    if not kernel.axes or kernel.axes[0].size is not N:
        return False
    return all(write.place[:1] == (At(kernel.axes[0]),) for write in kernel.writes)


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
