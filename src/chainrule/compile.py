"""From a graph to something that runs: the one place that knows the order of the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainrule.graph.check import check
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node
from chainrule.interpret import evaluate
from chainrule.passes.specialise import specialise
from chainrule.program import Interpreted, Program, Step


def compile_step(step: Step, state: Mapping[str, Array], seed: int) -> Program:
    """The program of a training step, starting from `state`.

    Args:
        step: loss and updates as a graph.
        state: values of parameters and slots by name; those absent start from their initial.
        seed: of what is random in a step.
    """
    check(step.graph)
    return Interpreted(step, state, seed)


class Forward:
    """A compiled forward pass in its prediction form: nothing is dropped, nothing is tracked.

    Args:
        graph: contains `outputs`; its names are those of inputs and values.
        outputs: what to compute.
    """

    def __init__(self, graph: Graph, outputs: Sequence[Node]) -> None:
        place = specialise(graph, training=False)
        self._outputs = [place[x] for x in outputs]
        self.graph = check(Graph(self._outputs, like=graph))

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
        env = evaluate(self.graph, known, rows=rows, keep=self._outputs)
        return [env[x] for x in self._outputs]
