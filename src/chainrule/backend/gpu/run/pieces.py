"""Steps that take long: a few groups of a launch at a time, so that Ctrl-C ends them soon."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from chainrule.backend.gpu.emit.dialect import FRAME
from chainrule.backend.gpu.run.driver import Launched, Memory, Session
from chainrule.system.signals import interrupt_waits

LONG = 0.1
"""Seconds of a step that is done in pieces."""

MUCH = 2**27
"""Operations of a step that is done in pieces until it is known how long it takes."""

PIECE = 0.05
"""Seconds of a piece, about."""

GROWTH = 8
"""A piece has at most so many times the groups of the one before."""


class Pieces:
    """Does steps piece by piece, and waits for each of them.

    Some systems also end a launch on a graphics processor that takes more than two seconds, as the
    screen waits for it.

    Args:
        session: of the device.
        frame: of the program.
    """

    def __init__(self, session: Session, frame: Memory) -> None:
        self._session, self._frame = session, frame
        self._sizes: dict[int, int] = {}

    def step(self, launches: Sequence[Launched], whole: int) -> bool:
        """Do a step; returns whether it is done: else Ctrl-C came up.

        Args:
            launches: of the step.
            whole: the launch that is not done alone, as all that follow: they put rows in place.
        """
        for number, (function, groups, items) in enumerate(launches):
            done = 0
            while done < groups:
                if (number, done) <= (whole, 0) and interrupt_waits():
                    return False
                size = min(self._sizes.get(number, 1), groups - done)
                begun = time.perf_counter()
                self._base(done)
                self._session.launch(function, size, items)
                self._wait()
                pace = size / max(time.perf_counter() - begun, 1e-9)
                self._sizes[number] = max(1, min(int(PIECE * pace), GROWTH * size))
                done += size
        return True

    def _base(self, group: int) -> None:
        """Let the next launch begin with a group."""
        word = np.array([group], np.int64)
        self._session.write(self._frame, word, 8 * FRAME.index("base"))

    def _wait(self) -> None:
        """Wait until what was launched is done."""
        self._session.read(self._frame, np.empty(1, np.int64))
