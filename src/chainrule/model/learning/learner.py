"""Measures a model while it learns: what its layers do on some rows, epoch by epoch."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.columns.target import ClassTarget
from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import all_rows
from chainrule.explain.run import run
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array
from chainrule.graph.step import STEP_INDEX
from chainrule.inspector.arrays import array_form
from chainrule.model.learning.hints import hints
from chainrule.model.learning.layers import Layer, layers_of
from chainrule.model.learning.regions import Grid, projection, told_of_projection
from chainrule.model.learning.section import finite, history_form
from chainrule.model.prepare import Prepared
from chainrule.model.state import ModelState

SAMPLE = 200
"""Rows on which layers are watched, and which the page holds, to be stepped through."""

MAX_VALUES = 30_000
"""Parameters up to which each recorded epoch keeps all of them."""

MAX_RECORDS = 100
"""Recorded epochs; where there are more, every second one is dropped."""

MAX_BYTES = 2_000_000
"""Bytes of the records that a page holds, about; where there are more, it has fewer epochs."""

MAX_NUMBERS = 1_000_000
"""Numbers of a layer up to which all count for its quartiles."""

FEW = 20
"""Epochs that are rather kept than the parameters at each."""

WORST = 8
"""Worst rows that are listed."""


class Learner:
    """Measures a model in training on a sample of its rows. It changes nothing.

    Args:
        model: has a loss.
        data: its rows, as the run has them.
        rows: positions in the data to watch; or how many to draw, half of them held out.

    Attributes:
        rows: positions in the user's table or arrays of the sample.
        epochs: the recorded ones.
    """

    def __init__(
        self, model: ModelState, data: Prepared, rows: int | npt.NDArray[Any] = SAMPLE
    ) -> None:
        self.model, self._data = model, data
        held = data.held_rows if data.held_arrays is data.arrays else data.rows[:0]
        if isinstance(rows, int):
            random = np.random.default_rng(model.seed)
            some = _some(held, rows // 2, random)
            rows = np.concatenate([_some(data.rows, rows - len(some), random), some])
        self._index = np.sort(rows)
        self._held = np.isin(self._index, held)
        self.rows = self._index if data.places is None else data.places[self._index]
        self._batched = {model.graph.name(x) for x in model.graph.inputs if x.batch}
        self._arrays = {
            name: x[self._index] if name in self._batched else x for name, x in data.arrays.items()
        }
        assert model.loss is not None
        learned = Graph([model.loss])
        self._layers = [x for x in layers_of(model.graph) if x.output in learned]
        self._forward = Forward(model.graph, [model.outputs[0]])
        self._grid = None if model.schema is None else Grid.of(model.schema)
        self._before: tuple[int, dict[str, Array]] | None = None
        self.epochs: list[float] = []
        self._records: list[dict[str, Any]] = []
        self._outputs: list[Array] = []
        self._latest = 0
        self.start: float | None = None

    def fits(self, model: ModelState, data: Prepared) -> bool:
        """Whether it measures this model, on the same rows of the same data."""
        known = self._arrays
        return model is self.model and known.keys() == data.arrays.keys() and all(
            np.array_equal(
                known[name],
                x[self._index] if name in self._batched and len(x) > self._index[-1] else x,
                equal_nan=x.dtype.kind == "f",
            )
            for name, x in data.arrays.items()
        )  # fmt: skip

    def record(
        self, epoch: float, values: Mapping[str, Array] | None = None, steps: int | None = None
    ) -> None:
        """Measure the model as it is after an epoch, or within one; 0 is before training.

        Args:
            epoch: one that was measured before is replaced.
            values: parameters and slots by name, and `steps` so far; None: those of the model.
        """
        model = self.model
        values = {**model.values, **model.slots} if values is None else values
        steps = model.steps if steps is None else steps
        own = {name: values[name] for name in model.values}
        nodes = [layer.output for layer in self._layers]
        assert model.loss is not None
        trace = run(
            [*model.outputs, model.loss, *nodes], self._arrays, values=own,
            seed=model.seed, step=steps, like=model.graph,
        )  # fmt: skip
        trace.backward(model.loss)
        at = self._latest = bisect_left(self.epochs, epoch)
        again = self.epochs[at : at + 1] == [epoch]
        self._outputs = [x.by_unit(trace.value(x.output)) for x in self._layers]
        layers = [
            self._of_layer(x, out, trace.gradient(x.output), own, steps)
            for x, out in zip(self._layers, self._outputs, strict=True)
        ]
        if again:  # a step back to it changes no weight
            for x, before in zip(layers, self._records[at]["layers"], strict=True):
                x["update"] = before["update"]
                for group, old in zip(x["groups"], before["groups"], strict=True):
                    group["update"] = old["update"]
        record: dict[str, Any] = {
            "layers": layers,
            "values": _forms(values, steps) if model.size <= MAX_VALUES else {},
            "hidden": self._placed(at) if self._layers[:-1] else None,
            "grid": None if self._grid is None else self._grid.answers(self._forward, own),
        }
        if epoch == 0:
            self.start = finite(trace.value(model.loss).item())
        self._before = (steps, own)
        self.epochs[at : at + again] = [epoch]
        self._records[at : at + again] = [record]

    def kept(self) -> dict[str, Any]:
        """The measurements as plain values and arrays, from which `go_on` takes them."""
        return {
            "epochs": [*self.epochs], "records": [*self._records], "outputs": [*self._outputs],
            "latest": self._latest, "start": self.start, "before": self._before,
        }  # fmt: skip

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """Take the measurements of the same model and rows."""
        self.epochs, self._records = [*kept["epochs"]], [*kept["records"]]
        self._outputs, self._latest = [*kept["outputs"]], kept["latest"]
        self.start, self._before = kept["start"], kept["before"]

    def thin(self) -> bool:
        """Drop every second record where there are too many; returns whether it did.

        The first and the last remain.
        """
        too_many = len(self.epochs) > MAX_RECORDS
        if too_many:
            del self.epochs[1:-1:2], self._records[1:-1:2]
            self._latest = len(self.epochs) - 1
        return too_many

    def section(self, record: int = 0, row: int = 0) -> dict[str, Any]:
        """The records as `Learning` of web/src/sections.ts, from one on.

        Args:
            record: the first of the recorded epochs.
            row: the first row of the history.
        """
        return self._section(range(record, len(self.epochs)), row)

    def bounded(self) -> tuple[dict[str, Any], list[str]]:
        """The records as `Learning`, of about MAX_BYTES, and sentences on what is left out.

        Its worst rows have their arrays, so that a page without the table can step through them.
        """
        notes = []
        last = self._records[-1]["values"]
        held = len(json.dumps(last)) if last else 0
        groups = sum(len(x.weights) for x in self._layers if len(x.weights) > 1)
        each = 300 * len(self._layers) + 150 * groups + 11 * len(self._index)
        if self._grid is not None:
            each += 8 * len(self._grid.points)
        whole = held > 0 and (each + held) * min(FEW, len(self.epochs)) <= MAX_BYTES
        count = max(2, MAX_BYTES // (each + held * whole))
        total = len(self.epochs)
        places = range(total)
        if count < total:
            spread = np.linspace(0, total - 1, count).round().astype(int)
            chosen = np.unique([*spread[:-1], self._latest, total - 1])
            places = chosen.tolist()
        if len(places) < self.model.history.last_epoch + 1:
            notes.append(
                f"the time line has {len(places)} epochs, evenly spread, of 0 to "
                f"{self.model.history.last_epoch:,}"
            )
        if not whole:
            notes.append(
                f"the {self.model.size:,} parameters are those of the model as it is, not of each "
                "epoch: they are large"
            )
        section = self._section(places, 0, whole)
        for row in section["worst"]:
            row["feeds"] = {
                name: array_form(x[row["row"]])
                for name, x in self._arrays.items()
                if name in self._batched
            }
            row["row"] = None
        return section | {"latest": self.epochs[self._latest]}, notes

    def _section(self, places: Sequence[int], row: int, values: bool = True) -> dict[str, Any]:
        history, records = self.model.history, [self._records[k] for k in places]
        section: dict[str, Any] = history_form(history, row) | {
            "start": self.start,
            "guess": self._guess(),
            "epochs": [self.epochs[k] for k in places],
            "layers": [self._layer_form(k, x, places) for k, x in enumerate(self._layers)],
            "values": [r["values"] for r in records if r["values"] and values],
            "regions": self._regions(records),
            "hidden": self._hidden_form(records),
            "confusion": self._confusion(),
            "worst": self._worst(),
        }
        told = hints(section["layers"], section["guess"], history, int(self.epochs[-1]))
        return section | {"told": told}

    def _regions(self, records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        if self._grid is None:
            return None
        return self._grid.form([r["grid"] for r in records], self._points())

    # ------------------------------------------------------------ parts of a record

    def _of_layer(
        self, layer: Layer, flat: Array, gradient: Array, values: Mapping[str, Array], steps: int
    ) -> dict[str, Any]:
        dead = np.ptp(flat, axis=(0, 1)) == 0 if len(flat) > 1 else np.zeros(flat.shape[-1], bool)
        groups = layer.weights if len(layer.weights) > 1 else ()
        return {
            "values": _quantiles(flat),
            "gradients": _quantiles(np.abs(gradient)),
            "weights": _quantiles(_joined(values, layer.weights)),
            "update": self._update(layer.weights, values, steps),
            "groups": [
                {
                    "name": name,
                    "weights": _quantiles(values[name]),
                    "update": self._update((name,), values, steps),
                }
                for name in groups
            ],
            "dead": np.flatnonzero(dead),
            "saturated": 0 if layer.bounds is None else int(_saturated(flat, layer.bounds)),
        }

    def _placed(self, at: int) -> Array:
        """The rows of the sample in the plane of the last hidden layer, (rows, 2)."""
        before = self._records[at - 1]["hidden"] if at else None
        return projection(self._outputs[-2].mean(axis=1), before)

    def _update(
        self, names: Sequence[str], values: Mapping[str, Array], step: int
    ) -> float | None:  # fmt: skip
        """The mean |update| / |weight| of a step since the last record."""
        if self._before is None:
            return None
        steps, before = self._before[0], _joined(self._before[1], names)
        taken, size = step - steps, float(np.linalg.norm(before))
        if taken <= 0 or size == 0:
            return None
        return finite(float(np.linalg.norm(_joined(values, names) - before)) / size / taken)

    def _layer_form(self, place: int, layer: Layer, places: Sequence[int]) -> dict[str, Any]:
        records = [r["layers"][place] for r in self._records]
        last, shown = records[-1], [records[k] for k in places]
        killed = []
        for unit in last["dead"].tolist():
            alive = [k for k, r in enumerate(records) if unit not in r["dead"]]
            killed.append({"unit": unit, "epoch": self.epochs[alive[-1] + 1 if alive else 0]})
        output = self._outputs[place]
        return {
            "name": layer.name,
            "what": layer.what,
            "units": output.shape[-1],
            "values": [r["values"] for r in shown],
            "gradients": [r["gradients"] for r in shown],
            "weights": [r["weights"] for r in shown],
            "updates": [r["update"] for r in shown],
            "groups": [
                {
                    "name": group["name"],
                    "weights": [r["groups"][k]["weights"] for r in shown],
                    "updates": [r["groups"][k]["update"] for r in shown],
                }
                for k, group in enumerate(last["groups"])
            ],
            "dead": [len(r["dead"]) for r in shown],
            "saturated": [r["saturated"] for r in shown],
            "killed": killed,
            "excited": layer.excited(output, self.labels, self.model.values),
        }

    @property
    def shown(self) -> list[int]:
        """Positions in the table of the rows that the page holds: those of the sample."""
        return [int(row) for row in self.rows]

    @property
    def labels(self) -> list[str]:
        """The names of the rows of the sample, from 1."""
        return [f"row {row + 1}" for row in self.rows]

    @property
    def _target(self) -> Any:
        return None if self.model.schema is None else self.model.schema.target

    @property
    def _truth(self) -> Array | None:
        node = self.model.objective.target
        truth = None if node is None else self._arrays.get(self.model.graph.name(node))
        return truth if truth is not None and truth.ndim == 1 else None

    @property
    def _classes(self) -> list[str]:
        return list(self._target.labels) if isinstance(self._target, ClassTarget) else []

    def _points(self) -> list[tuple[float, float, float, bool]]:
        assert self._grid is not None
        truth = self._truth
        numbers = self._grid.numbers(self._arrays)
        return [
            (float(x), float(y), float(truth[k]) if truth is not None else 0.0, bool(held))
            for k, ((x, y), held) in enumerate(zip(numbers, self._held, strict=True))
            if math.isfinite(x) and math.isfinite(y)
        ]

    def _hidden_form(self, records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        places = [r["hidden"] for r in records]
        truth = self._truth
        if not places or places[-1] is None or truth is None:
            return None
        return {
            "layer": self._layers[-2].name,
            "told": told_of_projection(*self._outputs[-2].shape[1:]),
            "classes": self._classes,
            "points": [array_form(x.astype(np.float32)) for x in places],
            "truth": [float(v) for v in truth],
        }

    def _predicted(self, arrays: Mapping[str, Array], rows: npt.NDArray[Any]) -> Array:
        return self._forward(self.model.values, arrays, rows)[0]

    def _confusion(self) -> dict[str, Any] | None:
        if not self._classes or self._truth is None or len(self._classes) > 30:
            return None
        data = self._data
        held = len(data.held_rows) > 0 and data.held_arrays is not None
        arrays = data.held_arrays if held and data.held_arrays is not None else data.arrays
        rows = _some(data.held_rows if held else data.rows, 2000, np.random.default_rng(0))
        answers = self._predicted(arrays, rows).argmax(axis=1)
        counts = np.zeros((len(self._classes),) * 2, int)
        np.add.at(counts, (arrays[self._target.name][rows], answers), 1)
        told = f"{len(rows):,} {'validation' if held else 'training'} rows"
        return {"classes": self._classes, "counts": counts.tolist(), "rows": told}

    def _worst(self) -> list[dict[str, Any]]:
        truth = self._truth
        if truth is None or self._target is None:
            return []
        answers = self._predicted(self._arrays, all_rows(len(self._index)))
        if self._classes:
            sure = answers[np.arange(len(truth)), truth.astype(int)]
            losses = -np.log(np.maximum(sure, 1e-30))
            told = [(self._classes[int(t)], self._classes[a])
                    for t, a in zip(truth, answers.argmax(axis=1), strict=True)]  # fmt: skip
        else:
            losses = np.abs(answers - truth)
            told = [(f"{t:.4g}", f"{a:.4g}") for t, a in zip(truth, answers, strict=True)]
        order = np.argsort(-losses, kind="stable")[:WORST]
        return [
            {"label": self.labels[k], "truth": told[k][0], "answer": told[k][1],
             "loss": finite(losses[k]), "row": int(k)}
            for k in order
        ]  # fmt: skip

    def _guess(self) -> dict[str, Any]:
        target, objective = self._target, self.model.objective
        plain = objective.kind == "cross_entropy" and objective.weights is None
        if not isinstance(target, ClassTarget) or not plain:
            return {"loss": None, "told": ""}
        shares = np.array(target.counts, float) / sum(target.counts)
        entropy = float(-(shares * np.log(shares)).sum())
        return {"loss": entropy, "told": "guessing the class shares for every row"}


def _joined(values: Mapping[str, Array], names: Sequence[str]) -> Array:
    """The entries of some arrays; those of one as they are."""
    arrays = [values[name] for name in names]
    return arrays[0] if len(arrays) == 1 else np.concatenate([x.ravel() for x in arrays])


def _forms(values: Mapping[str, Array], steps: int) -> dict[str, Any]:
    """Parameters, the optimizer's slots and the number of the next step, by name."""
    arrays = {k: v for k, v in values.items() if isinstance(v, np.ndarray)}
    index = {STEP_INDEX.label: np.asarray(steps + 1.0)}
    return {k: array_form(v) for k, v in {**arrays, **index}.items()}


def _some(rows: npt.NDArray[Any], count: int, random: np.random.Generator) -> npt.NDArray[Any]:
    """At most so many of the rows, drawn, in order."""
    if len(rows) <= count:
        return rows
    return np.sort(random.choice(rows, count, replace=False))


def _quantiles(array: Array) -> list[float | None]:
    """The ends and quartiles; of very many numbers the quartiles of evenly spread ones."""
    numbers = array.ravel()
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return [None] * 5
    some = np.asarray(numbers[:: 1 + len(numbers) // MAX_NUMBERS], float)
    middle = np.quantile(some, [0.25, 0.5, 0.75])
    return [float(v) for v in (numbers.min(), *middle, numbers.max())]


def _saturated(output: Array, bounds: tuple[float, float]) -> int:
    """The units within 1 % of a bound of their activation at nine of ten rows and positions."""
    low, high = bounds
    edge = 0.01 * (high - low)
    at_end = (output <= low + edge) | (output >= high - edge)
    return int(np.count_nonzero(at_end.mean(axis=(0, 1)) >= 0.9))
