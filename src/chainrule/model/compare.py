"""Two models compared: structure, settings, parameters, training, and scores on the same rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from chainrule.data.readers.sources import read
from chainrule.display.handout import Handout
from chainrule.errors import SettingError
from chainrule.explain.compare import Sides, TraceComparison
from chainrule.explain.trace import Trace
from chainrule.inspector.comparison import ComparisonDisplay, Interval
from chainrule.model import comparetext
from chainrule.model.compared import Compared, Layer, Weights
from chainrule.model.comparepage import documents
from chainrule.model.model import Model, load
from chainrule.model.onrows import on_rows
from chainrule.model.state import Data
from chainrule.nn.summary import summary


@dataclass(frozen=True, repr=False)
class Comparison(Compared, ComparisonDisplay):
    """The comparison of two models: `print` shows it, `write` makes a page of it.

    Attributes: those of its fields; `to_dict()` has all of them as plain values.
    """

    sides: Sides

    def handout(self) -> Handout:
        """The comparison as sentences, tables and charts."""
        return comparetext.handout(self)

    def _sides(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        return self.sides()

    def _intervals(self) -> dict[str, list[Interval]]:
        scores = () if self.rows is None else self.rows.scores
        found = [x.interval and (x.difference, *x.interval) for x in scores]
        return {comparetext.SCORES: found}


Source = Model | str | os.PathLike[str]


@overload
def compare(a: Trace, b: Trace) -> TraceComparison: ...
@overload
def compare(
    a: Source, b: Source, data: Data | None = None, *, names: tuple[str, str] | None = None,
    seed: int = 0,
) -> Comparison: ...  # fmt: skip
def compare(
    a: Any,
    b: Any,
    data: Data | None = None,
    *,
    names: tuple[str, str] | None = None,
    seed: int = 0,
) -> Comparison | TraceComparison:
    """Two models compared: what differs in structure, settings, parameters, training and answers.

    On data, scores are those of the same rows, and their difference has an interval: "the
    difference is within noise" where that holds 0.

    Args:
        a, b: models, their files or folders; or two traces, which are compared node by node.
        data: rows, for scores and answers; as for `Model.evaluate`.
        names: of the two; None: the paths, or "A" and "B".
        seed: of the resampling of rows by which the intervals are made.

    Returns:
        A comparison: text, `write("page.html")`, `to_dict()`.

    Raises:
        SettingError: one is a trace and the other a model, or neither.
        ModelFileError, DataError, FeedError: a model or the data cannot be read.
    """
    if isinstance(a, Trace) and isinstance(b, Trace):
        if data is not None:
            raise SettingError("compare", "traces have rows of their own", fix="compare(a, b)")
        return a.compare(b)
    if isinstance(a, Trace) or isinstance(b, Trace):
        raise SettingError("compare", "a trace is compared with a trace", fix="model.run(data)")
    models = _model(a), _model(b)
    shown = names or (_name(a, "A"), _name(b, "B"))
    if names is None and shown[0] == shown[1]:
        shown = ("A", "B")
    return _compared(models, shown, data, seed)


def _model(source: Any) -> Model:
    if isinstance(source, Model):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise SettingError("compare", "not a model, a file or a folder", got=repr(source)[:60],
                           expected="two models, or two traces")  # fmt: skip
    path = Path(source)
    return load(path / "model.safetensors" if path.is_dir() else path)


def _name(source: Any, other: str) -> str:
    return other if isinstance(source, Model) else str(source)


def _compared(
    models: tuple[Model, Model], names: tuple[str, str], data: Data | None, seed: int
) -> Comparison:
    a, b = ({x.name: x for x in _layers(model)} for model in models)
    settings, same = _settings(*models)
    if data is not None and all(model.schema for model in models):
        data = read(data)  # once: the page is of the same table
    rows, notes = on_rows(models, data, seed)
    return Comparison(
        names,
        tuple(x for name, x in a.items() if name not in b),
        tuple(x for name, x in b.items() if name not in a),
        tuple((x, b[name]) for name, x in a.items() if name in b and b[name] != x),
        (len(a), len(b)),
        settings,
        same,
        tuple(_weights(*models)),
        (models[0].size, models[1].size),
        (models[0].history, models[1].history),
        rows,
        notes,
        partial(documents, models, None if rows is None else data, rows),
    )


def _layers(model: Model) -> Iterator[Layer]:
    for row in summary(model, full=True).rows:
        yield Layer(row.name, row.what, row.shape, row.parameters)


def _settings(a: Model, b: Model) -> tuple[tuple[tuple[str, str, str], ...], int]:
    """The settings that differ, and the number of those that are the same."""
    first, second = _of_model(a), _of_model(b)
    names = dict.fromkeys([*first, *second])
    found = [(name, first.get(name, "–"), second.get(name, "–")) for name in names]
    differ = tuple((name, x, y) for name, x, y in found if x != y)
    return differ, len(found) - len(differ)


def _of_model(model: Model) -> dict[str, str]:
    """The facts of how a model was made and trained, as text."""
    facts: dict[str, Any] = {}
    if model.schema is not None:
        target = model.schema.target
        facts |= {
            "target": None if target is None else target.name, "task": model.schema.task,
            "trained on": model.schema.source, "training rows": model.schema.rows,
            "columns": len(model.schema.used),
        }  # fmt: skip
    facts |= {
        "loss": model.objective.kind or "none", "seed": model.seed,
        "epochs run": len(model.history), "updates": model.steps,
    }  # fmt: skip
    optimizer = model.optimizer
    if optimizer is not None:
        facts["optimizer"] = type(optimizer).__name__
        if is_dataclass(optimizer):
            facts |= {f"optimizer.{x.name}": getattr(optimizer, x.name) for x in fields(optimizer)}
    config = model.notes.get("config")
    if isinstance(config, Mapping):
        facts |= {f"config.{name}": x for name, x in config.items() if name != "seed"}
    return {name: _shown(x) for name, x in facts.items()}


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={x}" for k, x in value.items()) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _weights(a: Model, b: Model) -> Iterator[Weights]:
    """The layers whose parameters have one name and shape in both, in order of computation."""
    groups: dict[str, list[tuple[Any, Any]]] = {}
    other = b.values
    for name, value in a.values.items():
        if name in other and other[name].shape == value.shape:
            layer = name.rpartition(".")[0] or name
            groups.setdefault(layer, []).append((value, other[name]))
    for layer, pairs in groups.items():
        x, y = (np.concatenate([p[k].ravel().astype(np.float64) for p in pairs]) for k in (0, 1))
        norms = (float(np.linalg.norm(v)) for v in (x, y, x - y))
        yield Weights(layer, len(x), *norms)
