"""The Program that interprets a step: the oracle for machine code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from chainrule.engine.minibatch import Chunk, Rows, numbers_of
from chainrule.engine.nonfinite import not_finite
from chainrule.errors import NotFinite
from chainrule.graph.keys import step_key
from chainrule.graph.node import Array, Node, Operation
from chainrule.graph.step import FIRST_ROW, KEY, RATE, ROW_COUNT, STEP_INDEX, STEP_INPUTS, Step
from chainrule.interpret import EvalSchedule, initial_value
from chainrule.system.blas import one_thread
from chainrule.system.signals import uninterrupted


class Interpreted:
    """The Program that interprets: slow, plain, and the oracle for every other.

    Args:
        step: what to run.
        state: values for the parameters by name; the rest start from their initial values.
        seed: of everything random in a step.
        encode: adds to a data set the inputs that the step has in place of encoders.
        whole: the step with its encoders, for telling where a NaN came up.
    """

    ended = None

    def __init__(
        self,
        step: Step,
        state: Mapping[str, Array],
        seed: int = 0,
        encode: Callable[[Mapping[str, Array]], Mapping[str, Array]] = lambda data: data,
        whole: Step | None = None,
    ) -> None:
        self._step, self._seed, self._steps = step, seed, 0
        self._encode, self._whole = encode, whole or step
        self._data: Mapping[str, Array] = {}
        self._encoded: Mapping[str, Array] = {}
        graph = step.graph
        names = {x: graph.name(x) for x in graph.parameters}
        self._values: dict[Node, Array] = {
            x: np.array(state[name]) if name in state else initial_value(x, name, seed)
            for x, name in names.items()
        }
        self._schedule = EvalSchedule(graph, [step.loss, *step.updates.values()])

    @property
    def steps(self) -> int:
        """The number of steps done."""
        return self._steps

    def encode(self, data: Mapping[str, Array]) -> Mapping[str, Array]:
        """See Program."""
        with one_thread:
            return self._encode(data)

    def load(self, data: Mapping[str, Array]) -> None:
        """See Program."""
        made = data.encoded if isinstance(data, Chunk) else None
        self._data, self._encoded = data, self.encode(data) if made is None else made

    def run(
        self,
        data: Mapping[str, Array],
        batches: Sequence[Rows],
        rates: Sequence[float],
        into: npt.NDArray[np.float64] | None = None,
        *,
        follows: bool = False,
    ) -> npt.NDArray[np.float64]:
        """See Program."""
        if data is not self._data and len(batches):
            self.load(data)
        losses = np.empty(len(batches)) if into is None else into
        with one_thread:
            for k, (rows, rate) in enumerate(zip(batches, rates, strict=True)):
                loss, new = self._step_values(rows, rate)
                with uninterrupted():
                    self._values |= new
                    self._steps += 1
                    losses[k] = loss
        return losses

    def _step_values(self, rows: Rows, rate: float) -> tuple[float, dict[Node, Array]]:
        """The loss of a step, and the new values of its state."""
        step, known = self._step, self._known(self._step, self._encoded, rows, rate)
        env = self._schedule.run(known, rows=len(rows), training=True, each=_each)
        new: dict[Node, Array] = {x: env[y] for x, y in step.updates.items()}
        if not (np.isfinite(env[step.loss]) and all(np.isfinite(v).all() for v in new.values())):
            raise self._not_finite(rows, rate)
        return float(env[step.loss]), new

    def _known(
        self, step: Step, data: Mapping[str, Array], rows: Rows, rate: float
    ) -> dict[Node, Array]:
        """The values that a step starts from."""
        known = {x: without_subnormals(value) for x, value in self._values.items()}
        for x in step.graph.inputs:
            if x not in STEP_INPUTS:
                array = data[step.graph.name(x)]
                known[x] = array[rows] if x.batch else array
        return known | step_inputs(self._seed, self._steps, rate, len(rows))

    def _not_finite(self, rows: Rows, rate: float) -> NotFinite:
        """The step once more, encoders and all, with the values of all nodes."""
        whole = self._whole
        known = self._known(whole, self._data, rows, rate)
        schedule = EvalSchedule(whole.graph)
        env = schedule.run(known, rows=len(rows), training=True, each=_each)
        numbers = numbers_of(self._data, rows)
        return not_finite(whole.graph, env, step=self._steps + 1, rows=numbers, loss=whole.loss)

    def read(self) -> dict[str, Array]:
        """See Program."""
        return {self._step.graph.name(x): value.copy() for x, value in self._values.items()}

    def write(self, state: Mapping[str, Array], steps: int | None = None) -> None:
        """See Program."""
        for node in self._step.graph.parameters:
            name = self._step.graph.name(node)
            if name in state:
                self._values[node] = np.array(state[name], dtype=node.dtype)
        self._steps = self._steps if steps is None else steps


def without_subnormals(value: Array) -> Array:
    """The value with 0 in place of numbers too small for all of their digits.

    So does machine code in a step: such numbers are slow on some processors, and never decay to 0.
    """
    if value.dtype.kind != "f":
        return value
    small = np.abs(value) < np.finfo(value.dtype).smallest_normal
    return np.where(small, value * 0, value) if small.any() else value


def _each(node: Operation, value: Array) -> Array:
    """The value of a node in a step."""
    return value if node.op.kind == "view" else without_subnormals(value)


def step_inputs(seed: int, steps: int, rate: float, rows: int) -> dict[Node, Array]:
    """The inputs of a step that the data does not have.

    Args:
        seed: of the model.
        steps: the number of steps before it.
        rate: the learning rate.
        rows: of its minibatch.
    """
    return {
        KEY: step_key(seed, steps),
        RATE: np.asarray(rate, np.float64),
        ROW_COUNT: np.asarray(rows, np.int64),
        FIRST_ROW: np.asarray(0, np.int64),
        STEP_INDEX: np.asarray(steps + 1, np.float64),
    }
