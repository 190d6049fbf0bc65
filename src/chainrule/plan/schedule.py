"""The schedule: the division of each kernel among threads, and the kernels between barriers."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from chainrule.ir.kernel import Buffer, Kernel
from chainrule.plan.affine import Analysis
from chainrule.plan.contraction import Contraction, contraction
from chainrule.plan.linearize import LinearKernel, linearize
from chainrule.plan.plan import Phase, Split, Task
from chainrule.types import N

MIN_SPLIT_WORK = 4096
"""Elementary operations below which a kernel without rows is not worth splitting."""

ASSUMED_ROWS = 64
"""The size assumed for N in choices that depend on size."""


BUCKET = 1 << 20
"""Bytes of sums over rows from which they are exchanged while the phases after them run."""


def schedule(kernels: Iterable[Kernel]) -> tuple[Phase, ...]:
    """The kernels in phases, each as early as possible; `kernels` are in a valid order.

    A task may follow another in its phase if it needs only results of its own unit of work: both
    are split by rows, or have one owner; or if the other comes at the start. Commits come
    after all others, in a phase of their own.
    """
    phases_open: list[_Phase] = []
    analysed: dict[LinearKernel, tuple[Analysis, Contraction | None, Split]] = {}
    commits: list[Task] = []
    wrote: defaultdict[Buffer, list[_Touch]] = defaultdict(list)
    read: defaultdict[Buffer, list[_Touch]] = defaultdict(list)
    linears = [(kernel, *linearize(kernel)) for kernel in kernels]
    parts = parts_of(buffer for _, _, operands in linears for buffer, _ in operands)
    for kernel, linear, operands in linears:
        if linear not in analysed:
            analysis = Analysis(linear)
            analysed[linear] = analysis, contraction(analysis), split_of(analysis)
        task = Task(kernel, operands, *analysed[linear])
        if kernel.commit:
            commits.append(task)
            continue
        touched = touches(task)
        conflicts = [
            (before, own and before.own, writes)
            for buffer, (writes, own) in touched.items()
            for x in overlapping(buffer, parts)
            for before in earlier(buffer, writes, wrote[x], read[x])
        ]
        number, owners = _earliest(task, conflicts)
        while len(phases_open) <= number:
            phases_open.append(_Phase())
        task = phases_open[number].add(task, owners)
        for buffer, (writes, own) in touched.items():
            (wrote if writes else read)[buffer].append(_Touch(task, number, own))
    phases = (*(phase.tasks for phase in phases_open), *([commits] if commits else []))
    return tuple(Phase(tuple(tasks)) for tasks in phases)


def between_exchanges(kernels: Sequence[Kernel]) -> list[list[Kernel]]:
    """The kernels by the number of exchanges of sums that come before them; in a valid order."""
    if not any(write.buffer.space == "gradient" for x in kernels for write in x.writes):
        return [list(kernels)]
    made: dict[Buffer, int] = {}  # the number of exchanges before it is written
    stretches: list[list[Kernel]] = [[]]
    operands = [linearize(x)[1] for x in kernels]
    parts = parts_of(buffer for each in operands for buffer, _ in each)
    for kernel, touched in zip(kernels, operands, strict=True):
        written = {write.buffer for write in kernel.writes}
        known = [
            made[y] + (y.space == "gradient" and x not in written)
            for x, new in touched if x.space != "state" or new
            for y in overlapping(x, parts) if y in made
        ]  # fmt: skip
        number = len(stretches) - 1 if kernel.commit else max(known, default=0)
        stretches.extend([] for _ in range(len(stretches), number + 1))
        stretches[number].append(kernel)
        made |= dict.fromkeys(written, number)
    return stretches


def before_exchange(kernels: Sequence[Kernel]) -> tuple[tuple[Phase, ...], tuple[Phase, ...]]:
    """The phases of kernels between two exchanges: those of all others, and those of sums of rows.

    A sum of rows is read by such sums alone, so that the others need none.
    """
    operands = [{buffer.whole for buffer, _ in linearize(x)[1]} for x in kernels]
    writes = [{write.buffer.whole for write in x.writes} for x in kernels]
    summing = [k for k, x in enumerate(kernels) if _sums_rows(x)]
    sums = {x for k in summing for x in writes[k]}
    for touched, written in zip(operands, writes, strict=True):
        if touched & sums:
            sums |= written
    chosen = [not x.isdisjoint(sums) for x in writes]
    others = schedule([x for x, summed in zip(kernels, chosen, strict=True) if not summed])
    made = schedule([x for x, summed in zip(kernels, chosen, strict=True) if summed])
    products, rest = _large_products(made)
    return others, (*products, *in_buckets(rest))


def _large_products(phases: Iterable[Phase]) -> tuple[list[Phase], list[Phase]]:
    """Phases of a product over rows each, whose sums alone fill a bucket, and what is left."""
    made = list(phases)
    uses = Counter(x for phase in made for task in phase.tasks for x in _wholes(task))
    products = [
        x for phase in made for x in phase.tasks
        if _large_product(x) and all(uses[y] == 1 for y in x.writes)
    ]  # fmt: skip
    rest = (tuple(x for x in phase.tasks if x not in products) for phase in made)
    return [Phase((x,)) for x in products], [Phase(x) for x in rest if x]


def _large_product(task: Task) -> bool:
    """Whether a task writes a large sum over rows of products, and no function of it."""
    linear, product = task.linear, task.contraction
    over = [linear.sizes[x] for x in linear.over]
    plain = all(linear.instrs[x.value].op == "acc" for x in linear.stores)
    sums = all(x.space == "gradient" and x.part is None for x in task.writes)
    large = product is not None and _sum_bytes([task]) >= BUCKET
    return large and over == [N] and plain and sums and task.split == "first"


def _wholes(task: Task) -> set[Buffer]:
    return {buffer.whole for buffer, _ in task.operands}


def _sum_bytes(tasks: Iterable[Task]) -> int:
    """The bytes of the sums that some tasks write and programs exchange."""
    return sum(x.bytes for task in tasks for x in task.writes if x.space == "gradient")


def _sums_rows(kernel: Kernel) -> bool:
    """Whether rows meet in what a kernel writes."""
    over = () if kernel.reduction is None else kernel.reduction.over
    rows = any(axis.size is N for axis in (*kernel.axes, *over))
    return rows and any(N not in write.buffer.shape for write in kernel.writes)


def in_buckets(phases: Iterable[Phase]) -> Iterator[Phase]:
    """The phases before an exchange, each cut behind so many of its sums that they fill a bucket.

    Tasks keep their order, and so what one follows is done before it.
    """
    size = 0
    for phase in phases:
        tasks: list[Task] = []
        for task in phase.tasks:
            if tasks and size >= BUCKET:
                yield Phase(tuple(tasks))
                tasks, size = [], 0
            tasks.append(task)
            size += _sum_bytes([task])
        yield Phase(tuple(tasks))
        size = 0 if size >= BUCKET else size


def between_calls(
    kernels: Sequence[Kernel], calls: Sequence[tuple[Sequence[Buffer], Buffer]]
) -> tuple[list[tuple[Phase, ...]], list[int]]:
    """The phases of each stretch of a step between calls of a user's ops.

    Args:
        kernels: in a valid order.
        calls: the operands and the result of each, in a valid order.

    Returns:
        The phases by stretch, and for each call the number of the stretch that it follows.
    """
    if not calls:
        return [schedule(kernels)], []
    made: dict[Buffer, int] = {}  # the first stretch that can read it
    levels: list[int] = []
    stretches: list[list[Kernel]] = [[]]
    waiting = list(calls)

    def call_what_can_be() -> None:
        while waiting and all(x in made for x in waiting[0][0]):
            taken, result = waiting.pop(0)
            levels.append(max((made[x] for x in taken), default=0))
            made[result] = levels[-1] + 1

    operands = [{buffer for buffer, _ in linearize(x)[1]} for x in kernels]
    parts = parts_of(itertools.chain(*operands))
    for kernel, touched in zip(kernels, operands, strict=True):
        call_what_can_be()
        written = {write.buffer for write in kernel.writes}
        known = (made.get(y, 0) for x in touched | written for y in overlapping(x, parts))
        stretch = max(known, default=0)
        if kernel.commit:
            stretch = max(levels, default=-1) + 1
        stretches.extend([] for _ in range(len(stretches), stretch + 1))
        stretches[stretch].append(kernel)
        made |= {x: stretch for x in written if x.space != "state"}
    call_what_can_be()
    return [schedule(x) for x in stretches], levels


def split_of(analysis: Analysis) -> Split:
    """The division of a kernel among threads: by rows if it has rows, else if it is long enough."""
    split = allowed_splits(analysis)[0]
    if split != "first":
        return split
    work = len(analysis.linear.instrs)
    for size in analysis.linear.sizes:
        work *= size if isinstance(size, int) else ASSUMED_ROWS
    return "first" if work >= MIN_SPLIT_WORK else "none"


def allowed_splits(analysis: Analysis) -> tuple[Split, ...]:
    """The valid divisions of a kernel, the widest first: no two threads may write one element.

    Cheap scalars may be computed at the start of a phase, while all other threads wait.
    """
    linear = analysis.linear
    if linear.free == 0:
        once = linear.combine is not None or any(store.add for store in linear.stores)
        return ("none",) if once else ("every", "none")
    if any(x.repeats or (x.add and not analysis.separates(x, 0)) for x in linear.stores):
        return ("none",)
    return ("rows" if linear.sizes[0] is N else "first", "none")


def touches(task: Task) -> dict[Buffer, tuple[bool, bool]]:
    """The buffers of a task that others write: whether it writes them, and only rows of its own."""
    alone = (False,) * len(task.operands)
    own = task.analysis.by_row if task.split == "rows" else alone
    written, found = task.linear.written(), dict[Buffer, tuple[bool, bool]]()
    for number, (buffer, new) in enumerate(task.operands):
        if buffer.space in ("work", "staged", "gradient", "called", "loss", "state"):
            writes, before = found.get(buffer, (False, True))
            found[buffer] = writes or number in written or new, before and own[number]
    return found


T = TypeVar("T")


def earlier(buffer: Buffer, writes: bool, wrote: list[T], read: list[T]) -> list[T]:
    """The earlier accesses to a buffer that one must wait for.

    A state is written after all that read its old values, as they may lie in the same memory. What
    comes later in the order and reads old values finds them on the other side.
    """
    if writes:
        return wrote + read
    return [] if buffer.space == "state" else wrote


Parts = Mapping[Buffer, Sequence[Buffer]]
"""The parts of each buffer that has some."""


def parts_of(buffers: Iterable[Buffer]) -> Parts:
    """The parts among some buffers, by the buffer that they are parts of."""
    found: defaultdict[Buffer, list[Buffer]] = defaultdict(list)
    for buffer in dict.fromkeys(buffers):
        if buffer.part is not None:
            found[buffer.whole].append(buffer)
    return found


def overlapping(buffer: Buffer, parts: Parts) -> Iterator[Buffer]:
    """The buffers that have elements of a buffer: itself, its whole, its parts."""
    yield buffer
    if buffer.part is not None:
        yield buffer.whole
    yield from parts.get(buffer, ())


@dataclass(frozen=True)
class _Touch:
    """A task that reads or writes a buffer: its phase, and whether it touches only its own rows."""

    task: Task
    phase: int
    own: bool


@dataclass
class _Phase:
    """A phase under construction: its tasks, and the number of threads that own one of them."""

    tasks: list[Task] = field(default_factory=list)
    owners: int = 0

    def add(self, task: Task, owners: set[int]) -> Task:
        """Add a task, run by the owner of those that it follows, or by the next thread in turn."""
        if task.split == "none":
            self.owners += not owners
            task = replace(task, owner=next(iter(owners), self.owners - 1))
        self.tasks.append(task)
        return task


def _earliest(task: Task, conflicts: list[tuple[_Touch, bool, bool]]) -> tuple[int, set[int]]:
    """The first phase that a task can run in, and the threads whose work it follows there.

    Args:
        task: the one to place.
        conflicts: (earlier access to its buffers, whether both keep to their rows, whether the
            task writes there).
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
