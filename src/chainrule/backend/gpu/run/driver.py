"""The protocol of a driver: its devices, and on each of them memory, code, launches and waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

from chainrule.backend.gpu.program import Traits

Array = npt.NDArray[Any]

Memory: TypeAlias = Any
"""Memory of a device; the driver's own object."""

Function: TypeAlias = Any
"""A kernel that is built; the driver's own object. One thread at a time may use it."""

Launched: TypeAlias = tuple[Function, int, int]
"""A function with its groups, and the work-items of each."""

Recording: TypeAlias = Any
"""Launches that are run again and again; the driver's own object."""


@dataclass(frozen=True)
class Device:
    """A device of a driver.

    Attributes:
        driver: the name of the driver, such as "opencl".
        number: among the devices of the driver, from 0.
        name, platform, version: as the driver tells them.
        graphics: whether it is a graphics processor.
        memory: bytes of all of its memory.
        largest: bytes of the largest piece of it.
        traits: what the text of kernels depends on.
        own: the driver's own object.
    """

    driver: str
    number: int
    name: str
    platform: str
    version: str
    graphics: bool
    memory: int
    largest: int
    traits: Traits
    own: Any = field(repr=False, compare=False)

    @property
    def word(self) -> str:
        """The word that names it, such as "opencl:0"."""
        return f"{self.driver}:{self.number}"


class Session(Protocol):
    """A queue of work on a device: what is launched runs in order.

    All methods raise DeviceError where the driver fails.
    """

    def allocate(self, size: int) -> Memory:
        """Memory of so many bytes, its content undefined."""

    def write(self, memory: Memory, array: Array, offset: int = 0) -> None:
        """Copy a contiguous array to memory, from a byte on."""

    def bring(self, memory: Memory, array: Array) -> None:
        """Copy a contiguous array to memory, from its beginning, without waiting for launches.

        Nothing that was launched and is not done uses the memory; what is launched next may.
        """

    def copy(self, source: Memory, start: int, to: Memory, offset: int, size: int) -> None:
        """Copy bytes of memory, from a byte on, to other memory, after all that was launched."""

    def read(self, memory: Memory, array: Array, offset: int = 0) -> None:
        """Fill a contiguous array from memory, once all that was launched is done."""

    def function(self, text: str, name: str) -> Function:
        """A function of a text, which is built where it is not yet."""

    def arguments(self, function: Function, values: Sequence[Any]) -> None:
        """Set the arguments of a function: memory, or NumPy scalars."""

    def launch(self, function: Function, groups: int, items: int) -> None:
        """Run a function in so many groups of so many work-items, after all that came before."""

    def record(self, launches: Sequence[Launched]) -> Recording:
        """Launches to replay; while they are, their functions keep their arguments."""

    def replay(self, recording: Recording) -> None:
        """Run what was recorded, in order, after all that came before."""

    def start(self) -> None:
        """Begin with what was launched, without waiting for it."""


class Driver(Protocol):
    """A way to devices."""

    @property
    def name(self) -> str:
        """As the words of devices begin."""

    @property
    def tested(self) -> str:
        """The kinds of devices that it has been run on, in words."""

    def devices(self) -> tuple[list[Device], list[str]]:
        """The devices that can be used, and why others cannot.

        Raises:
            MissingExtra: the library of the driver is not installed.
        """

    def session(self, device: Device) -> Session:
        """A new queue. Raises DeviceError."""
