"""The schedule: how threads share each kernel, and which kernels run between two barriers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from chainrule.ir.kernel import Buffer, Kernel
from chainrule.plan.affine import AffineExpr, Analysis
from chainrule.plan.contraction import Contraction, contraction
from chainrule.plan.linearize import LinearKernel, linearize
from chainrule.plan.plan import Phase, Split, Task
from chainrule.types import N

WORTHWHILE = 4096
"""Elementary operations below which a kernel without rows is not worth splitting."""

LIKELY_ROWS = 64
"""The size that N is taken for where something is chosen by size."""


def schedule(kernels: Iterable[Kernel]) -> tuple[Phase, ...]:
    """The kernels in phases, each as early as it can run; they come in an order that is right.

    A task may follow another in its phase if each thread needs only what it did itself: both
    keep to the rows of the thread, or one thread does both, or every thread did all of the first.
    What commits comes after all others, in a phase of its own.
    """
    made: list[_Phase] = []
    known: dict[LinearKernel, tuple[Analysis, Contraction | None, Split]] = {}
    last: list[Task] = []
    wrote: defaultdict[Buffer, list[_Touch]] = defaultdict(list)
    read: defaultdict[Buffer, list[_Touch]] = defaultdict(list)
    for kernel in kernels:
        linear, operands = linearize(kernel)
        if linear not in known:
            analysis = Analysis(linear)
            known[linear] = analysis, contraction(analysis), split_of(analysis)
        task = Task(kernel, operands, *known[linear])
        if kernel.commit:
            last.append(task)
            continue
        touched = touches(task)
        conflicts = [
            (before, own and before.own, writes)
            for buffer, (writes, own) in touched.items()
            for before in (wrote[buffer] + read[buffer] if writes else wrote[buffer])
        ]
        number, owners = _earliest(task, conflicts)
        while len(made) <= number:
            made.append(_Phase())
        task = made[number].add(task, owners)
        for buffer, (writes, own) in touched.items():
            (wrote if writes else read)[buffer].append(_Touch(task, number, own))
    phases = (*(phase.tasks for phase in made), *([last] if last else []))
    return tuple(Phase(tuple(tasks)) for tasks in phases)


def split_of(analysis: Analysis) -> Split:
    """How threads share a kernel. Rows and quick scalars always, other loops if they are long."""
    split = allowed_splits(analysis)[0]
    if split != "first":
        return split
    work = len(analysis.linear.instrs)
    for size in analysis.linear.sizes:
        work *= size if isinstance(size, int) else LIKELY_ROWS
    return "first" if work >= WORTHWHILE else "none"


def allowed_splits(analysis: Analysis) -> tuple[Split, ...]:
    """How threads may share a kernel, the widest first: no two may write one element.

    Scalars that are quickly computed may be computed by every thread: all write the same.
    """
    linear = analysis.linear
    if linear.free == 0:
        once = linear.combine is not None or any(store.add for store in linear.stores)
        return ("none",) if once else ("every", "none")
    if any(x.repeats or (x.add and not analysis.separates(x, 0)) for x in linear.stores):
        return ("none",)
    return ("rows" if linear.sizes[0] is N else "first", "none")


def touches(task: Task) -> dict[Buffer, tuple[bool, bool]]:
    """The work buffers of a task: whether it writes them, and whether only rows of its own.

    State does not matter: a step reads one side and writes the other. But what is added to the new
    side comes after what wrote there.
    """
    analysis, linear = task.analysis, task.linear
    own = [task.split == "rows"] * len(task.operands)
    if task.split == "rows":
        for instr in linear.instrs:
            if instr.op == "read":
                own[int(instr.data or 0)] &= _first_is_row(analysis, instr.args)
        for store in linear.stores:
            own[store.argument] &= _first_is_row(analysis, store.place)
    written = linear.written()
    return {
        buffer: (number in written, own[number])
        for number, (buffer, new) in enumerate(task.operands)
        if buffer.space in ("work", "staged", "loss") or new
    }


def _first_is_row(analysis: Analysis, place: tuple[int, ...]) -> bool:
    return bool(place) and analysis.exprs[place[0]] == AffineExpr(axes={0: 1})


@dataclass(frozen=True)
class _Touch:
    """A task that reads or writes a buffer: in which phase, whether only rows of its own."""

    task: Task
    phase: int
    own: bool


@dataclass
class _Phase:
    """A phase that grows: its tasks, and how many threads own one of them."""

    tasks: list[Task] = field(default_factory=list)
    owners: int = 0

    def add(self, task: Task, owners: set[int]) -> Task:
        """Add a task, done by the owner of what it follows, or by the next thread in turn."""
        if task.split == "none":
            self.owners += not owners
            task = replace(task, owner=next(iter(owners), self.owners - 1))
        self.tasks.append(task)
        return task


def _earliest(task: Task, conflicts: list[tuple[_Touch, bool, bool]]) -> tuple[int, set[int]]:
    """The first phase that a task can run in, and the threads whose work it follows there.

    Args:
        task: what is to run.
        conflicts: who touched its buffers before; whether both keep to their rows; whether the
            task writes there.
    """
    phase, owners = 0, set[int]()
    for before, own, writes in conflicts:
        alone = before.task.split == task.split == "none"
        free = own or alone or (before.task.split == "every" and not writes)
        phase = max(phase, before.phase if free else before.phase + 1)
    for before, own, _ in conflicts:
        if before.phase == phase and before.task.split == "none" and not own:
            owners.add(before.task.owner)
    return (phase, owners) if len(owners) < 2 else (phase + 1, set())
