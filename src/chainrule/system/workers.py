"""Calls of a function shared by workers: forked processes that share memory, or threads."""

from __future__ import annotations

import gc
import mmap
import multiprocessing
import os
import signal
import sys
import tempfile
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any

from chainrule.errors import WorkerDied

TICK = 0.1
"""Seconds between two calls of `tick`, at most."""

WORD = 4
"""Bytes of the number of a call."""

FIX = "where memory is short: fewer at a time, jobs=..."

Work = Callable[[int], Any]
Results = Iterator[tuple[int, Any]]


def can_fork() -> bool:
    """Whether forked processes can work here: on Linux, but not in a worker that may have none."""
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


def in_processes(work: Work, count: int, workers: int, tick: Callable[[], object]) -> Results:
    """work(0), ..., work(count - 1) in forked processes: (number, result), first done first.

    The processes see all memory as it is now, and only what is written to is copied;
    their results are sent. Ctrl-C in the terminal is heard by this process alone.

    Args:
        work: raises nothing; its results can be pickled.
        count: how many calls.
        workers: how many processes, each with one call at a time.
        tick: called again and again while they work.

    A process that dies gives a `WorkerDied` as the result of its call; another takes its place.
    """
    crew = list[_Process]()
    with tempfile.TemporaryFile() as todo:  # its position is shared: each call is read once
        todo.write(array("i", range(count)).tobytes())
        todo.flush()
        todo.seek(0)
        try:
            for _ in range(workers):
                crew.append(_Process(work, todo.fileno(), crew))
            done, alive = set[int](), set(crew)
            while alive:
                ready = wait_for([x.link for x in alive], TICK)
                for worker in [x for x in alive if x.link in ready]:
                    call, result = worker.result()
                    if call is None or isinstance(result, WorkerDied):
                        alive.remove(worker)
                    if call is None or call in done:
                        continue
                    done.add(call)
                    if isinstance(result, WorkerDied):
                        crew.append(_Process(work, todo.fileno(), crew))
                        alive.add(crew[-1])
                    yield call, result
                tick()
        finally:
            for worker in crew:
                worker.end()


class _Process:
    """A forked process that does one call after another, until there are no more.

    Args:
        work: what it calls.
        todo: the file that it reads the numbers of calls from.
        others: that were forked before; it closes the ends of their pipes that are not its own,
            so that all hear it when this process ends.

    Attributes:
        link: where results come from.
    """

    def __init__(self, work: Work, todo: int, others: Iterable[_Process]) -> None:
        fork = multiprocessing.get_context("fork")
        self.link, theirs = fork.Pipe(duplex=False)
        closed = [self.link, *(x.link for x in others)]
        self._call = mmap.mmap(-1, WORD)  # the number of its call, counted from 1
        arguments = (work, todo, theirs, self._call, closed)
        self._process = fork.Process(target=_serve, args=arguments, daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: see forklock.py
            self._process.start()
        theirs.close()

    def result(self) -> tuple[int | None, Any]:
        """A call and what it gave; None where there are no more."""
        try:
            call, result = self.link.recv()
        except (EOFError, OSError):
            self._process.join(1)
            call = int.from_bytes(self._call[:], sys.byteorder) - 1
            if call < 0:
                return None, None
            died = f"exit code {self._process.exitcode}"
            return call, WorkerDied("fit_many", "a process died", got=died, fix=FIX)
        return call, result

    def end(self) -> None:
        """Lets the process end: it has no more to do, or its results are not wanted."""
        self._process.kill()
        self._process.join()
        self.link.close()


def _serve(
    work: Work, todo: int, link: Connection, current: mmap.mmap, closed: Iterable[Connection]
) -> None:
    """What the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # what is there is not looked at again, and so not copied
    for end in closed:
        end.close()
    with suppress(OSError):  # the parent has ended
        while read := os.read(todo, WORD):
            call = int.from_bytes(read, sys.byteorder)
            current[:] = (call + 1).to_bytes(WORD, sys.byteorder)
            link.send((call, work(call)))
            current[:] = bytes(WORD)


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
