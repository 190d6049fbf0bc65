"""Finds rows of a table that occur in another one too."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from chainrule.data.blocks import Encoded
from chainrule.data.columns.target import ClassTarget
from chainrule.data.schema import Schema
from chainrule.data.shuffle import mix
from chainrule.display.format import counted

MAX_SAVED = 100_000
"""Rows up to which a model file has their keys."""
MIN_SHARE = 0.01
"""The share of rows that repeat training rows from which that is told."""
MIN_ROOM = 7
"""Bits that the columns must have beyond those that number the rows: else rows repeat by chance."""

Keys = NDArray[np.uint32]
"""A number for each row, by its cells and its target: equal rows have equal ones."""


def repeated(schema: Schema, trained: Keys, others: Encoded) -> NDArray[np.bool_]:
    """Whether each of some rows, with its target, is equal to one of the training rows, (n,).

    None is where the columns are too few to distinguish many rows.
    """
    target = schema.target
    answers = len(target.labels) if isinstance(target, ClassTarget) else len(trained)
    if alike_by_chance([*(encoder.distinct for encoder in schema.used), answers], len(trained)):
        return np.zeros(len(others), bool)
    return np.isin(keys_of(others), trained)


def alike_by_chance(distinct: Iterable[int], rows: int) -> bool:
    """Whether rows repeat by chance: columns of so many distinct values do not tell them apart."""
    room = sum(np.log2(max(values, 1)) for values in distinct)
    return bool(room < np.log2(max(rows, 1)) + MIN_ROOM)


def sentence(again: NDArray[np.bool_], rows: str) -> str:
    """'44 of 200 test rows (22 %) repeat a training row'; empty where only a few do.

    Args:
        rows: one of them in words, such as "test row".
    """
    if not len(again) or again.mean() < MIN_SHARE:
        return ""
    share = f"{100 * again.mean():.0f} %"
    return f"{again.sum():,} of {counted(len(again), rows)} ({share}) repeat a training row"


def keys_of(encoded: Encoded) -> Keys:
    """The keys of encoded rows, (n,): 32 bits, one in four billion pairs coincides by chance."""
    keys = np.zeros(len(encoded), np.uint64)
    columns = list(encoded.arrays.values())
    if encoded.target is not None:
        columns.append(encoded.target)
    for array in columns:
        if array.dtype == np.uint8:  # pictures: eight pixels at a time
            array = array.reshape(len(keys), -1)
            array = np.pad(array, ((0, 0), (0, -array.shape[1] % 8))).view(np.uint64)
            for words in array.T:
                keys = mix(keys ^ words)
            continue
        for cells in array.reshape(len(keys), -1).T:
            exact = cells.astype(np.float64) + 0.0  # -0.0 becomes 0.0
            exact[np.isnan(exact)] = np.nan
            keys = mix(keys ^ exact.view(np.uint64))
    return (keys >> np.uint64(32)).astype(np.uint32)


def as_text(keys: Keys) -> str:
    """Keys as text, for a file; empty where there are so many that it would be large."""
    few = keys if len(keys) <= MAX_SAVED else keys[:0]
    return base64.b64encode(few.astype("<u4").tobytes()).decode()


def from_text(text: object) -> Keys | None:
    """The keys that `as_text` wrote; None where it is empty. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError("keys of rows must be a text")
    return np.frombuffer(base64.b64decode(text, validate=True), "<u4") if text else None
