"""Values that a step takes from all training rows at once: the mean weight of a row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import Rows, all_rows
from chainrule.engine.nonfinite import not_finite
from chainrule.errors import NotFinite
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node
from chainrule.interpret import evaluate
from chainrule.passes.totals import means_of_rows


def with_means(
    graph: Graph, data: Mapping[str, Array], rows: Rows | None = None, step: int = 1
) -> dict[str, Array]:
    """A data set with the inputs that its training step has besides those of the graph.

    Args:
        graph: contains the loss; not specialised.
        data: for each input of the graph its array.
        rows: of the training data; None: all.
        step: the number of the first step.

    Raises:
        NotFinite: the weight of a row is NaN or infinite.
    """
    means = means_of_rows(graph)
    if not means:
        return dict(data)
    totals = list(means)
    forward = Forward(Graph(totals, like=graph), totals, backend="interpreter")
    if rows is None:
        rows = all_rows(next(len(data[graph.name(x)]) for x in graph.inputs if x.batch))
    sums = forward({}, data, rows)
    for total, value in zip(totals, sums, strict=True):
        if not np.isfinite(value):
            raise _not_finite(Graph(total, like=graph), total, data, rows, step)
    return {**data} | {
        x.label: np.asarray(float(total) / len(rows), x.dtype)
        for x, total in zip(means.values(), sums, strict=True)
    }


def _not_finite(
    graph: Graph, total: Node, data: Mapping[str, Array], rows: Rows, step: int
) -> NotFinite:
    """The error that names the row whose weight is not finite."""
    named = {x: data[graph.name(x)] for x in graph.inputs}
    known: dict[Node, Array] = {x: y[rows] if x.batch else y for x, y in named.items()}
    env = evaluate(graph, known, rows=len(rows), training=True)
    return not_finite(graph, env, step=step, rows=rows, loss=total)
