"""Kernels between barriers, as this backend splits them: by rows, by their first axis, or not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from chainrule.backend.cpu.abi import Split, Task
from chainrule.backend.cpu.emit.affine import Analysis, Form
from chainrule.backend.cpu.emit.vectors import LIKELY_ROWS, separate
from chainrule.ir.kernel import Buffer
from chainrule.types import Dim, N

WORTHWHILE = 4096
"""Elementary operations below which a kernel is not worth splitting."""


def split_of(analysis: Analysis, first: Dim) -> Split:
    """How threads share a kernel whose first loop has a size: no two may write one element.

    Numbers that are quickly made are made by every thread: all write the same.
    """
    flat = analysis.flat
    if flat.free == 0:
        once = flat.combine is not None or any(store.add for store in flat.stores)
        return "none" if once else "every"
    if any(store.add and not separate(analysis, store, 0) for store in flat.stores):
        return "none"
    if flat.sizes[0] is N:
        return "rows"
    work = len(flat.items)
    for size in (first, *flat.sizes[1:]):
        work *= size if isinstance(size, int) else LIKELY_ROWS
    return "first" if work >= WORTHWHILE else "none"


@dataclass(frozen=True)
class _Touch:
    """What a task does to a buffer: in which stage, whether it writes, whether rows of its own."""

    task: Task
    stage: int
    writes: bool
    own: bool


@dataclass
class _Stage:
    tasks: list[Task] = field(default_factory=list)
    alone: int = 0


def stages(tasks: Iterable[tuple[Task, Analysis]]) -> list[list[Task]]:
    """The tasks in stages, each as early as it can run; a barrier follows each stage.

    Each comes with what is known of its kernel.

    A task may follow another in its stage if each thread needs only what it did itself: both
    keep to the rows of the thread, or one thread does both, or every thread did all of the first.
    """
    made: list[_Stage] = []
    seen: dict[Buffer, list[_Touch]] = {}
    for task, analysis in tasks:
        touched = _touched(task, analysis)
        conflicts = [
            (before, own and before.own, writes)
            for buffer, (writes, own) in touched.items()
            for before in seen.get(buffer, ())
            if writes or before.writes
        ]
        stage, owners = 0, set[int]()
        for before, own, writes in conflicts:
            alone = before.task.split == task.split == "none"
            free = own or alone or (before.task.split == "every" and not writes)
            stage = max(stage, before.stage if free else before.stage + 1)
        for before, own, _ in conflicts:
            if before.stage == stage and before.task.split == "none" and not own:
                owners.add(before.task.owner)
        if len(owners) > 1:
            stage, owners = stage + 1, set()
        while len(made) <= stage:
            made.append(_Stage())
        here = made[stage]
        if task.split == "none":
            here.alone += not owners
            task = replace(task, owner=owners.pop() if owners else here.alone - 1)
        here.tasks.append(task)
        for buffer, (writes, own) in touched.items():
            seen.setdefault(buffer, []).append(_Touch(task, stage, writes, own))
    return [stage.tasks for stage in made]


def _touched(task: Task, analysis: Analysis) -> dict[Buffer, tuple[bool, bool]]:
    """The work buffers of a task: whether it writes them, and whether only rows of its own.

    State does not matter: a step reads one side and writes the other. But what is added to the new
    side comes after what wrote there.
    """
    flat = analysis.flat
    own = [task.split == "rows"] * len(task.places)
    for item in flat.items:
        if item.op == "read":
            own[int(item.data or 0)] &= _first_is_row(analysis, item.args)
    for store in flat.stores:
        own[store.argument] &= _first_is_row(analysis, store.place)
    written = flat.written()
    return {
        buffer: (number in written, own[number])
        for number, (buffer, new) in enumerate(task.places)
        if buffer.space in ("work", "loss") or new
    }


def _first_is_row(analysis: Analysis, place: tuple[int, ...]) -> bool:
    return bool(place) and analysis.forms[place[0]] == Form(axes={0: 1})
