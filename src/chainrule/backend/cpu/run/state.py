"""The state of a runner: by name, and a copy of it from before a run of steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.backend.cpu.layout import Memory
from chainrule.ir.kernel import Buffer

Array = npt.NDArray[Any]

LONG = 1.0
"""Seconds after which the state is copied anew: steps that are done again last no longer."""


class State(MutableMapping[str, Array]):
    """The state buffers by name, as ordinary arrays: a read copies out, a write copies in."""

    def __init__(self, names: Collection[str], view: Callable[[str], Array]) -> None:
        self._names, self._view = names, view

    def __getitem__(self, name: str) -> Array:
        return self._view(name).copy()

    def __setitem__(self, name: str, value: npt.ArrayLike) -> None:
        self._view(name)[...] = value

    def __delitem__(self, name: str) -> None:
        raise TypeError("a plan keeps all of its state")

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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
