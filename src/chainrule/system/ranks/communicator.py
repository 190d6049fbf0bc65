"""The protocol of ranks: how the processes that share a run exchange arrays and end together."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule.errors import ChainruleError, RankLost
from chainrule.system.startup import INTERRUPTED, WRONG

Array: TypeAlias = npt.NDArray[Any]
Messages: TypeAlias = Sequence[tuple[int, Array]]
"""Contiguous arrays, each with the rank that it goes to or comes from."""

PIECE = 1 << 20
"""Bytes of the largest piece in which an array is sent."""


LOST = 70
"""The exit code of ranks that end because one is lost."""

LATER = 0.3
"""Seconds by which other ranks end later at Ctrl-C than the first, which has something to write."""


class Communicator(Protocol):
    """The ranks of a run, as one of them sees them.

    Attributes:
        rank: the number of this one, from 0.
        size: how many there are.
        grouped: whether the process is one of a group, though it be the only one.
        beside: whether there are others, and a thread may exchange while another one computes.
    """

    rank: int
    size: int
    grouped: bool
    beside: bool

    def exchange(self, sent: Messages, received: Messages) -> None:
        """Send arrays and fill others, all at once; messages of two ranks keep their order.

        Raises:
            RankLost: another rank has ended, stopped, or does not answer in time.
        """

    def common(self, size: int) -> Array | None:
        """So many bytes that all ranks read and write, 0 at first; all ask for them, in order.

        None where the ranks are not on one machine, or it has no such memory.
        """

    def watch(self, working: bool) -> None:
        """Tell the others whether this rank trains, so that silence is a failure at once."""

    def check(self) -> None:
        """Raises RankLost where another rank is lost, or has ended by an error."""

    def abort(self, reason: str, code: int = LOST) -> None:
        """Tell the other ranks that this one ends, and why: their next exchange raises an error.

        code: the exit code of all.
        """


class Serial:
    """The Communicator of a process by itself."""

    rank, size, grouped, beside = 0, 1, False, False

    def exchange(self, sent: Messages, received: Messages) -> None:
        """See Communicator; there is no other rank."""
        assert not sent
        assert not received

    def common(self, size: int) -> Array | None:
        """See Communicator."""

    def watch(self, working: bool) -> None:
        """See Communicator."""

    def check(self) -> None:
        """See Communicator."""

    def abort(self, reason: str, code: int = LOST) -> None:
        """See Communicator."""


def gather(
    ranks: Communicator, value: object, among: Sequence[int] | None = None
) -> list[Any]:  # fmt: skip
    """The values of all ranks, in order, on each of them; they are plain values and arrays.

    among: those that take part, this one too; None: all.
    """
    some = range(ranks.size) if among is None else among
    others = [k for k in some if k != ranks.rank]
    if not others:
        return [value]
    mine = np.frombuffer(pickle.dumps(value), np.uint8)
    sizes = {k: np.zeros(1, np.int64) for k in others}
    length = np.array([len(mine)], np.int64)
    ranks.exchange([(k, length) for k in others], list(sizes.items()))
    texts = {k: np.empty(int(size[0]), np.uint8) for k, size in sizes.items()}
    ranks.exchange([(k, mine) for k in others], list(texts.items()))
    return [value if k == ranks.rank else pickle.loads(texts[k].data) for k in some]


def collect(ranks: Communicator, value: object, among: Sequence[int]) -> list[Any]:
    """The values of some ranks, in order, on the first of them; on the others none."""
    first, *others = among
    if ranks.rank != first:
        mine = np.frombuffer(pickle.dumps(value), np.uint8)
        ranks.exchange([(first, np.array([len(mine)], np.int64))], [])
        ranks.exchange([(first, mine)], [])
        return []
    sizes = {k: np.zeros(1, np.int64) for k in others}
    ranks.exchange([], list(sizes.items()))
    texts = {k: np.empty(int(size[0]), np.uint8) for k, size in sizes.items()}
    ranks.exchange([], list(texts.items()))
    return [value, *(pickle.loads(text.data) for text in texts.values())]


def meet(ranks: Communicator) -> None:
    """Wait until all ranks have come to this point, and see what they wrote to common memory."""
    others = [k for k in range(ranks.size) if k != ranks.rank]
    mark = np.zeros(1, np.uint8)
    ranks.exchange([(k, mark) for k in others], [(k, np.empty(1, np.uint8)) for k in others])


def from_first(ranks: Communicator, value: object) -> Any:
    """The value of rank 0, on every rank."""
    return gather(ranks, value if ranks.rank == 0 else None)[0]


def of_host(ranks: Communicator) -> list[int]:
    """The ranks on the machine of this one, of which the first may do what one does for all."""
    hosts = gather(ranks, this_host())
    return [k for k, host in enumerate(hosts) if host == hosts[ranks.rank]]


@contextmanager
def ending_together(ranks: Communicator) -> Iterator[None]:
    """A block whose error on one rank ends the others too, with its reason."""
    try:
        yield
    except RankLost:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            ranks.check()  # as an error of one: a launcher ends the others by a signal
            time.sleep(LATER if ranks.rank else 0)
        ranks.abort(*ending(error))
        raise


def ending(error: BaseException) -> tuple[str, int]:
    """The reason and the exit code of a process that ends by an error."""
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted", INTERRUPTED
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    mistake = isinstance(error, (ChainruleError, OSError, MemoryError))
    return told, WRONG if mistake else LOST


@contextmanager
def together(ranks: Communicator) -> Iterator[None]:
    """A block in which the ranks train, and wait for each other; an error of one ends all."""
    ranks.watch(True)
    try:
        with ending_together(ranks):
            yield
    finally:
        ranks.watch(False)


def this_host() -> str:
    """The name of this machine."""
    import socket  # noqa: PLC0415  (few programs need it)

    return socket.gethostname()
