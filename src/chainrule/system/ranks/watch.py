"""Heartbeats of ranks, by threads and sockets of their own: a lost one is noticed in seconds."""

from __future__ import annotations

import os
import secrets
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from chainrule.errors import RankLost
from chainrule.system.ranks.communicator import LOST, this_host
from chainrule.system.ranks.links import accepted, addresses, connected, listening, port_of
from chainrule.system.ranks.machine import end_launcher, is_stopped, machine_name
from chainrule.system.ranks.marker import write_marker

BEAT = 0.5
"""Seconds between two signs of life."""

SILENCE, IDLE_SILENCE = 4.0, 120.0
"""Seconds without a sign of life until a rank is lost, while it trains, and while it does not.

Outside of training, Python's lock may be held for long, by a library that reads a table.
"""

SLOW, PATIENCE = 4.0, 600.0
"""Seconds that others wait for a rank that is alive, until it is told, and until it is lost."""

GRACE = 2.0
"""Seconds in which a rank may end by itself after another is lost."""

FIRST = 10.0
"""Seconds in which the first rank has said what it ends with, before others end."""

IDLE, WORKING, WAITING = "idle", "working", "waiting"


@dataclass
class Peer:
    """Another rank, as this one knows it.

    Attributes:
        rank, host: of it.
        link: the connection to it, or to rank 0, by which it is heard of.
        heard: when it last gave a sign of life.
        state: what it does: IDLE, WORKING or WAITING.
        since: when that began.
        ended: whether it said goodbye.
        text: what has come of its next message.
    """

    rank: int
    host: str
    link: socket.socket | None
    heard: float
    state: str = IDLE
    since: float = 0.0
    ended: bool = False
    told: bool = False
    text: bytes = b""


@dataclass
class Watch:
    """The watch of one rank over the others: all of them on rank 0, which others watch.

    Args:
        rank, size: of this one.
        gather: the values of all ranks, in order; used once.
        launcher: the process that started this one.
        patience: seconds that others wait for a rank that is alive.

    Attributes:
        hosts: of all ranks.
        lost: the first rank that is lost, and why; None while there is none.
        code: the exit code of all ranks where one is.
        ended: the ranks that have said goodbye.
    """

    rank: int
    size: int
    gather: Callable[[object], list[Any]]
    launcher: int
    patience: float = PATIENCE
    hosts: list[str] = field(default_factory=list, init=False)
    lost: tuple[int, str] | None = field(default=None, init=False)
    code: int = field(default=LOST, init=False)

    def __post_init__(self) -> None:
        self.state, self._ending, self._told = IDLE, False, False
        self._since = 0.0
        self.ended: set[int] = set()
        self._lock = threading.Lock()
        server = listening() if self.rank == 0 else None
        secret = secrets.token_bytes(16)
        place = machine_name(), os.getpid()
        told = self.gather((this_host(), place, addresses(), port_of(server), secret))
        self.hosts = [host for host, *_ in told]
        _, _, found, port, secret = told[0]
        beside = [k for k, x in enumerate(told) if x[1][0] == place[0]]
        self._next = beside[(beside.index(self.rank) + 1) % len(beside)]
        self._next_process, self._stopped = told[self._next][1][1], 0.0
        now = time.monotonic()
        self.peers: dict[int, Peer] = {}
        if server is not None:
            for rank, link in accepted(server, secret, self.size - 1):
                self.peers[rank] = Peer(rank, self.hosts[rank], link, now)
        elif self.rank:
            link = connected(found, port, secret + struct.pack("<i", self.rank))
            self.peers[0] = Peer(0, self.hosts[0], link, now)
        for x in self.peers.values():
            assert x.link is not None
            x.link.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="chainrule-watch", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ the rank's own thread

    def check(self, sources: Iterable[int] = ()) -> None:
        """Raises RankLost where a rank is lost, or one that is waited for has ended."""
        for rank in self.ended.intersection(sources):
            self._lose(rank, "it has ended, and the others have not")
        if self.lost is not None:
            raise RankLost(
                "ranks", self._told_of,
                fix="start again; with checkpoint= the run goes on, also with another number of "
                "ranks",
            )  # fmt: skip

    def now(self, state: str) -> None:
        """Tell what this rank does, at once: it may be stopped before its next sign of life."""
        if state != self.state:
            self.state, self._since = state, time.monotonic()
            self._tell(f"beat {state}")

    def tell(self) -> None:
        """Say on the standard error which rank is lost: once, and of all others the first does."""
        assert self.lost is not None
        with self._lock:
            told, self._told = self._told, True
        rank, _ = self.lost
        if rank == 0 and self.code != LOST:
            return  # it has said so itself
        if not told and self.rank == min(k for k in range(self.size) if k != rank):
            say(f"[ranks] {self._told_of}")

    @property
    def _told_of(self) -> str:
        """The sentence about the rank that is lost."""
        assert self.lost is not None
        rank, reason = self.lost
        how = "is lost" if self.code == LOST else "has ended"
        return f"rank {rank} on {self.hosts[rank]} {how}: {reason}"

    def abort(self, reason: str, code: int = LOST) -> None:
        """Tell the others that this rank ends, and with which exit code all do."""
        if self.lost is None:
            self._lose(self.rank, reason, code)

    def leave(self) -> NoReturn:
        """End the process, a rank being lost; where it has an error, when the first has told it.

        A launcher ends all ranks as soon as one has ended.
        """
        if self.rank and self.code != LOST and (link := self.peers[0].link) is not None:
            self._thread.join()
            link.settimeout(FIRST)
            with suppress(OSError):
                while link.recv(4096):
                    pass
        end_launcher(self.launcher)
        os._exit(self.code)

    def end(self) -> None:
        """Say goodbye, and wait until all have, or one is lost."""
        self._ending = True
        self._tell(f"bye {self.rank}")
        self.ended.add(self.rank)
        while self.lost is None and len(self.ended) < self.size:
            time.sleep(0.02)

    # ------------------------------------------------------------ the watching thread

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for x in self.peers.values():
                assert x.link is not None
                selector.register(x.link, selectors.EVENT_READ, x)
            due = looked = time.monotonic()
            while self.lost is None:
                ready = selector.select(max(due - time.monotonic(), 0.0))
                self._pass_over(time.monotonic() - looked)
                looked = time.monotonic()
                for key, _ in ready:
                    if not self._hear(key.data):
                        selector.unregister(key.fileobj)
                if time.monotonic() >= due:
                    due = time.monotonic() + BEAT
                    self._tell(f"beat {self.state}")
                    self._look()
        self._last()

    def _pass_over(self, seconds: float) -> None:
        """Not count the time since the last look where this rank was stopped itself.

        All may have been: by Ctrl-Z, or with their machine.
        """
        if seconds > 2 * BEAT:
            self._since, self._stopped = self._since + seconds, 0.0
            for x in self.peers.values():
                x.heard, x.since = x.heard + seconds, x.since + seconds

    def _hear(self, peer: Peer) -> bool:
        """Take what has come from a rank; returns whether more may come."""
        assert peer.link is not None
        how = "its process has ended"
        try:
            more = peer.link.recv(65536)
        except BlockingIOError:
            return True
        except ConnectionError:
            more = b""
        except OSError:
            more, how = b"", "its host cannot be reached"
        if not more:
            if not peer.ended:
                self._lose(peer.rank, how)
            return False
        peer.heard = time.monotonic()
        *lines, peer.text = (peer.text + more).split(b"\n")
        for line in lines:
            kind, _, rest = line.decode(errors="replace").partition(" ")
            if kind == "beat" and rest != peer.state:
                peer.state, peer.since, peer.told = rest, peer.heard, False
            elif kind == "bye":
                self._end(int(rest), peer)
            elif kind == "lost":
                rank, code, reason = rest.split(" ", 2)
                self._lose(int(rank), reason, int(code))
        return True

    def _end(self, rank: int, peer: Peer) -> None:
        """Note that a rank has said goodbye; rank 0 tells the others."""
        self.ended.add(rank)
        peer.ended = peer.ended or peer.rank == rank
        if self.rank == 0:
            self._tell(f"bye {rank}")

    def _look(self) -> None:
        """Find ranks that give no sign of life, or for which the others wait too long."""
        now = time.monotonic()
        self._stopped = (self._stopped or now) if is_stopped(self._next_process) else 0.0
        if self._stopped and now - self._stopped > SILENCE - 2 * BEAT:
            self._lose(self._next, "it is stopped")
        waiting = [x.since for x in self.peers.values() if x.state == WAITING]
        waiting += [self._since] if self.state == WAITING else []
        for x in self.peers.values():
            limit = IDLE_SILENCE if x.state == IDLE else SILENCE
            if not x.ended and now - x.heard > limit:
                self._lose(x.rank, f"no sign of life for {limit:.0f} s: it is stopped, or its "
                                   "host cannot be reached")  # fmt: skip
            if self.rank or not waiting or x.state != WORKING:
                continue
            waited = now - max(min(waiting), x.since)
            if waited > self.patience:
                self._lose(x.rank, f"the others have waited {self.patience:.0f} s for it")
            elif waited > SLOW and now - x.heard < 2 * BEAT and not x.told:
                x.told = True
                say(f"note  the others have waited {waited:.0f} s for rank {x.rank} on {x.host}, "
                     "which is alive")  # fmt: skip

    def _lose(self, rank: int, reason: str, code: int = LOST) -> None:
        """Note that a rank is lost, and tell the others."""
        with self._lock:
            if self.lost is not None:
                return
            self.code, self.lost = code, (rank, " ".join(reason.split()))
        self._tell(f"lost {rank} {code} {self.lost[1]}")
        write_marker("failed", self._told_of)

    def _tell(self, line: str) -> None:
        """Send a line to all that this rank is connected to."""
        for x in self.peers.values():
            if x.link is not None:
                with suppress(OSError):
                    x.link.send(line.encode() + b"\n")

    def _last(self) -> None:
        """End the process, where it does not end by itself."""
        if self.state == IDLE and not self._ending:
            return  # the next exchange says so
        time.sleep(GRACE)
        self.tell()
        end_launcher(self.launcher)
        os._exit(self.code)


def say(text: str) -> None:
    """Write a line to the standard error, if that can be."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
