"""A copy of the state of a runner, from before a run of steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np

from chainrule.backend.cpu.layout import Memory
from chainrule.ir.kernel import Buffer

LONG = 1.0
"""Seconds after which the state is copied anew: steps that are done again last no longer."""


class Saved:
    """The states that steps write over, as they were before some runs of steps.

    Args:
        memory: of the state.
        others: the states that no step writes, which lie behind those.

    Attributes:
        copy: the bytes; there are none before `keep`.
        runs: the runs since then: each does its steps once more.
    """

    def __init__(self, memory: Memory, others: Iterable[Buffer]) -> None:
        self._block = memory.block
        self._size = min((memory.places[b].offsets[0] for b in others), default=len(self._block))
        self.copy = np.empty(0, np.uint8)
        self.runs: list[Callable[[], object]] = []
        self._parity, self._until = 0, 0.0

    @property
    def recent(self) -> bool:
        """Whether the copy is so young that all runs since then are soon done again."""
        return time.monotonic() < self._until

    def keep(self, parity: int) -> None:
        """Copy the present state; `parity` tells which copy of other states is the present one."""
        if not len(self.copy):
            self.copy = np.empty(self._size, np.uint8)
        self.copy[:] = self._block[: self._size]
        self.runs, self._parity, self._until = [], parity, time.monotonic() + LONG

    def restore(self) -> int:
        """Make the copy the present state; returns the parity that it had."""
        self._block[: self._size] = self.copy
        return self._parity

    def release(self) -> None:
        """Let go of the copy."""
        self.copy = np.empty(0, np.uint8)
        self.forget()

    def forget(self) -> None:
        """The next run needs a new copy."""
        self.runs, self._until = [], 0.0
