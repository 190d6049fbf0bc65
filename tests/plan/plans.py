"""Graphs and training steps run through their plans, for the tests of planning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from evaluate import Memory, run

from chainrule.engine.compile import plan_forward, plan_step
from chainrule.engine.interpreted import Interpreted
from chainrule.graph import Graph, Node
from chainrule.graph.keys import step_key
from chainrule.graph.step import KEY, RATE, STEP_INDEX, Step
from chainrule.ir.kernel import Buffer
from chainrule.plan.elements import rows_first
from chainrule.plan.plan import Plan

Array = np.ndarray[Any, Any]
THREADS = ((1, False), (3, False), (2, True))
"""Numbers of threads, and whether the last goes first."""


def planned(
    outputs: Sequence[Node],
    values: Mapping[Node, Array],
    rows: int,
    among: Sequence[tuple[int, bool]] = THREADS,
) -> list[Array]:
    """The outputs' values by their plan, the same for any number of threads.

    Rows of inputs are shuffled in the data set, and the plan gets the places where they went.
    """
    graph = Graph(outputs)
    plan = plan_forward(graph, outputs)
    back = np.random.default_rng(rows).permutation(rows)
    names = {graph.name(x): v for x, v in values.items() if x in graph}
    names.setdefault(KEY.label, np.zeros(3, "uint32"))
    found = []
    for threads, backwards in among:
        memory = Memory(_filled(plan, names, np.argsort(back)), back)
        run(plan, memory, threads, backwards=backwards)
        found.append([memory.arrays[b] for b in plan.outputs])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two, err_msg="threads")
    return [
        array.transpose(np.argsort(rows_first(x.shape)))
        for x, array in zip(outputs, found[0], strict=True)
    ]


def _filled(plan: Plan, values: Mapping[str, Array], order: Array) -> dict[Buffer, Array]:
    """The buffers that a step reads; rows of the data set in another order."""
    return {
        b: values[b.name][order] if b.space == "data" else values[b.name]
        for b in plan.buffers
        if b.space in ("data", "state", "step")
    }


class Planned:
    """A Program by plans: what `Interpreted` does, kernel by kernel."""

    def __init__(self, step: Step, state: Mapping[str, Array], seed: int = 0) -> None:
        self.plan = plan_step(step)
        self._seed, self._steps = seed, 0
        self._state = Interpreted(step, state, seed).read()

    def run(
        self, data: Mapping[str, Array], batches: Sequence[Array], rates: Sequence[float]
    ) -> Array:
        losses = []
        for k, (rows, rate) in enumerate(zip(batches, rates, strict=True)):
            brought = {
                KEY.label: step_key(self._seed, self._steps),
                RATE.label: np.asarray(rate, np.float64),
                STEP_INDEX.label: np.asarray(self._steps + 1, np.float64),
            }
            values = {**self._state, **data, **brought}
            arrays = {
                b: values[b.name]
                for b in self.plan.buffers
                if b.space in ("data", "state", "step") and b.name in values
            }
            memory = Memory(arrays, np.asarray(rows))
            threads, backwards = THREADS[k % len(THREADS)]
            run(self.plan, memory, threads, backwards=backwards)
            assert self.plan.loss is not None
            losses.append(float(memory.arrays[self.plan.loss]))
            assert set(memory.new) == set(self.plan.updates)
            self._state |= {b.name: memory.new[b] for b in self.plan.updates}
            self._steps += 1
        return np.array(losses)

    def read(self) -> dict[str, Array]:
        return self._state
