"""From a graph to something that runs: the one place that knows the order of the stages."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from chainrule.engine.forward import Forward
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.native import NativeProgram
from chainrule.engine.program import Program
from chainrule.errors import SettingError, did_you_mean
from chainrule.graph.check import check
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node
from chainrule.graph.step import STEP_INPUTS, Step
from chainrule.ops.index import checked
from chainrule.passes.hoist import by_examples, hoist, row_bytes
from chainrule.passes.merge import merge
from chainrule.passes.ranges import choices

BACKENDS = ("native", "interpreter")
ENCODED_BYTES = 1024
"""Bytes an example that encoded columns may take in any case; else twice what they are made of."""


def compile_step(
    step: Step | Divided,
    state: Mapping[str, Array],
    seed: int,
    *,
    backend: str = "native",
    threads: int | None = None,
) -> Program:
    """The program of a training step, starting from `state`.

    Args:
        step: loss and updates as a graph, divided already or not.
        state: values of parameters and slots by name; those absent start from their initial.
        seed: of what is random in a step.
        backend: "native" for machine code, or "interpreter".
        threads: that machine code may use where they make it quicker; None: all processors.

    Raises:
        SettingError: there is no such backend.
    """
    check_backend(backend)
    parts = step if isinstance(step, Divided) else divided(step)
    if backend == "native":
        return NativeProgram(parts.inner, state, seed, parts.encoders, parts.whole, threads)
    return Interpreted(parts.inner, state, seed, parts.encoders, parts.whole)


@dataclass(frozen=True)
class Divided:
    """A step without what depends on the data alone.

    Attributes:
        whole: the step, equal nodes merged.
        inner: what is left to do in every step.
        encoders: what is done once for a data set.
    """

    whole: Step
    inner: Step
    encoders: Encoders


def divided(step: Step) -> Divided:
    """The step, and what of it is computed once for a whole data set."""
    place = merge(step.graph)
    updates = {x: place[new] for x, new in step.updates.items()}
    graph = Graph([place[step.loss], *updates.values(), *updates], like=step.graph)
    raw = sum(row_bytes(x) for x in graph.inputs if x.batch)
    hoisted = hoist(graph, STEP_INPUTS, max(ENCODED_BYTES, 2 * raw))
    loss, *new = (hoisted.place[x] for x in (place[step.loss], *updates.values()))
    inner = check(Graph([loss, *new, *updates], like=graph))
    encoders = Encoders(
        graph,
        {inner.name(x): old for x, old in hoisted.encoded.items()},
        by_examples(graph, STEP_INPUTS),
    )
    whole = Step(graph, place[step.loss], updates)
    return Divided(whole, Step(inner, loss, dict(zip(updates, new, strict=True))), encoders)


def check_backend(name: str) -> None:
    """Raises SettingError where no backend has this name."""
    if name not in BACKENDS:
        raise SettingError("fit", f"no backend is named {name!r}", fix=did_you_mean(name, BACKENDS))


class Encoders:
    """The part of a step that depends on the data alone, computed for a whole data set.

    Args:
        graph: contains the nodes; they read inputs and constants only.
        nodes: by the name of the input that takes their place in the step.
        by_examples: the nodes whose value the data decides; indices among them are checked here,
            since machine code finds anything where one is out of range.
    """

    def __init__(
        self, graph: Graph, nodes: Mapping[str, Node], by_examples: Collection[Node]
    ) -> None:
        self._names = list(nodes)
        self._choices = [x for x in choices(graph) if x.indices in by_examples]
        wanted = [*nodes.values(), *(x.indices for x in self._choices)]
        self._forward = Forward(Graph(wanted, like=graph), wanted, backend="interpreter")

    def __call__(self, data: Mapping[str, Array]) -> Mapping[str, Array]:
        """The data set, with the encoded arrays beside those that it has.

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
