"""The HTML report of a training run: a self-contained file that works offline."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.check import Finding, Findings
from chainrule.display.format import clip, clip_middle, clip_names, duration
from chainrule.display.handout import render as filled
from chainrule.display.lineplot import curves_svg
from chainrule.display.screen import Screen
from chainrule.display.tables import Section, as_html, bytes_text
from chainrule.errors import SettingError
from chainrule.inspector.page import Page, policy
from chainrule.report import charts, results
from chainrule.report import text as printing
from chainrule.report.charts import percent
from chainrule.report.headline import headline
from chainrule.report.results import Evaluation, Figure, Importance, Outcome
from chainrule.report.rows import ColumnRow, NodeRow, Picture
from chainrule.report.words import aligned, cell, metric_words
from chainrule.system.atomicfile import write_whole
from chainrule.train.history import History
from chainrule.train.metrics import direction

LEVELS = 4  # of a category in its small bar
MAX_MISTAKE_COLUMNS = 8  # in the table of the largest mistakes, besides the answer
MISTAKES = 10
METRIC_CURVES = 3

MEANINGS = {
    "accuracy": "share of rows classified right",
    "balanced_accuracy": "mean over the classes of the share found",
    "label_accuracy": "share of all yes-or-no answers that are right",
    "precision": "of the rows called a class, the share that are",
    "recall": "of the rows of a class, the share found",
    "f1": "harmonic mean of precision and recall",
    "auc": "how often a positive row outranks a negative one",
    "log_loss": "mean of −log of the probability given to the truth",
    "brier": "mean squared error of the probabilities",
    "calibration_error": "mean gap between probability and frequency, as in the chart",
    "rmse": "root of the mean squared error",
    "mae": "mean absolute error",
    "median_absolute_error": "half of the errors are smaller",
    "r2": "share of the target’s variance explained",
    "pinball": "mean loss of the predicted quantiles",
    "coverage": "share of rows between the outer quantiles",
    "crossing": "share of rows whose quantiles are out of order",
    "loss": "what training minimises, without penalties",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Report:
    """The contents of a report as plain data; empty fields have no section.

    `print(report)` shows it as the command line does, `write(path)` makes the page.

    Attributes:
        source: the file, query or data set.
        target, task: the column predicted; "classification", "regression" and so on.
        rows, columns: what was read: the number of rows, and each column but those dropped unread.
        version, seed, seconds: of Chainrule; of the run; how long it took.
        headline: sentences that take the place of those made from `outcome`.
        command, configuration: the command line, and the TOML that repeats the run.
        split, notes: sentences on how the rows were split, and on how the data was read.
        findings: of the data check.
        history, kept: the epochs, and the one whose parameters were scored; None: the best.
        metrics: set ("training", "validation", "test") to metric to value.
        sizes: set to number of rows.
        outcome: the predictions to draw.
        evaluations: with the scores that the text shows.
        network, memory: the nodes, and bytes that the run needed.
        inside: the page that steps through the network on a few rows, or none.
        importance: of the columns.
        mistakes: rows with "actual", "predicted" and the columns' values, the worst first.
        pictures: those with the largest errors, the worst first.
        filters: the weights of the first convolution, as addresses of <img>.
        next_command: the command that predicts.
        advice: makes settings in the advice of notes and findings what a reader can type.
    """

    source: str
    target: str
    task: str
    rows: int
    columns: Sequence[ColumnRow] = ()
    version: str = ""
    seed: int | None = None
    seconds: float | None = None
    headline: Sequence[str] = ()
    command: str = ""
    configuration: str = ""
    split: str = ""
    notes: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    history: History | None = None
    kept: int | None = None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    outcome: Outcome | None = None
    evaluations: Sequence[Evaluation] = ()
    network: Sequence[NodeRow] = ()
    memory: int | None = None
    inside: Page | None = None
    importance: Importance = field(default_factory=Importance)
    mistakes: Sequence[Mapping[str, Any]] = ()
    pictures: Sequence[Picture] = ()
    filters: Sequence[str] = ()
    next_command: str = ""
    advice: Callable[[str], str] = str

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page: the complete file or nothing.

        Raises:
            OSError: the folder does not exist or cannot be written.
        """
        return write_whole(path, render(self))

    def __str__(self) -> str:
        stream = io.StringIO()
        screen = Screen(stream)
        printing.print_source(screen, self.source, self.rows, len(self.columns), self.notes)
        rows = [(x.name, x.kind, x.reason, x.treatment) for x in self.columns]
        printing.print_columns(screen, rows)
        printing.print_findings(screen, self.findings)
        if self.split:
            screen.heading("Split")
            screen.say(self.split, indent=2)
        if self.evaluations:
            printing.print_results(screen, self.evaluations)
        if self.importance.of:
            printing.print_importance(screen, self.importance)
        return stream.getvalue().rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        said = tuple((text,) for text in self.headline or _headline(self))
        columns = tuple((x.name, x.kind, x.reason, x.treatment) for x in self.columns)
        head = ("column", "kind", "because", "treatment")
        found = Findings(self.findings)._repr_html_() if self.findings else ""
        parts = [Section(f"Predictions of {self.target}", said), Section("", tuple(_facts(self)))]
        return "<div>{}{}{}{}{}</div>".format(
            as_html(parts), "".join(x._repr_html_() for x in self.evaluations),
            self.importance._repr_html_() if self.importance.of else "", found,
            as_html([Section("Columns", columns, head)] if columns else []),
        )  # fmt: skip


def render(report: Report) -> str:
    """The report as one HTML page, which fetches nothing; only its inner page has a script."""
    filters: dict[str, Callable[..., object]] = {
        "cell": cell, "clip": clip, "clip_middle": clip_middle, "percent": percent,
        "bytes": bytes_text, "metric": metric_words, "count": "{:,}".format,
    }  # fmt: skip
    folder = Path(__file__).with_name("templates")
    return filled("report.html.j2", folder, filters, report=report, **_shown(report))


def _shown(report: Report) -> dict[str, Any]:
    """The values that the page shows in addition to the report's fields."""
    outcome = report.outcome
    classed = outcome is not None and bool(outcome.classes)
    drawn = "; img-src data:" if report.pictures or report.filters else ""
    quiet = f"default-src 'none'; style-src 'unsafe-inline'{drawn}"
    return {
        "policy": quiet if report.inside is None else policy(),  # of the page within, too
        "facts": _facts(report),
        "headline": report.headline or _headline(report),
        "metrics": _metrics(report),
        "short": (
            dict(zip(outcome.classes, clip_names(outcome.classes, 24), strict=True))
            if outcome and classed
            else {}
        ),
        "confusion": results.confusion(outcome) if outcome and classed else [],
        "mixups": results.mixups(outcome, 20) if outcome and classed else [],
        "class_scores": results.class_scores(outcome) if outcome and classed else [],
        "charts": results.figures(outcome, report.target) if outcome else [],
        "curves": _curves(report.history, report.kept),
        "columns": [(column, *_distribution(column)) for column in report.columns],
        "importance": _importance(report),
        "mistakes": _mistakes(report),
        "parameters": sum(node.parameters for node in report.network),
    }


def _headline(report: Report) -> tuple[str, ...]:
    """The sentences on the rows that are drawn."""
    if report.outcome is None:
        return ()
    drawn = [x for x in report.evaluations if x.outcome is report.outcome]
    return (*headline(report.outcome), *(text for x in drawn for text in x.remarks))


def _facts(report: Report) -> list[tuple[str, str]]:
    facts = [("Data", report.source), ("Rows", f"{report.rows:,}")]
    if report.columns:
        facts.append(("Columns", f"{len(report.columns):,}"))
    facts += [("Target", report.target), ("Task", report.task)]
    if report.seconds is not None:
        facts.append(("Took", duration(report.seconds)))
    if report.seed is not None:
        facts.append(("Seed", str(report.seed)))
    if report.version:
        facts.append(("Chainrule", report.version))
    return facts


def _metrics(report: Report) -> list[tuple[str, str, str, list[str]]]:
    """Name, meaning, direction, and the values on each set."""
    names = dict.fromkeys(name for values in report.metrics.values() for name in values)
    return [
        (metric_words(name), MEANINGS.get(name, ""), _better(name),
         aligned([values.get(name, math.nan) for values in report.metrics.values()]))
        for name in names
    ]  # fmt: skip


def _better(name: str) -> str:
    try:
        return "higher" if direction(name) == "max" else "lower"
    except SettingError:  # a metric of the user's own
        return ""


def _curves(history: History | None, kept: int | None) -> list[Figure]:
    """Loss, up to three metrics, and the rate where it varies, over the epochs."""
    if history is None or not len(history):
        return []
    names = [name for name in history.columns
             if f"validation_{name}" in history and name != "loss"][:METRIC_CURVES]  # fmt: skip
    figures = [_curve(history, name, kept) for name in ["loss", *names] if name in history]
    rate = history["rate"] if "rate" in history else np.zeros(0)
    if len(set(rate[np.isfinite(rate)])) > 1:
        figures.append(Figure("Learning rate", _lines(history, {"learning rate": rate})))
    return figures


def _curve(history: History, name: str, kept: int | None) -> Figure:
    lines = {"training": history[name]}
    if f"validation_{name}" in history:
        lines["validation"] = history[f"validation_{name}"]
    label = metric_words(name)
    rows = "validation" if history.criterion.startswith("validation_") else "training"
    chosen = history.best is not None and kept in (None, history.best)
    best = (float(history.best or 0), rows) if chosen else None
    svg = _lines(history, lines, label, best)
    return Figure(label[:1].upper() + label[1:], svg)


def _lines(
    history: History,
    lines: Mapping[str, npt.NDArray[np.float64]],
    y_label: str = "learning rate",
    best: tuple[float, str] | None = None,
) -> str:
    return curves_svg(
        history["epoch"], lines, y_label=y_label, best=best, starts=history.runs[1:],
        width=charts.WIDTH, height=charts.HEIGHT,
    )  # fmt: skip


def _distribution(column: ColumnRow) -> tuple[str, str]:
    """The small chart of a column, and its description."""
    if column.histogram is not None:
        summary = f"{column.histogram.low} to {column.histogram.high}"
        if column.histogram.low == column.histogram.high:
            summary = f"always {column.histogram.low}"
        summary = f"{summary} {column.histogram.unit}".rstrip()
        return charts.sparkline(column.histogram.counts, f"histogram, {summary}"), summary
    if not column.levels:
        shown = ", ".join(clip(text, 40) for text in column.examples)
        return "", f"such as {shown}" if shown else ""
    total = max(column.rows, sum(rows for _, rows in column.levels), 1)
    shares = [(clip(str(name), 24), rows / total) for name, rows in column.levels[:LEVELS]]
    summary = ", ".join(f"{name} {percent(round(share, 2))}" for name, share in shares)
    if column.distinct > len(shares):
        summary += f", {column.distinct - len(shares):,} more"
    return charts.level_bar(shares, summary), summary


def _importance(report: Report) -> list[tuple[str, str, str, str]]:
    """Column, loss, spread, and a bar where the loss exceeds it; the largest loss first."""
    rows = report.importance.ranked
    most = max((abs(loss) for _, loss, _ in rows if math.isfinite(loss)), default=0.0)
    shown = aligned([x for row in rows for x in row[1:]])
    return [(name, shown[2 * k], shown[2 * k + 1],
             charts.drop_bar(loss, most) if loss > spread else "")
            for k, (name, loss, spread) in enumerate(rows)]  # fmt: skip


def _mistakes(report: Report) -> dict[str, Any]:
    """Header and rows of the worst mistakes, and the number of columns left out."""
    rows = report.mistakes[:MISTAKES]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    inputs = {column.name for column in report.columns} - {"actual", "predicted", "probability"}
    answers = [key for key in keys if key not in inputs]
    ranked = {row[0]: place for place, row in enumerate(report.importance.ranked)}
    shared = sorted((key for key in keys if key in inputs), key=lambda key: ranked.get(key, 10**9))
    head = answers + shared[:MAX_MISTAKE_COLUMNS] if inputs else answers[: 3 + MAX_MISTAKE_COLUMNS]
    numeric = (int, float, np.number)
    drawn = {x.name for x in report.columns if x.histogram is not None and x.kind == "number"}
    return {
        "head": head,
        "rows": [[row.get(key) for key in head] for row in rows],
        "right": [
            key in drawn or all(isinstance(row.get(key), numeric) for row in rows) for key in head
        ],
        "left_out": len(keys) - len(head),
    }
