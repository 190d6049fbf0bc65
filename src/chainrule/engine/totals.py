"""Values that a step takes from all training rows at once: the mean weight of a row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import Rows, all_rows
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array
from chainrule.passes.totals import means_of_rows


def with_means(
    graph: Graph, data: Mapping[str, Array], rows: Rows | None = None
) -> dict[str, Array]:
    """A data set with the inputs that its training step has besides those of the graph.

    Args:
        graph: contains the loss; not specialised.
        data: for each input of the graph its array.
        rows: of the training data; None: all.
    """
    means = means_of_rows(graph)
    if not means:
        return dict(data)
    totals = list(means)
    forward = Forward(Graph(totals, like=graph), totals, backend="interpreter")
    if rows is None:
        rows = all_rows(next(len(data[graph.name(x)]) for x in graph.inputs if x.batch))
    sums = forward({}, data, rows)
    return {**data} | {
        x.label: np.asarray(float(total) / len(rows), x.dtype)
        for x, total in zip(means.values(), sums, strict=True)
    }
