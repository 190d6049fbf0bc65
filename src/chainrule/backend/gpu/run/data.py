"""The arrays that steps read on a device: the data set, and the inputs of each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.backend.feeding import check_rows, data_array, step_array
from chainrule.backend.gpu.layout import LINE
from chainrule.backend.gpu.program import Program
from chainrule.backend.gpu.run.driver import Device, Memory, Session
from chainrule.errors import SettingError

Array = npt.NDArray[Any]


def require_room(device: Device, pieces: Sequence[int], *, data: bool = False) -> None:
    """Raises SettingError where a device has no room for pieces of so many bytes.

    data: whether the data set is among them.
    """
    total, largest = sum(pieces), max(pieces, default=0)
    if total <= device.memory and largest <= device.largest:
        return
    what = "for the data set" if data else "for the parameters and values of a step"
    fits = f"{device.memory:,} bytes"
    if total <= device.memory:
        total, fits = largest, f"{device.largest:,} bytes in one piece"
    raise SettingError(
        "device", f"the memory of the device is too small {what}", expected=fits,
        got=f"{total:,} bytes", at=f"{device.word}, {device.name}",
        fix="device='cpu'" if data else "a smaller batch_size, or device='cpu'",
    )  # fmt: skip


class Room:
    """Memory that grows where it must."""

    def __init__(self, session: Session) -> None:
        self._session, self._size = session, 0
        self.memory: Memory = None
        self.reserve(LINE)

    def reserve(self, size: int) -> None:
        """Have at least so many bytes; what was there may be lost."""
        if size > self._size:
            self._size = max(size, 2 * self._size)
            self.memory = self._session.allocate(self._size)

    def fill(self, array: Array) -> None:
        """Put an array at the beginning."""
        self.reserve(array.nbytes)
        self._session.write(self.memory, array)


class Data:
    """The arrays of a data set on a device.

    Args:
        program: that reads them.
        device, session: where they go.
        own: bytes that the program takes beside them.

    Attributes:
        buffers: of the data, by name.
        memories: those that are uploaded, by name.
    """

    def __init__(self, program: Program, device: Device, session: Session, own: int) -> None:
        self.buffers = {b.name: b for b in program.signature.buffers if b.space == "data"}
        self.memories: dict[str, Memory] = {}
        self._device, self._session, self._own = device, session, own
        self._bound: dict[str, Array] = {}

    def bind(self, name: str, array: npt.ArrayLike) -> None:
        """Give a data buffer its array, which `upload` copies. Raises FeedError."""
        self._bound[name] = data_array(self.buffers, name, array)
        self.memories.pop(name, None)

    def release(self) -> None:
        """Let go of the data."""
        self._bound, self.memories = {}, {}

    def check(self, index: Array, ends: Array, limit: int) -> None:
        """See `check_rows`."""
        check_rows(self.buffers, self._bound, index, ends, limit)

    def upload(self) -> None:
        """Copy to the device what is not there yet. Raises SettingError where it has no room."""
        if self.memories.keys() == self._bound.keys():
            return
        arrays = {name: x.astype(self._stored(x), copy=False) for name, x in self._bound.items()}
        pieces = [self._own, *(x.nbytes for x in arrays.values())]
        require_room(self._device, pieces, data=True)
        for name, array in arrays.items():
            if name not in self.memories:
                memory = self._session.allocate(max(array.nbytes, LINE))
                self._session.write(memory, array.reshape(-1))
                self.memories[name] = memory

    def _stored(self, array: Array) -> np.dtype[Any]:
        single = array.dtype == np.float64 and not self._device.traits.float64
        return np.dtype("float32") if single else array.dtype


class Given:
    """The inputs of steps on a device, with the table by which kernels find their buffers.

    Args:
        program: that reads them.
        float64: whether the device has it.
        session: of the device.
        table: the places of all buffers, two words for each operand of each launch.

    Attributes:
        memory: the inputs.
        table: the table.
    """

    def __init__(self, program: Program, session: Session, table: Array, *, float64: bool) -> None:
        self._session, self._words, self._float64 = session, table, float64
        self._buffers = [b for b in program.signature.buffers if b.space == "step"]
        operands = [buffer for launch in program.launches for buffer, _ in launch.operands]
        self._uses = {b: [k for k, x in enumerate(operands) if x is b] for b in self._buffers}
        self._known: tuple[int, tuple[bool, ...]] | None = None
        self._room, self._capacity = Room(session), 1
        self.table = session.allocate(max(table.nbytes, LINE))
        self._offsets: list[int] = []

    @property
    def memory(self) -> Memory:
        """The inputs."""
        return self._room.memory

    def bring(self, step_inputs: Mapping[str, npt.ArrayLike], steps: int) -> None:
        """Copy the inputs of steps to the device.

        Args:
            step_inputs: by name, (steps, ...), or one value for all steps.
            steps: their number.
        """
        arrays = [step_array(b, step_inputs, steps) for b in self._buffers]
        if not self._float64:
            arrays = [x.astype("float32") if x.dtype == np.float64 else x for x in arrays]
        while self._capacity < steps:
            self._capacity *= 2
        each = tuple(x.shape != tuple(b.shape) for x, b in zip(arrays, self._buffers, strict=True))
        if self._known != (self._capacity, each):
            self._place(arrays, each, steps)
            self._known = self._capacity, each
        block = np.zeros(self._offsets[-1], np.uint8)
        for at, x in zip(self._offsets, arrays, strict=False):
            block[at : at + x.nbytes] = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        self._room.fill(block)

    def _place(self, arrays: Sequence[Array], each: Sequence[bool], steps: int) -> None:
        """Choose the places of inputs, and write the table."""
        self._offsets = [0]
        for buffer, x, several in zip(self._buffers, arrays, each, strict=True):
            pitch = x.nbytes // max(steps, 1) if several else 0
            for use in self._uses[buffer]:
                self._words[2 * use : 2 * use + 2] = self._offsets[-1], pitch
            size = pitch * self._capacity if several else x.nbytes
            self._offsets.append(self._offsets[-1] + max(-(-size // LINE), 1) * LINE)
        self._session.write(self.table, self._words)
