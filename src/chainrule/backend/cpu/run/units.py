"""The work of a phase in units that threads take: a queue of them for each thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from chainrule.backend.cpu.abi import Launch
from chainrule.types import N

ROW_GRANULE = 4
"""Threads begin with rows at multiples of this."""

LEAST_SECONDS = 3e-6
"""Seconds of a unit, at least: to take one costs a fiftieth of that."""

TAIL = 0.03
"""The share of a queue that its last unit has, about: so long a thread may wait for another."""

SHARE = 1 / 3
"""The share of what is left of a queue that the next unit has: later ones are shorter."""

NEAR_BYTES = 1 << 20
"""Bytes of the rows that go through all kernels at a time: they fit a cache near the processor."""

SHARED_BYTES = 1 << 25
"""Bytes of all rows up to which they go through one kernel after the other: they stay in the last
cache, which streams longer ranges faster."""

MEMORY_SPEED = 2e10
"""Bytes in a second, about, that come from memory."""

REPEATED = 1 / 8
"""The share of a task's least rows that is the work which each of its calls repeats."""

CALL_SECONDS = 2e-7
"""Seconds of a call beside that, about."""

SMALL_SHARE = 0.1
"""The share of the work of a chain that may be done in calls that are not worth it."""

Call = tuple[int, int, int]
"""The number of a task, and the range of its first axis; all of it from 0 to -1."""


@dataclass
class Unit:
    """Calls that one thread makes in turn.

    Attributes:
        calls: in order.
        seconds: that they take, by prediction.
    """

    calls: list[Call] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Work:
    """The work of a phase.

    Attributes:
        every: calls that come before all units.
        queues: the units with which each thread begins.
        shared: whether threads that have finished theirs take those of others.
    """

    every: tuple[Call, ...]
    queues: tuple[tuple[Unit, ...], ...]
    shared: bool

    @property
    def units(self) -> int:
        """The number of units of all queues."""
        return sum(map(len, self.queues))


Tasks = Sequence[tuple[int, Launch]]
"""The numbers of tasks, and what they launch."""

Piece = tuple[Tasks, int, int, float, int]
"""Tasks that a thread runs one after the other, the range of each, the seconds of all, and how
much of the range goes through all of them at a time.
"""


def work(tasks: Tasks, rows: int, most: int, threads: int, *, shared: bool = True) -> Work:
    """The work of a phase for a number of rows.

    Tasks that are split by rows are one chain: a unit runs all of them for some rows. The tasks of
    one owner are one chain too; others stand alone.

    Args:
        tasks: of the phase, in order.
        rows: of the step.
        most: the rows of a minibatch for which seconds are predicted.
        threads: the number of queues.
        shared: whether threads take units of others; else each has one unit.
    """
    every = tuple((number, 0, -1) for number, x in tasks if x.split == "every")
    queues = [list(_pieces(tasks, rows, most, v, threads)) for v in range(threads)]
    return Work(every, tuple(tuple(_units(x, shared)) for x in queues), shared)


def _pieces(tasks: Tasks, rows: int, most: int, queue: int, threads: int) -> Iterator[Piece]:
    """A thread's part of every chain."""
    scale = rows / most
    for owner in sorted({x.owner for _, x in tasks if x.split == "none"}):
        if owner % threads == queue:
            chain = [(k, x) for k, x in tasks if x.split == "none" and x.owner == owner]
            yield chain, 0, -1, sum(x.seconds for _, x in chain) * scale, 1
    chains = [[(k, x) for k, x in tasks if x.split == "rows"]]
    chains += [[(k, x)] for k, x in tasks if x.split == "first"]
    for chain in chains:
        if not chain:
            continue
        first = chain[0][1]
        size = first.size if isinstance(first.size, int) else rows
        granule = ROW_GRANULE if first.split == "rows" else first.granule
        granules = -(-size // granule)
        at_a_time = near(chain, rows, most) if first.split == "rows" else size
        low, high = (min(granules * k // threads * granule, size) for k in (queue, queue + 1))
        if low < high:
            whole = sum(x.seconds for _, x in chain) * scale
            yield chain, low, high, whole * (high - low) / size, at_a_time


def _units(pieces: Sequence[Piece], shared: bool) -> Iterator[Unit]:
    """The units of a queue: ever shorter ones, so that threads finish at the same time."""
    left = sum(piece[3] for piece in pieces)
    least = max(TAIL * left, LEAST_SECONDS)
    unit = Unit()
    for chain, low, high, seconds, at_a_time in pieces:
        while low < high or high < 0:
            wanted = max(least, SHARE * left) - unit.seconds if shared else seconds
            end, used = _cut(chain, low, high, seconds, wanted)
            for first in range(low, end, at_a_time) if end > low else (low,):
                last = min(first + at_a_time, end)
                unit.calls += ((number, first, last) for number, _ in chain)
            unit.seconds += used
            low, seconds = end, seconds - used
            if shared and unit.seconds >= max(least, SHARE * left):
                yield unit
                left -= unit.seconds
                unit = Unit()
            if high < 0:
                break
    if unit.calls:
        yield unit


def _cut(chain: Tasks, low: int, high: int, seconds: float, wanted: float) -> tuple[int, float]:
    """The end of the part of a piece that takes as long as wanted, and its seconds."""
    if high < 0:
        return high, seconds
    longest = max((x for _, x in chain), key=lambda x: x.seconds)
    least, step = _least(chain), longest.granule
    count = max(int(wanted / max(seconds, 1e-12) * (high - low)), least)
    count = -(-count // step) * step
    if high - low - count < least:
        return high, seconds
    return low + count, seconds * count / (high - low)


def _least(chain: Tasks) -> int:
    """The shortest range that is worth the calls of a chain, but for a small share of its work."""
    left = SMALL_SHARE * sum(x.seconds for _, x in chain)
    for _, x in sorted(chain, key=lambda task: -task[1].least):
        left -= x.seconds
        if left <= 0:
            return x.least
    return 1


def goes_apart(tasks: Tasks, most: int) -> bool:
    """Whether not all rows of the largest minibatch go through the tasks of a phase at a time."""
    return near([(k, x) for k, x in tasks if x.split == "rows"], most, most) < most


def near(chain: Tasks, rows: int, most: int) -> int:
    """The rows that go through all tasks of a chain at a time: all, or those that stay in a cache.

    Args:
        chain: of tasks that are split by rows.
        rows: of the step.
        most: the rows for which seconds are predicted.
    """
    buffers = {buffer.whole for _, x in chain for buffer, _ in x.operands}
    each = sum(x.bytes for x in buffers if x.shape[:1] == (N,))
    if len(chain) < 2 or rows * each <= SHARED_BYTES:
        return rows
    few = min(max(NEAR_BYTES // each, 1), rows)
    again = (CALL_SECONDS + x.seconds / most * (x.least - 1) * REPEATED for _, x in chain)
    return few if sum(again) * (1 / few - 1 / rows) < each / MEMORY_SPEED else rows


Arrange = Callable[[list[Unit]], Sequence[Unit]]


def forced(tasks: Tasks, rows: int, arrange: Arrange) -> Work:
    """The work of a phase in the smallest units, in an order to try: one queue.

    Args:
        tasks, rows: as for `work`.
        arrange: gives units their order.
    """
    every = tuple((number, 0, -1) for number, x in tasks if x.split == "every")
    units = list[Unit]()
    for chain, low, high, *_ in _pieces(tasks, rows, rows, 0, 1):
        step = high - low if high < 0 else 1 if chain[0][1].split == "rows" else chain[0][1].granule
        starts = [low] if high < 0 else range(low, high, step)
        for start in starts:
            end = high if high < 0 else min(start + step, high)
            units.append(Unit([(number, start, end) for number, _ in chain]))
    return Work(every, (tuple(arrange(units)),), True)
