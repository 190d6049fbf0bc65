"""Distributes calls of a function over forked processes or threads."""

from __future__ import annotations

import ctypes
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
from chainrule.system.ranks.world import in_group

TICK = 0.1
"""The longest time between two calls of `tick`, in seconds."""

END_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux."""

WORD = 4
"""The size of a call's index, in bytes."""

FIX = "where memory is short: fewer at a time, jobs=..."

Work = Callable[[int], Any]
Results = Iterator[tuple[int, Any]]


def can_fork() -> bool:
    """Whether processes can be forked here: on Linux, except in a daemonic worker or under MPI.

    MPI makes no promise to a process that forks.
    """
    daemon = multiprocessing.current_process().daemon
    return sys.platform == "linux" and not daemon and not in_group()


def in_processes(work: Work, count: int, workers: int, tick: Callable[[], object]) -> Results:
    """Yields (k, work(k)) for k below `count`, from forked processes, in order of completion.

    The processes share memory copy-on-write; only results are sent. They ignore SIGINT, so that
    Ctrl-C in the terminal reaches this process alone.

    Args:
        work: raises nothing; its results can be pickled.
        count: the number of calls.
        workers: the number of processes; each runs one call at a time.
        tick: called repeatedly while they work.

    A process that dies yields `WorkerDied` as the result of its call, and is replaced. On Linux
    they end when this process does, however that ends.
    """
    processes = list[_Process]()
    with tempfile.TemporaryFile() as todo:  # its position is shared: each call is read once
        todo.write(array("i", range(count)).tobytes())
        todo.flush()
        todo.seek(0)
        try:
            for _ in range(workers):
                processes.append(_Process(work, todo.fileno(), processes))
            done, alive = set[int](), set(processes)
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
                        processes.append(_Process(work, todo.fileno(), processes))
                        alive.add(processes[-1])
                    yield call, result
                tick()
        finally:
            for worker in processes:
                worker.end()


class _Process:
    """A forked process that runs one call after another until none are left.

    Args:
        work: the function to call.
        todo: the file that the indices of calls are read from.
        others: processes forked before; the child closes the reading ends of their pipes that it
            inherits, so that the end of this process is noticed by all.

    Attributes:
        link: the connection that results are read from.
    """

    def __init__(self, work: Work, todo: int, others: Iterable[_Process]) -> None:
        fork = multiprocessing.get_context("fork")
        self.link, sender = fork.Pipe(duplex=False)
        closed = [self.link, *(x.link for x in others)]
        self._call = mmap.mmap(-1, WORD)  # the index of its call, plus 1
        arguments = (work, todo, sender, self._call, closed, os.getpid())
        self._process = fork.Process(target=_serve, args=arguments, daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: see forklock.py
            self._process.start()
        sender.close()

    def result(self) -> tuple[int | None, Any]:
        """The index of a call and its result; (None, None) if there are no more."""
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
        """Ends the process: it has nothing left to do, or its results are no longer needed."""
        self._process.kill()
        self._process.join()
        self.link.close()


def _serve(
    work: Work, todo: int, link: Connection, current: mmap.mmap, closed: Iterable[Connection],
    parent: int,
) -> None:  # fmt: skip
    """Runs calls in the child until none are left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with(parent)
    gc.freeze()  # the collector must not touch inherited pages, which would copy them
    for end in closed:
        end.close()
    with suppress(OSError):  # the parent has ended
        while read := os.read(todo, WORD):
            call = int.from_bytes(read, sys.byteorder)
            current[:] = (call + 1).to_bytes(WORD, sys.byteorder)
            link.send((call, work(call)))
            current[:] = bytes(WORD)


def _end_with(parent: int) -> None:
    """Makes the system kill this process when its parent ends; else it would train on."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).prctl(END_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def in_threads(work: Work, count: int, workers: int, tick: Callable[[], object]) -> Results:
    """As `in_processes`, in threads of this process; they share the GIL."""
    with ThreadPoolExecutor(workers) as pool:
        calls: dict[Future[Any], int] = {pool.submit(work, k): k for k in range(count)}
        left = set(calls)
        while left:
            done, left = wait(left, TICK, FIRST_COMPLETED)
            for future in done:
                yield calls[future], future.result()
            tick()
