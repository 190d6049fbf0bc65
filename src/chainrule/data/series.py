"""Finds dates that order a target: rows that follow each other have similar values of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column, Floats
from chainrule.data.columns.dates import dates_of
from chainrule.data.columns.encoder import number_form, numbers_of
from chainrule.data.leaks import correlation

MIN_ROWS, MIN_DATES = 50, 20
MIN_LIKENESS = 0.3
"""The correlation of a target with the one before, from which its rows are a time series."""
MIN_DEVIATIONS = 4.0
"""And the same in standard deviations of the correlation of independent rows."""


def orders(date: Column, label: Column, classes: bool) -> bool:
    """Whether rows that follow each other by date have similar targets: classes or numbers."""
    usable = np.flatnonzero(~(date.missing | label.missing))
    moments = dates_of(date.take(usable))
    known = ~np.isnat(moments)
    usable, moments = usable[known], moments[known]
    if len(usable) < MIN_ROWS or len(np.unique(moments)) < MIN_DATES:
        return False
    rows = label.take(usable[np.argsort(moments, kind="stable")])
    if classes:
        likeness = _of_classes(rows.labels()[0].astype(np.int64))
    else:
        values = numbers_of(rows, number_form(rows))[0]
        likeness = _of_numbers(values[np.isfinite(values)])
    return likeness > max(MIN_LIKENESS, MIN_DEVIATIONS / math.sqrt(len(usable)))


def _of_classes(codes: NDArray[np.int64]) -> float:
    """The excess over chance of rows whose class is that of the one before, at most 1."""
    chance = float(np.square(np.bincount(codes) / len(codes)).sum())
    return float((codes[1:] == codes[:-1]).mean() - chance) / max(1 - chance, 1e-9)


def _of_numbers(values: Floats) -> float:
    """The rank correlation of each number with the one before."""
    ranks = np.argsort(np.argsort(values, kind="stable")).astype(np.float64)
    return correlation(ranks[1:], ranks[:-1])
