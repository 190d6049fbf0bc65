"""The orders in which threads do the work of steps, with addresses, made when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule.backend.cpu.abi import Launch
from chainrule.backend.cpu.run.units import Arrange, Call, Work, forced, goes_apart, work

Words = npt.NDArray[np.int64]
Part: TypeAlias = tuple[int, int]
"""A part of a step: the number of its first phase, and of the one after its last."""

MOST = 64
"""Numbers of rows whose orders are kept."""


class Orders:
    """The orders of work of a plan.

    Args:
        phases: of each the launches of the table's entries.
        max_rows: of a minibatch.
        table: the entries.

    Attributes:
        apart: whether one thread does not do the steps task by task, with all rows of each.
        shared: whether threads help each other.
        arrange: gives the smallest units of a phase an order to try, one by one.
    """

    def __init__(self, phases: Sequence[Sequence[Launch]], max_rows: int, table: Words) -> None:
        self._table, self._max_rows = table, max_rows
        numbers = iter(range(len(table)))
        self._phases = [[(next(numbers), launch) for launch in phase] for phase in phases]
        self._made: dict[tuple[int, int, Part], list[Words]] = {}
        self.apart = any(goes_apart(tasks, max_rows) for tasks in self._phases)
        self.shared = True
        self.arrange: Arrange | None = None

    def entries(self, part: Part) -> tuple[int, int]:
        """The first entry of the table for a part of a step, and their number."""
        tasks = [number for phase in self._phases[slice(*part)] for number, _ in phase]
        return (tasks[0], len(tasks)) if tasks else (0, 0)

    def of(self, sizes: Words, threads: int, part: Part) -> Words:
        """Words with each number of rows among those of the steps, and the address of its order.

        They must outlive the run.
        """
        even = (sizes[:-1] == sizes[0]).all()
        known = {int(sizes[0]), int(sizes[-1])} if even else set(map(int, sizes))
        if len(self._made) + len(known) > MOST:
            self._made = {}
        orders = [(rows, self._order(rows, threads, part)) for rows in sorted(known)]
        return np.array([(rows, made[0].ctypes.data) for rows, made in orders], np.int64)

    def _order(self, rows: int, threads: int, part: Part) -> list[Words]:
        key = rows, threads, part
        if key not in self._made:
            phases = self._phases[slice(*part)]
            if self.arrange is not None:
                works = [forced(tasks, rows, self.arrange) for tasks in phases]
            else:
                works = [
                    work(tasks, rows, self._max_rows, threads, shared=self.shared)
                    for tasks in phases
                ]
            self._made[key] = order(works, self._table)
        return self._made[key]

    def force(self, arrange: Arrange | None) -> None:
        """See Runner.force_order."""
        self.arrange, self._made = arrange, {}


def order(phases: Sequence[Work], table: Words) -> list[Words]:
    """The words of an order of work; the first array begins with its phases, all must live on."""
    calls: list[Call] = []
    units: list[tuple[int, int]] = []
    headers: list[list[int]] = []
    for phase in phases:
        first = len(calls)
        calls.extend(phase.every)
        headers.append([phase.units, int(phase.shared), first, len(calls)])
        for queue in phase.queues:
            headers[-1] += [len(units), len(queue)]
            for unit in queue:
                units.append((len(calls), len(calls) + len(unit.calls)))
                calls.extend(unit.calls)
    made = [np.array(x, np.int64) for x in (headers, units, calls)]
    words, unit_words, call_words = made
    size, base = call_words.itemsize, call_words.ctypes.data
    row = 3 * size
    if len(calls):
        call_words[:, 0] = table.ctypes.data + call_words[:, 0] * table.strides[0]
    unit_words *= row
    unit_words += base
    words[:, 2:4] = base + row * words[:, 2:4]
    words[:, 4::2] = unit_words.ctypes.data + 2 * size * words[:, 4::2]
    return made
