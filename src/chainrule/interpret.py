"""The interpreter: the meaning of a graph, in NumPy, one node after another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.keys import stream_id
from chainrule.graph.node import Array, Node, Operation, Parameter
from chainrule.types import N, resolve


class EvalSchedule:
    """A graph as a flat list of calls with liveness: a value is freed after its last use.

    Args:
        graph: what to compute.
        keep: the nodes whose values are wanted; values of others are dropped after their last
            use. None keeps all.

    What depends on constants alone is computed here, once.
    """

    def __init__(self, graph: Graph, keep: Iterable[Node] | None = None) -> None:
        self._graph = graph
        last_use: dict[Node, Node] = {x: node for node in graph for x in node.inputs}
        wanted = set(graph if keep is None else keep)
        self._fixed: dict[Node, Array] = {}
        self._calls: list[tuple[Operation, dict[str, Any], frozenset[str], list[Node]]] = []
        for node in graph.operations:
            attributes = dict(node.attributes)
            if "stream" in attributes:
                attributes["stream"] = stream_id(graph.name(node))
            open_ = frozenset(_OPEN & attributes.keys())
            if "shape" in open_ and N not in attributes["shape"]:
                open_ -= {"shape"}
            if not open_ and all(x in self._fixed for x in node.operands):
                with np.errstate(all="ignore"):
                    self._fixed[node] = _call(node, self._fixed, attributes)
                continue
            ended = [x for x in dict.fromkeys(node.operands) if last_use[x] is node]
            freed = [x for x in ended if x not in wanted]
            self._calls.append((node, attributes, open_, freed))

    def run(
        self, known: Mapping[Node, Array], *, rows: int = 0, training: bool = False
    ) -> dict[Node, Array]:
        """The values of the nodes to keep, at least.

        Args:
            known: of the inputs and parameters, and of any other nodes already computed.
            rows: the length of the batch axis N.
            training: which side `when_training` takes.
        """
        env = {**self._fixed, **known}
        with np.errstate(all="ignore"):
            for node, attributes, open_, freed in self._calls:
                if node in env:
                    continue
                if open_:
                    attributes = attributes.copy()
                    if "shape" in open_:
                        attributes["shape"] = resolve(attributes["shape"], rows)
                    if "training" in open_:
                        attributes["training"] = training
                env[node] = _call(node, env, attributes)
                for operand in freed:
                    env.pop(operand, None)
        return env


_OPEN = frozenset(("shape", "training"))
"""The attributes that only a run completes."""


def _call(node: Operation, env: Mapping[Node, Array], attributes: Mapping[str, Any]) -> Array:
    return np.asarray(node.op.forward(*[env[x] for x in node.operands], **attributes))


def evaluate(
    graph: Graph,
    known: Mapping[Node, Array],
    *,
    rows: int = 0,
    training: bool = False,
    keep: Iterable[Node] | None = None,
) -> dict[Node, Array]:
    """The value of every node of `graph`, or of those to keep. See EvalSchedule."""
    return EvalSchedule(graph, keep).run(known, rows=rows, training=training)


def initial_value(parameter: Parameter, name: str, seed: int = 0) -> Array:
    """A parameter's first value: its array, or a draw that depends on seed and name alone.

    Args:
        parameter: the node.
        name: its name in the graph.
        seed: of the model.
    """
    initial = parameter.initial
    if isinstance(initial, np.ndarray):
        return initial.copy()
    words = np.array([seed & (2**64 - 1), stream_id(name)], np.uint64)
    generator = np.random.Generator(np.random.Philox(key=words))
    drawn = initial(resolve(parameter.shape, 0), generator)
    return np.array(drawn, dtype=parameter.dtype, order="C")
