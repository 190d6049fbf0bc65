"""The state of a model: its graph, parameters, optimizer slots and history."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import Rows
from chainrule.engine.program import Program
from chainrule.errors import FeedError, GraphError, SettingError, did_you_mean, short
from chainrule.graph.check import check
from chainrule.graph.feeds import as_feed, bind
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Parameter
from chainrule.graph.step import STEP_INPUTS
from chainrule.interpret import initial_value
from chainrule.model.lastrun import LastRun
from chainrule.model.learning.section import Learning
from chainrule.model.stepcache import StepCache
from chainrule.ops.build import require_scalar
from chainrule.passes.decompose import lowers
from chainrule.train.history import History
from chainrule.train.lbfgs import LBFGS
from chainrule.train.metrics import Metric, Scores
from chainrule.train.metrics.registry import Function
from chainrule.train.objectives import Objectives
from chainrule.train.optim import Optimizer
from chainrule.train.record import Recording

if TYPE_CHECKING:  # arrays do not need them, and they take long to load
    from chainrule.data.blocks import Encoded
    from chainrule.data.repeats import Keys
    from chainrule.data.schema import Schema
    from chainrule.data.streams.stream import Stream
    from chainrule.data.table import Table

    Tabular: TypeAlias = Table | Encoded | Stream | str | os.PathLike[str] | Any
else:
    Tabular: TypeAlias = str | os.PathLike[str] | Any
"""Data that only a model with a schema can read."""

Data: TypeAlias = Mapping[str, npt.ArrayLike] | Tabular

_FED = ("fit", "step", "trace_step", "evaluate", "predict", "profile")
"""Methods whose first argument is data."""


class HoldsProgram(Protocol):
    """Has the program of a model's single steps."""

    program: Program


@dataclass(frozen=True)
class Interrupted:
    """The end of a run that was cut short, by which the same model may go on.

    Attributes:
        beginning: the digest of the values that the run began with.
        mark: of the parameters at its end.
    """

    beginning: str
    mark: object


Computation: TypeAlias = Callable[[Mapping[str, Array], Mapping[str, Array], Rows], list[Array]]
"""Computes outputs from values of parameters, checked arrays, and some of their rows."""


class ModelState:
    """The part of a Model that `fit`, `plan`, `profile` and the model file work on.

    Args: see Model.

    Attributes:
        graph: outputs and loss with all nodes that they depend on.
        outputs, loss: the nodes of the graph that are predicted and minimised.
        single: whether the outputs were given as one node, not as a list.
        seed: of all random numbers.
        schema: of a table, or None.
        objectives: the nodes that the loss compares, and their metrics.
        objective: that of the first output.
        scored: the forward pass of the loss and of what metrics compare.
        optimizer: of the last run; None before the first.
        steps: the number of updates made.
        history: of all runs of `fit`.
        record: what the last run kept of its epochs, or None.
        last_run: the end of the last run, from which the next `fit` goes on, or None.
        interrupted: the end of a run with checkpoints that was cut short, or None.
        split: a description of the last run's split of the rows.
        notes: plain values that are saved with the model; from `train`, "config" holds the
            settings, and "data" what was left out or guessed of the table.
        trained_rows: keys of the rows that `train` trained on, by which rows that come again are
            found; None where they are not known.
        step_cache: holds the step of the last run.
        live: the program of single steps, which holds the state between them; or None.
        lock: held while a single step runs, and while its state is read.

    Raises:
        GraphError: the loss is not a scalar, or two nodes have one name.
    """

    def __init__(
        self,
        outputs: Node | Sequence[Node],
        loss: Node | None = None,
        *,
        seed: int = 0,
        schema: Schema | None = None,
        values: Mapping[str, Array] | None = None,
    ) -> None:
        self.single = isinstance(outputs, Node)
        self.outputs = _outputs(outputs)
        self.loss = None if loss is None else require_scalar("Model", loss)
        self.graph = check(Graph([*self.outputs, *([] if loss is None else [loss])]))
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise SettingError("Model", "a seed is an integer of at least 0", got=repr(seed))
        self.seed, self.schema = int(seed), schema
        self.objectives = Objectives(self.graph, self.loss, self.outputs)
        self.objective = self.objectives.first
        self._parameters = {self.graph.name(x): x for x in self.graph.parameters}
        self._inputs = {x: self.graph.name(x) for x in self.graph.inputs if x not in STEP_INPUTS}
        self.step_cache = StepCache()
        self._scored = [] if self.loss is None else [self.loss, *self.objectives.nodes]
        for x in self.graph.operations:
            lowers(x)  # raises GraphError where the decomposition of a user's op is wrong
        self._scores_here = cache(partial(Forward, self.graph, self._scored))  # for `untrained` too
        self._begin(values or {})

    def _begin(self, given: Mapping[str, Array]) -> None:
        """Set all that training changes to what it is before the first step."""
        self.optimizer: Optimizer | LBFGS | None = None
        self.steps = 0
        self.live: HoldsProgram | None = None
        self.lock = threading.RLock()
        self._pull: Callable[[], Mapping[str, Array]] | None = None
        self.history, self.split = History(), ""
        self.record: Recording | None = None
        self.learning: Learning | None = None
        self.last_run: LastRun | None = None
        self.interrupted: Interrupted | None = None
        self.notes: dict[str, Any] = {}
        self.trained_rows: Keys | None = None
        self._slots: dict[str, Array] = {}
        self._present = {
            name: np.array(given[name]) if name in given else initial_value(x, name, self.seed)
            for name, x in self._parameters.items()
        }

    def untrained(self) -> Self:
        """Another model of the same network, at the initial values of the same seed.

        Both share the graph, and what is compiled of it: its step and its forward passes.
        """
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other._begin({})
        return other

    # ------------------------------------------------------------ parameters

    @property
    def size(self) -> int:
        """The number of trained parameters."""
        return sum(self._values[name].size for name, x in self._parameters.items() if x.trainable)

    @property
    def values(self) -> dict[str, Array]:
        """The present values of all parameters, by name, as read-only arrays."""
        return {name: self.value(name) for name in self._values}

    def value(self, parameter: str | Parameter) -> Array:
        """A parameter's present value; write it with `set_value`.

        Raises:
            GraphError: the model has no such parameter.
        """
        view = self._values[self._name(parameter)].view()
        view.flags.writeable = False
        return view

    def set_value(self, parameter: str | Parameter, value: npt.ArrayLike) -> None:
        """Write a parameter's value; the next `fit` then begins from it.

        Raises:
            GraphError: the model has no such parameter. FeedError: the value does not fit.
        """
        name = self._name(parameter)
        array = as_feed(f"parameter {name!r}", value, self._parameters[name].type)
        self._present = self._values | {name: np.array(array)}  # predictions know it by identity
        if self.last_run is not None:  # its best score and its end are those of other values
            self.last_run = replace(self.last_run, judged=None, values=None)

    def _name(self, parameter: str | Parameter) -> str:
        name = parameter if isinstance(parameter, str) else self.graph.name(parameter)
        if name not in self._parameters:
            raise GraphError(
                "model", f"no parameter {name!r}", fix=did_you_mean(name, self._parameters)
            )
        return name

    @property
    def mark(self) -> object:
        """An object that is another one after every change of the parameters."""
        return self._values

    @property
    def slots(self) -> dict[str, Array]:
        """The optimizer's arrays, by name."""
        self.catch_up()
        return self._slots

    @slots.setter
    def slots(self, new: dict[str, Array]) -> None:
        self.catch_up()
        self._slots = new

    @property
    def _values(self) -> dict[str, Array]:
        """The present values of the parameters, by name."""
        self.catch_up()
        return self._present

    def restore(self, state: Mapping[str, Array], steps: int) -> None:
        """Set parameters and optimizer slots, as a program returns them; a run has ended."""
        with self.lock:
            self._pull = None
            self._take(state)
            self.steps, self.last_run = steps, None

    def follow(self, read: Callable[[], Mapping[str, Array]] | None, steps: int) -> None:
        """Take parameters and slots from a program when they are next asked for.

        Args:
            read: returns them by name; None: the program goes on, and they are not to be read.
            steps: the number of updates so far.
        """
        with self.lock:
            self._pull, self.steps = read, steps

    def catch_up(self) -> None:
        """Copy parameters and slots from the program that the model follows, if it has new ones."""
        if self._pull is not None:
            with self.lock:
                if self._pull is not None:  # another thread may have been first
                    self._take(self._pull())
                    self._pull = None

    def release(self) -> None:
        """Let the program of single steps rest: another run begins."""
        with self.lock:
            if self.live is not None:
                self.catch_up()
                self.step_cache.rest(self.live.program)
                self.live = None

    def _take(self, state: Mapping[str, Array]) -> None:
        updated = {name: state[name] for name in self._present if name in state}
        self._present = self._present | updated  # at once: another thread may predict
        self._slots = {name: x for name, x in state.items() if name not in self._present}

    # ------------------------------------------------------------ data and scores

    @property
    def inputs(self) -> Mapping[Input, str]:
        """The inputs that data feeds, with their names."""
        return self._inputs

    def arrays(self, data: Data, *, weighted: bool = True) -> tuple[dict[str, Array], int]:
        """All inputs of the graph from `data`, checked, and the number of rows.

        weighted: whether weights of examples are required, if the graph has them.
        """
        inputs = self._inputs
        if self.schema is not None:
            if not is_encoded(data):
                data = encoded_table(self.schema, data)
            data = self._with_target(data)
        elif not isinstance(data, Mapping):
            raise not_arrays(data, inputs.values())
        if not weighted:
            data = self._with_equal_weights(inputs, data)
        bound, rows = bind(inputs, inputs, data)
        if rows == 0:
            raise FeedError("data", "there are no rows", expected="at least one example")
        return {name: bound[x] for x, name in inputs.items()}, rows

    def _needed(self, data: Data, needed: Collection[str]) -> dict[str, Any]:
        """The inputs with needed names; others of the graph may be there too.

        Raises:
            FeedError: `data` is not a mapping, or the graph has no input of a name in it.
        """
        if not isinstance(data, Mapping):
            raise not_arrays(data, needed)
        others = [name for name in data if name not in needed]
        inputs = {self.graph.name(x) for x in self.graph.inputs} if others else set[str]()
        for name in others:
            if name not in inputs:
                raise FeedError(
                    "data", f"no input is named {name!r}", fix=did_you_mean(str(name), inputs)
                )
        return {name: data[name] for name in data if name in needed}

    def _call_advice(
        self, method: str, arguments: Sequence[Any], named: Mapping[str, Any]
    ) -> str | None:
        """The right call where X and y, or a rate, were given apart; None for other mistakes."""
        rate = next((x for x in ("lr", "rate", "learning_rate") if x in named), None)
        if rate is not None and method in ("fit", "step", "trace_step"):
            return f"give it to the optimizer: optimizer=cr.Adam({named[rate]!r})"
        inputs = [*self._inputs.values()]
        apart = len(arguments) > 1 or not {"x", "y", *inputs}.isdisjoint(map(str.lower, named))
        if not apart or method not in _FED:
            return None
        if self.schema is not None:
            target = self.schema.target.name if self.schema.target else "the target"
            return f"{method}(table), where one column of the table is {target!r}"
        return f"{method}({{" + ", ".join(f'"{name}": ...' for name in inputs) + "})"

    def _with_target(self, encoded: Encoded) -> dict[str, Array]:
        assert self.schema is not None
        arrays = dict(encoded.arrays)
        if self.schema.target is not None and encoded.target is not None:
            arrays[self.schema.target.name] = encoded.target
        return arrays

    def _with_equal_weights(
        self, inputs: Mapping[Input, str], data: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The data, with weights of 1 where the graph has weights and the data has none."""
        rows = [len(data[name]) for x, name in inputs.items() if x.batch and name in data]
        weights = [x.weights for x in self.objectives.each if isinstance(x.weights, Input)]
        missing = [x for x in weights if inputs[x] not in data and rows]
        return {**data, **{inputs[x]: np.ones(rows[0], x.dtype) for x in missing}}

    def score(
        self,
        arrays: Mapping[str, Array],
        rows: Rows,
        metrics: Iterable[str | Metric | Function] | None = None,
        by: Computation | None = None,
    ) -> Scores:
        """Loss and metrics over some rows of checked arrays.

        by: what computes them, as `_scored_on` makes it; None: the processor.
        """
        return self.scores_of(self.scoring_outputs(arrays, rows, by), metrics)

    def scores_of(
        self, outputs: list[Array], metrics: Iterable[str | Metric | Function] | None = None
    ) -> Scores:
        """Loss and metrics, from what `scoring_outputs` gives."""
        loss, *values = outputs
        scores = self.objectives.score(values, metrics, self._decided)
        return Scores({"loss": float(loss)} | scores, scores.notes)

    @property
    def _decided(self) -> Callable[[Array], Array] | None:
        """The shares whose highest decides on a class, where it is not the most probable one."""
        if self.schema is None:
            return None
        from chainrule.data.columns.target import ClassTarget  # noqa: PLC0415  (tables alone need it)

        target = self.schema.target
        return target.decided if isinstance(target, ClassTarget) and target.weights else None

    @property
    def plainly_scored(self) -> bool:
        """Whether metrics compare one objective, and the most probable class decides."""
        return not self.objectives.several and self._decided is None

    def scoring_outputs(
        self, arrays: Mapping[str, Array], rows: Rows, by: Computation | None = None
    ) -> list[Array]:
        """The loss over some rows of checked arrays, and the values of the objectives' nodes."""
        if self.loss is None:
            raise GraphError(
                "evaluate", "the model has no loss", fix="Model(outputs=..., loss=...)"
            )
        return (by or self._scored_on("cpu"))(self._values, arrays, rows)

    def _scored_on(self, device: str) -> Forward:
        """The computation of the loss and of what metrics compare, by a device.

        On another than the processor it is for the same arrays again and again.
        """
        if device == "cpu":
            return self._scores_here()
        return Forward(self.graph, self._scored, device=device, held=True)


def is_stream(data: object) -> TypeGuard[Stream]:
    """Whether data is a stream, which is read block by block."""
    module = sys.modules.get("chainrule.data.streams.stream")  # else there is none yet
    return module is not None and isinstance(data, module.Stream)


def is_encoded(data: object) -> TypeGuard[Encoded]:
    """Whether data is a table that is encoded already; only a model with a schema takes one."""
    from chainrule.data.blocks import Encoded  # noqa: PLC0415  (tables alone need it)

    return isinstance(data, Encoded)


def encoded_table(schema: Schema, data: Any) -> Encoded:
    """A table, with its target, as a schema encodes it."""
    from chainrule.data.readers.sources import read  # noqa: PLC0415  (tables alone need it)

    return schema.encode(read(data), "required")


def not_arrays(data: object, names: Iterable[str]) -> FeedError:
    """The error of data that is not a mapping, where the model has no schema."""
    return FeedError(
        "data",
        "a model without a schema is fed arrays by the names of its inputs",
        expected="{" + ", ".join(f"{name!r}: array" for name in names) + "}",
        got=type(data).__name__,
    )


def _outputs(given: Any) -> tuple[Node, ...]:
    """The outputs of a model as a tuple. Raises GraphError where they are not nodes."""
    several = isinstance(given, Iterable) and not isinstance(given, Mapping)
    nodes = tuple(given) if several else (given,)
    if not nodes or not all(isinstance(x, Node) for x in nodes):
        raise GraphError("Model", "outputs are a node, or a list of one or more", got=short(given))
    return nodes
