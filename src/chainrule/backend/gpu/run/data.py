"""The arrays that steps read on a device: the data set, and the inputs of each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.backend.feeding import check_rows, data_array, step_array
from chainrule.backend.gpu.layout import LINE
from chainrule.backend.gpu.program import Program
from chainrule.backend.gpu.run.driver import Device, Memory, Session
from chainrule.errors import SettingError

Array = npt.NDArray[Any]


SLICE = 2**24
"""Bytes of a part of a data set that is too large for the device."""


def fits(device: Device, pieces: Sequence[int]) -> bool:
    """Whether a device has room for pieces of so many bytes."""
    return sum(pieces) <= device.memory and max(pieces, default=0) <= device.largest


def require_room(device: Device, pieces: Sequence[int], *, data: bool = False) -> None:
    """Raises SettingError where a device has no room for pieces of so many bytes.

    data: whether two minibatches are among them.
    """
    if fits(device, pieces):
        return
    total, room = sum(pieces), f"{device.memory:,} bytes"
    what = "for the parameters and values of a step"
    what += ", and two minibatches of the data set" * data
    if total <= device.memory:
        total, room = max(pieces), f"{device.largest:,} bytes in one piece"
    raise SettingError(
        "device", f"the memory of the device is too small {what}", expected=room,
        got=f"{total:,} bytes", at=f"{device.word}, {device.name}",
        fix="a smaller batch_size, or device='cpu'",
    )  # fmt: skip


class Room:
    """Memory that grows where it must: at least twofold, or exactly as much."""

    def __init__(self, session: Session, *, exact: bool = False) -> None:
        self._session, self._size, self._exact = session, 0, exact
        self.memory: Memory = None
        self.reserve(LINE)

    def reserve(self, size: int) -> None:
        """Have at least so many bytes; what was there may be lost."""
        if size > self._size:
            self._size = size if self._exact else max(size, 2 * self._size)
            self.memory = self._session.allocate(self._size)

    def fill(self, array: Array) -> None:
        """Put an array at the beginning."""
        self.reserve(array.nbytes)
        self._session.write(self.memory, array)

    def bring(self, array: Array) -> None:
        """Put an array at the beginning while the device computes, with other memory."""
        self.reserve(array.nbytes)
        self._session.bring(self.memory, array)


class Data:
    """The arrays of a data set on a device: all of them, or the rows of some steps at a time.

    Args:
        program: that reads them.
        device, session: where they go.
        own: bytes that the program takes beside them.

    Attributes:
        buffers: of the data, by name.
        memories: what steps read that are launched now, by name.
    """

    def __init__(self, program: Program, device: Device, session: Session, own: int) -> None:
        self.buffers = {b.name: b for b in program.signature.buffers if b.space == "data"}
        self.memories: dict[str, Memory] = {}
        self._device, self._session, self._own = device, session, own
        self._bound: dict[str, Array] = {}
        self._whole: dict[str, Memory] = {}
        self._rooms = tuple(
            {name: Room(session, exact=True) for name in self.buffers} for _ in "ab"
        )
        self._slices: list[Array] = []

    def bind(self, name: str, array: npt.ArrayLike) -> None:
        """Give a data buffer its array, which `windows` copies. Raises FeedError."""
        self._bound[name] = data_array(self.buffers, name, array)
        self._whole.pop(name, None)

    @property
    def whole(self) -> bool:
        """Whether the device has all of them."""
        return bool(self._whole) and not self._slices

    @property
    def bytes(self) -> int:
        """The size of all of them."""
        return sum(x.size * self._stored(x).itemsize for x in self._bound.values())

    def release(self) -> None:
        """Let go of the data."""
        self._bound, self.memories, self._whole, self._slices = {}, {}, {}, []

    def check(self, index: Array, ends: Array, limit: int) -> None:
        """See `check_rows`."""
        check_rows(self.buffers, self._bound, index, ends, limit)

    def windows(self, index: Array, ends: Array) -> tuple[Array, list[tuple[int, int]]]:
        """Cut steps into windows, of which each reads what is on the device at one time.

        Where the device has no room for all data, it has two slices of it: the rows of the
        minibatches of a window, and those of the next, which are copied meanwhile.

        Args:
            index, ends: the rows of all steps, and where those of each begin and end.

        Returns:
            The index of the rows as they lie on the device, and of each window the first step and
            the one after its last.

        Raises:
            SettingError: the device has no room for two minibatches.
        """
        steps = len(ends) - 1
        sizes = [x.size * self._stored(x).itemsize for x in self._bound.values()]
        if fits(self._device, (self._own, *sizes)):
            self._upload()
            return index, [(0, steps)] if steps else []
        windows = self._cut(ends)
        self._slices, near = [index[ends[a] : ends[b]] for a, b in windows], index.copy()
        for (a, b), rows in zip(windows, self._slices, strict=True):
            near[ends[a] : ends[b]] = np.arange(len(rows))
        return near, windows

    def bring(self, number: int) -> None:
        """Copy the slice of a window to the device, while the window before is computed."""
        if number < len(self._slices):
            rows, rooms = self._slices[number], self._rooms[number % 2]
            for name, array in self._bound.items():
                rooms[name].bring(array[rows].astype(self._stored(array), copy=False))

    def turn(self, number: int) -> None:
        """Let the steps that are launched next read the slice of a window."""
        if self._slices:
            self.memories = {name: x.memory for name, x in self._rooms[number % 2].items()}

    def _upload(self) -> None:
        """Copy to the device what is not there yet."""
        self._slices = []
        for name, x in self._bound.items():
            if name not in self._whole:
                array = x.astype(self._stored(x), copy=False)
                memory = self._session.allocate(max(array.nbytes, LINE))
                self._session.write(memory, array.reshape(-1))
                self._whole[name] = memory
        self.memories = {name: self._whole[name] for name in self._bound}

    def _cut(self, ends: Array) -> list[tuple[int, int]]:
        """Windows as long as their rows have room. Raises SettingError."""
        each = [self._stored(x).itemsize * x[:1].size for x in self._bound.values()]
        least = int(np.diff(ends).max())
        most = max(least, SLICE // max(sum(each), 1))
        while not fits(
            self._device, pieces := (self._own, *(2 * LINE + 2 * size * most for size in each))
        ):
            if most == least:
                require_room(self._device, pieces, data=True)
            most = max(least, most // 2)
        cuts = [0]
        for step in range(1, len(ends) - 1):
            if ends[step + 1] - ends[cuts[-1]] > most:
                cuts.append(step)
        return list(pairwise([*cuts, len(ends) - 1]))

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
        operands = [buffer for part in program.parts for buffer, _ in part.operands]
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
