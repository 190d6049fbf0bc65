"""Scores of predictions and learners: errors, means, standard errors, ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
LEAST = 1e-7
"""The least probability, so that one confident mistake does not make a mean infinite."""


def scores(predicted: Array, truth: Array, labels: Array | None) -> tuple[float, float | None]:
    """The error and the log loss.

    Args:
        predicted: probabilities (n, classes), or numbers (n,).
        truth: classes or numbers (n,).
        labels: the classes (classes,) of the columns; None for numbers.

    Returns:
        The share of rows that are not of the most probable class, and the mean of -log of the
        true class's probability; for numbers the root of the mean squared error, and None.
    """
    if labels is None:
        return float(np.sqrt(np.mean((predicted - truth) ** 2))), None
    names = {str(label): k for k, label in enumerate(labels)}
    codes = np.array([names.get(str(x), -1) for x in truth])  # -1: a class that was never seen
    wrong = predicted.argmax(axis=1) != codes
    given = np.where(codes < 0, 0.0, predicted[np.arange(len(codes)), codes])
    return float(wrong.mean()), float(-np.log(np.clip(given, LEAST, 1)).mean())


def mean_and_error(samples: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and its standard error if there are two samples or more."""
    error = stdev(samples) / sqrt(len(samples)) if len(samples) > 1 else None
    return fmean(samples), error


def ranks(values: Mapping[str, float]) -> dict[str, float]:
    """The rank of each by size, least first, from 1; ties share the mean of their ranks."""
    ordered = sorted(values.values())
    return {
        name: ordered.index(x) + (ordered.count(x) + 1) / 2  # .index counts from 0
        for name, x in values.items()
    }
