"""Kernels between barriers, as this backend splits them: by rows, by their first axis, or not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from chainrule.backend.cpu.affine import Analysis, Form
from chainrule.backend.cpu.flat import Flat, Place
from chainrule.backend.cpu.vectors import LIKELY_ROWS, separate
from chainrule.plan.kernel import Buffer
from chainrule.types import N

Split = Literal["rows", "first", "none"]

WORTHWHILE = 4096
"""Elementary operations below which a kernel is not worth splitting."""


@dataclass(frozen=True)
class Task:
    """A kernel in the plan: its code, its buffers, how threads share it."""

    name: str
    function: str
    flat: Flat
    places: tuple[Place, ...]
    split: Split
    granule: int = 1


def split_of(flat: Flat) -> Split:
    """How threads share a kernel: no two may write, or add up, the same element."""
    if flat.free == 0:
        return "none"
    analysis = Analysis(flat)
    if any(store.add and not separate(analysis, store, 0) for store in flat.stores):
        return "none"
    if flat.sizes[0] is N:
        return "rows"
    work = len(flat.items)
    for size in flat.sizes:
        work *= size if isinstance(size, int) else LIKELY_ROWS
    return "first" if work >= WORTHWHILE else "none"


def stages(tasks: Iterable[Task]) -> list[list[Task]]:
    """The tasks in stages, each as early as it can run; a barrier follows each stage."""
    made: list[list[Task]] = []
    seen: dict[Buffer, list[tuple[int, bool, bool]]] = {}
    for task in tasks:
        touched = _touched(task)
        stage = 0
        for buffer, (writes, own) in touched.items():
            for when, wrote, theirs in seen.get(buffer, ()):
                if writes or wrote:
                    stage = max(stage, when if own and theirs else when + 1)
        for buffer, (writes, own) in touched.items():
            seen.setdefault(buffer, []).append((stage, writes, own))
        while len(made) <= stage:
            made.append([])
        made[stage].append(task)
    return made


def _touched(task: Task) -> dict[Buffer, tuple[bool, bool]]:
    """The work buffers of a task: whether it writes them, and whether only rows of its own.

    State is no concern: a step reads one side and writes the other. But what is added to the new
    side comes after what wrote there.
    """
    analysis = Analysis(task.flat)
    own = [task.split == "rows"] * len(task.places)
    for item in task.flat.items:
        if item.op == "read":
            own[int(item.data or 0)] &= _first_is_row(analysis, item.args)
    for store in task.flat.stores:
        own[store.argument] &= _first_is_row(analysis, store.place)
    written = task.flat.written()
    return {
        buffer: (number in written, own[number])
        for number, (buffer, new) in enumerate(task.places)
        if buffer.space in ("work", "loss") or new
    }


def _first_is_row(analysis: Analysis, place: tuple[int, ...]) -> bool:
    return bool(place) and analysis.forms[place[0]] == Form(axes={0: 1})
