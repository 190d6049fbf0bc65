"""The arrays that steps read: the data, and what each step brings; native code trusts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.errors import FeedError
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
        if name not in self._buffers:
            raise FeedError(
                "native", "no data buffer has this name", expected=[*self._buffers], got=name
            )
        buffer = self._buffers[name]
        laid_out = np.ascontiguousarray(array, buffer.dtype)
        if laid_out.ndim != len(buffer.shape) or laid_out.shape[1:] != tuple(buffer.shape[1:]):
            want = buffer.shape
            raise FeedError("native", "an array does not fit", expected=want, got=laid_out.shape)
        self._bound[name] = laid_out
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
        fits = len(ends) and ends[0] >= 0 and ends[-1] <= len(index)
        if not fits or _largest(ends[1:] - ends[:-1]) > limit:
            raise FeedError("native", "steps do not fit the rows", expected=limit, got=ends)
        largest = _largest(index)
        for name, _ in self.data:
            if name not in self._bound:
                raise FeedError("native", "a data buffer has no array", got=name)
            have = len(self._bound[name])
            if len(index) and largest >= have:
                available, got = f"0 to {have - 1}", f"{index.min()} to {index.max()}"
                raise FeedError("native", "no such row", expected=available, got=got)

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
        if buffer.name not in step_inputs:
            raise FeedError("native", "an input of the step is missing", got=buffer.name)
        array = np.asarray(step_inputs[buffer.name], buffer.dtype, order="C")
        shape = tuple(buffer.shape)
        if array.shape not in (shape, (steps, *shape)):
            raise FeedError("native", "an input does not fit", expected=shape, got=array.shape)
        self._word[slot] = array.ctypes.data
        self._word[slot + 1] = 0 if array.shape == shape else array.nbytes // max(steps, 1)
        return array


def _largest(numbers: Array) -> int:
    """Of some int64; one below zero counts as huge."""
    return int(numbers.view(np.uint64).max(initial=0))
