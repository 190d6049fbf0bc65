"""Ranks that are threads of this process: the same results, without MPI."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from chainrule.errors import RankLost
from chainrule.system.ranks.communicator import LOST, Array, Messages
from chainrule.system.ranks.world import acting_as

T = TypeVar("T")

TICK = 0.05
"""Seconds between two looks whether another rank has ended."""


class Group:
    """The ranks of a group of threads.

    Args:
        size: how many there are.
        patience: seconds until a rank that does not answer counts as lost.
        apart: whether they have no memory in common, as ranks of several machines.
    """

    def __init__(self, size: int, patience: float = 60.0, *, apart: bool = False) -> None:
        self.size, self.patience, self.apart = size, patience, apart
        self.lost: tuple[int, str] | None = None
        pairs = ((a, b) for a in range(size) for b in range(size))
        self.boxes: dict[tuple[int, int], queue.SimpleQueue[Array]] = {
            pair: queue.SimpleQueue() for pair in pairs
        }
        self._memories: dict[int, Array] = {}
        self._lock = threading.Lock()

    def memory(self, number: int, size: int) -> Array | None:
        """The memory in common that each rank asked for as its first, second, and so on."""
        with self._lock:
            if number not in self._memories:
                self._memories[number] = np.zeros(size, np.uint8)
        assert self._memories[number].nbytes == size
        return None if self.apart else self._memories[number]


class Local:
    """The Communicator of one thread of a group."""

    grouped = True

    def __init__(self, group: Group, rank: int) -> None:
        self._group, self.rank, self.size = group, rank, group.size
        self.beside = group.size > 1
        self._asked = 0

    def exchange(self, sent: Messages, received: Messages) -> None:
        """See Communicator."""
        for to, array in sent:
            self._group.boxes[self.rank, to].put(array.copy())
        for source, array in received:
            array[...] = self._next(source)

    def _next(self, source: int) -> Array:
        until = time.monotonic() + self._group.patience
        while True:
            try:
                return self._group.boxes[source, self.rank].get(timeout=TICK)
            except queue.Empty:
                if self._group.lost is not None:
                    rank, reason = self._group.lost
                    raise lost(rank, "this process", reason) from None
                if time.monotonic() > until:
                    raise lost(source, "this process", "it does not answer") from None

    def common(self, size: int) -> Array | None:
        """See Communicator."""
        self._asked += 1
        return self._group.memory(self._asked, size)

    def watch(self, working: bool) -> None:
        """See Communicator: threads end together in any case."""

    def check(self) -> None:
        """See Communicator: no launcher ends threads by a signal."""

    def abort(self, reason: str, code: int = LOST) -> None:
        """See Communicator."""
        if self._group.lost is None:
            self._group.lost = self.rank, reason


def lost(rank: int, host: str, reason: str) -> RankLost:
    """The error on the ranks that remain."""
    return RankLost(
        "ranks", f"rank {rank} on {host} is lost: {reason}",
        fix="start again; with checkpoint= the run goes on, also with another number of ranks",
    )  # fmt: skip


def run_threads(
    size: int, work: Callable[[], T], patience: float = 60.0, *, apart: bool = False
) -> list[T]:
    """The results of a function that runs on every rank of a group, in order.

    Args:
        size, patience, apart: see Group.
        work: what each rank does.

    Raises:
        The error of the first rank that failed by itself.
    """
    group = Group(size, patience, apart=apart)
    results: list[Any] = [None] * size
    errors: dict[int, BaseException] = {}

    def run(rank: int) -> None:
        try:
            with acting_as(Local(group, rank)):
                results[rank] = work()
        except BaseException as error:
            errors[rank] = error

    threads = [threading.Thread(target=run, args=(k,)) for k in range(size)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    for error in sorted(errors.values(), key=lambda x: isinstance(x, RankLost)):
        raise error
    return results
