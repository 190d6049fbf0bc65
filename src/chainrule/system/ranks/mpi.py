"""The ranks of MPI: arrays by mpi4py, signs of life by connections of their own."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from chainrule.errors import MissingExtra
from chainrule.system.ranks.common import common_memory
from chainrule.system.ranks.communicator import (
    LOST,
    PIECE,
    Array,
    Messages,
    ending,
    gather,
    this_host,
)
from chainrule.system.ranks.machine import end_launcher
from chainrule.system.ranks.marker import write_marker
from chainrule.system.ranks.watch import BEAT, GRACE, IDLE, WAITING, WORKING, Watch, say
from chainrule.system.startup import INTERRUPTED

SPINS = 200
"""Looks for messages without a pause, each of which gives way to other processes."""

PAUSE = 5e-5
"""Seconds between later looks: a rank that waits leaves its processor to others."""

TAGS = 1 << 15
"""Tags that every MPI has."""

BEGIN = 300.0
"""Seconds in which all ranks have begun."""

TELL = 0.2
"""Seconds of waiting from which a rank says that it waits."""


class MPIRanks:
    """The Communicator of a process that a launcher of MPI has started.

    Args:
        launcher: the process that started this one.

    Raises:
        MissingExtra: mpi4py cannot be loaded.
    """

    grouped = True

    def __init__(self, launcher: int) -> None:
        self._watch: Watch | None = None
        self._launcher, self._begun = launcher, False
        threading.Thread(target=self._guard, daemon=True).start()
        self._mpi = _loaded()
        self._comm = self._mpi.COMM_WORLD.Dup()
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        serialized = self._mpi.Query_thread() >= self._mpi.THREAD_SERIALIZED
        self.beside = self.size > 1 and serialized
        if self.size > 1:
            self._watch = Watch(self.rank, self.size, lambda x: gather(self, x), launcher)
            _end_at_terminate()
        self._begun = True
        atexit.register(self._leave)

    def exchange(self, sent: Messages, received: Messages) -> None:
        """See Communicator."""
        comm, byte = self._comm, self._mpi.BYTE
        requests = [comm.Irecv([x, byte], k, _tag(x)) for k, a in received for x in _pieces(a)]
        requests += [comm.Isend([x, byte], k, _tag(x)) for k, a in sent for x in _pieces(a)]
        looks, begun = 0, time.monotonic()
        while not self._mpi.Request.Testall(requests):
            looks += 1
            if looks < SPINS:
                os.sched_yield()
                continue
            time.sleep(PAUSE)
            if self._watch is not None:
                waited = time.monotonic() - begun
                self._watch.check([k for k, _ in received] if waited > GRACE else ())
                if self._watch.state == WORKING and waited > TELL:
                    self._watch.now(WAITING)
        if self._watch is not None and self._watch.state == WAITING:
            self._watch.now(WORKING)

    def common(self, size: int) -> Array | None:
        """See Communicator."""
        return common_memory(self, size)

    def watch(self, working: bool) -> None:
        """See Communicator."""
        if self._watch is not None:
            self._watch.now(WORKING if working else IDLE)

    def check(self) -> None:
        """See Communicator."""
        if self._watch is not None and self._watch.code != INTERRUPTED:
            self._watch.check()

    def abort(self, reason: str, code: int = LOST) -> None:
        """See Communicator."""
        if self._watch is not None:
            self._watch.abort(reason, code)

    def _guard(self) -> None:
        """End the process where its launcher has ended, or MPI waits too long for it to begin."""
        begun = time.monotonic()
        while os.getppid() == self._launcher:
            time.sleep(BEAT)
            if not self._begun and time.monotonic() - begun > BEGIN:
                say(f"[ranks] MPI has waited {BEGIN:.0f} s on {this_host()} for all ranks to begin")
                write_marker("failed", f"ranks have not begun in {BEGIN:.0f} s")
                end_launcher(self._launcher)
                os._exit(LOST)
        if self._watch is not None:
            self._watch.abort("the launcher that started it has ended")
            time.sleep(2 * GRACE)
        os._exit(LOST)

    def _leave(self) -> None:
        """At the end of the process: wait for the others, or end at once where one is lost."""
        uncaught = getattr(sys, "last_value", None)
        if uncaught is not None:
            self.abort(*ending(uncaught))
        if self._watch is not None:
            if self._watch.lost is None:
                self._watch.end()
            if self._watch.lost is not None:
                if self.rank:  # the first one's error is told
                    self._watch.tell()
                for stream in (sys.stdout, sys.stderr):
                    with suppress(OSError, ValueError, AttributeError):
                        stream.flush()
                self._watch.leave()
        if self.rank == 0:
            write_marker("failed" if uncaught is not None else "done", str(uncaught))
        if not self._mpi.Is_finalized():
            self._mpi.Finalize()


def _pieces(array: Array) -> Iterator[Array]:
    """An array in pieces to send."""
    flat = array.reshape(-1)
    each = max(PIECE // max(array.itemsize, 1), 1)
    for k in range(0, max(flat.size, 1), each):
        yield flat[k : k + each]


def _tag(piece: Array) -> int:
    """A tag of the size: a message is received only where one of its size is expected.

    Open MPI may write all of a message to memory that is too small for it.
    """
    return int(piece.nbytes) % TAGS


def _loaded() -> Any:
    """The module of mpi4py, which ends MPI only when it is told."""
    try:
        import mpi4py  # noqa: PLC0415  (an extra)

        mpi4py.rc.finalize = False
        from mpi4py import MPI  # noqa: PLC0415
    except (ImportError, RuntimeError) as error:
        raise MissingExtra(
            "ranks", "several processes were started by MPI, for which mpi4py is needed",
            got=str(error).splitlines()[0], fix="pip install 'chainrule[mpi]'",
        ) from None  # fmt: skip
    return MPI


def _end_at_terminate() -> None:
    """Make a Ctrl-C of SIGTERM, by which a launcher ends its ranks: a checkpoint is written."""
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
