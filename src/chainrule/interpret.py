"""The interpreter: evaluates a graph in NumPy, node by node; it defines what a graph means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import FeedError, GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.keys import stream_id
from chainrule.graph.node import Array, Node, Operation, Parameter
from chainrule.types import N, resolve


class EvalSchedule:
    """A graph as a flat list of calls with liveness: a value is freed after its last use.

    Args:
        graph: what to compute.
        keep: the nodes whose values are returned; others are freed after their last use. None
            keeps all.

    Nodes that depend on constants alone are computed once, when the schedule is made.
    """

    def __init__(self, graph: Graph, keep: Iterable[Node] | None = None) -> None:
        self._graph = graph
        last_use: dict[Node, Node] = {x: node for node in graph for x in node.inputs}
        kept = set(graph if keep is None else keep)
        self._fixed: dict[Node, Array] = {}
        self._calls: list[tuple[Operation, dict[str, Any], frozenset[str], list[Node]]] = []
        for node in graph.operations:
            attributes = dict(node.attributes)
            if "stream" in attributes:
                attributes["stream"] = stream_id(graph.name(node))
            unresolved = frozenset(_RUN_TIME & attributes.keys())
            if "shape" in unresolved and N not in attributes["shape"]:
                unresolved -= {"shape"}
            if not unresolved and all(x in self._fixed for x in node.operands):
                with np.errstate(all="ignore"):
                    self._fixed[node] = _call(node, self._fixed, attributes, None)
                continue
            last = [x for x in dict.fromkeys(node.operands) if last_use[x] is node]
            freed = [x for x in last if x not in kept]
            self._calls.append((node, attributes, unresolved, freed))

    def run(
        self,
        given: Mapping[Node, Array],
        *,
        rows: int = 0,
        training: bool = False,
        each: Callable[[Operation, Array], Array] | None = None,
    ) -> dict[Node, Array]:
        """Returns the values of at least the nodes to keep.

        Args:
            given: the values of the inputs and parameters, and of nodes already computed.
            rows: the length of the batch axis N.
            training: whether `when_training` takes its first operand.
            each: gives the value that takes the place of a computed one, such as a rounded one.
        """
        env = {**self._fixed, **given}
        with np.errstate(all="ignore"):
            for node, attributes, unresolved, freed in self._calls:
                if node in env:
                    continue
                if unresolved:
                    attributes = attributes.copy()
                    if "shape" in unresolved:
                        attributes["shape"] = resolve(attributes["shape"], rows)
                    if "training" in unresolved:
                        attributes["training"] = training
                value = _call(node, env, attributes, rows)
                env[node] = value if each is None else each(node, value)
                for operand in freed:
                    env.pop(operand, None)
        return env


_RUN_TIME = frozenset(("shape", "training"))
"""Attributes whose values may depend on the run."""


def _call(
    node: Operation, env: Mapping[Node, Array], attributes: Mapping[str, Any], rows: int | None
) -> Array:
    operands = [env[x] for x in node.operands]
    if node.op.serial:
        return _call_of_user(node, operands, attributes, rows)
    try:
        return np.asarray(node.op.forward(*operands, **attributes))
    except FeedError as error:
        raise error.within(place(node)) from None


def _call_of_user(
    node: Operation, operands: list[Array], attributes: Mapping[str, Any], rows: int | None
) -> Array:
    """An op made outside of Chainrule: its errors name the node, and its type is checked.

    It gets copies, which it may change or keep; others read the operands too.

    Raises:
        GraphError: the value is not of the type that the op infers.
    """
    try:
        copies = [np.array(x, order="C") for x in operands]
        value = np.asarray(node.op.forward(*copies, **attributes))
    except Exception as error:
        error.add_note(f"in the forward of op {node.op.name!r}, {place(node)}")
        raise
    want = tuple(d if d is not N or rows is None else rows for d in node.shape)
    sizes = zip(value.shape, want, strict=False)
    fits = value.ndim == node.ndim and all(d in (N, size) for size, d in sizes)
    if not fits or value.dtype != node.dtype:
        raise GraphError(
            node.op.name,
            "the forward makes another type than the op infers",
            expected=node.type if want == node.shape else f"{node.type}, for {rows} rows",
            got=f"{value.dtype}{value.shape}",
            at=place(node),
            fix=f"end the forward with .astype({node.dtype!r})" if fits
            else "infer=... tells the TensorType of what the forward makes",
        )  # fmt: skip
    return value


def place(node: Operation) -> str:
    """The name of a node and the user's line that made it, for errors."""
    return f"node {node.label!r}" + (f", line {node.source}" if node.source else "")


def evaluate(
    graph: Graph,
    given: Mapping[Node, Array],
    *,
    rows: int = 0,
    training: bool = False,
    keep: Iterable[Node] | None = None,
) -> dict[Node, Array]:
    """Returns the value of every node of `graph`, or of those to keep. See EvalSchedule."""
    return EvalSchedule(graph, keep).run(given, rows=rows, training=training)


def initial_value(parameter: Parameter, name: str, seed: int = 0) -> Array:
    """Returns a parameter's initial value: its array, or a draw keyed by seed and name.

    Args:
        parameter: the node.
        name: its name in the graph.
        seed: the model's seed.
    """
    initial = parameter.initial
    if isinstance(initial, np.ndarray):
        return initial.copy()
    words = np.array([seed & (2**64 - 1), stream_id(name)], np.uint64)
    generator = np.random.Generator(np.random.Philox(key=words))
    drawn = initial(resolve(parameter.shape, 0), generator)
    return np.array(drawn, dtype=parameter.dtype, order="C")
