"""The state of a runner by name, as ordinary arrays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, MutableMapping
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


class State(MutableMapping[str, Array]):
    """The state buffers by name: a read copies out, a write copies in.

    Args:
        names: of the states.
        read: makes a copy of one.
        write: fills one.
    """

    def __init__(
        self,
        names: Collection[str],
        read: Callable[[str], Array],
        write: Callable[[str, npt.ArrayLike], None],
    ) -> None:
        self._names, self._read, self._write = names, read, write

    def __getitem__(self, name: str) -> Array:
        return self._read(name)

    def __setitem__(self, name: str, value: npt.ArrayLike) -> None:
        self._write(name, value)

    def __delitem__(self, name: str) -> None:
        raise TypeError("a plan keeps all of its state")

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
