"""`run`: the values of all nodes on some examples, as a Trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from chainrule.errors import FeedError, did_you_mean
from chainrule.explain.trace import Trace
from chainrule.graph.check import check
from chainrule.graph.feeds import as_feed, bind
from chainrule.graph.graph import Graph
from chainrule.graph.keys import step_key
from chainrule.graph.node import Array, Node
from chainrule.graph.step import KEY, RATE, STEP_INDEX, STEP_INPUTS
from chainrule.interpret import initial_value


def run(
    outputs: Node | Iterable[Node],
    feeds: Mapping[str, npt.ArrayLike],
    *,
    values: Mapping[str, npt.ArrayLike] | None = None,
    training: bool = False,
    seed: int = 0,
    step: int = 0,
    like: Graph | None = None,
) -> Trace:
    """Computes `outputs` for some examples and keeps the value of every node.

    Args:
        outputs: one node or several.
        feeds: the array of each Input by name, with the rows on the first axis.
        values: values of Parameters by name; the others have their initial values.
        training: whether the graph runs in training mode, with dropout.
        seed, step: for the random nodes.
        like: a graph whose names are kept.

    Raises:
        FeedError: the arrays do not match the inputs, or `values` the parameters.
    """
    graph = check(Graph(outputs, like=like))
    names = {x: graph.name(x) for x in graph.inputs if x not in STEP_INPUTS}
    given, rows = bind(names, names, feeds)
    given[KEY] = step_key(seed, step)
    given[RATE], given[STEP_INDEX] = np.asarray(0.0), np.asarray(step + 1.0)
    given |= _parameters(graph, values or {}, like or graph, seed)
    # copies, since the caller may change its arrays later
    return Trace(graph, {x: value.copy() for x, value in given.items()}, rows, training)


def _parameters(
    graph: Graph, values: Mapping[str, npt.ArrayLike], like: Graph, seed: int
) -> dict[Node, Array]:
    """The given values of the parameters, or else their initial values."""
    names = {x: graph.name(x) for x in graph.parameters}
    known = dict.fromkeys([*names.values(), *map(like.name, like.parameters)])
    for name in values:
        if name not in known:
            raise FeedError(
                "values", f"no parameter is named {name!r}", fix=did_you_mean(name, known)
            )
    return {
        x: as_feed(f"parameter {name!r}", values[name], x.type)
        if name in values
        else initial_value(x, name, seed)
        for x, name in names.items()
    }
