"""Keys of random numbers, from the seed, the step, and the name of the node."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from chainrule.graph.node import Array


def step_key(seed: int, step: int) -> Array:
    """The value of `step.key`, which determines the random numbers of one step."""
    words: Array = step_keys(seed, np.array([step]))[0]
    return words


def step_keys(seed: int, steps: npt.NDArray[np.int64]) -> Array:
    """The values of `step.key` for several steps, (steps, 3)."""
    low = 2**32 - 1
    keys = np.empty((len(steps), 3), np.uint32)
    keys[:, 0], keys[:, 1], keys[:, 2] = seed & low, seed >> 32 & low, steps & low
    return keys


def stream_id(name: str) -> int:
    """The number of the random stream of the node of that name."""
    return zlib.crc32(name.encode())
