"""The native Program: a step as machine code; the interpreter tells where it went wrong."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from chainrule.backend.cpu.driver import Native
from chainrule.graph.node import Array, Input
from chainrule.interpret import initial_value
from chainrule.plan.build import plan_step
from chainrule.plan.plan import Plan
from chainrule.program import STEP_INPUTS, Interpreted, Rows, Step, key
from chainrule.types import N

WORTH_THREADS = 2_000_000
"""Turns of the loops of a step from which on a second thread pays for its two barriers."""
MOST_THREADS = 8

Encode = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class NativeProgram:
    """See Program. The state lives in the machine code's own buffers.

    Args:
        step: what to run.
        state: values by name; the rest start from their initial values.
        seed: of everything random in a step.
        encode: adds to a data set the inputs that the step has in place of encoders.
        whole: the step with its encoders: it tells where a NaN came up.
        threads: how many; None lets the size of the work decide.
    """

    ended = None

    def __init__(
        self,
        step: Step,
        state: Mapping[str, Array],
        seed: int,
        encode: Encode,
        whole: Step,
        threads: int | None = None,
    ) -> None:
        self._step, self._seed, self._steps = step, seed, 0
        self._encode, self._whole, self._threads = encode, whole, threads
        graph = step.graph
        self._start = {
            name: np.asarray(state[name]) if name in state else initial_value(x, name, seed)
            for x, name in ((x, graph.name(x)) for x in graph.parameters)
        }
        self._plan = plan_step(step)
        self._native: Native | None = None
        self._max_rows = 0
        self._data: Mapping[str, Array] = {}
        self._encoded: Mapping[str, Array] = {}

    @property
    def steps(self) -> int:
        """How many steps have been done."""
        return self._steps

    def run(
        self, data: Mapping[str, Array], batches: Sequence[Rows], rates: Sequence[float]
    ) -> npt.NDArray[np.float64]:
        """See Program."""
        if not len(batches):
            return np.empty(0)
        native = self._ready(data, max(len(rows) for rows in batches))
        sizes = [len(rows) for rows in batches]
        losses, failed = native.run(
            np.concatenate(batches).astype(np.int64, copy=False),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            self._step_inputs(data, rates),
        )
        self._steps += len(batches) if failed is None else failed
        if failed is not None:
            raise self._not_finite(batches[failed], rates[failed])
        return losses

    def _ready(self, data: Mapping[str, Array], rows: int) -> Native:
        """The machine code, with room for so many rows and the data bound to it."""
        fresh = self._native is None or rows > self._max_rows
        if self._native is None or fresh:
            self._start, self._max_rows = self.read(), rows
            threads = self._threads or threads_for(self._plan, rows)
            self._native = Native(self._plan, rows, threads=threads)
            self._native.state.update(self._start)
        if fresh or data is not self._data:
            if data is not self._data:
                self._data, self._encoded = data, self._encode(data)
            for x in self._step.graph.inputs:
                if x.batch and x not in STEP_INPUTS:
                    name = self._step.graph.name(x)
                    self._native.bind(name, np.ascontiguousarray(self._encoded[name]))
        return self._native

    def _step_inputs(self, data: Mapping[str, Array], rates: Sequence[float]) -> dict[str, Array]:
        """What each of the steps brings, one after another."""
        count = len(rates)
        numbers = np.arange(self._steps, self._steps + count)
        brought: dict[str, Array] = {
            "step.key": np.stack([key(self._seed, int(k)) for k in numbers]),
            "step.rate": np.asarray(rates, np.float64),
            "step.number": (numbers + 1).astype(np.float64),
        }
        names = {self._step.graph.name(x): x for x in self._step.graph.inputs if not x.batch}
        return {
            name: brought[name] if x in STEP_INPUTS else _repeated(data[name], x, count)
            for name, x in names.items()
        }

    def _not_finite(self, rows: Rows, rate: float) -> Exception:
        """The step once more, interpreted, with the values of all nodes."""
        replay = Interpreted(self._whole, self.read(), self._seed)
        replay.write({}, self._steps)
        try:
            replay.run(self._data, [rows], [rate])
        except ArithmeticError as error:
            return error
        raise AssertionError("the native step is not finite where the interpreter's is")

    def read(self) -> dict[str, Array]:
        """See Program."""
        if self._native is None:
            return {name: value.copy() for name, value in self._start.items()}
        return {name: self._native.state[name] for name in self._start}

    def write(self, state: Mapping[str, Array], steps: int | None = None) -> None:
        """See Program."""
        known = {name: np.asarray(state[name]) for name in self._start if name in state}
        self._start |= known
        if self._native is not None and known:
            self._native.state.update(known)
        self._steps = self._steps if steps is None else steps


def threads_for(plan: Plan, rows: int) -> int:
    """How many threads pay for a step: one for small ones, at most one a processor.

    Args:
        plan: of the step.
        rows: of its minibatch.
    """
    turns = 0
    for phase in plan.phases:
        for kernel in phase.kernels:
            over = () if kernel.reduction is None else kernel.reduction.over
            sizes = (rows if axis.size is N else axis.size for axis in (*kernel.axes, *over))
            turns += math.prod(sizes)
    return 1 if turns < WORTH_THREADS else min(len(os.sched_getaffinity(0)), MOST_THREADS)


def _repeated(array: Array, node: Input, count: int) -> Array:
    return np.broadcast_to(np.asarray(array, node.dtype), (count, *np.shape(array)))
