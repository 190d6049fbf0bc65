"""Forward passes over data: what `predict` and `evaluate` run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from chainrule.engine.minibatch import Rows
from chainrule.engine.nativerows import NativeRows
from chainrule.graph.check import check
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation, Scope
from chainrule.interpret import EvalSchedule
from chainrule.passes.ranges import out_of_range
from chainrule.passes.rewrite import rewrite
from chainrule.passes.rows import rowwise
from chainrule.passes.specialise import specialise
from chainrule.system.blas import one_thread

BLOCK = 16_384
"""Rows that are interpreted at a time, so that memory stays bounded."""


class ByRows(Protocol):
    """Computes some nodes of a graph, each row of them by itself."""

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> list[Array]:
        """The nodes' values for some rows of a data set.

        Args:
            values: of the parameters, by name; these arrays are never written to.
            arrays: of the inputs, by name, already checked.
            rows: which to compute, in this order.
        """


class Forward:
    """A compiled forward pass in its prediction form: nothing is dropped, nothing is tracked.

    What treats every row by itself is computed in blocks of rows, as machine code where `backend`
    says so; what is made of several rows, such as a mean, is interpreted from that.

    Args:
        graph: contains `outputs`; its names are those of inputs and values.
        outputs: what to compute.
        backend: "native" or "interpreter".
    """

    def __init__(self, graph: Graph, outputs: Sequence[Node], *, backend: str = "native") -> None:
        place = specialise(graph, training=False)
        outputs = [place[x] for x in outputs]
        self.graph = check(Graph(outputs, like=graph))
        parts = _parts(self.graph)
        made = {x: Input(Scope(self.graph.name(x)), x.type) for x in parts}

        def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
            return made.get(node)

        place = rewrite(self.graph, rule)
        self._outputs = [place[x] for x in outputs]
        self._rest = Graph(self._outputs, like=self.graph)
        self._made = list(made.values())
        self._direct = all(x in made.values() for x in self._outputs)
        self._tape = EvalSchedule(self._rest, self._outputs)
        self._by_rows: ByRows | None = None
        if parts:
            kind = CheckedRows if backend == "native" else InterpretedRows
            self._by_rows = kind(Graph(parts, like=self.graph), parts)

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs that the outputs depend on."""
        return [self.graph.name(x) for x in self.graph.inputs]

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> list[Array]:
        """The outputs' values for some rows of a data set.

        Args:
            values: of the parameters, by name; these arrays are never written to.
            arrays: of the inputs, by name, already checked.
            rows: which to compute, in this order.
        """
        parts = [] if self._by_rows is None else self._by_rows(values, arrays, rows)
        known: dict[Node, Array] = dict(zip(self._made, parts, strict=True))
        if self._direct:
            return [known[x] for x in self._outputs]
        known |= {x: values[self._rest.name(x)] for x in self._rest.parameters}
        for x in self._rest.inputs:
            if x not in known:
                array = arrays[self._rest.name(x)]
                known[x] = array[rows] if x.batch else array
        with one_thread:
            env = self._tape.run(known, rows=len(rows))
        return [env[x] for x in self._outputs]


def _parts(graph: Graph) -> list[Node]:
    """The operations by rows that are asked for, or read by what is not by rows."""
    by_rows = rowwise(graph)
    outputs = set(graph.outputs)
    return [
        x
        for x in graph.operations
        if x in by_rows and (x in outputs or any(y not in by_rows for y in graph.consumers(x)))
    ]


class InterpretedRows:
    """See ByRows.

    Args:
        graph: contains the nodes.
        nodes: what to compute.
    """

    def __init__(self, graph: Graph, nodes: Iterable[Node]) -> None:
        self._graph, self._nodes = graph, list(nodes)
        self._tape = EvalSchedule(graph, self._nodes)

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> list[Array]:
        """See ByRows."""
        graph, parts = self._graph, []
        fixed: dict[Node, Array] = {x: values[graph.name(x)] for x in graph.parameters}
        fixed |= {x: arrays[graph.name(x)] for x in graph.inputs if not x.batch}
        batched = {x: arrays[graph.name(x)] for x in graph.inputs if x.batch}
        for start in range(0, max(len(rows), 1), BLOCK):
            block = rows[start : start + BLOCK]
            known = fixed | {x: array[block] for x, array in batched.items()}
            with one_thread:
                env = self._tape.run(known, rows=len(block))
            parts.append([env[x] for x in self._nodes])
        return (
            parts[0] if len(parts) == 1 else [np.concatenate(x) for x in zip(*parts, strict=True)]
        )


class CheckedRows:
    """See ByRows: machine code, where an index out of range finds anything; so they are counted.

    Args:
        graph: contains the nodes.
        nodes: what to compute.
    """

    def __init__(self, graph: Graph, nodes: Sequence[Node]) -> None:
        self._missing = out_of_range(graph)
        if self._missing is not None:
            self._plain = InterpretedRows(graph, nodes)
            nodes = [*nodes, self._missing]
            graph = Graph(nodes, like=graph)
        self._native = NativeRows(graph, nodes)

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> list[Array]:
        """See ByRows. Raises FeedError."""
        found = self._native(values, arrays, rows)
        if self._missing is not None and found.pop().any():
            self._plain(values, arrays, rows)  # which tells of the index
        return found
