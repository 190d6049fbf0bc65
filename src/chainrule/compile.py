"""From a graph to something that runs: the one place that knows the order of the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import numpy as np

from chainrule.errors import MissingExtra, SettingError, did_you_mean
from chainrule.graph.check import check
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node
from chainrule.interpret import Tape, one_thread
from chainrule.native import NativeProgram
from chainrule.passes.hoist import hoist, row_bytes
from chainrule.passes.merge import merge
from chainrule.passes.rows import rows_apart
from chainrule.passes.specialise import specialise
from chainrule.program import STEP_INPUTS, Interpreted, Program, Rows, Step
from chainrule.types import N

BACKENDS = ("interpreter", "native")
BLOCK = 16_384
"""Rows that are computed at a time where each is by itself, so that memory stays bounded."""
AT_ONCE = 16 * BLOCK
"""Rows that a loss is computed on at once."""
ENCODED_BYTES = 1024
"""Bytes an example that encoded columns may take in any case; else twice what they are made of."""


def compile_step(
    step: Step,
    state: Mapping[str, Array],
    seed: int,
    *,
    backend: str = "interpreter",
    threads: int | None = None,
) -> Program:
    """The program of a training step, starting from `state`.

    Args:
        step: loss and updates as a graph.
        state: values of parameters and slots by name; those absent start from their initial.
        seed: of what is random in a step.
        backend: "interpreter", or "native" for machine code.
        threads: of machine code; None lets the size of the step decide.

    Raises:
        SettingError: there is no such backend. MissingExtra: it is not installed.
    """
    if backend not in BACKENDS:
        raise SettingError(
            "fit", f"no backend is named {backend!r}", fix=did_you_mean(backend, BACKENDS)
        )
    if backend == "native" and find_spec("llvmlite") is None:
        raise MissingExtra(
            "fit", "machine code needs llvmlite", fix="pip install 'chainrule[native]'"
        )
    place = merge(step.graph)
    updates = {x: place[new] for x, new in step.updates.items()}
    graph = Graph([place[step.loss], *updates.values(), *updates], like=step.graph)
    raw = sum(row_bytes(x) for x in graph.inputs if x.batch)
    hoisted = hoist(graph, STEP_INPUTS, max(ENCODED_BYTES, 2 * raw))
    loss, *new = (hoisted.place[x] for x in (place[step.loss], *updates.values()))
    inner = check(Graph([loss, *new, *updates], like=graph))
    encoders = Encoders(graph, {inner.name(x): old for x, old in hoisted.encoded.items()})
    whole = Step(graph, place[step.loss], updates)
    inner_step = Step(inner, loss, dict(zip(updates, new, strict=True)))
    if backend == "native":
        return NativeProgram(inner_step, state, seed, encoders, whole, threads)
    return Interpreted(inner_step, state, seed, encoders, whole)


class Encoders:
    """The part of a step that depends on the data alone, computed for a whole data set.

    Args:
        graph: contains the nodes; they read inputs and constants only.
        nodes: by the name of the input that takes their place in the step.
    """

    def __init__(self, graph: Graph, nodes: Mapping[str, Node]) -> None:
        self._names = list(nodes)
        self._forward = Forward(Graph(nodes.values(), like=graph), list(nodes.values()))

    def __call__(self, data: Mapping[str, Array]) -> Mapping[str, Array]:
        """The data set, with the encoded arrays beside those that it has."""
        if not self._names:
            return data
        rows = len(data[self._forward.inputs[0]])
        arrays = self._forward.over({}, data, np.arange(rows))
        return {**data, **dict(zip(self._names, arrays, strict=True))}


class Forward:
    """A compiled forward pass in its prediction form: nothing is dropped, nothing is tracked.

    Args:
        graph: contains `outputs`; its names are those of inputs and values.
        outputs: what to compute.

    Attributes:
        apart: whether every row is computed by itself, so that they may come in blocks, and the
            outputs be joined along their first axis.
    """

    def __init__(self, graph: Graph, outputs: Sequence[Node]) -> None:
        place = specialise(graph, training=False)
        self._outputs = [place[x] for x in outputs]
        self.graph = check(Graph(self._outputs, like=graph))
        rows_first = all(x.shape[:1] == (N,) for x in self._outputs)
        self.apart = rows_first and rows_apart(self.graph)
        self._tape = Tape(self.graph, self._outputs)

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs that the outputs depend on."""
        return [self.graph.name(x) for x in self.graph.inputs]

    def __call__(
        self, values: Mapping[str, Array], feeds: Mapping[str, Array], rows: int
    ) -> list[Array]:
        """The outputs' values.

        Args:
            values: of the parameters, by name.
            feeds: of the inputs, by name, already checked; rows first.
            rows: the number of examples.
        """
        known: dict[Node, Array] = {x: values[self.graph.name(x)] for x in self.graph.parameters}
        known |= {x: feeds[self.graph.name(x)] for x in self.graph.inputs}
        with one_thread:
            env = self._tape.run(known, rows=rows)
        return [env[x] for x in self._outputs]

    def over(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> list[Array]:
        """The outputs over some rows of a data set, in blocks where that changes nothing.

        A scalar, such as a loss, is computed on `AT_ONCE` rows at most; beyond, those of blocks
        of so many rows are averaged.
        """
        batched = {self.graph.name(x): x.batch for x in self.graph.inputs}
        scalars = any(x.shape == () for x in self._outputs)
        size = BLOCK if self.apart else AT_ONCE if scalars else max(len(rows), 1)
        blocks = [rows[start : start + size] for start in range(0, max(len(rows), 1), size)]
        parts = []
        for block in blocks:
            feeds = {
                name: arrays[name][block] if batch else arrays[name]
                for name, batch in batched.items()
            }
            parts.append(self(values, feeds, len(block)))
        if len(parts) == 1:
            return parts[0]
        weights = [len(block) for block in blocks]
        return [
            np.concatenate(found) if np.ndim(found[0]) else np.average(found, weights=weights)
            for found in zip(*parts, strict=True)
        ]
