"""Makes the report of a training run from its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.data.check import Finding
from chainrule.data.column import Column, code_counts
from chainrule.data.columns.columns import NumberColumn
from chainrule.data.columns.dates import DateColumn
from chainrule.data.columns.encoder import numbers_of
from chainrule.data.columns.target import NumberTarget
from chainrule.data.table import Table
from chainrule.data.written import label_of
from chainrule.model.model import Model
from chainrule.recipe.config import Config
from chainrule.recipe.evaluation import mistakes
from chainrule.recipe.gallery import first_filters, worst_pictures
from chainrule.report.page import Report
from chainrule.report.results import Evaluation, Importance
from chainrule.report.rows import ColumnRow, Histogram, NodeRow
from chainrule.types import static_size

LEVELS = 6
LEVELLED = ("category", "boolean", "target", "constant")
"""Kinds whose most frequent values are drawn."""
EXAMPLES = 2
MAX_VALUES = 200_000
"""Values of a row up to which the report has the page to step through the network."""


def make_report(
    *,
    model: Model,
    table: Table,
    config: Config,
    kept: int | None,
    columns: Sequence[tuple[str, str, str, str]],
    findings: Sequence[Finding],
    evaluations: Sequence[Evaluation],
    on_training: Evaluation,
    importance: Importance,
    number: Callable[[int], int],
    facts: Mapping[str, Any],
) -> Report:
    """The report of a run.

    Args:
        model: the result.
        table, config: the data and all settings.
        kept: the epoch whose parameters were scored.
        columns: name, kind, reason and treatment of each.
        findings: of the data check.
        evaluations: on validation and test rows; the charts show the first.
        on_training: on the training rows.
        importance: of the columns.
        number: of a row of the table in its source, from 1.
        facts: further fields of Report.
    """
    from chainrule.model.inspect import inspect  # noqa: PLC0415  (only a report needs it)

    drawn = evaluations[0] if evaluations else on_training
    worst = mistakes(drawn, table.drop(str(config.target)), number)
    everywhere = [on_training, *evaluations]
    return Report(
        source=table.source,
        target=str(config.target),
        task=str(config.task),
        rows=len(table),
        columns=[_column_row(model, table[name], kind, why, how)
                 for name, kind, why, how in columns],
        seed=config.seed,
        split=model.split,
        findings=findings,
        history=model.history,
        kept=kept,
        metrics={evaluation.name: evaluation.scores for evaluation in everywhere},
        sizes={evaluation.name: evaluation.rows for evaluation in everywhere},
        network=[NodeRow(row.name, row.what, row.shape, row.parameters)
                 for row in model.summary().rows],
        inside=inspect(model, table, updates=False, number=number) if _fits_a_page(model) else None,
        outcome=drawn.outcome,
        evaluations=evaluations or [on_training],
        importance=importance,
        mistakes=[] if drawn.name == "test" else worst,  # its rows are of another table
        pictures=worst_pictures(model, drawn),
        filters=first_filters(model),
        **facts,
    )  # fmt: skip


def _fits_a_page(model: Model) -> bool:
    """Whether a page can hold the values of all nodes of some rows: not of large pictures."""
    return sum(static_size(x.shape) for x in model.graph.operations) <= MAX_VALUES


def _column_row(model: Model, column: Column, kind: str, why: str, how: str) -> ColumnRow:
    histogram = _histogram(model, column, kind)
    levels: list[tuple[str, int]] = []
    if histogram is None and kind in LEVELLED:
        codes, labels = column.labels()
        counts = code_counts(codes, len(labels))
        order = np.argsort(-counts, kind="stable")[:LEVELS]
        levels = [(labels[k], int(counts[k])) for k in order if counts[k]]
    return ColumnRow(
        name=column.name, kind=kind, reason=why, treatment=how, gaps=column.gaps,
        distinct=column.distinct, histogram=histogram, levels=levels,
        rows=len(column) - column.gaps,
        examples=() if histogram or levels else _examples(column),
    )  # fmt: skip


def _examples(column: Column) -> list[str]:
    """The first cells that have a value."""
    some = column.take(np.flatnonzero(~column.missing)[:EXAMPLES])
    return [text for text in some.cells() if text is not None]


def _histogram(model: Model, column: Column, kind: str) -> Histogram | None:
    """The distribution of numbers, dates and lengths of texts; None for other kinds."""
    assert model.schema is not None
    encoder = next((e for e in model.schema.columns if e.name == column.name), None)
    if isinstance(encoder, DateColumn):
        return _of_dates(encoder.stamps(column))
    if column.storage == "date":
        return _of_dates(column.present)
    if kind == "text":
        words = np.array([len(text.split()) for text in column.texts], np.float64)
        return Histogram.of(words[column.labels()[0][~column.missing]], "words")
    if isinstance(encoder, NumberColumn):
        return Histogram.of(numbers_of(column, encoder.form)[0], ends=encoder.stats.extremes)
    numeric = kind == "number" or (kind == "target" and model.schema.task == "regression")
    if column.storage in ("number", "integer") and numeric:
        target = model.schema.target
        ends = target.stats.extremes if isinstance(target, NumberTarget) else None
        return Histogram.of(column.floats(), ends=ends if kind == "target" else None)
    return None


def _of_dates(stamps: npt.NDArray[Any]) -> Histogram | None:
    """The histogram of dates, its ends as dates."""
    days = stamps[~np.isnat(stamps)].astype("datetime64[us]")
    counted = Histogram.of(days.astype(np.float64))
    if counted is None:
        return None
    low, high = (label_of(day.astype("datetime64[D]")) for day in (days.min(), days.max()))
    return Histogram(low, high, counted.counts)
