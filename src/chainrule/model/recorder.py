"""Records a run of `fit`: runs a few rows through the network after an epoch, and keeps numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.autodiff import backward, gradients
from chainrule.engine.interpreted import step_inputs
from chainrule.engine.minibatch import Rows
from chainrule.errors import SettingError, did_you_mean
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation, Scope
from chainrule.graph.step import STEP_INPUTS
from chainrule.interpret import EvalSchedule
from chainrule.model.learning.learner import SAMPLE, Learner
from chainrule.model.learning.section import Learning
from chainrule.model.prepare import Prepared
from chainrule.model.state import ModelState
from chainrule.nn.summary import layers
from chainrule.ops.reduce import sum as total
from chainrule.passes.rewrite import rewrite
from chainrule.passes.specialise import specialise
from chainrule.system.blas import one_thread
from chainrule.train.callbacks import Callback, State
from chainrule.train.record import FLAT, Kept, Record, Recording, grown, quantiles_of
from chainrule.types import N

GRID = np.linspace(-20.0, 20.0, 801)
"""Operands among which the greatest slope of an activation is looked for."""

MODERATE = 5.0
"""The size of operands for which the slope of a smooth activation is not 0."""


class Recorder(Callback):
    """The callback that records a run. It reads the model, and changes nothing.

    Args:
        state: of the model; its recording goes on where it is of the same nodes and rows.
        record: what to keep.
        prepared: the data set.
        epochs: of the run.

    Raises:
        SettingError: a node or row is not there, or the arrays would be too large.
    """

    def __init__(
        self, state: ModelState, record: Record, prepared: Prepared, epochs: int
    ) -> None:  # fmt: skip
        assert state.loss is not None
        self._model = state
        data, rows = prepared.arrays, prepared.rows
        self._record, graph = record, state.graph
        self._nodes = _chosen(graph, state.outputs, record.nodes)
        chosen = _rows(record, rows, _size(graph, data))
        self._rows = len(chosen)
        names = {x: graph.name(x) for x in graph.inputs if x not in STEP_INPUTS}
        inputs = {n: np.array(data[n][chosen] if x.batch else data[n]) for x, n in names.items()}
        self._keeps = self._fits(state, epochs)
        old = state.record
        last = state.history.last_epoch
        self.goes_on = (
            old is not None and len(old) > 0 and old.epochs[-1] <= last
            and [*old.nodes] == [*self._nodes] and np.array_equal(old.rows, chosen)
            and all(np.array_equal(old.inputs[n], x, equal_nan=x.dtype.kind == "f")
                    for n, x in inputs.items())
            and all(x.values is not None for x in old.parameters.values()) == self._keeps
            and all((x.gradient_quantiles is not None) == record.gradients
                    for x in old.nodes.values())
        )  # fmt: skip
        made = Recording(chosen, inputs, self._nodes, state.values)
        self.recording = old if self.goes_on and old is not None else made
        self._before: dict[str, Array] = {}
        self._build(state, inputs)
        self._learning(state, prepared, chosen)

    def _learning(self, state: ModelState, prepared: Prepared, chosen: Rows) -> None:
        """Measure beside it what a page shows of the run."""
        known = self.recording.learner
        goes_on = self.goes_on and isinstance(known, Learner) and known.fits(state, prepared)
        wanted = self._record.rows
        drawn = min(wanted, SAMPLE) if isinstance(wanted, int) else chosen[:SAMPLE]
        learner = known if goes_on else Learner(state, prepared, drawn)
        assert isinstance(learner, Learner)
        self._learner, self.recording.learner = learner, learner
        self._stride, self._ends = self._record.every, dict[int, int]()

    def _build(self, state: ModelState, inputs: Mapping[str, Array]) -> None:
        """The graph of values, gradients and slopes, in its form for prediction."""
        assert state.loss is not None
        graph = state.graph
        place = specialise(graph, training=False)
        self._parameters = {graph.name(x): x for x in graph.parameters}
        self._loss = place[state.loss]
        self._values = {name: place[x] for name, x in self._nodes.items()}
        whole = Graph([self._loss, *self._values.values()], like=graph)
        self._gradients: dict[str, Node] = {}
        if self._record.gradients:
            trained = {n: x for n, x in self._parameters.items() if x.type.floating and x in whole}
            wanted = trained | self._values
            built = backward(whole, self._loss, wanted.values()).gradients
            self._gradients = {name: built[x] for name, x in wanted.items() if x in built}
        self._slopes = _slopes(graph, place, self._values)
        slopes = [x.node for x in self._slopes.values()]
        kept = [self._loss, *self._values.values(), *self._gradients.values(), *slopes]
        graph = Graph(kept, like=whole)
        self._schedule = EvalSchedule(graph, kept)
        named = {x: graph.name(x) for x in graph.inputs if x not in STEP_INPUTS}
        self._given: dict[Node, Array] = {x: inputs[name] for x, name in named.items()}
        self._given |= step_inputs(state.seed, 0, 0.0, self._rows)

    def _fits(self, state: ModelState, epochs: int) -> bool:
        """Whether the values of parameters are kept. Raises SettingError where it is too much."""
        times = epochs // self._record.every + 1
        each = sum(
            math.prod(x.shape[1:]) * np.dtype(x.dtype).itemsize  # type: ignore[misc, arg-type]
            for x in self._nodes.values()
        )
        nodes = times * each * self._rows * (2 if self._record.gradients else 1)
        parameters = times * sum(x.nbytes for x in state.values.values())
        limit = self._record.megabytes * 2**20
        keeps = self._record.parameters
        if keeps is None:
            keeps = parameters <= limit / 4 and nodes + parameters <= limit
        need = nodes + (parameters if keeps else 0)
        if need > limit:
            raise SettingError(
                "record", "the recording would be too large",
                expected=f"at most {self._record.megabytes:g} MiB",
                got=f"{need / 2**20:,.0f} MiB: {times:,} epochs, {self._rows:,} rows, "
                + ", ".join(self._nodes),
                fix="fewer rows=, nodes= or epochs (every=10), or a larger megabytes=, in "
                "record=cr.Record(...)",
            )  # fmt: skip
        return keeps

    def begin(self, state: ModelState, values: Mapping[str, Array], steps: int) -> None:
        """Record the state before the first epoch, if this run does not go on another."""
        state.record = self.recording
        if not self.goes_on:
            self._take(state.history.last_epoch, steps, values)
        if not self._learner.epochs:
            self._learner.record(state.history.last_epoch, values, steps)
        else:
            known = self.recording.parameters.items()
            self._before = {n: x.values[-1] for n, x in known if x.values is not None}
            self._before = self._before or dict(values)

    def kept(self) -> dict[str, Any]:
        """The recording as plain values and arrays, from which `go_on` takes it."""
        return {
            "recording": self.recording.kept(), "learner": self._learner.kept(),
            "before": dict(self._before), "stride": self._stride, "ends": [*self._ends.items()],
        }  # fmt: skip

    def go_on(self, state: ModelState, kept: Mapping[str, Any]) -> None:
        """Take the recording of the same run until a checkpoint, in the place of `begin`."""
        old = self.recording
        state.record = self.recording = Recording(old.rows, old.inputs, self._nodes, state.values)
        self.recording.go_on(kept["recording"])
        self._learner.go_on(kept["learner"])
        self.recording.learner = self._learner
        self._before, self._stride = dict(kept["before"]), kept["stride"]
        self._ends = dict(kept["ends"])

    def on_epoch(self, state: State) -> None:
        """See Callback."""
        if state.epoch % self._record.every == 0:
            self._take(state.epoch, state.step, state.model.values)
        self._ends[state.step] = state.epoch
        if state.epoch % self._stride == 0:
            self._learner.record(state.epoch)
            if self._learner.thin():
                self._stride *= 2

    def on_finish(self, state: State) -> None:
        """Measure the model as it remains, and make what its page shows."""
        epoch = self._ends.get(state.model.steps)
        if epoch is not None:
            self._learner.record(epoch)
        self._model.learning = Learning(*self._learner.bounded())

    def _take(self, epoch: int, step: int, values: Mapping[str, Array]) -> None:
        known = self._given | {x: values[name] for name, x in self._parameters.items()}
        with one_thread:
            env = self._schedule.run(known, rows=self._rows)
        to = self.recording
        to.epochs = grown(to.epochs, np.array([epoch]))
        to.steps = grown(to.steps, np.array([step]))
        to.loss = grown(to.loss, np.array([float(env[self._loss])]))
        for name, kept in to.nodes.items():
            value = env[self._values[name]]
            kept.values = grown(kept.values, value[None].copy())
            kept.value_quantiles = grown(kept.value_quantiles, quantiles_of(value))
            if name in self._gradients:
                gradient = env[self._gradients[name]]
                kept.gradients = grown(kept.gradients, gradient[None].copy())
                self._gradient_statistics(kept, gradient)
            if name in self._slopes:
                known_slope = self._slopes[name]
                slope = np.abs(env[known_slope.node])
                flat = (slope < FLAT * known_slope.most).mean(axis=0, dtype=np.float64)
                off = ((slope == 0) & (value == 0)).all(axis=0) & known_slope.ends
                kept.flat, kept.off = grown(kept.flat, flat[None]), grown(kept.off, off[None])
        for name, kept in to.parameters.items():
            self._parameter(kept, np.asarray(values[name]), env)
        self._before = {name: np.array(x) for name, x in values.items()}

    def _gradient_statistics(self, kept: Kept, gradient: Array) -> None:
        kept.gradient_quantiles = grown(kept.gradient_quantiles, quantiles_of(gradient))

    def _parameter(self, kept: Kept, value: Array, env: Mapping[Node, Array]) -> None:
        if self._keeps:
            kept.values = grown(kept.values, np.array(value)[None])
        kept.value_quantiles = grown(kept.value_quantiles, quantiles_of(value))
        if kept.name in self._gradients:
            self._gradient_statistics(kept, env[self._gradients[kept.name]])
        change = math.nan
        if kept.name in self._before:
            before = np.asarray(self._before[kept.name], np.float64)
            length, moved = np.linalg.norm(before), np.linalg.norm(value - before)
            change = float(moved / length) if length else math.inf if moved else 0.0
        kept.change = grown(kept.change, np.array([change]))


def _size(graph: Graph, data: Mapping[str, Array]) -> int:
    return next(len(data[graph.name(x)]) for x in graph.inputs if x.batch)


def _rows(record: Record, training: Rows, size: int) -> Rows:
    """The positions of the recorded rows in the data."""
    if isinstance(record.rows, int):
        count = min(record.rows, len(training))
        spread = np.linspace(0, len(training) - 1, count).round().astype(np.int64)
        return np.sort(training)[spread]
    chosen = np.asarray(record.rows, np.int64)
    if chosen.max() >= size:
        raise SettingError(
            "Record.rows", "there is no such row", expected=f"0 to {size - 1:,}", got=chosen.max()
        )
    return chosen


def _chosen(graph: Graph, outputs: Sequence[Node], names: Any) -> dict[str, Node]:
    """The nodes to record, by name. Raises SettingError for one that has no rows of numbers."""
    if names is None:
        dense = [row.name for row, nodes in layers(graph) if row.what.startswith("dense")]
        known = [graph[name] for name in dense if any(name == graph.name(x) for x in graph)]
        nodes = [x for x in (*known, *outputs) if x.type.floating and x.shape[:1] == (N,)]
        return {graph.name(x): x for x in sorted(dict.fromkeys(nodes), key=graph.nodes.index)}
    known_names = {graph.name(x): x for x in graph if x.type.floating and x.shape[:1] == (N,)}
    for name in names:
        if name not in known_names:
            raise SettingError(
                "record", f"no node with a row for each example is named {name!r}",
                fix=did_you_mean(name, known_names),
            )  # fmt: skip
    return {name: known_names[name] for name in names}


@dataclass(frozen=True)
class _Slope:
    """The slope of a layer's activation.

    Attributes:
        node: of the slope at each operand, (N, units).
        most: the greatest that there is.
        ends: whether it is 0 for operands of moderate size, as that of relu.
    """

    node: Node
    most: float
    ends: bool


def _slopes(
    graph: Graph, place: Mapping[Node, Node], values: Mapping[str, Node]
) -> dict[str, _Slope]:
    """The slopes of the activations of those layers that have one, unit by unit."""
    named = {graph.name(x): place[x] for x in graph}
    found = {}
    for name, node in values.items():
        z = named.get(f"{name}.z")
        if z is not None and z is not node and node.ndim == 2 and node.shape == z.shape:
            slope = _slope(node, z)
            if slope is not None:
                found[name] = slope
    return found


def _slope(node: Node, z: Node) -> _Slope | None:
    """The slope of a node by its operand; None where rows or units meet, as in a softmax."""
    (slope,) = gradients(total(node), [z])
    operand = Input(Scope("z"), z.type, batch=True)

    def rule(x: Operation, _: tuple[Node, ...]) -> Node | None:
        return operand if x is z else None

    alone = Graph(rewrite(Graph(slope), rule)[slope])
    if alone.inputs != (operand,) or alone.parameters:
        return None
    grid = np.repeat(GRID[:, None], node.type.shape[1], axis=1).astype(z.dtype)  # type: ignore[arg-type]
    schedule = EvalSchedule(alone, alone.outputs)
    slopes = np.abs(schedule.run({operand: grid}, rows=len(GRID))[alone.outputs[0]])
    most, moderate = float(slopes.max()), slopes[np.abs(GRID) < MODERATE]
    return _Slope(slope, most, bool((moderate == 0).any())) if most > FLAT else None
