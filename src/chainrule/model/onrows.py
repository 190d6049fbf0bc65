"""Two models on the same rows: scores with the error of their difference, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.blocks import Encoded, subset
from chainrule.data.columns.target import ClassTarget
from chainrule.data.readers.sources import read
from chainrule.data.repeats import repeated
from chainrule.data.table import Table
from chainrule.engine.minibatch import all_rows
from chainrule.errors import SettingError
from chainrule.graph.node import Array
from chainrule.model.model import Model
from chainrule.model.paired import Floats, PairedScore, paired_scores
from chainrule.model.state import Data

SHOWN = 10
"""The rows on which the answers differ most that are shown."""

CELLS = 3
"""The columns of such a row that are shown."""

MOST_SINGLE = 1000
"""Rows whose losses are computed one by one."""


@dataclass(frozen=True)
class Disagreement:
    """A row and both answers.

    Attributes:
        row: from 1.
        actual: the target; None where it is not known.
        a, b: the answers, as text.
        apart: their difference: of probabilities, half the sum of absolute differences.
        cells: of the table, by column.
    """

    row: int
    actual: str | None
    a: str
    b: str
    apart: float
    cells: Mapping[str, str | None]


@dataclass(frozen=True)
class OnRows:
    """The scores and answers of two models on the same rows.

    Attributes:
        source: of the rows.
        count: the number of rows.
        scores: those of both; empty where the targets are not known.
        different: the number of rows with another answer; None where answers are numbers.
        worst: the rows where they disagree most.
        notes: on the rows.
    """

    source: str
    count: int
    scores: tuple[PairedScore, ...]
    different: int | None
    worst: tuple[Disagreement, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        scores = [
            asdict(x) | {"difference": x.difference, "noise": x.noise, "winner": x.winner}
            for x in self.scores
        ]
        return {
            "source": self.source, "rows": self.count, "scores": scores,
            "different_answers": self.different, "worst": [asdict(x) for x in self.worst],
            "notes": list(self.notes),
        }  # fmt: skip


def on_rows(
    models: tuple[Model, Model], data: Data | None, seed: int
) -> tuple[OnRows | None, tuple[str, ...]]:
    """The models on the rows of data, and notes on what cannot be compared.

    Raises:
        SettingError: one model is of a table, and the other of arrays.
        DataError, FeedError: the data does not fit a model.
    """
    a, b = models
    targets = [None if x.schema is None or x.schema.target is None else x.schema.target
               for x in models]  # fmt: skip
    different = _different(targets)
    if data is None:
        return None, ((different,) if different else ())
    if (a.schema is None) != (b.schema is None):
        raise SettingError("compare", "one model reads tables, and the other arrays: no data fits "
                           "both", fix="compare them without data")  # fmt: skip
    if different:
        told = f"{different}, so that their answers on the data are not compared"
        return None, (told,)
    if a.schema is None:
        return _on_arrays(models, data, seed), ()
    return _on_table(models, read(data), seed), ()


def _different(targets: list[Any]) -> str:
    """A sentence where two models do not predict the same."""
    a, b = targets
    if a is None or b is None:
        return ""
    if a.name != b.name:
        return f"the models predict different columns, {a.name!r} and {b.name!r}"
    if a.task != b.task:
        return f"the models predict {a.name!r} as {a.task} and as {b.task}"
    if isinstance(a, ClassTarget) and set(map(str, a.classes)) != set(map(str, b.classes)):
        lone = sorted(set(map(str, a.classes)) ^ set(map(str, b.classes)))
        return f"the models know different classes of {a.name!r}: {', '.join(lone[:5])} in one only"
    return ""


# tables


def _on_table(models: tuple[Model, Model], table: Table, seed: int) -> OnRows:
    a, b = models
    assert a.schema is not None
    assert b.schema is not None
    assert a.schema.target is not None
    name = a.schema.target.name
    known = name in table
    both = [x.schema.encode(table, "required" if known else "none") for x in models if x.schema]
    rows = np.intersect1d(both[0].rows, both[1].rows)
    encoded = [subset(x, np.flatnonzero(np.isin(x.rows, rows))) for x in both]
    if not len(rows):
        raise SettingError("compare", "no row has a target", at=table.source)
    notes = list(dict.fromkeys(note for x in both for note in x.notes))
    for label, model, part in zip("AB", models, encoded, strict=True):
        notes += _seen(label, model, part) if known else []
    if not known:
        notes.append(f"the data has no column {name!r}: there are no scores")
    values = [m.predict(x).values for m, x in zip(models, encoded, strict=True)]
    values[1] = _in_order(models, values[1])
    scores: list[PairedScore] = []
    if known:
        whole = [{k: float(v) for k, v in m.evaluate(x).items() if k != "loss"}
                 for m, x in zip(models, encoded, strict=True)]  # fmt: skip
        terms = [_terms(a, encoded[0], x) for x in values]
        terms = [_agreeing(x, y) for x, y in zip(terms, whole, strict=True)]
        scores = paired_scores(whole[0], whole[1], terms[0], terms[1], seed)
    different, worst = _disagreements(models, encoded[0], table, values, known)
    return OnRows(table.source, len(rows), tuple(scores), different, worst, tuple(notes))


def _seen(label: str, model: Model, encoded: Encoded) -> list[str]:
    """A note where a model was trained on some of the rows."""
    if model.trained_rows is None or model.schema is None:
        return []
    again = int(repeated(model.schema, model.trained_rows, encoded).sum())
    which = "all" if again == len(encoded) else f"{again:,} of the"
    told = f"{label} was trained on {which} {len(encoded):,} rows: on new ones it may fare worse"
    return [told] if again else []


def _in_order(models: tuple[Model, Model], values: Array) -> Array:
    """The probabilities of B in the order of A's classes."""
    a, b = (x.schema.target for x in models if x.schema is not None)
    if not isinstance(a, ClassTarget) or not isinstance(b, ClassTarget):
        return values
    place = {str(x): k for k, x in enumerate(b.classes)}
    return np.asarray(values[:, [place[str(x)] for x in a.classes]])


def _terms(model: Model, encoded: Encoded, values: Array) -> dict[str, Floats]:
    """The terms of the scores that are means over rows, (n,) each."""
    assert model.schema is not None
    target, truth = model.schema.target, np.asarray(encoded.target)
    values = values.astype(np.float64)
    if not isinstance(target, ClassTarget):
        error = values - truth
        return {"rmse": error**2, "mae": np.abs(error)}
    own = values[np.arange(len(truth)), truth]
    hit = target.decided(values).argmax(axis=1) == truth
    one = np.eye(values.shape[1])[truth]
    with np.errstate(divide="ignore"):
        logs = -np.log(np.maximum(own, np.finfo(np.float32).tiny))
    squares = ((values - one) ** 2).sum(axis=1)
    return {"accuracy": hit.astype(np.float64), "log_loss": logs, "brier": squares}


def _agreeing(terms: Mapping[str, Floats], scores: Mapping[str, float]) -> dict[str, Floats]:
    """The terms whose mean is the score: a score may be counted otherwise."""
    means = {k: np.sqrt(x.mean()) if k == "rmse" else x.mean() for k, x in terms.items()}
    return {
        k: x for k, x in terms.items()
        if k in scores and np.isclose(means[k], scores[k], rtol=1e-4, atol=1e-9)
    }  # fmt: skip


def _disagreements(
    models: tuple[Model, Model], encoded: Encoded, table: Table, values: list[Array], known: bool
) -> tuple[int | None, tuple[Disagreement, ...]]:
    schema = models[0].schema
    assert schema is not None
    target = schema.target
    classed = isinstance(target, ClassTarget)
    p, q = (x.astype(np.float64) for x in values)
    apart = np.abs(p - q).sum(axis=1) / 2 if classed else np.abs(p - q)
    order = np.argsort(-apart, kind="stable")[:SHOWN]
    different: int | None = None
    if not isinstance(target, ClassTarget):
        answers = [[f"{x:.4g}" for x in v[order].tolist()] for v in (p, q)]
    else:
        decided = [np.asarray(target.decided(v).argmax(axis=1)) for v in (p, q)]
        different = int((decided[0] != decided[1]).sum())
        answers = [
            [f"{target.classes[d[k]]} ({v[k, d[k]]:.3f})" for k in order]
            for d, v in zip(decided, (p, q), strict=True)
        ]
    names = [x.name for x in table if x.name in {y.name for y in schema.used}][:CELLS]
    rows = encoded.rows[order]
    cells = {name: table.take(rows)[name].cells() for name in names}
    truth = np.asarray(encoded.target)[order] if known else None
    worst = []
    for place, k in enumerate(order.tolist()):
        if apart[k] == 0:
            break
        actual = None
        if truth is not None:
            y = truth[place]
            actual = str(target.classes[y]) if isinstance(target, ClassTarget) else f"{y:.4g}"
        shown = {name: x[place] for name, x in cells.items()}
        worst.append(Disagreement(int(rows[place]) + 1, actual, answers[0][place],
                                  answers[1][place], float(apart[k]), shown))  # fmt: skip
    return different, tuple(worst)


# arrays


def _on_arrays(models: tuple[Model, Model], data: Any, seed: int) -> OnRows:
    """The rows of arrays: the losses of single rows, and the outputs."""
    outputs = [_first(m.predict(_own(m, data, m._own.inputs.values()))) for m in models]
    count = len(outputs[0])
    notes: list[str] = []
    scores: list[PairedScore] = []
    kinds = [x.objective.kind for x in models]
    if kinds[0] != kinds[1] or None in kinds:
        notes.append(f"the losses differ, {kinds[0] or 'none'} and {kinds[1] or 'none'}: "
                     "there are no scores")  # fmt: skip
    else:
        scores, told = _losses(models, data, seed)
        notes += told
    worst: tuple[Disagreement, ...] = ()
    if outputs[0].shape == outputs[1].shape:
        worst = _apart(outputs[0], outputs[1])
    else:
        notes.append(f"the outputs have shapes {outputs[0].shape} and {outputs[1].shape}")
    return OnRows("arrays", count, tuple(scores), None, worst, tuple(notes))


def _first(values: Any) -> Array:
    return np.asarray(values[0] if isinstance(values, list) else values)


def _own(model: Model, data: Mapping[str, npt.ArrayLike], names: Any) -> dict[str, Any]:
    """The arrays that a model takes, as the other may have inputs of its own."""
    wanted = set(names)
    return {name: x for name, x in data.items() if name in wanted}


def _losses(
    models: tuple[Model, Model], data: Any, seed: int
) -> tuple[list[PairedScore], list[str]]:
    whole, terms, notes = [], [], []
    for model in models:
        names = {model.graph.name(x) for x in model.graph.inputs}
        own = _own(model, data, names)
        arrays, count = model.arrays(own, weighted=False)
        scores = model.score(arrays, all_rows(count))
        whole.append({k: float(v) for k, v in scores.items()})
        first = min(count, MOST_SINGLE)
        single = [float(model.scoring_outputs(arrays, np.array([k]))[0]) for k in range(first)]
        terms.append({"loss": np.array(single)})
        if count > first:
            notes = [f"the interval of the loss is from the first {first:,} rows"]
    return paired_scores(whole[0], whole[1], terms[0], terms[1], seed), notes


def _apart(a: Array, b: Array) -> tuple[Disagreement, ...]:
    x, y = (v.reshape(len(v), -1).astype(np.float64) for v in (a, b))
    apart = np.abs(x - y).max(axis=1)
    order = np.argsort(-apart, kind="stable")[:SHOWN]
    return tuple(
        Disagreement(int(k) + 1, None, _text(x[k]), _text(y[k]), float(apart[k]), {})
        for k in order if apart[k] > 0
    )  # fmt: skip


def _text(row: Floats) -> str:
    shown = ", ".join(f"{v:.4g}" for v in row[:6])
    return shown + ", ..." * (len(row) > 6)
