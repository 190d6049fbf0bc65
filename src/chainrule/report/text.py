"""Prints what a training run finds as text: columns, findings of the data check, results."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy.typing as npt

from chainrule.data.check import Finding
from chainrule.data.schema import Schema
from chainrule.display.format import clip, clip_names, counted, listed
from chainrule.display.screen import Screen, cells
from chainrule.display.tables import Section
from chainrule.report import results
from chainrule.report.headline import headline
from chainrule.report.results import Evaluation, Importance
from chainrule.report.words import aligned, metric_words
from chainrule.train.metrics import Scores

ColumnRow = tuple[str, str, str, str]
"""The name, kind, reason and treatment of a column."""

COLUMNS_SHOWN = 40
JOIN_FROM = 20
FINDINGS_SHOWN = 15
CLASSES_SHOWN = 12
_VALUES = re.compile(r"\b\w+=[\[{](.*?)[\]}](?=[\s,.;:)]|$)")
COLUMNS_RANKED = 12


def print_source(
    screen: Screen, source: str, rows: int, columns: int, notes: Sequence[str]
) -> None:
    """Print the source and size of a table, and the notes on how it was read."""
    size = f"{counted(rows, 'row')}, {counted(columns, 'column')}"
    screen.write(screen.styled(f"{source}: {size}", "bold"))
    print_notes(screen, notes)


def print_notes(screen: Screen, notes: Sequence[str]) -> None:
    """Print notes on the data, a paragraph each."""
    for note in notes:
        screen.say(screen.advice(note), indent=2, label="note", style="cyan")


def column_rows(schema: Schema, treatments: Mapping[str, str]) -> list[ColumnRow]:
    """Each column's name, kind, the reason for it, and the treatment."""
    rows = []
    for row in schema.describe():
        how = treatments.get(row.column, row.treatment)
        gaps = counted(row.gaps, "gap")
        if row.gaps and "gaps filled" in how:
            how = how.replace("gaps filled", f"{gaps} filled")
        elif row.gaps:
            how += f", {gaps}"
        rows.append((row.column, row.kind, row.reason, how))
    return rows


def print_columns(screen: Screen, rows: Sequence[ColumnRow]) -> None:
    """Print the table of columns; similar neighbours share a line where there are many."""
    screen.heading("Columns")
    shown = _joined(rows) if len(rows) > JOIN_FROM else list(rows)
    left_out = len(shown) - COLUMNS_SHOWN
    if left_out > 0:
        shown = [*shown[: COLUMNS_SHOWN - 1], shown[-1]]  # the target is the last
    screen.table(
        [(clip(name, 40), kind, clip(why, 96), how) for name, kind, why, how in shown],
        ("column", "kind", "because", "treatment"),
    )
    if left_out > 0:
        screen.say(f"{counted(left_out, 'more line')} in the report", indent=2)


def _joined(rows: Sequence[ColumnRow]) -> list[ColumnRow]:
    """Neighbouring columns of one kind and treatment as one line: p1 to p6."""
    joined = []
    for (kind, how), group in groupby(rows, key=lambda row: (row[1], row[3])):
        names = list(group)
        if len(names) < 3:
            joined += names
        else:
            span = f"{clip(names[0][0], 18)} to {clip(names[-1][0], 18)}"
            joined.append((span, kind, f"{len(names):,} columns", how))
    return joined


def print_findings(screen: Screen, findings: Sequence[Finding]) -> None:
    """Print the findings of the data check, the worst first; equal ones of columns together."""
    if not findings:
        screen.write("", screen.styled("Data check", "bold") + ": no findings")
        return
    screen.heading("Data check")
    styles = {"error": "red", "warning": "yellow", "info": "cyan"}
    alike: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.severity, finding.message), []).append(finding)
    for (severity, message), group in list(alike.items())[:FINDINGS_SHOWN]:
        columns = listed([finding.column for finding in group if finding.column], 8)
        told = screen.advice(f"{message}\nfix: {joined_fix([x.fix for x in group])}")
        screen.say(f"{columns}{': ' if columns else ''}{told}", indent=2,
                   label=f"{severity:<7}", style=styles[severity])  # fmt: skip
    if len(alike) > FINDINGS_SHOWN:
        screen.say(f"and {len(alike) - FINDINGS_SHOWN} more; the report has them", indent=2)


def joined_fix(fixes: Sequence[str]) -> str:
    """One fix for several columns: `ignore=['a']` and `ignore=['b']` are `ignore=['a', 'b']`."""
    inside = [_VALUES.search(fix) for fix in fixes]
    first = inside[0]
    if first is None or not all(inside):
        return fixes[0]
    values = list(dict.fromkeys(found[1] for found in inside if found))
    return f"{fixes[0][: first.start(1)]}{', '.join(values[:8])}{fixes[0][first.end(1) :]}"


def print_results(screen: Screen, evaluations: Sequence[Evaluation]) -> None:
    """Print the scores: in a sentence, in a table with a constant guess's, and by class."""
    screen.heading("Results")
    for place, evaluation in enumerate(evaluations):
        for sentence in headline(evaluation.outcome):
            screen.say(sentence, indent=2)
        later = {text for x in evaluations[place + 1 :] for text in x.remarks}
        for remark in evaluation.remarks:
            if remark not in later:  # one that holds for several stands after the last
                screen.say(remark, indent=2)
    outcome = evaluations[-1].outcome
    counts = results.counts_of(outcome) if results.usable(outcome) else None
    print_scores(screen, evaluations, outcome.classes, counts)


class Scored(Protocol):
    """Scores of a model and of the best constant guess, with the name of their rows."""

    @property
    def name(self) -> str: ...
    @property
    def scores(self) -> Scores: ...
    @property
    def guess(self) -> Scores: ...


def print_scores(
    screen: Screen, evaluations: Sequence[Scored], classes: Sequence[str],
    counts: npt.NDArray[Any] | None,
) -> None:  # fmt: skip
    """Print scores in a table, and the rows of the last by actual and predicted class.

    counts: (k, k) of the k classes, or None.
    """
    screen.write("")
    head, columns = [""], []
    for evaluation in evaluations:
        head += [evaluation.name, "guess"]
        columns += [evaluation.scores, evaluation.guess]
    names = [name for name in evaluations[0].scores if name != "loss"]
    rows = [
        [metric_words(name), *_figures([scores.get(name, math.nan) for scores in columns])]
        for name in names
    ]
    screen.table(rows, head, right=range(1, len(head)))
    if len(classes) == 2 and "recall" in names:
        screen.say(f"F1, precision and recall are those of {classes[1]}", indent=2)
    for evaluation in evaluations:
        for note in evaluation.scores.notes:
            screen.say(f"{evaluation.name}: {note}", indent=2, label="note", style="cyan")
    if classes and counts is not None:
        print_confusion(screen, classes, counts, evaluations[-1].name)


def print_importance(screen: Screen, found: Importance) -> None:
    """Print the columns that the network relies on, where that was measured."""
    if not found.of:
        return
    screen.heading("What it relies on")
    screen.say(found.sentence, indent=2)
    rows = found.ranked
    shown = [(name, loss, spread) for name, loss, spread in rows if loss > spread][:COLUMNS_RANKED]
    figures = _figures([x for row in shown for x in row[1:]])
    cells = [(clip(row[0], 40), figures[2 * k], "± " + figures[2 * k + 1])
             for k, row in enumerate(shown)]  # fmt: skip
    screen.table(cells, right=(1, 2))
    others = len(rows) - len(shown)
    if others and not shown:
        none = "The importance of no column exceeds its ±"
        screen.say(f"{none}; the report has {counted(others, 'column')}", indent=2)
    elif others:
        more = "of less importance or within the ±; the report has them"
        screen.say(f"{counted(others, 'more column')} {more}", indent=2)


def _figures(values: Sequence[float]) -> list[str]:
    """Numbers of one kind with the same decimals: four where they are small."""
    if 1e-3 <= max((abs(x) for x in values if math.isfinite(x)), default=0.0) < 10:
        return ["–" if math.isnan(x) else f"{x:.4f}" for x in values]
    return aligned(values)


def print_confusion(
    screen: Screen, classes: Sequence[str], counts: npt.NDArray[Any], rows_name: str
) -> None:
    """Print the confusion matrix where it is small enough, else the most frequent mix-ups."""
    names = clip_names(classes, 16)
    rows = [[name, *(f"{int(n):,}" for n in row)] for name, row in zip(names, counts, strict=True)]
    width = sum(max(map(cells, column)) + 2 for column in zip(["", *names], *rows, strict=True))
    width += max(map(cells, names))
    if len(names) <= CLASSES_SHOWN and width <= screen.width:
        screen.heading(f"Confusion on {rows_name} rows (rows: actual, columns: predicted)")
        screen.table(rows, ["", *names], right=range(1, len(names) + 1))
        return
    pairs = results.mixups_of(classes, counts, 8)
    if pairs:
        short = dict(zip(classes, clip_names(classes), strict=True))
        screen.heading(f"Most confused on {rows_name} rows")
        screen.table(
            [(short[p.actual], "taken for", short[p.predicted], counted(p.rows, "row"),
              f"{100 * p.share:.1f} % of them") for p in pairs],
        )  # fmt: skip


def print_sections(screen: Screen, sections: Sequence[Section]) -> None:
    """Print a plan or a profile: tables under their titles."""
    for section in sections:
        screen.heading(section.title)
        screen.table(section.rows, section.head, right=section.right)
