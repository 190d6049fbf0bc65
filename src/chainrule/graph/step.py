"""A training step as a graph, and the inputs that every step has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chainrule.graph.fingerprint import fingerprint
from chainrule.graph.graph import Graph
from chainrule.graph.leaves import input
from chainrule.graph.node import SHARED, Input, Node, Parameter, Scope
from chainrule.types import TensorType

KEY = Input(Scope("step.key", given=True), TensorType((3,), "uint32"), batch=False, source="")
"""The key of the step's random numbers: low and high half of the seed, step index."""

RATE = input("step.rate", (), "float64", batch=False)
"""The learning rate of this step, as the schedule gives it."""

STEP_INDEX = input("step.number", (), "float64", batch=False)
"""The index of this step, counted from 1 since training began."""

ROW_COUNT = input("step.rows", (), "int64", batch=False)
"""The rows of this step: those of the minibatch, or of all minibatches that share the step."""

FIRST_ROW = input("step.first_row", (), "int64", batch=False)
"""The place among them of the first row of the minibatch; 0 where it is alone."""

STEP_INPUTS = (KEY, RATE, STEP_INDEX, ROW_COUNT, FIRST_ROW)
"""The inputs that the training loop feeds; all others come from the data."""

SHARED.update({x.label: x for x in STEP_INPUTS})


@dataclass(frozen=True)
class Step:
    """A complete training step as a graph.

    Attributes:
        graph: computes the loss and all updates; it has the names of the state.
        loss: the reported scalar.
        updates: the new value of each parameter, optimizer slot and tracked statistic.
        gradients: of the loss with respect to each trained parameter, as they enter clipping and
            updates: nodes of the same computation, which need not be outputs of the graph. Those
            of tables that are updated by rows are missing.
        shared: whether programs share the rows of a step: its sums over rows are exchanged.
    """

    graph: Graph
    loss: Node
    updates: Mapping[Parameter, Node]
    gradients: Mapping[Parameter, Node] = field(default_factory=dict)
    shared: bool = False

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the graph, operands first."""
        return self.graph.nodes

    @property
    def outputs(self) -> list[Node]:
        """The loss, then the new values."""
        return [self.loss, *self.updates.values()]

    @property
    def digest(self) -> bytes:
        """The fingerprint of all that it computes, computed once."""
        known: bytes | None = self.__dict__.get("_digest")
        if known is None:  # no cached_property: Python 3.11 locks it, also for forked processes
            known = fingerprint(self.graph, [self.loss, *self.updates, *self.updates.values()])
            object.__setattr__(self, "_digest", known)
        return known

    def mapped(self, replaced: Mapping[Node, Node], graph: Graph) -> Step:
        """Returns the same step with its nodes replaced by those of another graph."""
        return Step(
            graph,
            replaced[self.loss],
            {x: replaced[new] for x, new in self.updates.items()},
            {x: replaced[g] for x, g in self.gradients.items() if g in replaced},
            self.shared,
        )
