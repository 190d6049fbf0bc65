"""A prediction that is computed in the pauses of a run on a device, without waiting for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.backend import base
from chainrule.backend.gpu.run.driver import Memory
from chainrule.backend.gpu.run.runner import Executable, Runner
from chainrule.ir.kernel import Buffer
from chainrule.types import N

Array = npt.NDArray[Any]


class Following:
    """A prediction of the same rows, with the parameters that a program has in each pause.

    All is launched in the session of the program, after the steps before the pause. Results, and
    perhaps states, are kept on the device, and read when all pauses of a run are over.

    Args:
        program: that is run with pauses.
        code: of the prediction, with room for the rows.
        values: of all of its parameters; the program has newer ones of some.
        data, rows: of the prediction.
    """

    def __init__(
        self, program: Runner, code: base.Executable, values: Mapping[str, Array],
        data: Mapping[str, Array], rows: Array,
    ) -> None:  # fmt: skip
        assert isinstance(code, Executable)
        self.program, self._rows = program, len(rows)
        self._own = Runner(code, program.session)
        for name in self._own.names:
            self._own.state[name] = values[name]
        for name, array in data.items():
            if self._own.reads(name):
                self._own.bind(name, array)
        self._own.run(rows, [0, len(rows)], {})
        self._frame = self._own.frame(len(rows))
        shared = self._own.names.keys() & program.names.keys()
        self._trained = [(program.names[x], self._own.names[x]) for x in shared]
        self._outputs = [self._shown(x) for x in code.signature.outputs]

    def begin(self, count: int, *, states: bool) -> None:
        """Make room for so many pauses, perhaps with the states of the program."""
        session, self._count, self._done = self.program.session, count, 0
        self._found = [session.allocate(count * _bytes(*x)) for x in self._outputs]
        self._size = self.program.state_bytes if states else 0
        self._states = session.allocate(count * self._size) if states else None
        self._sides = list[int]()

    def take(self) -> bool:
        """Launch what a pause needs; returns whether it was the last."""
        own, session, at = self._own, self.program.session, self._done
        for theirs, mine in self._trained:
            size = _bytes(*self.program.shown(theirs))
            session.copy(*self.program.place(theirs), *own.place(mine), size)
        own.again(self._frame, self._rows)
        for buffer, shown, found in zip(
            own.code.signature.outputs, self._outputs, self._found, strict=True
        ):
            size = _bytes(*shown)
            session.copy(*own.place(buffer.whole), found, at * size, size)
        if self._size:
            session.copy(self.program.state_memory, 0, self._states, at * self._size, self._size)
            self._sides.append(self.program.side)
        self._done += 1
        return self._done == self._count

    def results(self) -> list[Array]:
        """The outputs of all pauses, (pauses, ...)."""
        return [
            self._read(*x)
            for x in zip(self._own.code.signature.outputs, self._outputs, self._found, strict=True)
        ]

    def states(self) -> list[dict[str, Array]]:
        """The states of the program in all pauses."""
        if not self._size:
            return []
        blocks = np.empty((self._done, self._size), np.uint8)
        self.program.session.read(self._states, blocks.reshape(-1))
        each = zip(blocks, self._sides, strict=True)
        return [self.program.unpacked(block, side) for block, side in each]

    def _shown(self, buffer: Buffer) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """The dtype and shape of what is kept of an output: its rows, or all of its whole."""
        dtype, shape = self._own.shown(buffer.whole)
        first = buffer.part is None and buffer.shape[:1] == (N,)
        return dtype, (self._rows, *shape[1:]) if first else shape

    def _read(
        self, buffer: Buffer, shown: tuple[np.dtype[Any], tuple[int, ...]], found: Memory
    ) -> Array:
        dtype, shape = shown
        value = np.empty((self._done, *shape), dtype)
        self.program.session.read(found, value.reshape(-1))
        if buffer.part is not None:
            value = value.take(buffer.part.index, buffer.part.axis + 1)
        some = (slice(self._rows if d is N else None) for d in buffer.shape)
        return value[(slice(None), *some)].astype(buffer.dtype, copy=False)


def _bytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    return dtype.itemsize * math.prod(shape)
