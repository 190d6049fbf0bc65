"""Memory that processes of one machine have in common; nothing of it remains when they end."""

from __future__ import annotations

import mmap
import os
import secrets
from contextlib import suppress

import numpy as np

from chainrule.system.ranks.communicator import Array, Communicator, from_first, gather

SECRET = 16
"""Bytes by which a process knows that it has opened the memory that was meant."""


def common_memory(ranks: Communicator, size: int) -> Array | None:
    """Bytes that all ranks read and write, 0 at first; None where they are on several machines.

    A file without a name has them: that of the first rank, which others find by its process.
    """
    made, secret = None, secrets.token_bytes(SECRET)
    if ranks.rank == 0:
        with suppress(OSError, AttributeError):  # not Linux, or not that much memory
            made = os.memfd_create("chainrule-ranks")
            os.posix_fallocate(made, 0, size + SECRET)
            os.pwrite(made, secret, size)
    path, secret = from_first(ranks, (f"/proc/{os.getpid()}/fd/{made}", secret))
    found = _mapped(path, size, secret)
    there = all(gather(ranks, found is not None))  # and all of them have opened it
    if made is not None:
        os.close(made)
    return found if there else None


def _mapped(path: str, size: int, secret: bytes) -> Array | None:
    with suppress(OSError, ValueError):
        file = os.open(path, os.O_RDWR)
        try:
            block = np.frombuffer(mmap.mmap(file, size + SECRET), np.uint8)
        finally:
            os.close(file)
        if block[size:].tobytes() == secret:
            return block[:size]
    return None
