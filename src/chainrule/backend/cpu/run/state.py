"""The state of a runner as a mapping: parameters, slots and statistics by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, MutableMapping
from typing import Any

import numpy.typing as npt

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
