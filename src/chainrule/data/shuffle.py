"""Orders of rows at random: a function of seed and epoch alone."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from chainrule.system.checks import integer

Rows = NDArray[np.int64]


class _Stream(threading.local):
    """Random words by key, of a Philox for each thread: making one takes longer than setting it."""

    def __init__(self) -> None:
        self._philox = np.random.Philox(0)

    def words(self, key: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
        zeros = np.zeros(4, np.uint64)
        self._philox.state = {
            "bit_generator": "Philox", "state": {"counter": zeros, "key": key},
            "buffer": zeros, "buffer_pos": 4, "has_uint32": 0, "uinteger": 0,
        }  # fmt: skip
        return self._philox.random_raw(n)


_stream = _Stream()


def shuffled(n: int, seed: int, epoch: int = 0) -> Rows:
    """The numbers 0 to n - 1, shuffled by seed and epoch alone: the same in every NumPy."""
    key = np.array([integer("split", "seed", seed, 0) & (2**64 - 1), epoch], np.uint64)
    words = _stream.words(key, n)
    number = np.uint64(2 ** max(n - 1, 1).bit_length() - 1)  # the low bits hold a row's number:
    words &= ~number
    words |= np.arange(n, dtype=np.uint64)
    words.sort()  # faster than argsort
    words &= number
    return words.view(np.int64)


def drawn(rows: int, draws: int, seed: int) -> Rows:
    """The numbers, ascending, of rows drawn at random so many times, each once."""
    found = np.random.Generator(np.random.Philox(seed)).integers(0, rows, draws)
    return np.unique(found)


def mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One round of the splitmix64 finaliser (Steele, Lea, Flood 2014)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
