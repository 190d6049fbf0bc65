"""Sums, means and maxima of vectors of which some count: of a bag's rows, of a sequence's steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.graph.node import Node, Scope
from chainrule.ops import reduce
from chainrule.ops.bounds import maximum
from chainrule.ops.build import cast
from chainrule.ops.compare import equal, not_equal, where
from chainrule.ops.shape import expand_dims

Combined = Callable[[Node, Node | None, Node | None, Scope | None], Node]


def _sum(rows: Node, counts: Node | None, factors: Node | None, scope: Scope | None) -> Node:
    """The sum of the rows that count, (N, length, width) -> (N, width)."""
    if factors is not None:
        rows = rows * expand_dims(factors, -1)
    elif counts is not None:
        rows = _kept(rows, counts, 0.0, scope)
    return reduce.sum(rows, axis=-2)


def _mean(rows: Node, counts: Node | None, factors: Node | None, scope: Scope | None) -> Node:
    """The mean of the rows that count, 0 where there are none, or their weights add up to 0."""
    if factors is not None:
        total = reduce.sum(factors, axis=-1, keepdims=True)
        none = equal(total, 0.0)
        return _sum(rows, counts, factors, scope) * where(none, 0.0, 1.0 / where(none, 1.0, total))
    if counts is None:
        return reduce.mean(rows, axis=-2)
    several = maximum(reduce.sum(counts, axis=-1, keepdims=True), 1)
    return _sum(rows, counts, None, scope) / cast(several, rows.dtype)


def _max(rows: Node, counts: Node | None, factors: Node | None, scope: Scope | None) -> Node:
    """The largest of each element of the rows that count, 0 where none does."""
    if counts is None:
        return reduce.max(rows, axis=-2)
    least = float(np.finfo(rows.dtype).min)
    largest = reduce.max(_kept(rows, counts, least, scope), axis=-2)
    some = reduce.sum(counts, axis=-1, keepdims=True)
    return where(not_equal(some, 0), largest, 0.0)


def _kept(rows: Node, counts: Node, fill: float, scope: Scope | None) -> Node:
    kept = where(expand_dims(counts, -1), rows, fill)
    return kept if scope is None else kept.within(scope, ".kept")


COMBINE: dict[str, Combined] = {"sum": _sum, "mean": _mean, "max": _max}
"""Functions of rows (N, length, width), of which count, None for all, and of their factors, None
for 1: they give (N, width). A factor of a row that does not count is 0, and a maximum takes none.
The rows that count, with a filling in place of others, are named `.kept` in a scope that is given.
"""
