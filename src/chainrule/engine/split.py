"""A step cut in two: what depends on the data alone, and what every step does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chainrule.graph.graph import Graph
from chainrule.graph.node import Node
from chainrule.graph.step import STEP_INPUTS, Step
from chainrule.passes.hoist import hoist, row_bytes
from chainrule.passes.merge import merge

ENCODED_BYTES = 1024
"""Bytes an example that encoded columns may take in any case; else twice those of its inputs."""


@dataclass(frozen=True)
class SplitStep:
    """A step without what depends on the data alone.

    Attributes:
        full: the whole step.
        body: what is left to do in every step.
        encoders: the nodes of the full step that are computed once for a data set, by the name
            of the input that takes their place in the body.
    """

    full: Step
    body: Step
    encoders: Mapping[str, Node]

    @property
    def graph(self) -> Graph:
        """The graph of the body."""
        return self.body.graph

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the body, operands first."""
        return self.body.graph.nodes


def merge_equal(step: Step) -> Step:
    """The step with one node in the place of several that compute the same."""
    place = merge(step.graph)
    outputs = [*(place[x] for x in step.outputs), *step.updates]
    return step.mapped(place, Graph(outputs, like=step.graph))


def hoist_encoders(step: Step) -> SplitStep:
    """Take out of a step what depends on the data alone."""
    graph = step.graph
    raw = sum(row_bytes(x) for x in graph.inputs if x.batch)
    hoisted = hoist(graph, STEP_INPUTS, max(ENCODED_BYTES, 2 * raw))
    outputs = [*(hoisted.replaced[x] for x in step.outputs), *step.updates]
    body = graph if outputs == [*graph.outputs] else Graph(outputs, like=graph)
    encoders = {body.name(x): old for x, old in hoisted.encoded.items()}
    return SplitStep(step, step.mapped(hoisted.replaced, body), encoders)
