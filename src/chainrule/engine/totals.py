"""Values that a step takes from all training rows at once: the mean weight of a row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import Rows, all_rows, numbers_of
from chainrule.engine.nonfinite import not_finite
from chainrule.errors import NotFinite
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node
from chainrule.interpret import evaluate
from chainrule.passes.totals import means_of_rows

BLOCK = 1 << 16
"""Rows that are summed at a time where rows are taken block by block."""


def with_means(
    graph: Graph,
    data: Mapping[str, Array],
    rows: Rows | None = None,
    step: int = 1,
    *,
    in_blocks: bool = False,
) -> dict[str, Array]:
    """A data set with the inputs that its training step has besides those of the graph.

    Args:
        graph: contains the loss; not specialised.
        data: for each input of the graph its array.
        rows: of the training data; None: all.
        step: the number of the first step.
        in_blocks: whether rows are summed block by block, as those of a stream are.

    Raises:
        NotFinite: the weight of a row is NaN or infinite.
    """
    if not means_of_rows(graph):
        return dict(data)
    if rows is None:
        rows = all_rows(next(len(data[graph.name(x)]) for x in graph.inputs if x.batch))
    size = BLOCK if in_blocks else max(len(rows), 1)
    parts = ((data, rows[k : k + size]) for k in range(0, len(rows), size))
    return {**data, **means(graph, parts, step)}


def means(
    graph: Graph, parts: Iterable[tuple[Mapping[str, Array], Rows]], step: int = 1
) -> dict[str, Array]:
    """The inputs that a training step has besides those of the graph, which `with_means` adds.

    parts: data sets with rows of them, which together are the training data.

    Raises:
        NotFinite: the weight of a row is NaN or infinite.
    """
    found = means_of_rows(graph)
    if not found:
        return {}
    totals = list(found)
    forward = Forward(Graph(totals, like=graph), totals, backend="interpreter")
    sums: list[list[float]] = [[] for _ in totals]
    count = 0
    for data, rows in parts:
        for total, value, terms in zip(totals, forward({}, data, rows), sums, strict=True):
            if not np.isfinite(value):
                raise _not_finite(Graph(total, like=graph), total, data, rows, step)
            terms.append(float(value))
        count += len(rows)
    return {
        x.label: np.asarray(math.fsum(terms) / count, x.dtype)
        for x, terms in zip(found.values(), sums, strict=True)
    }


def _not_finite(
    graph: Graph, total: Node, data: Mapping[str, Array], rows: Rows, step: int
) -> NotFinite:
    """The error that names the row whose weight is not finite."""
    named = {x: data[graph.name(x)] for x in graph.inputs}
    known: dict[Node, Array] = {x: y[rows] if x.batch else y for x, y in named.items()}
    env = evaluate(graph, known, rows=len(rows), training=True)
    return not_finite(graph, env, step=step, rows=numbers_of(data, rows), loss=total)
