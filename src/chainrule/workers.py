"""Calls of a function shared by workers: forked processes that share memory, or threads."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any

from chainrule.errors import WorkerDied

TICK = 0.1
"""Seconds between two calls of `tick`, at most."""

FIX = "where memory is short: fewer at a time, jobs=..."

Work = Callable[[int], Any]
Results = Iterator[tuple[int, Any]]


def can_fork() -> bool:
    """Whether forked processes can work here: on Linux, but not in a worker that may have none."""
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


def in_processes(work: Work, count: int, workers: int, tick: Callable[[], object]) -> Results:
    """work(0), ..., work(count - 1) in forked processes: (number, result), first done first.

    The processes see all memory as it is now, and none of it is copied that nobody writes to;
    their results are sent. Ctrl-C in the terminal is heard by this process alone.

    Args:
        work: raises nothing; its results can be pickled.
        count: how many calls.
        workers: how many processes, each with one call at a time.
        tick: called again and again while they work.

    A process that dies gives a `WorkerDied` as the result of its call; another takes its place.
    """
    todo, crew = iter(range(count)), list[_Process]()
    try:
        for k in islice(todo, workers):
            crew.append(_Process(work, crew))
            crew[-1].begin(k)
        while busy := [x for x in crew if x.call is not None]:
            ready = wait_for([x.link for x in busy], TICK)
            for worker in (x for x in busy if x.link in ready):
                call, result = worker.result()
                if (following := next(todo, None)) is not None:
                    if isinstance(result, WorkerDied):
                        worker = _Process(work, crew)
                        crew.append(worker)
                    worker.begin(following)
                yield call, result
            tick()
    finally:
        for worker in crew:
            worker.end()


class _Process:
    """A forked process that does one call after another.

    Args:
        work: what it calls.
        others: that were forked before; it closes the ends of their pipes that are not its own,
            so that all hear it when this process ends.

    Attributes:
        link: where results come from.
        call: the number of the call that it works on.
    """

    def __init__(self, work: Work, others: Iterable[_Process]) -> None:
        fork = multiprocessing.get_context("fork")
        self.link, theirs = fork.Pipe()
        closed = [self.link, *(x.link for x in others)]
        self._process = fork.Process(target=_serve, args=(work, theirs, closed), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: see forklock.py
            self._process.start()
        theirs.close()
        self.call: int | None = None

    def begin(self, call: int) -> None:
        """Give it something to do."""
        self.call = call
        with suppress(OSError):  # it died while it waited: `result` tells
            self.link.send(call)

    def result(self) -> tuple[int, Any]:
        """The call that it did, and what that gave."""
        assert self.call is not None
        call, self.call = self.call, None
        try:
            return call, self.link.recv()
        except (EOFError, OSError):
            self._process.join(1)
            died = f"exit code {self._process.exitcode}"
            return call, WorkerDied("fit_many", "a process died", got=died, fix=FIX)

    def end(self) -> None:
        """Send it home, or kill it where it still works."""
        self.link.close()
        if self.call is not None:
            self._process.kill()
        self._process.join()


def _serve(work: Work, link: Connection, closed: Iterable[Connection]) -> None:
    """What the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # what is there is not looked at again, and so not copied
    for end in closed:
        end.close()
    with suppress(EOFError, OSError):  # the parent has no more, or is no more
        while True:
            link.send(work(link.recv()))


def in_threads(work: Work, count: int, workers: int, tick: Callable[[], object]) -> Results:
    """As `in_processes`, in threads of this process: they take turns with what is Python."""
    with ThreadPoolExecutor(workers) as pool:
        calls: dict[Future[Any], int] = {pool.submit(work, k): k for k in range(count)}
        left = set(calls)
        while left:
            done, left = wait(left, TICK, FIRST_COMPLETED)
            for future in done:
                yield calls[future], future.result()
            tick()
