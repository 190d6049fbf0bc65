"""Connections of ranks for signs of life, which the system itself closes where a host is gone."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

from chainrule.errors import RankLost

COME = 60
"""Seconds in which all ranks connect."""

GONE = 4
"""Seconds without an answer of a host until its connections are closed."""


def listening() -> socket.socket:
    """A socket to which other ranks connect."""
    server = socket.create_server(("", 0), backlog=1024)
    server.settimeout(COME)
    return server


def port_of(server: socket.socket | None) -> int:
    """Of a socket that listens."""
    return 0 if server is None else int(server.getsockname()[1])


def addresses() -> list[str]:
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


def accepted(
    server: socket.socket, secret: bytes, count: int
) -> Iterator[tuple[int, socket.socket]]:
    """The connections of so many ranks, which know the secret. Raises RankLost."""
    with server:
        while count:
            try:
                link, _ = server.accept()
            except TimeoutError:
                raise unreachable(f"{count} of the other ranks have not come in {COME} s") from None
            link.settimeout(10)
            with suppress(OSError):
                hello = _read(link, len(secret) + 4)
                if secrets.compare_digest(hello[: len(secret)], secret):
                    link.sendall(secret)
                    yield struct.unpack("<i", hello[len(secret) :])[0], kept_alive(link)
                    count -= 1
                    continue
            link.close()


def connected(found: list[str], port: int, hello: bytes) -> socket.socket:
    """A connection to rank 0, at the first address where it is found.

    Raises RankLost.
    """
    for address in found:
        with suppress(OSError):
            link = socket.create_connection((address, port), timeout=3)
            link.settimeout(10)
            link.sendall(hello)
            if _read(link, len(hello) - 4) == hello[:-4]:
                return kept_alive(link)
            link.close()
    raise unreachable(f"none of {', '.join(found)} answers at port {port}")


def _read(link: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = link.recv(size - len(found))
        if not more:
            raise OSError("closed")
        found += more
    return found


def kept_alive(link: socket.socket) -> socket.socket:
    """Have the system find that a host is gone, also while Python does something else."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", GONE),
                        ("TCP_USER_TIMEOUT", 1000 * GONE)):  # fmt: skip
        if (option := getattr(socket, name, None)) is not None:
            link.setsockopt(socket.IPPROTO_TCP, option, value)
    return link


def unreachable(got: str) -> RankLost:
    """The error where ranks do not find each other."""
    return RankLost(
        "ranks", "rank 0 cannot be reached for heartbeats", expected="a TCP connection", got=got,
        fix="allow connections between the machines of the run",
    )  # fmt: skip
