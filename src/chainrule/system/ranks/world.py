"""The ranks that this process belongs to: those of MPI, if it was started by it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.system.ranks.communicator import Communicator, Serial

STARTED_BY = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK")
"""Variables by which a process knows that a launcher of MPI has started it."""

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
"""Variables with the number of the rank."""

OWNER = "CHAINRULE_RANK_PROCESS"
"""The process that is a rank: its children inherit the launcher's variables, and are none."""

LAUNCHER = os.getppid()
"""The process that started this one: of a rank, its launcher."""

SERIAL = Serial()
_acting = threading.local()
_world: Communicator | None = None


def world() -> Communicator:
    """The ranks that this thread, or else this process, belongs to.

    Those of MPI are for the main thread: others, which may train models of their own, are alone.

    Raises:
        MissingExtra: it was started by MPI, and mpi4py is not installed.
    """
    given: Communicator | None = getattr(_acting, "ranks", None)
    if given is not None:
        return given
    if not in_group() or threading.current_thread() is not threading.main_thread():
        return SERIAL
    global _world
    if _world is None:
        from chainrule.system.ranks.mpi import MPIRanks  # noqa: PLC0415  (under MPI alone)

        _world = MPIRanks(LAUNCHER)
    return _world


def in_group() -> bool:
    """Whether a launcher of MPI has started this process, and not a parent of it."""
    if not any(x in os.environ for x in STARTED_BY):
        return False
    owner = os.environ.setdefault(OWNER, str(os.getpid()))
    return owner == str(os.getpid())


def speaks() -> bool:
    """Whether this process prints and writes: of a group, the first rank alone does."""
    given: Communicator | None = getattr(_acting, "ranks", None)
    if given is not None:
        return given.rank == 0
    if not in_group():
        return True
    known = (os.environ[x] for x in RANKS if x in os.environ)
    return next(known, "0") == "0"


def has_met() -> bool:
    """Whether this process has begun to talk to other ranks of MPI."""
    return _world is not None


@contextmanager
def acting_as(ranks: Communicator) -> Iterator[None]:
    """A block in which this thread belongs to other ranks."""
    before = getattr(_acting, "ranks", None)
    _acting.ranks = ranks
    try:
        yield
    finally:
        _acting.ranks = before


in_group()  # before any child is started
