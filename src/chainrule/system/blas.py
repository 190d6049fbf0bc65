"""Limits NumPy's matrix products to one thread."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from chainrule.system.forklock import fork_lock

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


class _OneThread:
    """Keeps the matrix products of the process on one thread while any caller is inside."""

    def __init__(self) -> None:
        self._lock, self._users = fork_lock(), 0

    @cached_property
    def _blas(self) -> ThreadpoolController:
        from threadpoolctl import ThreadpoolController  # noqa: PLC0415  (not at import)

        return ThreadpoolController()

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._limit = self._blas.limit(limits=1, user_api="blas")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.restore_original_limits()


one_thread = _OneThread()
"""Minibatches are too small to gain from more threads, which are very slow on a busy machine; and
with one thread the order of summation is the same on all machines."""
