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
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from chainrule.errors import RankLost
from chainrule.system.ranks.communicator import this_host
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

FAILED = 70
"""The exit code of a rank that ends because another is lost."""

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
        patience: seconds that others wait for a rank that is alive.

    Attributes:
        hosts: of all ranks.
        lost: the first rank that is lost, and why; None while there is none.
        ended: the ranks that have said goodbye.
    """

    rank: int
    size: int
    gather: Callable[[object], list[Any]]
    patience: float = PATIENCE
    hosts: list[str] = field(default_factory=list, init=False)
    lost: tuple[int, str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.state, self._ending, self._told = IDLE, False, False
        self._since = 0.0
        self.ended: set[int] = set()
        self._lock = threading.Lock()
        server = _server() if self.rank == 0 else None
        secret = secrets.token_bytes(16)
        told = self.gather((this_host(), _addresses(), _port(server), secret))
        self.hosts = [host for host, *_ in told]
        _, addresses, port, secret = told[0]
        now = time.monotonic()
        self.peers: dict[int, Peer] = {}
        if server is not None:
            for rank, link in _accepted(server, secret, self.size - 1):
                self.peers[rank] = Peer(rank, self.hosts[rank], link, now)
        elif self.rank:
            link = _connected(addresses, port, secret + struct.pack("<i", self.rank))
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
            rank, reason = self.lost
            raise RankLost(
                "ranks", f"rank {rank} on {self.hosts[rank]} is lost: {reason}",
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
        rank, reason = self.lost
        if not told and self.rank == min(k for k in range(self.size) if k != rank):
            _say(f"[ranks] rank {rank} on {self.hosts[rank]} is lost: {reason}")

    def abort(self, reason: str) -> None:
        """Tell the others that this rank ends."""
        if self.lost is None:
            self._lose(self.rank, reason)

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
            self._since += seconds
            for x in self.peers.values():
                x.heard, x.since = x.heard + seconds, x.since + seconds

    def _hear(self, peer: Peer) -> bool:
        """Take what has come from a rank; returns whether more may come."""
        assert peer.link is not None
        try:
            more = peer.link.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            more = b""
        if not more:
            if not peer.ended:
                self._lose(peer.rank, "its process has ended")
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
                rank, _, reason = rest.partition(" ")
                self._lose(int(rank), reason)
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
                _say(f"note  the others have waited {waited:.0f} s for rank {x.rank} on {x.host}, "
                     "which is alive")  # fmt: skip

    def _lose(self, rank: int, reason: str) -> None:
        """Note that a rank is lost, and tell the others."""
        with self._lock:
            if self.lost is not None:
                return
            self.lost = rank, " ".join(reason.split())
        self._tell(f"lost {rank} {self.lost[1]}")

    def _tell(self, line: str) -> None:
        """Send a line to all that this rank is connected to."""
        for x in self.peers.values():
            if x.link is not None:
                with suppress(OSError):
                    x.link.send(line.encode() + b"\n")

    def _last(self) -> None:
        """End the process, where it does not end by itself."""
        assert self.lost is not None
        rank, reason = self.lost
        write_marker("failed", f"rank {rank} on {self.hosts[rank]} is lost: {reason}")
        if self.state == IDLE and not self._ending:
            return  # the next exchange says so
        time.sleep(GRACE)
        self.tell()
        os._exit(FAILED)


def _say(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


# ---------------------------------------------------------------- connections


def _server() -> socket.socket:
    server = socket.create_server(("", 0), backlog=1024)
    server.settimeout(60)
    return server


def _port(server: socket.socket | None) -> int:
    return 0 if server is None else int(server.getsockname()[1])


def _addresses() -> list[str]:
    """The addresses by which this machine may be reached, its own first."""
    found = ["127.0.0.1"]
    for _, name in socket.if_nameindex():
        with suppress(OSError, ImportError):
            found.append(_address(name))
    with suppress(OSError):
        found += [str(x[4][0]) for x in socket.getaddrinfo(socket.gethostname(), None)]
    return list(dict.fromkeys(found))


def _address(interface: str) -> str:
    import fcntl  # noqa: PLC0415  (Unix alone)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("256s", interface.encode()[:15])
        return socket.inet_ntoa(fcntl.ioctl(probe.fileno(), 0x8915, request)[20:24])  # SIOCGIFADDR


def _accepted(
    server: socket.socket, secret: bytes, count: int
) -> Iterator[tuple[int, socket.socket]]:
    """The connections of so many ranks, which know the secret."""
    with server:
        while count:
            link, _ = server.accept()
            link.settimeout(10)
            with suppress(OSError):
                hello = _read(link, len(secret) + 4)
                if secrets.compare_digest(hello[: len(secret)], secret):
                    link.sendall(secret)
                    yield struct.unpack("<i", hello[len(secret) :])[0], link
                    count -= 1
                    continue
            link.close()


def _connected(addresses: list[str], port: int, hello: bytes) -> socket.socket:
    """A connection to rank 0, at the first address where it is found."""
    for address in addresses:
        with suppress(OSError):
            link = socket.create_connection((address, port), timeout=3)
            link.settimeout(10)
            link.sendall(hello)
            if _read(link, len(hello) - 4) == hello[:-4]:
                return link
            link.close()
    raise RankLost(
        "ranks", "rank 0 cannot be reached for heartbeats", expected="a TCP connection",
        got=f"none of {', '.join(addresses)} answers at port {port}",
        fix="allow connections between the machines of the run",
    )  # fmt: skip


def _read(link: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = link.recv(size - len(found))
        if not more:
            raise OSError("closed")
        found += more
    return found
