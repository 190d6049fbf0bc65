"""Limits the threads of NumPy's matrix products while others must not be disturbed."""

from __future__ import annotations

from functools import cached_property

from threadpoolctl import ThreadpoolController

from chainrule.system.forklock import fork_lock


class _OneThread:
    """Keeps the matrix products of the process on one thread while anybody is within."""

    def __init__(self) -> None:
        self._lock, self._within = fork_lock(), 0

    @cached_property
    def _blas(self) -> ThreadpoolController:
        return ThreadpoolController()

    def __enter__(self) -> None:
        with self._lock:
            if self._within == 0:
                self._limit = self._blas.limit(limits=1, user_api="blas")
            self._within += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0:
                self._limit.restore_original_limits()


one_thread = _OneThread()
"""Minibatches are too small for more threads to help, on a busy machine more do great harm, and
the order of additions then depends on no machine."""
