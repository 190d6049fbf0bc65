"""Which rows make which minibatch: a function of seed and epoch alone."""

from __future__ import annotations

import numpy as np

from chainrule.program import Rows


def shuffle(rows: Rows, seed: int, epoch: int) -> Rows:
    """`rows` in the order of an epoch; the same in every version of NumPy."""
    key = np.array([seed & (2**64 - 1), epoch], np.uint64)
    words = np.random.Philox(key=key).random_raw(len(rows))
    return rows[np.argsort(words, kind="stable")]


def minibatches(rows: Rows, size: int) -> list[Rows]:
    """`rows` cut into pieces of `size`, in order; the last may be smaller."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
