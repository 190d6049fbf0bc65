"""A lock that no forked process finds taken by a thread that it does not have."""

from __future__ import annotations

import os
import threading


def fork_lock() -> threading.RLock:
    """A lock for which a fork waits. Made once for each module: it is never given back."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock
