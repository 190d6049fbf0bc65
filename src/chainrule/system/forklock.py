"""A fork-safe lock: fork() waits for it, so a child never inherits it locked."""

from __future__ import annotations

import os
import threading


def fork_lock() -> threading.RLock:
    """Returns a lock that fork() waits for. Call it once per module: it is never freed."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock
