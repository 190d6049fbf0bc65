"""The arrays that steps read: the data, and what each step brings; native code trusts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from chainrule.backend.feeding import check_rows, data_array, step_array
from chainrule.ir.kernel import Buffer

Array = npt.NDArray[Any]


class Given:
    """The arrays of a runner's data and step buffers, in the words of its frame.

    Args:
        buffers: with their words in the frame.
        word: those of the frame.

    Attributes:
        data: name and word of each data buffer.
        step: the buffers that each step brings, with their words.
    """

    def __init__(self, buffers: Mapping[Buffer, int], word: Any) -> None:
        self._buffers = {b.name: b for b in buffers if b.space == "data"}
        self.data = [(name, buffers[b]) for name, b in self._buffers.items()]
        self.step = [(b, slot) for b, slot in buffers.items() if b.space == "step"]
        self._word = word
        self._bound: dict[str, Array] = {}

    def bind(self, name: str, array: npt.ArrayLike) -> None:
        """Give a data buffer its array; see `Runner.bind`."""
        self._bound[name] = laid_out = data_array(self._buffers, name, array)
        self._word[dict(self.data)[name]] = laid_out.ctypes.data

    def release(self) -> None:
        """Let go of the data."""
        self._bound = {}

    def check(self, index: Array, ends: Array, limit: int) -> None:
        """Raise FeedError where steps of these rows would read what is not there.

        Args:
            index: the rows of all steps.
            ends: where those of each begin, and the end of the last.
            limit: the rows that a step may have.
        """
        check_rows(self._buffers, self._bound, index, ends, limit)

    def bring(self, step_inputs: Mapping[str, npt.ArrayLike], steps: int) -> list[Array]:
        """The arrays of the step buffers, which have to live until the steps are done.

        Args:
            step_inputs: by name, (steps, ...), or one value for all steps.
            steps: their number.
        """
        return [self._brought(b, slot, step_inputs, steps) for b, slot in self.step]

    def _brought(
        self, buffer: Buffer, slot: int, step_inputs: Mapping[str, npt.ArrayLike], steps: int
    ) -> Array:
        array = step_array(buffer, step_inputs, steps)
        self._word[slot] = array.ctypes.data
        same = array.shape == tuple(buffer.shape)
        self._word[slot + 1] = 0 if same else array.nbytes // max(steps, 1)
        return array
