"""The work of a phase in units that threads take: a queue of them for each thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from chainrule.backend.cpu.abi import Launch

ROW_GRANULE = 4
"""Threads begin with rows at multiples of this."""

LEAST_SECONDS = 3e-6
"""Seconds of a unit, at least: to take one costs a fiftieth of that."""

TAIL = 0.03
"""The share of a queue that its last unit has, about: so long a thread may wait for another."""

SHARE = 1 / 3
"""The share of what is left of a queue that the next unit has: later ones are shorter."""

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

Piece = tuple[Tasks, int, int, float]
"""Tasks that a thread runs one after the other, the range of each, and the seconds of all."""


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
    scale = rows / most
    queues = [list(_pieces(tasks, rows, scale, v, threads)) for v in range(threads)]
    return Work(every, tuple(tuple(_units(x, shared)) for x in queues), shared)


def _pieces(tasks: Tasks, rows: int, scale: float, queue: int, threads: int) -> Iterator[Piece]:
    """A thread's part of every chain."""
    for owner in sorted({x.owner for _, x in tasks if x.split == "none"}):
        if owner % threads == queue:
            chain = [(k, x) for k, x in tasks if x.split == "none" and x.owner == owner]
            yield chain, 0, -1, sum(x.seconds for _, x in chain) * scale
    chains = [[(k, x) for k, x in tasks if x.split == "rows"]]
    chains += [[(k, x)] for k, x in tasks if x.split == "first"]
    for chain in chains:
        if not chain:
            continue
        first = chain[0][1]
        size = first.size if isinstance(first.size, int) else rows
        granule = ROW_GRANULE if first.split == "rows" else first.granule
        granules = -(-size // granule)
        low, high = (min(granules * k // threads * granule, size) for k in (queue, queue + 1))
        if low < high:
            whole = sum(x.seconds for _, x in chain) * scale
            yield chain, low, high, whole * (high - low) / size


def _units(pieces: Sequence[Piece], shared: bool) -> Iterator[Unit]:
    """The units of a queue: ever shorter ones, so that threads finish at the same time."""
    left = sum(piece[3] for piece in pieces)
    least = max(TAIL * left, LEAST_SECONDS)
    unit = Unit()
    for chain, low, high, seconds in pieces:
        while low < high or high < 0:
            wanted = max(least, SHARE * left) - unit.seconds if shared else seconds
            end, used = _cut(chain, low, high, seconds, wanted)
            unit.calls += ((number, low, end) for number, _ in chain)
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
    least, step = max(x.least for _, x in chain), longest.granule
    count = max(int(wanted / max(seconds, 1e-12) * (high - low)), least)
    count = -(-count // step) * step
    if high - low - count < least:
        return high, seconds
    return low + count, seconds * count / (high - low)


Arrange = Callable[[list[Unit]], Sequence[Unit]]


def forced(tasks: Tasks, rows: int, arrange: Arrange) -> Work:
    """The work of a phase in the smallest units, in an order to try: one queue.

    Args:
        tasks, rows: as for `work`.
        arrange: gives units their order.
    """
    every = tuple((number, 0, -1) for number, x in tasks if x.split == "every")
    units = list[Unit]()
    for chain, low, high, _ in _pieces(tasks, rows, 1.0, 0, 1):
        step = high - low if high < 0 else 1 if chain[0][1].split == "rows" else chain[0][1].granule
        starts = [low] if high < 0 else range(low, high, step)
        for start in starts:
            end = high if high < 0 else min(start + step, high)
            units.append(Unit([(number, start, end) for number, _ in chain]))
    return Work(every, (tuple(arrange(units)),), True)
