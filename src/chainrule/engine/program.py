"""What the training loop talks to: a step that is compiled once and run many times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from chainrule.errors import NotFinite
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation
from chainrule.graph.step import KEY, RATE, STEP_INDEX, STEP_INPUTS, Step
from chainrule.interpret import Tape, evaluate, initial_value, one_thread
from chainrule.types import N

Rows: TypeAlias = npt.NDArray[np.int64]

CALMER = "lower the learning rate, scale the inputs, or clip: fit(..., clip_norm=1.0)"
"""What to try where numbers grow beyond bounds."""


@dataclass(frozen=True)
class Minibatches(Sequence[Rows]):
    """`rows` cut into pieces of `size`, in order; the last may be smaller. No piece is copied."""

    rows: Rows
    size: int

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    @overload
    def __getitem__(self, index: int) -> Rows: ...
    @overload
    def __getitem__(self, index: slice) -> Minibatches: ...
    def __getitem__(self, index: int | slice) -> Rows | Minibatches:
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            return Minibatches(
                self.rows[start * self.size : max(start, stop) * self.size], self.size
            )
        start = range(len(self))[index] * self.size
        return self.rows[start : start + self.size]

    @property
    def ends(self) -> Rows:
        """Where each begins in `rows`, and at last their end."""
        made = np.arange(0, (len(self) + 1) * self.size, self.size)
        made[-1] = len(self.rows)
        return made

    def mean(self, values: npt.NDArray[np.float64]) -> float:
        """The mean over all rows of what each minibatch has the mean of."""
        short = len(self) * self.size - len(self.rows)  # rows that the last one lacks
        return float(values.sum() * self.size - values[-1] * short) / len(self.rows)


class Program(Protocol):
    """A compiled training step with its state: the values of all parameters and slots."""

    @property
    def steps(self) -> int:
        """How many steps have been done."""

    @property
    def ended(self) -> str | None:
        """Why there is nothing left to do; None while there is."""

    def run(
        self, data: Mapping[str, Array], batches: Sequence[Rows], rates: Sequence[float]
    ) -> npt.NDArray[np.float64]:
        """Do one step for each minibatch, in order, and return the losses before each update.

        Args:
            data: the whole data set: for each input of the graph its array, rows first. What
                depends on it alone is computed when a mapping comes for the first time.
            batches: for each step, the rows of its minibatch.
            rates: for each step, its learning rate.

        Raises:
            NotFinite: a loss or an update is NaN or infinite; the state is that before the step.
        """

    def read(self) -> dict[str, Array]:
        """A copy of the state, by name."""

    def write(self, state: Mapping[str, Array], steps: int | None = None) -> None:
        """Replace some or all of the state, and the count of steps."""


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
        self._tape = Tape(graph, [step.loss, *step.updates.values()])

    @property
    def steps(self) -> int:
        """How many steps have been done."""
        return self._steps

    def run(
        self, data: Mapping[str, Array], batches: Sequence[Rows], rates: Sequence[float]
    ) -> npt.NDArray[np.float64]:
        """See Program."""
        losses = np.empty(len(batches))
        with one_thread:
            if data is not self._data and len(batches):
                self._data, self._encoded = data, self._encode(data)
            for k, (rows, rate) in enumerate(zip(batches, rates, strict=True)):
                losses[k] = self._run_one(rows, rate)
        return losses

    def _run_one(self, rows: Rows, rate: float) -> float:
        step, known = self._step, self._known(self._step, self._encoded, rows, rate)
        env = self._tape.run(known, rows=len(rows), training=True)
        new: dict[Node, Array] = {x: env[y] for x, y in step.updates.items()}
        if not (np.isfinite(env[step.loss]) and all(np.isfinite(v).all() for v in new.values())):
            raise self._not_finite(rows, rate)
        self._values |= new
        self._steps += 1
        return float(env[step.loss])

    def _known(
        self, step: Step, data: Mapping[str, Array], rows: Rows, rate: float
    ) -> dict[Node, Array]:
        """The values that a step starts from."""
        known = dict(self._values)
        for x in step.graph.inputs:
            if x not in STEP_INPUTS:
                array = data[step.graph.name(x)]
                known[x] = array[rows] if x.batch else array
        known[KEY] = key(self._seed, self._steps)
        known[RATE] = np.asarray(rate, np.float64)
        known[STEP_INDEX] = np.asarray(self._steps + 1, np.float64)
        return known

    def _not_finite(self, rows: Rows, rate: float) -> NotFinite:
        """The step once more, encoders and all, with the values of all nodes."""
        whole = self._whole
        known = self._known(whole, self._data, rows, rate)
        env = evaluate(whole.graph, known, rows=len(rows), training=True)
        return not_finite(whole.graph, env, step=self._steps + 1, rows=rows, loss=whole.loss)

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


_FIRST: Rows = np.arange(4096)


def every(rows: int) -> Rows:
    """The numbers of so many rows, in order; not to be written to."""
    return _FIRST[:rows] if rows <= len(_FIRST) else np.arange(rows)


def key(seed: int, step: int) -> Array:
    """The value of `step.key`: what makes the randomness of one step."""
    words: Array = keys(seed, np.array([step]))[0]
    return words


def keys(seed: int, steps: npt.NDArray[np.int64]) -> Array:
    """The values of `step.key` for some steps, (steps, 3)."""
    low = 2**32 - 1
    made = np.empty((len(steps), 3), np.uint32)
    made[:, 0], made[:, 1], made[:, 2] = seed & low, seed >> 32 & low, steps & low
    return made


def not_finite(
    graph: Graph, env: Mapping[Node, Array], *, step: int, rows: Rows, loss: Node
) -> NotFinite:
    """The error that names the node where the NaN or infinity that spoilt a step came up.

    Args:
        graph, env: of the step, with the values of all nodes.
        step: its number, from 1.
        rows: of the data set, that the minibatch was made of.
        loss: nodes after it are the backward pass and the update.
    """
    spoilt = [loss] if not np.isfinite(env[loss]) else graph.outputs
    culprit = _origin(graph, env, spoilt)
    bad = np.argwhere(~np.isfinite(env[culprit]))[0]
    at = f"step {step}, node {graph.name(culprit)!r}, line {culprit.source}"
    at += f", row {rows[bad[0]]}" if culprit.shape[:1] == (N,) else ""
    got = str(env[culprit][tuple(bad)])
    if isinstance(culprit, Input):
        return NotFinite(
            "fit", "the data hold a NaN or an infinity", got=got, at=at,
            fix="fill gaps and scale the column before, or train from a table: cr.train",
        )  # fmt: skip
    if isinstance(culprit, Operation):
        numbers = (_number_at(env[x], bad) for x in culprit.operands)
        got = f"{culprit.op.name}({', '.join(numbers)}) = {got}"
    forward = culprit in Graph(loss)
    return NotFinite(
        "fit",
        "a value became NaN or infinite in the "
        + ("forward pass" if forward else "backward pass or the update"),
        got=got,
        at=at,
        fix=CALMER,
    )


def _origin(graph: Graph, env: Mapping[Node, Array], spoilt: Iterable[Node]) -> Node:
    """The first node that is not finite though its operands are, on the way to `spoilt`.

    Infinities that do no harm, as in a branch not taken, are not on that way; constants are
    meant as they are.
    """

    def bad(nodes: Iterable[Node]) -> list[Node]:
        return [
            x
            for x in nodes
            if not np.isfinite(env[x]).all()
            and not (isinstance(x, Operation) and x.op.name == "constant")
        ]

    way: set[Node] = set()
    todo = bad(spoilt)
    while todo:
        node = todo.pop()
        if node not in way:
            way.add(node)
            todo += bad(node.inputs)
    return next(x for x in graph if x in way and not bad(x.inputs))


def _number_at(array: Array, index: npt.NDArray[np.int64]) -> str:
    """The element of an operand that stands where the result's does, or its range."""
    if array.ndim == len(index) and all(i < n for i, n in zip(index, array.shape, strict=True)):
        return f"{array[tuple(index)].item():.6g}"
    return f"{array.min().item():.6g}..{array.max().item():.6g}" if array.size else "empty"
