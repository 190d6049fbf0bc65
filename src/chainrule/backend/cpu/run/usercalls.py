"""The calls of a user's ops between the parts of a step, on arrays in the step's own memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import numpy.typing as npt

from chainrule.backend.cpu.layout import Memory
from chainrule.backend.cpu.run.orders import Part
from chainrule.plan.plan import UserCall
from chainrule.types import N

Array = npt.NDArray[Any]

Function: TypeAlias = Callable[[Sequence[Array], int], Array]
"""Takes the operands, as they lie in memory, and the number of rows; makes the result."""

MOST = 64
"""Numbers of rows whose arrays are kept."""


class UserCalls:
    """The calls of a plan.

    Args:
        calls: as the plan has them.
        phases: the number of its phases.
        memory: of the plan.

    Attributes:
        functions: what is called, one for each.
        around: entered for the time of each call.
        parts: the parts of a step, each followed by the calls with these numbers.
        error: what the last call raised; None where it did not.
    """

    def __init__(self, calls: Sequence[UserCall], phases: int, memory: Memory) -> None:
        self._calls, self._memory = calls, memory
        ends = sorted({x.phase for x in calls} | {phases})
        self.parts: list[tuple[Part, list[int]]] = [
            ((first, end), [k for k, x in enumerate(calls) if x.phase == end])
            for first, end in zip([0, *ends], ends, strict=False)
        ]
        self.functions: Sequence[Function] = ()
        self.around: AbstractContextManager[object] = nullcontext()
        self.error: BaseException | None = None
        self._known: dict[int, list[tuple[list[Array], Array]]] = {}

    def make(self, numbers: Sequence[int], rows: int) -> bool:
        """Make some of the calls for so many rows; returns whether none raised an error."""
        arrays = self._known.get(rows)
        if arrays is None:
            arrays = self._arrays(rows)
        for k in numbers:
            operands, result = arrays[k]
            try:
                with self.around:
                    made = self.functions[k](operands, rows)
                result[...] = made
            except BaseException as error:
                self.error = error
                return False
        return True

    def _arrays(self, rows: int) -> list[tuple[list[Array], Array]]:
        """The operands and the result of each call, for so many rows, where they lie."""

        def first(buffer: Any) -> Array:
            view: Array = self._memory.view(buffer)
            part = tuple(slice(rows if d is N else None) for d in buffer.shape)
            return view[part] if part else view

        if len(self._known) >= MOST:
            self._known.clear()
        made = [([first(x) for x in call.operands], first(call.result)) for call in self._calls]
        self._known[rows] = made
        return made
