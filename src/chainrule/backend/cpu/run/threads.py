"""Threads that wait to run one function each."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias


def processors() -> int:
    """The number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usual_threads() -> int:
    """The default number of threads: OMP_NUM_THREADS, or all processors.

    The variable is what programs that start many processes set, joblib among them.
    """
    requested = os.environ.get("OMP_NUM_THREADS", "")
    return min(max(int(requested), 1), processors()) if requested.isdigit() else processors()


Task: TypeAlias = tuple[Callable[[], object], "SimpleQueue[BaseException | None]"]
Tasks: TypeAlias = "SimpleQueue[Task | None]"


class Pool:
    """Calls a function with 0, 1, ... at the same time; number 0 on the calling thread.

    The threads are started when first needed, and again in a forked process.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._process = -1
        self._tasks: list[Tasks] = []

    def run(self, function: Callable[[int], object], threads: int | None = None) -> None:
        """function(0), ..., function(threads - 1); returns when all have, or raises what one did.

        Where Ctrl-C comes up in it, the others go on.
        """
        count = (self.threads if threads is None else threads) - 1
        done: SimpleQueue[BaseException | None] = SimpleQueue()  # of this run only
        if count:
            self._start()
            for number, tasks in enumerate(self._tasks[:count], start=1):
                tasks.put((partial(function, number), done))
        try:
            function(0)
        finally:
            errors = [done.get() for _ in range(count)]
        for error in errors:
            if error is not None:
                raise error

    def _start(self) -> None:
        if self._process == os.getpid():
            return
        queues: list[Tasks] = [SimpleQueue() for _ in range(self.threads - 1)]
        weakref.finalize(self, _stop, queues)
        for tasks in queues:
            threading.Thread(target=_work, args=(tasks,), daemon=True).start()
        self._tasks, self._process = queues, os.getpid()


def _work(tasks: Tasks) -> None:
    while (task := tasks.get()) is not None:
        error: BaseException | None = None
        function, done = task
        try:
            function()
        except BaseException as raised:
            error = raised
        del task, function  # so that nothing is kept alive while it waits
        done.put(error)
        del done, error


def _stop(queues: list[Tasks]) -> None:
    for tasks in queues:
        tasks.put(None)
