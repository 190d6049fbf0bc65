"""The state of a runner: by name, and a copy of it from before a run of steps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.backend.cpu.layout import Memory
from chainrule.ir.kernel import Buffer

Array = npt.NDArray[Any]


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
    """The states that steps write over, as they were before the first of them.

    Args:
        memory: of the state.
        others: the states that no step writes, which lie behind those.

    Attributes:
        copy: the bytes; there are none before `keep`.
    """

    def __init__(self, memory: Memory, others: Iterable[Buffer]) -> None:
        self._block = memory.block
        self._size = min((memory.places[b].offsets[0] for b in others), default=len(self._block))
        self.copy = np.empty(0, np.uint8)

    def keep(self) -> None:
        """Copy the present state."""
        if not len(self.copy):
            self.copy = np.empty(self._size, np.uint8)
        self.copy[:] = self._block[: self._size]

    def restore(self) -> None:
        """Make the copy the present state."""
        self._block[: self._size] = self.copy
