"""The loss of all rows as a function of one parameter vector, which L-BFGS minimises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from chainrule.engine.compile import build_gradients
from chainrule.engine.minibatch import Rows, all_rows
from chainrule.engine.native import NativeFunction
from chainrule.engine.nonfinite import not_finite
from chainrule.engine.usercalls import tell_of_calls
from chainrule.errors import NotFinite
from chainrule.graph.graph import Graph
from chainrule.graph.keys import step_key
from chainrule.graph.node import Array, Node
from chainrule.graph.patterns import require_match
from chainrule.graph.step import KEY
from chainrule.interpret import EvalSchedule, evaluate, initial_value
from chainrule.system.blas import one_thread
from chainrule.train.lbfgs import LBFGS, Memory, Minimiser, Vector
from chainrule.train.optim.base import decay_factor


class FullBatch:
    """Loss and gradient over a complete data set.

    Args:
        graph: contains `loss`.
        loss: a floating-point scalar.
        state: values of parameters by name; the others start from their initial values.
        data: for each input of the graph its array, rows first.
        settings: of the method, with the weight decay.
        trainable: patterns of the names of parameters to train; None: all trainable ones.
        seed: of all random numbers, which are drawn once and the same in each call.
        backend: "native" or "interpreter".
        device: that computes them.

    Attributes:
        start: the parameters as one float64 vector.

    Raises:
        GraphError, SettingError: as `build_step`.
    """

    def __init__(
        self, graph: Graph, loss: Node, state: Mapping[str, Array], data: Mapping[str, Array],
        settings: LBFGS, *, trainable: Iterable[str] | None = None, seed: int = 0,
        backend: str = "native", device: str = "cpu",
    ) -> None:  # fmt: skip
        self._parts = parts = build_gradients(graph, loss, trainable)
        outputs = [parts.loss, *parts.gradients.values()]
        gradients = Graph(outputs, like=graph)
        statistics = Graph(parts.tracked.values(), like=graph)
        self._statistics = EvalSchedule(statistics, statistics.outputs)
        self._graph = gradients
        self._names = {x: graph.name(x) for x in graph.parameters}
        self._constants: dict[Node, Array] = {
            x: np.array(state[name]) if name in state else initial_value(x, name, seed)
            for x, name in self._names.items()
        }
        used = dict.fromkeys((*gradients.inputs, *statistics.inputs))
        feeds: dict[Node, Array] = {x: data[x.label] for x in used if x is not KEY}
        self._rows = next((len(feeds[x]) for x in used if x.batch), 0)
        self._constants |= {KEY: step_key(seed, 0)} | feeds
        trained = [self._names[x] for x in graph.parameters if x.trainable]
        require_match("LBFGS.decays", settings.decays, trained)
        self._decay = np.concatenate([
            np.full(self._constants[x].size, decay_factor(settings, x, self._names[x]))
            for x in parts.gradients
        ])  # fmt: skip
        self.start = _packed([self._constants[x] for x in parts.gradients])
        self._loss_and_gradient: NativeFunction | EvalSchedule = EvalSchedule(gradients, outputs)
        if device == "cpu":
            tell_of_calls(gradients, backend)
        if backend == "native":
            named = {gradients.name(x): self._constants[x] for x in gradients.inputs}
            self._loss_and_gradient = NativeFunction(gradients, outputs, named, self._rows, device)

    def __call__(self, point: Vector) -> tuple[float, Vector]:
        """Loss and gradient, weight decay included."""
        if isinstance(self._loss_and_gradient, EvalSchedule):
            env = self._run(self._loss_and_gradient, point)
            loss, *gradients = (env[x] for x in (self._parts.loss, *self._parts.gradients.values()))
        else:
            loss, *gradients = self._loss_and_gradient(self.state(point))
        value = float(loss) + self.penalty(point)
        gradient = _packed(gradients)
        return value, gradient + self._decay * point

    def not_finite(self, rows: Rows | None) -> NotFinite:
        """The error for `start`, whose loss or gradient is not finite; `rows` are the data's."""
        rows = all_rows(self._rows) if rows is None else rows
        values = self._constants | self._unpacked(self.start)
        with one_thread:
            env = evaluate(self._graph, values, rows=self._rows, training=True)
        return not_finite(self._graph, env, step=1, rows=rows, loss=self._parts.loss)

    def penalty(self, point: Vector) -> float:
        """The weight decay's part of the loss."""
        return 0.5 * float(self._decay @ (point * point))

    def state(self, point: Vector) -> dict[str, Array]:
        """All parameters by name, the trained ones from `point`."""
        values = self._constants | self._unpacked(point)
        return {name: values[x].copy() for x, name in self._names.items()}

    def write(self, state: Mapping[str, Array]) -> None:
        """Set the parameters by name; `start` is then their vector."""
        for x, name in self._names.items():
            if name in state:
                self._constants[x] = np.array(state[name], dtype=x.dtype)
        self.start = _packed([self._constants[x] for x in self._parts.gradients])

    def advance(self, point: Vector) -> None:
        """Update the tracked statistics, such as running means, by the network at `point`."""
        tracked = self._parts.tracked
        if tracked:
            env = self._run(self._statistics, point)
            self._constants |= {x: env[new] for x, new in tracked.items()}

    def _run(self, schedule: EvalSchedule, point: Vector) -> dict[Node, Array]:
        with one_thread:
            values = self._constants | self._unpacked(point)
            return schedule.run(values, rows=self._rows, training=True)

    def _unpacked(self, point: Vector) -> dict[Node, Array]:
        values: dict[Node, Array] = {}
        first = 0
        for x in self._parts.gradients:
            shape, size = self._constants[x].shape, self._constants[x].size
            values[x] = point[first : first + size].reshape(shape).astype(x.dtype)
            first += size
        return values


def _packed(arrays: list[Array]) -> Vector:
    return np.concatenate([x.ravel().astype(np.float64) for x in arrays])


class FullBatchProgram:
    """L-BFGS as a Program: a step is an iteration; its minibatch and rate are ignored.

    After the method has ended a step changes nothing.

    Args:
        function: to minimise.
        settings: of the method.
        rows: of the data set, that the function is of; errors name them. None: from 0 on.
    """

    def __init__(self, function: FullBatch, settings: LBFGS, rows: Rows | None = None) -> None:
        self._function, self._settings, self._steps = function, settings, 0
        self._rows = rows
        self._begin()

    def _begin(self, memory: Memory | None = None) -> None:
        """Start the method from the function's parameters, or go on. Raises NotFinite."""
        self._minimiser = Minimiser(self._function, self._function.start, self._settings, memory)
        self._iterations = iter(self._minimiser)
        try:
            self._here = next(self._iterations)
        except NotFinite:
            raise self._function.not_finite(self._rows) from None

    @property
    def ended(self) -> str | None:
        """See Program."""
        return self._minimiser.reason

    @property
    def steps(self) -> int:
        """See Program."""
        return self._steps

    def encode(self, data: Mapping[str, Array]) -> Mapping[str, Array]:
        """See Program."""
        return data

    def load(self, data: Mapping[str, Array]) -> None:
        """See Program; the function has its data already."""

    def run(
        self,
        data: Mapping[str, Array],
        batches: Sequence[Rows],
        rates: Sequence[float],
        into: Vector | None = None,
        *,
        follows: bool = False,
    ) -> Vector:
        """One iteration for each batch; returns the losses before them, without weight decay."""
        losses = np.empty(len(batches)) if into is None else into
        for k in range(len(batches)):
            losses[k] = self._here.value - self._function.penalty(self._here.point)
            self._here = next(self._iterations, self._here)
            self._function.advance(self._here.point)
            self._steps += 1
        return losses

    def read(self) -> dict[str, Array]:
        """See Program."""
        return self._function.state(self._here.point)

    @property
    def memory(self) -> dict[str, Any]:
        """All that the method goes on from but the parameters, as plain values and arrays."""
        return asdict(self._minimiser.memory(self._here))

    def go_on(self, memory: Mapping[str, Any]) -> None:
        """Go on from the `memory` of another program, which had these parameters."""
        self._begin(Memory(**memory))

    def write(self, state: Mapping[str, Array], steps: int | None = None) -> None:
        """See Program; the method restarts from the parameters of `state`."""
        if state:
            self._function.write(state)
            self._begin()
        self._steps = self._steps if steps is None else steps
