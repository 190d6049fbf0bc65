"""The scales on which networks predict a number: standardised, or a logarithm on both sides."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from chainrule.data.columns.stats import Stats, spread_of
from chainrule.graph.graph import Graph
from chainrule.graph.leaves import input
from chainrule.graph.node import Array, Node
from chainrule.interpret import evaluate
from chainrule.ops.bounds import abs, clip, sign
from chainrule.ops.transcendental import expm1, log1p

MAX_QUARTILE_DISTANCES = 1e300
"""Bound of a target on a logarithmic scale, in quartile distances from the median."""

Scale = tuple[Callable[[Node], Node], Callable[[Node], Node]]
"""Functions from a number in the target's unit to the scaled one, and back."""


def target_scale(stats: Stats, scaling: str) -> Scale:
    """The scale "standard" or "log" of a target."""
    return (_log if scaling == "log" else _standard)(stats)


def on_scale(values: Array, stats: Stats, scaling: str) -> Array:
    """Numbers (n,) in the target's unit as networks predict them."""
    y = input("y", (), "float64")
    scaled = target_scale(stats, scaling)[0](y)
    return evaluate(Graph(scaled), {y: values}, rows=len(values), keep=(scaled,))[scaled]


def _standard(stats: Stats) -> Scale:
    """Mean 0 and standard deviation 1."""
    mean, std = stats.mean, stats.std or 1.0
    return lambda y: (y - mean) / std, lambda z: z * std + mean


def _log(stats: Stats) -> Scale:
    """sign(u) log(1 + |u|), with u in quartile distances from the median, then standardised.

    Mean and deviation are those of the inner quantiles, which are robust to outliers. Source:
    Hafner et al. 2023, symlog.
    """
    unit = spread_of(stats)
    u = (np.array(stats.quantiles[1:-1]) - stats.median) / unit
    inner = np.sign(u) * np.log1p(np.abs(u))
    log_far = math.log(MAX_QUARTILE_DISTANCES)
    mean, std = float(inner.mean()), float(inner.std()) or 1.0

    def forth(y: Node) -> Node:
        u = clip((y - stats.median) / unit, -MAX_QUARTILE_DISTANCES, MAX_QUARTILE_DISTANCES)
        return (sign(u) * log1p(abs(u)) - mean) / std

    def back(z: Node) -> Node:
        u = clip(z * std + mean, -log_far, log_far)
        return sign(u) * expm1(abs(u)) * unit + stats.median

    return forth, back
