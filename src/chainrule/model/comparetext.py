"""The comparison of two models as sentences, tables and charts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chainrule.display.format import clip, number
from chainrule.display.handout import Handout, Part
from chainrule.display.lineplot import curves_svg
from chainrule.display.tables import Section, clean
from chainrule.model.compared import Compared
from chainrule.model.paired import PairedScore
from chainrule.report import charts
from chainrule.report.words import metric_words
from chainrule.train.history import History

SCORES = "Scores"
"""The title of the part with the scores."""

SHOWN = 40
"""The lines of a table; more are counted."""

MAIN = ("accuracy", "log_loss", "rmse", "loss", "label_accuracy", "pinball")
"""The scores that are told in a sentence."""


def handout(found: Compared) -> Handout:
    """The comparison as sentences, tables and charts."""
    names = f"A: {found.names[0]}", f"B: {found.names[1]}"
    title = f"{found.names[0]} and {found.names[1]}"
    parts = [*_scores(found), *_answers(found), *_settings(found, names),
             *_structure(found, names), *_weights(found), *_training(found)]  # fmt: skip
    return Handout.of(title, _lead(found), parts)


def _lead(found: Compared) -> Iterator[str]:
    if found.rows is not None:
        for score in found.rows.scores:
            if score.name in MAIN[:4] and score.interval is not None:
                yield verdict(score, found.rows.count)
    structure = len(found.only_a) + len(found.only_b) + len(found.changed)
    told = "The networks have the same layers" if not structure else (
        f"{structure} layer{'s differ or are' if structure > 1 else ' differs or is'} in one "
        "network alone")  # fmt: skip
    settings = len(found.settings)
    yield f"{told}; {settings} setting{'s' * (settings != 1)} differ{'s' * (settings == 1)}."
    yield from (f"{note[:1].upper()}{note[1:]}." for note in found.notes)


def verdict(score: PairedScore, rows: int) -> str:
    """A sentence on the difference of a score."""
    name = metric_words(score.name)
    assert score.interval is not None
    low, high = (_signed(x) for x in score.interval)
    size = f"{_signed(score.difference)} ± {number(score.error or 0.0)} (standard error)"
    spread = f"{size}, 95 % interval {low} to {high}, on {rows:,} rows"
    if score.a == score.b and score.error == 0:
        return f"{name[:1].upper()}{name[1:]} is the same: {number(score.a)} on {rows:,} rows."
    if score.noise:
        return f"The difference in {name} is within noise: B − A is {spread}."
    better = score.winner
    if not better:
        return f"The difference in {name} is beyond noise: B − A is {spread}."
    return f"{better} is better in {name}: B − A is {spread}."


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value)


def _scores(found: Compared) -> Iterator[Part]:
    rows = found.rows
    if rows is None:
        return
    table = tuple(_score(x) for x in rows.scores)
    marks = tuple("differs" if x.noise is False else "" for x in rows.scores)
    head = ("score", "A", "B", "B − A", "95 % interval", "verdict")
    bars = [(metric_words(x.name), x.difference, x.interval) for x in rows.scores if x.interval]
    drawn = (("Differences, B − A", charts.intervals(bars)),) if bars else ()
    words = [
        f"Both models on the same {rows.count:,} rows of {rows.source}.",
        *map(_sentence, rows.notes),
    ]
    if bars:
        words.append("The error is that of the difference over the rows, row by row; where the "
                     "interval holds 0, the difference is within noise.")  # fmt: skip
    yield Part(Section(SCORES, table, head if table else (), (1, 2, 3, 4)), tuple(words),
               marks, drawn)  # fmt: skip


def _score(x: PairedScore) -> tuple[str, ...]:
    """The cells of a score."""
    better = {"higher": " ↑", "lower": " ↓"}.get(x.better, "")
    error = "" if x.error is None else f" ± {number(x.error)}"
    interval = "" if x.interval is None else " to ".join(_signed(y) for y in x.interval)
    verdict = "within noise" if x.noise else f"{x.winner} is better" if x.winner else ""
    return (metric_words(x.name) + better, number(x.a), number(x.b),
            _signed(x.difference) + error, interval, verdict)  # fmt: skip


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + "." * (not text.endswith((".", "!", "?")))


def _answers(found: Compared) -> Iterator[Part]:
    rows = found.rows
    if rows is None:
        return
    words = []
    if rows.different is not None:
        share = charts.percent(rows.different / max(rows.count, 1))
        words.append(f"They answer differently on {rows.different:,} of {rows.count:,} rows "
                     f"({share}).")  # fmt: skip
    if not rows.worst:
        yield Part(Section("Answers", ()), (*words, "The answers are equal on all rows."))
        return
    cells = list(rows.worst[0].cells)
    actual = rows.worst[0].actual is not None
    head = ("row", *(["actual"] * actual), "A", "B", "apart", *cells)
    table = tuple(
        (str(x.row), *([x.actual or ""] * actual), x.a, x.b, f"{x.apart:.3g}",
         *(clip(x.cells[name] or "–", 40) for name in cells))
        for x in rows.worst
    )  # fmt: skip
    yield Part(Section("Rows where they disagree most", table, head, (0, 3 + actual)), tuple(words))


def _settings(found: Compared, names: tuple[str, str]) -> Iterator[Part]:
    words = (f"{found.same_settings} others are the same.",)
    if not found.settings:
        yield Part(Section("Settings", ()), (f"All {found.same_settings} are the same.",))
        return
    rows = tuple((name, clip(a, 60), clip(b, 60)) for name, a, b in found.settings)
    yield Part(Section("Settings that differ", rows, ("setting", *names)), words,
               ("differs",) * len(rows))  # fmt: skip


def _structure(found: Compared, names: tuple[str, str]) -> Iterator[Part]:
    told = [f"A has {found.parameters[0]:,} parameters in {found.layers[0]} layers, B "
            f"{found.parameters[1]:,} in {found.layers[1]}."]  # fmt: skip
    rows: list[tuple[str, ...]] = []
    marks = []
    for x, y in found.changed:
        rows.append((x.name, _layer(x, y), _layer(y, x)))
        marks.append("differs")
    for layers, mark in ((found.only_a, "a"), (found.only_b, "b")):
        for x in layers:
            there = f"{x.what} {x.shape}" + (f", {x.parameters:,}" if x.parameters else "")
            rows.append((x.name, *((there, "–") if mark == "a" else ("–", there))))
            marks.append(mark)
    if len(rows) > SHOWN:
        told.append(f"{len(rows) - SHOWN:,} more layers that differ are left out.")
    head = ("layer", *names) if rows else ()
    yield Part(Section("Layers", tuple(rows[:SHOWN]), head), tuple(told), tuple(marks[:SHOWN]))


def _layer(x: object, other: object) -> str:
    """A layer, by what differs from another."""
    parts = [
        (n, str(getattr(x, n)), str(getattr(other, n))) for n in ("what", "shape", "parameters")
    ]
    return ", ".join(f"{a} parameters" if n == "parameters" else a for n, a, b in parts if a != b)


def _weights(found: Compared) -> Iterator[Part]:
    if not found.weights:
        return
    same = all(x.apart == 0 for x in found.weights)
    if same:
        told = f"Those of all {len(found.weights)} layers that both have are equal."
        yield Part(Section("Parameters", ()), (told,))
        return
    most = sorted(found.weights, key=lambda x: -x.relative)[:SHOWN]
    shown = [x for x in found.weights if x in most]
    rows = tuple(
        (x.layer, f"{x.size:,}", number(x.a), number(x.b), number(x.apart), f"{x.relative:.2f}")
        for x in shown
    )
    words = ["Norms of the parameters of layers that have one name and shape in both. The last "
             "column is the norm of the difference by the mean norm: 0 is equal, about 1.41 is "
             "as far as networks from other seeds are."]  # fmt: skip
    if len(found.weights) > len(shown):
        words.append(f"{len(found.weights) - len(shown):,} layers that differ less are left out.")
    head = ("layer", "size", "norm of A", "norm of B", "norm of B − A", "relative")
    yield Part(Section("Parameters", rows, head, (1, 2, 3, 4, 5)), tuple(words))


def _training(found: Compared) -> Iterator[Part]:
    a, b = found.histories
    if not len(a) and not len(b):
        return
    rows = []
    for name, x in (("epochs", len), ("best epoch", _best), ("best score", _extreme),
                    ("last loss", _last), ("seconds", _seconds)):  # fmt: skip
        rows.append((name, str(x(a)), str(x(b))))
    shared = [n for n in ("loss", *a.columns, *b.columns) if n in a or n in b]
    plain = [n for n in dict.fromkeys(shared) if not n.startswith("validation_")]
    skipped = ("epoch", "step", "seconds", "rate")
    drawn = tuple((clean(metric_words(n), 40), _curves(a, b, n))
                  for n in plain if n not in skipped)[:4]  # fmt: skip
    words = ("Scores of a training run are those of its own rows: of other splits, they are not "
             "comparable.",)  # fmt: skip
    yield Part(Section("Training", tuple(rows), ("", "A", "B"), (1, 2)), words, (), drawn)


def _best(history: History) -> str:
    return "–" if history.best is None else str(history.best)


def _extreme(history: History) -> str:
    best = history.best
    if best is None:
        return "–"
    return f"{metric_words(history.criterion)} {number(history.row(best)[history.criterion])}"


def _last(history: History) -> str:
    return number(float(history["loss"][-1])) if "loss" in history else "–"


def _seconds(history: History) -> str:
    return f"{history['seconds'][-1]:.1f}" if len(history) and "seconds" in history else "–"


def _curves(a: History, b: History, name: str) -> str:
    """The curves of both runs on shared axes."""
    last = max(a.last_epoch, b.last_epoch)
    x = np.arange(1, last + 1)
    lines = {}
    for label, history in (("A", a), ("B", b)):
        for prefix, what in (("", ""), ("validation_", " validation")):
            column = prefix + name
            if column in history:
                y = np.full(last, np.nan)
                y[history["epoch"].astype(int) - 1] = history[column]
                lines[label + what] = y
    return curves_svg(x, lines, y_label=clean(metric_words(name), 40), width=charts.WIDTH,
                      height=charts.HEIGHT)  # fmt: skip
