"""Checks of the arrays that steps read, which code trusts: the data, and what each step brings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.errors import FeedError
from chainrule.ir.kernel import Buffer

Array = npt.NDArray[Any]


def data_array(buffers: Mapping[str, Buffer], name: str, array: npt.ArrayLike) -> Array:
    """The array of a data buffer, contiguous, rows first; copied where its layout must change.

    Raises:
        FeedError: there is no such buffer, or the shape does not fit.
    """
    if name not in buffers:
        raise FeedError("native", "no data buffer has this name", expected=[*buffers], got=name)
    buffer = buffers[name]
    laid_out = np.ascontiguousarray(array, buffer.dtype)
    if laid_out.ndim != len(buffer.shape) or laid_out.shape[1:] != tuple(buffer.shape[1:]):
        want = buffer.shape
        raise FeedError("native", "an array does not fit", expected=want, got=laid_out.shape)
    return laid_out


def check_rows(
    names: Iterable[str], bound: Mapping[str, Array], index: Array, ends: Array, limit: int
) -> None:
    """Raise FeedError where steps would read what is not there.

    Args:
        names: of the data buffers.
        bound: their arrays.
        index: the rows of all steps.
        ends: where those of each begin, and the end of the last.
        limit: the rows that a step may have.
    """
    fits = len(ends) and ends[0] >= 0 and ends[-1] <= len(index)
    if not fits or _largest(ends[1:] - ends[:-1]) > limit:
        raise FeedError("native", "steps do not fit the rows", expected=limit, got=ends)
    largest = _largest(index)
    for name in names:
        if name not in bound:
            raise FeedError("native", "a data buffer has no array", got=name)
        have = len(bound[name])
        if len(index) and largest >= have:
            available, got = f"0 to {have - 1}", f"{index.min()} to {index.max()}"
            raise FeedError("native", "no such row", expected=available, got=got)


def step_array(buffer: Buffer, inputs: Mapping[str, npt.ArrayLike], steps: int) -> Array:
    """The array of a step buffer, (steps, ...), or one value for all steps. Raises FeedError."""
    if buffer.name not in inputs:
        raise FeedError("native", "an input of the step is missing", got=buffer.name)
    array = np.asarray(inputs[buffer.name], buffer.dtype, order="C")
    shape = tuple(buffer.shape)
    if array.shape not in (shape, (steps, *shape)):
        raise FeedError("native", "an input does not fit", expected=shape, got=array.shape)
    return array


def _largest(numbers: Array) -> int:
    """Of some int64; one below zero counts as huge."""
    return int(numbers.view(np.uint64).max(initial=0))
