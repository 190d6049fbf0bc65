"""The generators of the embedded point sets `xor`, `moons` and `spiral`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import RandomState

Points = tuple[np.ndarray, np.ndarray]


def xor_points(random: RandomState, rows: int = 400, noise: float = 0.15) -> Points:
    """Clouds at the four corners of the unit square, labelled by the corner's exclusive or."""
    row = np.arange(rows)
    corner = np.stack([row // 2 % 2, row % 2], axis=1)  # (n, 2): 00 01 10 11 00 ...
    x = corner + noise * random.standard_normal((rows, 2))
    return x, corner.sum(axis=1) % 2


def moon_points(random: RandomState, rows: int = 400, noise: float = 0.12) -> Points:
    """Two interleaving half circles of radius 1: label 0 the upper, 1 the lower."""
    label = np.arange(rows) % 2
    angle = np.pi * random.random_sample(rows)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(label[:, None] == 0, upper, [1.0, 0.5] - upper)
    return x + noise * random.standard_normal((rows, 2)), label


def spiral_points(random: RandomState, rows: int = 600, noise: float = 0.2) -> Points:
    """Three arms from the origin to radius 1, each turning by 4 radians."""
    label = np.arange(rows) % 3
    radius = random.random_sample(rows)
    angle = 4.0 * radius + 2.0 * np.pi / 3.0 * label + noise * random.standard_normal(rows)
    return radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1), label


MAKERS: dict[str, Callable[[RandomState], Points]] = {
    "xor": xor_points,
    "moons": moon_points,
    "spiral": spiral_points,
}


def toy_csv(name: str) -> str:
    """The text of the embedded file `name`.csv: columns x1, x2, label, in shuffled rows.

    `RandomState` is NumPy's frozen generator: its numbers never change between versions.
    """
    random = RandomState(20240501)
    x, label = MAKERS[name](random)
    rows = (f"{x[i, 0]:.4f},{x[i, 1]:.4f},{label[i]}\n" for i in random.permutation(len(x)))
    return "x1,x2,label\n" + "".join(rows)
