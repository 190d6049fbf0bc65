"""Tells what mirroring does to pictures: whether it can be seen, and whether it changes classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

COMPARED, FEWEST = 2_000, 60
"""Pictures that are compared with their mirror images, and the fewest that tell something."""
SIDE = 16
"""Pixels of a side of which a linear rule takes some, at most about twice as many."""


def mirror_share(pictures: NDArray[Any]) -> float:
    """The share of pictures (n, h, w, c) that a linear rule tells from their mirror images.

    The rule is learned from every second one of a sample, and tried on the others. Where left and
    right mean the same, as in most photos, it is near 0.5; letters and digits are told almost
    always. 1.0 where there are too few to know.
    """
    grey = _sample(pictures)
    if len(grey) < FEWEST or grey.shape[2] < 2:
        return 1.0
    apart = (grey - grey[:, :, ::-1])[:, :, : grey.shape[2] // 2].reshape(len(grey), -1)
    rule = _ridge(apart[::2], np.ones((len(apart[::2]), 1)))
    return float((apart[1::2] @ rule > 0).mean())


def swapped_share(pictures: NDArray[Any], classes: NDArray[Any]) -> float:
    """The share of pictures (n, h, w, c) whose class a linear rule tells no more once mirrored.

    It is learned from every second one of a sample, and tried on the others, as they are and
    mirrored. Two standard errors are taken off, so that it is 0 where chance explains it.

    Args:
        classes: a code for each picture, (n,).
    """
    grey, codes = _sample(pictures), classes[:: _step(pictures)]
    if len(grey) < FEWEST:
        return 0.0
    truth = np.eye(int(codes.max()) + 1)[codes]
    level, mean = grey[::2].mean(axis=0), truth[::2].mean(axis=0)
    rule = _ridge(_flat(grey[::2] - level), truth[::2] - mean)
    plain, mirrored = (
        float(((_flat(x - level) @ rule + mean).argmax(axis=1) == codes[1::2]).mean())
        for x in (grey[1::2], grey[1::2, :, ::-1])
    )
    return max(plain - mirrored - 2 * math.sqrt(0.5 / len(codes[1::2])), 0.0)


def _step(pictures: NDArray[Any]) -> int:
    return max(-(-len(pictures) // COMPARED), 1)


def _sample(pictures: NDArray[Any]) -> Numbers:
    """Some pictures (m, h, w), grey and with fewer pixels."""
    some = pictures[:: _step(pictures)]
    step = max(some.shape[1] // SIDE, some.shape[2] // SIDE, 1)
    return np.asarray(some[:, ::step, ::step].mean(axis=-1, dtype=np.float64))


def _flat(x: Numbers) -> Numbers:
    return x.reshape(len(x), -1)


def _ridge(x: Numbers, y: Numbers) -> Numbers:
    """The weights (i, o) of a linear rule from x (n, i) to y (n, o), by ridge regression."""
    inner = x.T @ x
    inner[np.diag_indices(len(inner))] += 0.1 * np.trace(inner) / len(inner) + 1e-6
    return np.asarray(np.linalg.solve(inner, x.T @ y))
