"""The order of a step's kernels: levels that follow each other, and what is launched as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import TypeVar

from chainrule.ir.kernel import Buffer
from chainrule.plan.linearize import ROWS
from chainrule.plan.plan import Task

Made = TypeVar("Made")

_Key = tuple[Buffer, bool]


class _Uses:
    """The last levels at which places of buffers were read and written."""

    def __init__(self, updates: Collection[Buffer]) -> None:
        self._updates = frozenset(updates)
        self._last: dict[_Key, dict[int | None, list[int]]] = defaultdict(dict)

    def first(self, task: Task) -> int:
        """The first level at which a task may run: all that it waits for is done."""
        level, written = 0, task.linear.written()
        for number, (buffer, new) in enumerate(task.operands):
            known = self._last[self._key(buffer, new)]
            index = _index(buffer)
            for other, (read, wrote) in known.items():
                if index is None or other is None or index == other:
                    level = max(level, wrote + 1, read + 1 if number in written else 0)
        return level

    def note(self, task: Task, level: int) -> None:
        """Note the accesses of a task."""
        written = task.linear.written()
        for number, (buffer, new) in enumerate(task.operands):
            if buffer is not ROWS and buffer.space not in ("data", "step"):
                known = self._last[self._key(buffer, new)].setdefault(_index(buffer), [-1, -1])
                known[number in written] = max(known[number in written], level)

    def _key(self, buffer: Buffer, new: bool) -> _Key:
        return buffer.whole, new and buffer.whole in self._updates


def _index(buffer: Buffer) -> int | None:
    """The index of a part, which shares no element with others; None for a whole buffer."""
    return None if buffer.part is None else buffer.part.index


def levels(
    made: Sequence[tuple[Task, Sequence[Made]]], updates: Collection[Buffer]
) -> list[list[Made]]:
    """Parts of tasks in levels: those of one do not wait for each other.

    Args:
        made: each task with its parts, of which each follows the one before.
        updates: the states with two sides.
    """
    uses, found = _Uses(updates), defaultdict[int, list[Made]](list)
    end = 0
    for task, parts in made:
        level = end if task.linear.commit else uses.first(task)
        for part in parts:
            found[level].append(part)
            level += 1
        uses.note(task, level - 1)
        end = max(end, level) if not task.linear.commit else end
    return [found[level] for level in sorted(found)]


def joined(
    levels: Sequence[Sequence[Made]], work: Callable[[Made], int], most: int
) -> list[list[Sequence[Made]]]:
    """Runs of levels that one group does in a launch: together they are at most so much work."""
    sums = [sum(map(work, level)) for level in levels]
    cuts, total = [0], 0
    for number, each in enumerate(sums):
        if number > cuts[-1] and total + each > most:
            cuts.append(number)
            total = 0
        total += each
    return [list(levels[a:b]) for a, b in pairwise([*cuts, len(levels)]) if a < b]
