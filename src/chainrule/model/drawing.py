"""The numbers of exercise sheets: drawn for the lecture's network, or those of a model and rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from chainrule.data.blocks import Encoded
from chainrule.data.readers.sources import read
from chainrule.errors import SettingError
from chainrule.explain import lecture
from chainrule.explain.byhand import Plain, Unit, UnitNumbers, unit_network, unit_numbers, units
from chainrule.explain.conditions import rounded
from chainrule.explain.run import run
from chainrule.explain.sheet import amount
from chainrule.explain.trace import Trace
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node
from chainrule.model.model import Model
from chainrule.model.state import Data
from chainrule.types import resolve

MOST = 150
"""The numbers that a sheet may ask for; of a network with more it shows a unit."""

UNITS_TRIED = 8
"""The units of each layer that are tried for a row."""

UNIT_WORDS = {
    "a": "inputs of the unit", "w": "weights", "b": "bias", "r": "sum of the other products",
    "g": "gradient of the loss at h",
}  # fmt: skip
"""The numbers of a unit."""

INPUTS = (0.5, 1.0, 1.5, 2.0, 3.0, -0.5, -1.0, -2.0, 0.0)
"""The inputs of the lecture's network."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """The numbers of a sheet.

    Attributes:
        loss: of the network.
        feeds, values: of its inputs, and of its parameters.
        notes: sentences for the head of the sheet.
        like: a graph whose names the nodes keep.
        words: descriptions of inputs and parameters, by name.
    """

    loss: Node
    feeds: Mapping[str, Any]
    values: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    like: Graph | None = None
    words: Mapping[str, str] = field(default_factory=dict)


class Drawing(Protocol):
    """The source of the numbers of all sheets.

    Attributes:
        title: of the sheets.
        rate: of the update, where none is asked for.
        notes: sentences for the teacher.
    """

    title: str
    rate: float
    notes: tuple[str, ...]

    def draws(self, generator: np.random.Generator, number: int, tries: int) -> Iterator[Drawn]:
        """Numbers for a sheet, until they are fit."""
        ...


def decimals(generator: np.random.Generator, shape: tuple[int, ...], most: float) -> Array:
    """Numbers with one decimal, none of them 0."""
    tenths = generator.integers(1, round(most * 10) + 1, shape)
    return np.asarray(tenths * generator.choice([-1, 1], shape) / 10)


@dataclass
class LectureNumbers:
    """The lecture's network, with inputs, targets and parameters that are drawn."""

    title: str = "One training step by hand"
    rate: float = lecture.RATE
    notes: tuple[str, ...] = ()

    def draws(self, generator: np.random.Generator, number: int, tries: int) -> Iterator[Drawn]:
        """Numbers for a sheet, until they are fit."""
        loss = lecture.network()["E"]
        shapes = {name: np.asarray(x).shape for name, x in lecture.NUMBERS.items()}
        for _ in range(tries):
            feeds = {
                "x": generator.choice(INPUTS, (1, 2)),
                "t": generator.choice([0.0, 1.0], (1, 1)),
            }
            values = {name: decimals(generator, shape, 4.0) for name, shape in shapes.items()}
            if feeds["x"].any():
                yield Drawn(loss, feeds, values)


@dataclass
class NumbersOfModel:
    """A model's network, or a unit of it, on rows of data or on inputs that are drawn.

    Args:
        model, name: the model, and its name in the title.
        data: rows, or None.
        rows: to take, from 1; None: in a random order.
        weights: "own" or "drawn".

    Raises:
        SettingError: the model has no loss, or has no part that can be computed by hand.
    """

    model: Model
    name: str
    data: Data | None
    rows: Sequence[int] | None
    weights: str
    rate: float = 1.0
    notes: tuple[str, ...] = ()
    title: str = field(init=False)

    def __post_init__(self) -> None:
        self.title = f"One training step of {self.name} by hand"
        if self.model.loss is None:
            raise SettingError("exercise", "the model has no loss, so that no gradient is there",
                               fix="cr.Model(outputs=..., loss=...)")  # fmt: skip
        self._plain = Plain.of(self.model.graph, self.model.loss)
        if self.data is None and self.rows is not None:
            raise SettingError("exercise", "rows are asked for, and there is no data",
                               fix="give the data, or leave out the rows")  # fmt: skip
        self._arrays, self._places = self._read()
        first = self._trace(np.random.default_rng(0), self._wanted(1)[:1])
        self._size = amount(first)
        self._units = units(self._plain.graph) if self._size > MOST else []
        if self._size > MOST and not self._units:
            raise SettingError(
                "exercise", "the network is too large to compute by hand, and has no dense layer "
                "of which one unit could be shown", expected=f"at most {MOST} numbers",
                got=f"{self._size:,} numbers for a row", fix="a network with fewer units",
            )  # fmt: skip
        if self._units:
            self.notes = (
                f"the network has {self._size:,} numbers to compute for a row, and a sheet at "
                f"most {MOST}: each sheet shows one unit",
            )

    def _read(self) -> tuple[dict[str, Array], Array]:
        """The arrays of the data and the places of their rows, from 0; no rows without data."""
        if self.data is None:
            return {}, np.zeros(0, np.int64)
        model, data = self.model, self.data
        if model.schema is not None and not isinstance(data, Encoded):
            data = model.schema.encode(read(data), "required")
        arrays, count = model.arrays(data, weighted=False)
        places = data.rows if isinstance(data, Encoded) else np.arange(count)
        known = set((np.asarray(places) + 1).tolist())
        missing = [x for x in self.rows or () if x not in known]
        if missing:
            raise SettingError(
                "exercise", "the data has no such row with a target", got=f"row {missing[0]}",
                expected=f"one of {len(known):,} rows, {min(known)} to {max(known)}",
            )  # fmt: skip
        return arrays, np.asarray(places)

    @cached_property
    def _own(self) -> dict[str, Array]:
        """The model's parameters in float64."""
        known = {self._plain.graph.name(x) for x in self._plain.graph.parameters}
        return {k: x.astype(np.float64) for k, x in self.model.values.items() if k in known}

    def _wanted(self, number: int, generator: np.random.Generator | None = None) -> list[int]:
        """The indices of the rows to try for a sheet; empty without data."""
        if self.rows is not None:
            return [int(np.flatnonzero(self._places == self.rows[number - 1] - 1)[0])]
        count = len(self._places)
        return list(range(count)) if generator is None else generator.permutation(count).tolist()

    def draws(self, generator: np.random.Generator, number: int, tries: int) -> Iterator[Drawn]:
        """Numbers for a sheet, until they are fit."""
        rows = self._wanted(number, generator)[:tries]
        if self._units:
            yield from self._of_units(generator, rows)
            return
        for k in range(tries if not rows or self.weights == "drawn" else len(rows)):
            row = rows[k % len(rows)] if rows else None
            exact = self._feeds(generator, row).items()
            feeds = {name: rounded(x, 2) if x.dtype.kind == "f" else x for name, x in exact}
            yield Drawn(
                self._plain.loss, feeds, self._values(generator), self._told(row),
                self._plain.graph,
            )  # fmt: skip

    def _told(self, row: int | None) -> tuple[str, ...]:
        told = []
        if self._plain.before:
            made = ", ".join(self._plain.before)
            told.append(f"Computed beforehand, without parameters: {made}.")
        if row is not None:
            told.append(f"Row {self._places[row] + 1} of the data.")
        if self.weights == "own":
            told.append("The parameters are the model's own, rounded to two digits.")
        return tuple(told)

    def _feeds(self, generator: np.random.Generator, row: int | None) -> dict[str, Array]:
        """The inputs: those of a row, or drawn."""
        graph = self._plain.graph
        if row is None:
            return {graph.name(x): self._draw(x, generator) for x in graph.inputs}
        one = {k: x[row : row + 1] for k, x in self._arrays.items()}
        return self._plain.feeds(one)

    def _draw(self, node: Input, generator: np.random.Generator) -> Array:
        """The value of one input."""
        shape = tuple(int(x) for x in resolve(node.shape, 1))
        if node.dtype == "bool":
            return generator.integers(0, 2, shape).astype(bool)
        objective = self.model.objective
        target, weights = objective.target, objective.weights
        name = self._plain.graph.name(node)
        if weights is not None and name == self.model.graph.name(weights):
            return np.ones(shape)
        if not node.type.floating:
            return generator.integers(0, _levels(self._plain.graph, node), shape)
        bounds = objective.bounds if target is not None else None
        if bounds is None or target is None or name != self.model.graph.name(target):
            return decimals(generator, shape, 2.0)
        if bounds.low >= 0 and bounds.high <= 1:
            return generator.integers(0, 2, shape).astype(float)
        drawn = decimals(generator, shape, 2.0)
        return np.clip(np.abs(drawn) if bounds.low >= 0 else drawn, bounds.low, bounds.high)

    def _values(self, generator: np.random.Generator) -> dict[str, Array]:
        if self.weights == "own":
            return {k: rounded(x, 2) for k, x in self._own.items()}
        return {k: decimals(generator, x.shape, 2.0) for k, x in self._own.items()}

    def _trace(self, generator: np.random.Generator, rows: Sequence[int]) -> Trace:
        """The network with the model's own parameters, on a row."""
        graph, row = self._plain.graph, rows[0] if rows else None
        trace = run(graph.outputs, self._feeds(generator, row), values=self._own, like=graph)
        trace.backward(self._plain.loss)
        return trace

    def _of_units(self, generator: np.random.Generator, rows: Sequence[int]) -> Iterator[Drawn]:
        for k in range(len(rows[:5]) or 5):
            here = rows[k : k + 1]
            trace = self._trace(generator, here)
            for place in generator.permutation(len(self._units)).tolist():
                unit = self._units[place]
                columns = generator.permutation(resolve(unit.weights.shape, 0)[1])[:UNITS_TRIED]
                for column in columns.tolist():
                    yield self._unit(trace, unit, column, here, generator)

    def _unit(
        self,
        trace: Trace,
        unit: Unit,
        column: int,
        rows: Sequence[int],
        generator: np.random.Generator,
    ) -> Drawn:
        found = unit_numbers(trace, unit, 0, column)
        scale, slope = _scaled(found.slope)
        shape = found.weights.shape
        numbers = UnitNumbers(
            column, found.chosen, rounded(found.inputs, 2),
            rounded(found.weights, 2) if self.weights == "own" else decimals(generator, shape, 2.0),
            float(rounded(np.asarray(found.rest), 2)),
            None if found.bias is None else float(rounded(np.asarray(found.bias), 2)), slope,
        )  # fmt: skip
        loss, feeds = unit_network(unit, numbers)
        told = self._unit_notes(unit, numbers, rows, scale)
        return Drawn(loss, feeds, {}, told, words=UNIT_WORDS)

    def _unit_notes(
        self, unit: Unit, numbers: UnitNumbers, rows: Sequence[int], scale: float
    ) -> tuple[str, ...]:
        inputs = resolve(unit.weights.shape, 0)[0]
        row = f" on row {self._places[rows[0]] + 1} of the data" if rows else ""
        told = [
            f"Unit {numbers.column} of layer {unit.layer} ({unit.activation}){row}: the whole "
            f"network, with {self.model.size:,} parameters, is too large to compute by hand."
        ]
        if numbers.rest:
            shown = ", ".join(map(str, numbers.chosen))
            told.append(
                f"Of its {inputs} inputs those with the largest products are shown, "
                f"inputs {shown}; r is the sum of the other products."
            )
        gradient = "g is the gradient of the loss at the unit’s output, from the model’s own "
        told.append(
            f"{gradient}backward pass{f', times {scale:g}' if scale != 1 else ''}; "
            "the loss changes with the unit as E does."
        )
        if self.weights == "own":
            told.append("All numbers given are rounded to two digits.")
        return tuple(told)  # fmt: skip


def _scaled(slope: float) -> tuple[float, float]:
    """A power of ten by which a small gradient is multiplied, and the product with two digits."""
    if slope == 0 or not np.isfinite(slope):
        return 1.0, 0.0
    power = max(0, -int(np.floor(np.log10(abs(slope)))) - 1)
    return 10.0**power, float(rounded(np.asarray(slope * 10.0**power), 2))


def _levels(graph: Graph, node: Node) -> int:
    """The number of values of an input of integers: those among which an op chooses by it."""
    readers = list(graph.consumers(node))
    for reader in readers:
        if reader.op.name in ("gather", "take"):
            return int(resolve(reader.operands[0].shape, 1)[reader.attributes["axis"]])
        if reader.op.name == "one_hot":
            return int(reader.attributes["depth"])
        if reader.op.kind == "view":
            readers += graph.consumers(reader)
    return 2
