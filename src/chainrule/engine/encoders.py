"""Nodes that depend on the data alone, computed once for a data set."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chainrule.engine.forward import Forward
from chainrule.engine.split import SplitStep
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array
from chainrule.graph.step import STEP_INPUTS
from chainrule.ops.index import checked
from chainrule.passes.hoist import by_examples
from chainrule.passes.ranges import choices


class PrecomputedInputs:
    """The part of a step that depends on the data alone, computed for a whole data set.

    Args:
        split: the step; its encoders read inputs and constants only.

    Indices that the data decide are checked here: machine code does not check those of a gather.
    """

    def __init__(self, split: SplitStep) -> None:
        graph = split.full.graph
        self._names = list(split.encoders)
        from_data = by_examples(graph, STEP_INPUTS)
        self._choices = [x for x in choices(graph) if x.indices in from_data]
        wanted = [*split.encoders.values(), *(x.indices for x in self._choices)]
        self._forward = Forward(Graph(wanted, like=graph), wanted, backend="interpreter")

    def __call__(self, data: Mapping[str, Array]) -> Mapping[str, Array]:
        """The data set with the encoded arrays added.

        Raises:
            FeedError: an index is out of range.
        """
        if not self._forward.inputs:
            return data
        rows = len(data[self._forward.inputs[0]])
        arrays = self._forward({}, data, np.arange(rows))
        for choice, indices in zip(self._choices, arrays[len(self._names) :], strict=True):
            checked(choice.name, indices, choice.size)
        return {**data, **dict(zip(self._names, arrays, strict=False))}
