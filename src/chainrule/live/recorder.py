"""Records of a run for the learning view: what its layers do on some rows, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.columns.target import ClassTarget
from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import all_rows
from chainrule.explain.trace import run
from chainrule.graph.node import Array
from chainrule.graph.step import STEP_INDEX
from chainrule.inspector.arrays import array_form
from chainrule.live.hints import hints
from chainrule.live.layers import Layer, layers_of
from chainrule.live.regions import Grid, projection, told_of_projection
from chainrule.recipe.training import Training
from chainrule.train.metrics import direction

SAMPLE = 200
"""Rows on which layers are watched, and which the page holds, to be stepped through."""

MAX_VALUES = 30_000
"""Parameters up to which each recorded epoch keeps all of them."""

MAX_RECORDS = 100
"""Recorded epochs; where there are more, every second one is dropped."""

WORST = 8
"""Worst rows that are listed."""


class Recorder:
    """Measures a model in training on a sample of its rows.

    Args:
        training: with its table, its model and its rows.

    Attributes:
        rows: positions in the table of the sample.
        epochs: the recorded ones.
    """

    def __init__(self, training: Training) -> None:
        self.model, self._training = training.model, training
        data = training.data
        held = data.held_rows if data.held_arrays is data.arrays else data.rows[:0]
        random = np.random.default_rng(training.config.seed)
        self._held = _some(held, SAMPLE // 2, random)
        taken = np.concatenate([_some(data.rows, SAMPLE - len(self._held), random), self._held])
        self._index = np.sort(taken)
        self.rows = training.encoded.rows[self._index]
        batched = {self.model.graph.name(x) for x in self.model.graph.inputs if x.batch}
        self._arrays = {
            name: x[self._index] if name in batched else x for name, x in data.arrays.items()
        }
        self._layers = layers_of(self.model.graph)
        self._forward = Forward(self.model.graph, [self.model.outputs[0]])
        self._grid = Grid.of(training)
        self._before: tuple[int, dict[str, Array]] | None = None
        self.epochs: list[float] = []
        self._records: list[dict[str, Any]] = []
        self.start: float | None = None

    def record(self, epoch: float) -> None:
        """Measure the model as it is after an epoch, or within one; 0 is before training."""
        model = self.model
        nodes = [layer.output for layer in self._layers]
        assert model.loss is not None
        trace = run(
            [*model.outputs, model.loss, *nodes], self._arrays, values=model.values,
            seed=model.seed, step=model.steps, like=model.graph,
        )  # fmt: skip
        trace.backward(model.loss)
        values = model.values
        hidden = None if not self._layers[:-1] else trace.value(self._layers[-2].output)
        record: dict[str, Any] = {
            "layers": [self._of_layer(x, trace.value(x.output), trace.gradient(x.output), values)
                       for x in self._layers],
            "values": self._values() if model.size <= MAX_VALUES else {},
            "hidden": None if hidden is None else self._placed(hidden),
            "grid": None if self._grid is None else self._grid.answers(self._forward, values),
        }  # fmt: skip
        if epoch == 0:
            self.start = _finite(trace.value(model.loss).item())
        self._before = (model.steps, values)
        self.epochs.append(epoch)
        self._records.append(record)
        if len(self.epochs) > MAX_RECORDS:
            del self.epochs[1:-1:2], self._records[1:-1:2]

    def section(self, record: int = 0, row: int = 0) -> dict[str, Any]:
        """The records as `Learning` of web/src/sections.ts, from one on.

        Args:
            record: the first of the recorded epochs.
            row: the first row of the history.
        """
        history, records = self.model.history, self._records[record:]
        columns = {name: [_finite(v) for v in history[name][row:]] for name in history.columns}
        section: dict[str, Any] = {
            "history": columns,
            "criterion": history.criterion,
            "better": direction(history.criterion),
            "best": history.best,
            "start": self.start,
            "guess": self._guess(),
            "epochs": self.epochs[record:],
            "layers": [self._layer_form(k, x, record) for k, x in enumerate(self._layers)],
            "values": [r["values"] for r in records if r["values"]],
            "regions": self._regions(records),
            "hidden": self._hidden_form(record),
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
        self, layer: Layer, value: Array, gradient: Array, values: Mapping[str, Array]
    ) -> dict[str, Any]:
        flat = value.reshape(len(value), -1)
        weights = None if layer.weights is None else values[layer.weights]
        dead = np.ptp(flat, axis=0) == 0 if len(flat) > 1 else np.zeros(flat.shape[1], bool)
        return {
            "values": _quantiles(flat),
            "gradients": _quantiles(np.abs(gradient)),
            "weights": [None] * 5 if weights is None else _quantiles(weights),
            "update": self._update(layer, weights),
            "dead": np.flatnonzero(dead),
            "saturated": 0 if layer.bounds is None else int(_saturated(flat, layer.bounds)),
            "output": flat,
        }

    def _values(self) -> dict[str, Any]:
        """The parameters, the optimizer's slots and the number of the next step, by name."""
        model = self.model
        slots = {k: v for k, v in model.slots.items() if isinstance(v, np.ndarray)}
        index = {STEP_INDEX.label: np.asarray(model.steps + 1.0)}
        return {k: array_form(v) for k, v in {**model.values, **slots, **index}.items()}

    def _placed(self, hidden: Array) -> Array:
        """The rows of the sample in the plane of the last hidden layer, (rows, 2)."""
        before = self._records[-1]["hidden"] if self._records else None
        return projection(hidden.reshape(len(hidden), -1), before)

    def _update(self, layer: Layer, weights: Array | None) -> float | None:
        """The mean |update| / |weight| of a step since the last record."""
        if weights is None or self._before is None or layer.weights is None:
            return None
        steps, before = self._before[0], self._before[1][layer.weights]
        taken, size = self.model.steps - steps, float(np.linalg.norm(before))
        if taken <= 0 or size == 0:
            return None
        return _finite(float(np.linalg.norm(weights - before)) / size / taken)

    def _layer_form(self, place: int, layer: Layer, record: int) -> dict[str, Any]:
        records = [r["layers"][place] for r in self._records]
        last, shown = records[-1], records[record:]
        killed = []
        for unit in last["dead"].tolist():
            alive = [k for k, r in enumerate(records) if unit not in r["dead"]]
            killed.append({"unit": unit, "epoch": self.epochs[alive[-1] + 1 if alive else 0]})
        return {
            "name": layer.name,
            "what": layer.what,
            "units": last["output"].shape[1],
            "values": [r["values"] for r in shown],
            "gradients": [r["gradients"] for r in shown],
            "weights": [r["weights"] for r in shown],
            "updates": [r["update"] for r in shown],
            "dead": [len(r["dead"]) for r in shown],
            "saturated": [r["saturated"] for r in shown],
            "killed": killed,
            "excited": layer.excited(last["output"], self.labels, self.model.values),
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
    def _truth(self) -> Array | None:
        target = self._training.schema.target
        return None if target is None else self._arrays.get(target.name)

    @property
    def _classes(self) -> list[str]:
        target = self._training.schema.target
        return list(target.labels) if isinstance(target, ClassTarget) else []

    def _points(self) -> list[tuple[float, float, float, bool]]:
        assert self._grid is not None
        truth, held = self._truth, set(self._held.tolist())
        numbers = self._grid.numbers(self._arrays)
        return [
            (float(x), float(y), float(truth[k]) if truth is not None else 0.0, int(i) in held)
            for k, ((x, y), i) in enumerate(zip(numbers, self._index, strict=True))
            if math.isfinite(x) and math.isfinite(y)
        ]

    def _hidden_form(self, record: int) -> dict[str, Any] | None:
        places = [r["hidden"] for r in self._records[record:]]
        if not places or places[-1] is None or self._truth is None:
            return None
        units = self._records[-1]["layers"][-2]["output"].shape[1]
        return {
            "layer": self._layers[-2].name,
            "told": told_of_projection(units),
            "classes": self._classes,
            "points": [array_form(x.astype(np.float32)) for x in places],
            "truth": [float(v) for v in self._truth],
        }

    def _predicted(self) -> Array:
        return self._forward(self.model.values, self._arrays, all_rows(len(self.rows)))[0]

    def _confusion(self) -> dict[str, Any] | None:
        if not self._classes or self._truth is None or len(self._classes) > 30:
            return None
        data = self._training.data
        held = len(data.held_rows) > 0 and data.held_arrays is not None
        arrays = data.held_arrays if held and data.held_arrays is not None else data.arrays
        rows = _some(data.held_rows if held else data.rows, 2000, np.random.default_rng(0))
        answers = self._forward(self.model.values, arrays, rows)[0].argmax(axis=1)
        target = self._training.schema.target
        assert target is not None
        counts = np.zeros((len(self._classes),) * 2, int)
        np.add.at(counts, (arrays[target.name][rows], answers), 1)
        told = f"{len(rows):,} {'validation' if held else 'training'} rows"
        return {"classes": self._classes, "counts": counts.tolist(), "rows": told}

    def _worst(self) -> list[dict[str, Any]]:
        truth = self._truth
        if truth is None:
            return []
        answers = self._predicted()
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
             "loss": _finite(losses[k]), "row": int(k)}
            for k in order
        ]  # fmt: skip

    def _guess(self) -> dict[str, Any]:
        target = self._training.schema.target
        plain = self._training.config.loss == "cross_entropy"
        if not isinstance(target, ClassTarget) or not plain:
            return {"loss": None, "told": ""}
        shares = np.array(target.counts, float) / sum(target.counts)
        entropy = float(-(shares * np.log(shares)).sum())
        return {"loss": entropy, "told": "guessing the class shares for every row"}


def _some(rows: npt.NDArray[Any], count: int, random: np.random.Generator) -> npt.NDArray[Any]:
    """At most so many of the rows, drawn, in order."""
    if len(rows) <= count:
        return rows
    return np.sort(random.choice(rows, count, replace=False))


def _quantiles(array: Array) -> list[float | None]:
    numbers = np.asarray(array, float).ravel()
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return [None] * 5
    return [float(v) for v in np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1])]


def _saturated(output: Array, bounds: tuple[float, float]) -> int:
    """The units within 1 % of a bound of their activation on nine of ten rows."""
    low, high = bounds
    edge = 0.01 * (high - low)
    at_end = (output <= low + edge) | (output >= high - edge)
    return int(np.count_nonzero(at_end.mean(axis=0) >= 0.9))


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
