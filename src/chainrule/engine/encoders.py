"""Nodes that depend on the data alone, computed once for a data set."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chainrule.engine.forward import Forward
from chainrule.engine.split import SplitStep
from chainrule.errors import FeedError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation
from chainrule.graph.step import STEP_INPUTS
from chainrule.interpret import place
from chainrule.ops.index import checked
from chainrule.ops.shape import RESHAPE
from chainrule.passes.hoist import by_examples
from chainrule.passes.ranges import Choice, choices


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
        decided = [x for x in choices(graph) if x.indices in from_data]
        given = [(x, _given(x.indices)) for x in decided]
        self._choices = [x for x, y in given if y is None]
        self._given = [(x, graph.name(y)) for x, y in given if y is not None]
        wanted = [*split.encoders.values(), *(x.indices for x in self._choices)]
        self._forward = Forward(Graph(wanted, like=graph), wanted, backend="interpreter")
        self._needed = self._forward.inputs

    def __call__(self, data: Mapping[str, Array]) -> Mapping[str, Array]:
        """The data set with the encoded arrays added.

        Raises:
            FeedError: an index is out of range.
        """
        for choice, name in self._given:
            _check(choice, data[name])
        if not self._needed:
            return data
        rows = len(data[self._needed[0]])
        arrays = self._forward({}, data, np.arange(rows))
        for choice, indices in zip(self._choices, arrays[len(self._names) :], strict=True):
            _check(choice, indices)
        return {**data, **dict(zip(self._names, arrays, strict=False))}


def _check(choice: Choice, indices: Array) -> None:
    """Raises FeedError, naming the node, where an index is out of range."""
    try:
        checked(choice.node.op.name, indices, choice.size)
    except FeedError as error:
        raise error.within(place(choice.node)) from None


def _given(indices: Node) -> Input | None:
    """The input that has just these indices; None where they are computed."""
    while isinstance(indices, Operation) and indices.op is RESHAPE:
        indices = indices.operands[0]
    return indices if isinstance(indices, Input) else None
