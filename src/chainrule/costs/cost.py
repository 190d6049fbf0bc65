"""The cost of a plan in seconds, from the work of its kernels and the speeds of a processor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chainrule.costs.speeds import Speeds
from chainrule.costs.tile import best_tile
from chainrule.costs.work import Work, is_double, rough_work, size_of, work
from chainrule.ir.kernel import Buffer
from chainrule.plan.plan import Plan, Task

EXPOSED_SHARE = 0.3
"""The share of the time of moving bytes that arithmetic does not hide."""

ROUNDED = 1.7
"""The speed of products of bfloat16 relative to those of float32, packing included."""

MIN_GAIN = 10e-6
"""Seconds of a step that more threads must save: less is lost to other load on the processors."""


@dataclass(frozen=True)
class KernelCost:
    """A kernel with its predicted time.

    Attributes:
        work: its operations and bytes.
        phase: the number of its phase.
        seconds: the seconds of the thread with the largest share of it.
        memory: the seconds that moving the bytes alone would take.
    """

    work: Work
    phase: int
    seconds: float
    memory: float


@dataclass(frozen=True)
class PlanCost:
    """A plan with the predicted time of a step.

    Attributes:
        kernels: in order.
        threads, rows: those that the prediction assumes.
        barriers: seconds at the barriers of a step.
    """

    kernels: tuple[KernelCost, ...]
    threads: int
    rows: int
    barriers: float

    @property
    def flops(self) -> int:
        """Floating-point operations of a step."""
        return sum(x.work.flops for x in self.kernels)

    @property
    def bytes(self) -> int:
        """Bytes that its kernels read and write."""
        return sum(x.work.bytes for x in self.kernels)

    @property
    def seconds(self) -> float:
        """The time of a step."""
        return sum(x.seconds for x in self.kernels) + self.barriers


def plan_cost(plan: Plan, rows: int, speeds: Speeds, threads: int = 1) -> PlanCost:
    """The cost of a step of a plan.

    Args:
        plan: the one to run.
        rows: the rows of a minibatch.
        speeds: the speeds of the processor.
        threads: the number that share the step.
    """
    return PlanCosts(plan, rows, speeds).at(threads)


class PlanCosts:
    """The costs of a plan for several numbers of threads; the work is counted once."""

    def __init__(self, plan: Plan, rows: int, speeds: Speeds) -> None:
        self.plan, self.rows, self.speeds = plan, rows, speeds
        lanes = speeds.vector // 4
        self.works = [
            (k, work(task, rows, lanes))
            for k, phase in enumerate(plan.phases)
            for task in phase.tasks
        ]
        self.distances = _reuse_distances([x for _, x in self.works], plan)

    def at(self, threads: int) -> PlanCost:
        """The costs with this number of threads."""
        made = []
        for (phase, each), distances in zip(self.works, self.distances, strict=True):
            part = share(each, self.rows, threads)
            memory = self._memory(each, distances, part, threads)
            seconds = _seconds(each, self.speeds, part, memory)
            seconds += exchanged(each, threads) / self.speeds.exchange
            made.append(KernelCost(each, phase, seconds, memory))
        barriers = len(self.plan.phases) * self.speeds.barrier * (threads > 1)
        return PlanCost(tuple(made), threads, self.rows, barriers)

    def _memory(self, each: Work, distances: list[float], part: float, threads: int) -> float:
        """Seconds that a thread takes to move its part of the bytes."""
        total = 0.0
        for traffic, reuse_distance in zip(each.touched, distances, strict=True):
            moved = 1.0 if traffic.whole else part
            level = self._level(reuse_distance / (1 if traffic.whole else threads))
            bandwidth = self.speeds.levels[level][1]
            if level == len(self.speeds.levels) - 1 and part < 1:
                bandwidth = min(bandwidth, self.speeds.shared * part)
            total += traffic.bytes * moved / bandwidth
        return total

    def _level(self, distance: float) -> int:
        """The nearest level that holds the bytes of a reuse distance."""
        sizes = [size for size, _ in self.speeds.levels]
        return next(k for k, size in enumerate(sizes) if distance <= size or k == len(sizes) - 1)


def _seconds(each: Work, speeds: Speeds, part: float, memory: float) -> float:
    """The time of a part of a kernel whose bytes take `memory` seconds to move."""
    seconds = each.instructions * speeds.instruction * part
    if each.product is not None:
        seconds += product_seconds(each, speeds, part)
    return max(seconds + EXPOSED_SHARE * memory, memory) + speeds.call


def rough_seconds(task: Task, rows: int, speeds: Speeds) -> float:
    """About the time of a kernel on one thread."""
    return _seconds(rough_work(task, rows, speeds.vector // 4), speeds, 1.0, 0.0)


def share(each: Work, rows: int, threads: int, granule: int = 4) -> float:
    """The largest part of a kernel that falls to one thread."""
    if threads == 1 or each.split in ("none", "every"):
        return 1.0
    size = size_of(each.kernel.axes[0], rows)
    known = each.task.contraction
    if each.product is not None and known is not None and each.split == "first":
        granule = 6
        if len(known.k) > 1:  # tiles of all rows are shared
            size = each.product[0]
    granules = -(-size // granule)
    return min(1.0, -(-granules // threads) * granule / max(size, 1))


def exchanged(each: Work, threads: int) -> float:
    """The bytes of a product's factors that a thread reads and other threads have just written.

    It reads one factor whole: weights, of which each thread updated a part, or gradients, of which
    each computed some rows. Where threads share the rows of a weight, each also reads its columns
    of the other factor.
    """
    if each.product is None:
        return 0.0
    m, v, k, repeats = each.product
    elements = float(k * v)
    if each.split == "first" and all(b.space != "data" for b, _ in each.task.operands):
        elements += m * k / threads
    return (8 if is_double(each.kernel) else 4) * repeats * elements * (1 - 1 / threads)


def product_seconds(each: Work, speeds: Speeds, part: float) -> float:
    """The time of the sums of a matrix product, or of a part of its rows."""
    assert each.product is not None
    m, v, k, repeats = each.product
    lanes = speeds.vector // (8 if is_double(each.kernel) else 4)
    wide = -(-v // lanes)
    rows, vectors = best_tile(speeds.tiles, m, wide, k)
    columns = -(-wide // vectors) * vectors * lanes
    computed = -(-math.ceil(m * part) // rows) * rows
    rate = speeds.peak * speeds.product * lanes * 4 / speeds.vector
    if each.rounded:
        rate *= ROUNDED
    tiles = computed / rows * columns / (vectors * lanes) * repeats
    store = tiles * rows * vectors * 2 * speeds.instruction
    return 2 * computed * columns * k * repeats / rate + store


def _reuse_distances(works: Iterable[Work], plan: Plan) -> list[list[float]]:
    """For each buffer that a kernel touches, the bytes touched since its last use, inclusive.

    Two steps are simulated, as the sides of the states alternate; data is always cold.
    """
    works, twice = list(works), set(plan.twice)
    last: dict[tuple[Buffer, int], float] = {}
    clock = 0.0
    distances_of_all: list[list[float]] = []
    for turn in (0, 1):
        distances_of_all = []
        for each in works:
            distances = []
            for x in each.touched:
                side = (turn ^ x.new) if x.buffer in twice else 0
                clock += x.bytes
                key = (x.buffer, side)
                cold = x.buffer.space == "data" or key not in last
                distances.append(math.inf if cold else clock - last[key])
                last[key] = clock
            distances_of_all.append(distances)
    return distances_of_all


def best_threads(plan: Plan, rows: int, limit: int, speeds: Speeds) -> int:
    """The number of threads that makes a step fastest, by prediction; the fewest if about equal.

    Args:
        plan: that of the step.
        rows: the rows of its minibatch.
        limit: the most threads to consider.
        speeds: the speeds of the processor.
    """
    lanes = speeds.vector // 4
    works = [rough_work(task, rows, lanes) for task in plan.tasks]
    waiting = len(plan.phases) * speeds.barrier

    def predicted(threads: int) -> float:
        parts = [_seconds(x, speeds, share(x, rows, threads), 0.0) for x in works]
        between = sum(exchanged(x, threads) for x in works) / speeds.exchange
        return sum(parts) + between + waiting * (threads > 1)

    best, least = 1, predicted(1)
    for threads in _thread_counts(limit):
        seconds = predicted(threads)
        if seconds < min(0.95 * least, least - MIN_GAIN):
            best, least = threads, seconds
    return best


def _thread_counts(limit: int) -> Iterator[int]:
    """Powers of two from 2 on, and `limit`."""
    threads = 2
    while threads < limit:
        yield threads
        threads *= 2
    if limit > 1:
        yield limit
