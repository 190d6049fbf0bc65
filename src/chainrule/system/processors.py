"""The processors that this process may use."""

from __future__ import annotations

import os


def processors() -> int:
    """The number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usual_threads() -> int:
    """The number of threads where none is requested: OMP_NUM_THREADS, or all processors.

    Programs that start many processes, such as joblib, set that variable.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    return min(max(int(given), 1), processors()) if given.isdigit() else processors()
