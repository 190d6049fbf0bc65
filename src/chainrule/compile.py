"""From a graph to something that runs: the one place that knows the order of the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainrule.graph.check import check
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node
from chainrule.interpret import Tape, one_thread
from chainrule.passes.merge import merge
from chainrule.passes.rows import rows_apart
from chainrule.passes.specialise import specialise
from chainrule.program import Interpreted, Program, Step
from chainrule.types import N


def compile_step(step: Step, state: Mapping[str, Array], seed: int) -> Program:
    """The program of a training step, starting from `state`.

    Args:
        step: loss and updates as a graph.
        state: values of parameters and slots by name; those absent start from their initial.
        seed: of what is random in a step.
    """
    place = merge(step.graph)
    updates = {x: place[new] for x, new in step.updates.items()}
    graph = check(Graph([place[step.loss], *updates.values(), *updates], like=step.graph))
    return Interpreted(Step(graph, place[step.loss], updates), state, seed)


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
        with one_thread():
            env = self._tape.run(known, rows=rows)
        return [env[x] for x in self._outputs]
