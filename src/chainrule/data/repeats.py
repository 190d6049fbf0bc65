"""Finds rows of a table that occur in another one too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chainrule.data.blocks import Encoded
from chainrule.data.columns.target import ClassTarget
from chainrule.data.schema import Schema

MIN_ROOM = 7
"""Bits that the columns must have beyond those that number the rows: else rows repeat by chance."""


def repeated(schema: Schema, trained: Encoded, others: Encoded) -> NDArray[np.bool_]:
    """Whether each of some rows, with its target, is equal to one of the training rows, (n,).

    None is where the columns are too few to distinguish many rows.
    """
    target = schema.target
    answers = len(target.labels) if isinstance(target, ClassTarget) else len(trained)
    room = sum(np.log2(max(encoder.distinct, 1)) for encoder in schema.used) + np.log2(answers)
    if room < np.log2(len(trained)) + MIN_ROOM:
        return np.zeros(len(others), bool)
    return np.isin(_keys(others), _keys(trained))


def _keys(encoded: Encoded) -> NDArray[np.uint64]:
    """A number for each row, by its cells: equal rows have equal ones."""
    keys = np.zeros(len(encoded), np.uint64)
    columns = list(encoded.arrays.values())
    if encoded.target is not None:
        columns.append(encoded.target)
    for array in columns:
        for cells in array.reshape(len(keys), -1).T:
            exact = cells.astype(np.float64) + 0.0  # -0.0 becomes 0.0
            exact[np.isnan(exact)] = np.nan
            keys = mix(keys ^ exact.view(np.uint64))
    return keys


def mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One round of the splitmix64 finaliser (Steele, Lea, Flood 2014)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
