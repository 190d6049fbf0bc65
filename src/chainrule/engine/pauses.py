"""The pauses between epochs that run in one call: what is taken of the program there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from chainrule.backend.cpu.layout import Memory
from chainrule.backend.cpu.run.tuned import TunedRunner
from chainrule.engine.deviceprogram import DeviceProgram
from chainrule.engine.devicerows import DeviceRows
from chainrule.engine.native import NativeProgram
from chainrule.engine.nativerows import NativeRows
from chainrule.engine.repeated import NativePass, Repeated
from chainrule.graph.node import Array

if TYPE_CHECKING:
    from chainrule.backend.gpu.run.following import Following

MOST_BYTES = 1 << 22
"""The most memory for the states that are taken in one call."""

MOST_RESULTS = 1 << 26
"""The most memory of a device for the results of passes."""


class Pauses(Protocol):
    """At every pause of a program, a forward pass and perhaps its state."""

    @property
    def most(self) -> int:
        """The most pauses of a call; 0 where the program does not pause."""

    def begin(self, count: int) -> None:
        """Forget what was taken, and make room for so many pauses."""

    def take(self) -> None:
        """Take what is to be taken now."""

    def outputs(self, count: int) -> list[Array]:
        """The outputs of the first passes; see Repeated."""

    def state(self, pause: int) -> dict[str, Array]:
        """The program's state at a pause, as it reads."""


def pauses_of(program: NativeProgram, passes: Repeated, *, states: bool) -> Pauses | None:
    """The pauses of a program; None where its steps are done elsewhere than the passes.

    Args:
        program: the one to run.
        passes: the forward pass of each pause.
        states: whether states are taken.
    """
    rowwise = passes.rowwise
    if isinstance(rowwise, NativeRows):
        return NativePauses(program, passes, rowwise, states=states)
    if isinstance(program, DeviceProgram) and program.device == rowwise.device:
        return DevicePauses(program, passes, rowwise, states=states)
    return None


class NativePauses:
    """See Pauses."""

    def __init__(
        self, program: NativeProgram, passes: Repeated, native: NativeRows, *, states: bool
    ) -> None:
        self._program, self._passes, self._keeps = program, passes, states
        self._pass = NativePass(passes, native)
        self._states: list[tuple[Memory, int]] = []

    @property
    def most(self) -> int:
        """See Pauses."""
        runner = self._program.pausing
        if runner is None:
            return 0
        each = len(runner.state_memory.block) * self._keeps
        return MOST_BYTES // max(each, 1)

    def begin(self, count: int) -> None:
        """See Pauses."""
        runner = self._program.pausing
        assert runner is not None
        self._runner: TunedRunner = runner
        self._states = []
        self._pass.begin(runner, count)

    def take(self) -> None:
        """See Pauses."""
        self._pass.take()
        if self._keeps:
            memory, parity = self._runner.state_memory, self._runner.parity
            self._states.append((Memory(memory.block.copy(), memory.places), parity))

    def outputs(self, count: int) -> list[Array]:
        """See Pauses."""
        return self._passes.finished(self._pass.found(count))

    def state(self, pause: int) -> dict[str, Array]:
        """See Pauses."""
        memory, parity = self._states[pause]
        return self._program.read(
            {name: np.array(memory.view(x, parity)) for name, x in self._runner.names.items()}
        )


class DevicePauses:
    """See Pauses: launched on the device with the steps, and read at the last pause of a call."""

    def __init__(
        self, program: DeviceProgram, passes: Repeated, rows: DeviceRows, *, states: bool
    ) -> None:
        self._program, self._passes, self._computes = program, passes, rows
        self._keeps, self._count, self._begun = states, 0, False
        self._pass: Following | None = None
        self._found: list[Array] = []
        self._states: list[dict[str, Array]] = []

    @property
    def most(self) -> int:
        """See Pauses."""
        runner, rows = self._program.there, len(self._passes.rows)
        if runner is None or not runner.has_room(2 * self._computes.size(self._passes.arrays)):
            return 0
        state = runner.state_bytes * self._keeps
        results = self._computes.result_size * rows
        return min(MOST_BYTES // max(state, 1), MOST_RESULTS // max(results, 1))

    def begin(self, count: int) -> None:
        """See Pauses. The room is made in the first pause, where errors of the device are told."""
        self._count, self._begun = count, False

    def take(self) -> None:
        """See Pauses."""
        from chainrule.backend.gpu.run.following import Following  # noqa: PLC0415  (for devices alone)

        runner, passes = self._program.there, self._passes
        assert runner is not None
        if self._pass is None or self._pass.program is not runner:
            code = self._computes.code()
            rows = np.ascontiguousarray(passes.rows, np.int64)
            data = self._computes.data(passes.arrays)
            self._pass = Following(runner, code, passes.values, data, rows)
        if not self._begun:
            self._pass.begin(self._count, states=self._keeps)
            self._begun = True
        if self._pass.take():
            self._read()

    def _read(self) -> None:
        assert self._pass is not None
        self._found, self._states = self._pass.results(), self._pass.states()

    def outputs(self, count: int) -> list[Array]:
        """See Pauses."""
        made = self._found[: len(self._passes.made)]
        return self._passes.finished([x[:count] for x in made])

    def state(self, pause: int) -> dict[str, Array]:
        """See Pauses."""
        return self._program.read(self._states[pause])
