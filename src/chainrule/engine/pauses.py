"""The pauses between epochs that run in one call: what is taken of the program there."""

from __future__ import annotations

import numpy as np

from chainrule.backend.cpu.layout import Memory
from chainrule.backend.cpu.run.tuned import TunedRunner
from chainrule.engine.native import NativeProgram
from chainrule.engine.repeated import Repeated
from chainrule.graph.node import Array

MOST_BYTES = 1 << 22
"""The most memory for the states that are taken in one call."""


class Pauses:
    """At every pause of a program, a forward pass and perhaps its state.

    Args:
        program: the one to run.
        forward: the pass.
        states: whether states are taken.
    """

    def __init__(self, program: NativeProgram, forward: Repeated, *, states: bool) -> None:
        self._program, self.forward, self._keeps = program, forward, states
        self._states: list[tuple[Memory, int]] = []

    @property
    def most(self) -> int:
        """The most pauses of a call; 0 where the program does not pause."""
        runner = self._program.pausing
        if runner is None:
            return 0
        each = len(runner.state_memory.block) * self._keeps
        return MOST_BYTES // max(each, 1)

    def begin(self, count: int) -> None:
        """Forget what was taken, and make room for so many pauses."""
        runner = self._program.pausing
        assert runner is not None
        self._runner: TunedRunner = runner
        self._states = []
        self.forward.begin(runner, count)

    def take(self) -> None:
        """Take what is to be taken now."""
        self.forward.take()
        if self._keeps:
            memory, parity = self._runner.state_memory, self._runner.parity
            self._states.append((Memory(memory.block.copy(), memory.places), parity))

    def state(self, pause: int) -> dict[str, Array]:
        """The program's state at a pause, as it reads."""
        memory, parity = self._states[pause]
        return self._program.read(
            {name: np.array(memory.view(x, parity)) for name, x in self._runner.names.items()}
        )
