"""Guesses what each column means, and what kind of task a target asks for, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column
from chainrule.data.columns.cells import (
    codes_among,
    form_of,
    guess_form,
    level_numbers,
    parse_numbers,
)
from chainrule.data.columns.columns import LEFT_OUT
from chainrule.data.columns.datetexts import (
    either_order,
    form_words,
    guess_date_forms,
    parse_dates,
)
from chainrule.data.columns.encoder import ENCODERS
from chainrule.data.columns.gaps import gap_among_numbers
from chainrule.data.table import Table, require_column
from chainrule.display.format import clip, counted, listed
from chainrule.errors import DataError, SettingError, did_you_mean

TaskName = Literal["classification", "regression"]
TASKS: tuple[str, ...] = get_args(TaskName)


def known_kinds() -> tuple[str, ...]:
    """The names of all kinds of columns."""
    return (*ENCODERS, *LEFT_OUT)


KINDS = known_kinds()
"""The kinds that come with Chainrule."""

ID_NAME = re.compile(
    r"(.*[_\W])?((row|user|cust|customer|client|patient|person|subject|member|employee|emp|student"
    r"|order|account|product|item|store|case|record|session)?id|uuid|guid|key|nr|no)[_\W]*"
    r"|rownames?|unnamed.*|__index.*|#",
    re.IGNORECASE,
)
CAMEL_ID = re.compile(r".*[a-z]I[dD]")
COUNTER_NAME = re.compile(
    r"(.*[_\W])?(index|row|row_?(number|num|no|id)|seq|sequence|serial|s_?no|obs|observation|record"
    r"|instant|counter)[_\W]*|(?-i:X)",
    re.IGNORECASE,
)
SCALE_NAME = re.compile(
    r".|.*(date|day|time|year|month|week|hour|minute|second|step|period|trend|epoch|age|dist|pos"
    r"|size|level|rank|grade|place|number|count|amount|price|score|dose|speed|weight|height|width"
    r"|length|depth|power|round|trial|version).*",
    re.IGNORECASE,
)
"""Names of columns that may run from 1 to n and mean it."""
MIN_COUNTED_ROWS = 50
"""From this number of rows, integers that rise by one from row to row are a counter."""
MIN_SHARED = 0.5
"""The share of rows whose value occurs again, from which an id is of groups of rows."""
CHOSEN = "chosen by you"
"""The reason for a kind or task that the user gave."""
CODE_NAME = re.compile(r"(.*[_\W])?(zip|zip_?code|postal_?code|postcode|code)", re.IGNORECASE)
DATE_NAME = re.compile(r".*(date|day|time).*", re.IGNORECASE)


@dataclass(frozen=True)
class Kind:
    """The kind of a column, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Task:
    """The kind of prediction that a target requires, and the reason."""

    name: TaskName
    reason: str


def guess_kinds(table: Table, kinds: Mapping[str, str] | None = None) -> dict[str, Kind]:
    """The kind of each column with a one-line reason; `kinds` overrules by name.

    Raises SettingError for an unknown column or kind.
    """
    chosen = check_kinds(table, kinds or {})
    return {column.name: kind_of(column, chosen) for column in table}


def kind_of(column: Column, chosen: Mapping[str, str]) -> Kind:
    """The kind that the user chose for a column, else the guess."""
    name = chosen.get(column.name)
    return guess_kind(column) if name is None else Kind(name, CHOSEN)


def check_kinds(table: Table, kinds: Mapping[str, str]) -> dict[str, str]:
    """Returns the user's choices. Raises SettingError for an unknown column or kind."""
    for name, kind in kinds.items():
        require_column("kinds", name, table)
        if kind not in known_kinds():
            raise SettingError(
                "kinds",
                f"unknown kind for column {name!r}",
                expected="one of " + ", ".join(known_kinds()),
                got=kind,
                fix=did_you_mean(kind, known_kinds()),
            )
    return dict(kinds)


def guess_kind(column: Column) -> Kind:
    """The most probable kind of a column."""
    if column.distinct == 0:
        return Kind("constant", "no values, only gaps")
    if column.distinct == 1 and not column.gaps:
        codes, labels = column.labels()
        return Kind("constant", f"one value everywhere: {clip(labels[codes[0]])}")
    if column.classes:
        return Kind("category", f"{column.distinct:,} classes")
    for name, encoder in ENCODERS.items():
        if (reason := encoder.guess(column)) is not None:
            return Kind(name, reason)
    if column.storage == "integer" or (column.storage == "number" and _integral(column)):
        return _guess_integer(column)
    return _guess_text(column) if column.storage == "text" else Kind("number", "numbers")


def _integral(column: Column) -> bool:
    """Whether numbers are integers, as ids beside a gap are in many files: 83.0."""
    return bool((np.isfinite(column.present) & (np.floor(column.present) == column.present)).all())


def _guess_integer(column: Column) -> Kind:
    values, n = column.present, column.count
    distinct = column.distinct
    named_id = ID_NAME.fullmatch(column.name) or CAMEL_ID.fullmatch(column.name)
    if named_id and n >= 10 and distinct == n:
        return Kind("id", "named like an id, and no two rows share a value")
    if n >= 10 and distinct == n and np.abs(values.astype(np.float64)).min() > 2.0**53:
        return Kind("id", "large integers that no two rows share")
    if (counter := _counter(column)) is not None:
        return counter
    if named_id and n >= 50 and distinct > 0.5 * n and shared_rows(column) < MIN_SHARED:
        return Kind("id", f"named like an id, {distinct:,} distinct integers")
    if CODE_NAME.fullmatch(column.name) and distinct <= 1000:
        return Kind("category", f"named like a code, {distinct:,} distinct integers")
    if DATE_NAME.fullmatch(column.name) and _packed_dates(column):
        return Kind("date", "integers such as 20241231, and named like a date")
    if named_id:
        return Kind("category", f"named like an id, shared by rows: {distinct:,} distinct")
    return Kind("number", f"integers, {distinct:,} distinct")


def _counter(column: Column) -> Kind | None:
    """An id, where integers number the rows and do not seem to mean anything else."""
    n, distinct = column.count, column.distinct
    if n < 10 or distinct < n or column.gaps:
        return None
    low, high = int(column.present.min()), int(column.present.max())
    if high - low + 1 != n:
        return None
    if COUNTER_NAME.fullmatch(column.name):
        return Kind("id", f"named like a counter, and each integer from {low:,} to {high:,} once")
    numbered = None if column.condensed is None else column.condensed.numbered
    if numbered is None:
        numbered = bool((np.diff(column.present) == 1).all())
    in_order = low in (0, 1) and numbered
    if in_order and n >= MIN_COUNTED_ROWS and not SCALE_NAME.fullmatch(column.name):
        return Kind("id", f"numbers the rows from {low} to {high:,}, in the order of the file")
    return None


def shared_rows(column: Column) -> float:
    """The share of the cells that are not gaps whose value occurs in another row too."""
    if column.condensed is not None and column.condensed.shared is not None:
        return column.condensed.shared
    if column.storage == "text":
        counts = column.level_counts
    else:
        _, codes, counts = np.unique(column.present, return_inverse=True, return_counts=True)
        if column.weights is not None:
            counts = np.bincount(codes, column.weights[~column.missing])
    return float(counts[counts > 1].sum() / max(counts.sum(), 1))


def _packed_dates(column: Column) -> bool:
    low, high = int(column.present.min()), int(column.present.max())
    if low < 1900_01_01 or high > 2199_12_31:
        return False
    return not np.isnat(parse_dates(column.typed.labels()[1], "%Y%m%d")).any()


def _guess_text(column: Column) -> Kind:
    levels, counts = column.texts, column.level_counts[column.level_counts > 0]
    n, distinct = column.count, column.distinct
    usual = np.array([not gap_among_numbers(level) for level in levels], bool)
    if usual.any():
        bare = [level for level, keep in zip(levels, usual, strict=True) if keep]
        numeric = _guess_numeric_text(column, bare, counts[usual])
        if found := numeric or _guess_date_text(bare, counts[usual]):
            return found
    return _guess_words(levels, n, distinct, shared_rows(column))


def _guess_numeric_text(
    column: Column, levels: list[str], counts: NDArray[np.int64]
) -> Kind | None:
    """Numbers stored as text, or codes made of digits; `levels` are not words for gaps."""
    name = column.name
    if CODE_NAME.fullmatch(name):
        return None
    sample = levels[:: max(1, len(levels) // 200)]
    if np.isnan(parse_numbers(sample, *guess_form(sample))).mean() > 0.5:
        return None
    form = form_of(column)
    assert column.levels is not None
    number_of = dict(zip(column.levels, level_numbers(column, form), strict=True))
    values = np.array([number_of[level] for level in levels])
    n, bad = int(counts.sum()), np.isnan(values)
    codes = codes_among(dict(zip(levels, counts.tolist(), strict=True)))
    if codes and not bad.any():
        first = max(codes, key=codes.__getitem__)
        shown = f"{first!r} in {counted(codes[first], 'cell')}"
        if len(levels) == n and n >= 20:
            return Kind("id", f"digits of a code ({shown}) that no two rows share")
        return Kind("category", f"digits of a code, not an amount: {shown}")
    if ID_NAME.fullmatch(name) and len(levels) == n and n >= 10:
        return Kind("id", "named like an id, and no two rows share a value")
    if not bad.any():
        few = len(levels) <= 20 and all(level.isdigit() for level in levels)
        if few:
            return Kind("category", f"{counted(len(levels), 'distinct digit text')}")
        comma = ", with decimal commas" if form.decimal == "," else ""
        unit = f", all in {form.unit!r}" if form.unit else ""
        return Kind("number", f"numbers stored as text{comma}{unit}")
    lost, numbers, words = int(counts[bad].sum()), np.count_nonzero(~bad), np.count_nonzero(bad)
    if (lost <= 0.1 * n and numbers >= 20) or (lost <= 0.5 * n and numbers >= 50 and words <= 3):
        odd = listed([repr(clip(levels[i])) for i in np.flatnonzero(bad)[:3]])
        return Kind("number", f"numbers stored as text; {lost:,} of {n:,} cells are none: {odd}")
    return None


def _guess_date_text(levels: list[str], counts: NDArray[np.int64]) -> Kind | None:
    forms = guess_date_forms(levels)
    if not forms:
        return None
    fits = ~np.isnat(parse_dates(levels, *forms))
    if counts[fits].sum() < 0.95 * counts.sum():
        return None
    guessed = ", a guess" if either_order(levels, forms[0]) else ""
    words = " or ".join(map(form_words, forms))
    return Kind("date", f"dates stored as text, read as {words}{guessed}")


def _guess_words(levels: list[str], n: int, distinct: int, shared: float) -> Kind:
    """Category, free text, or an id made of letters."""
    sample = levels[:: max(1, len(levels) // 1000)]
    words = float(np.mean([len(level.split()) for level in sample]))
    if words >= 2.5 and ((distinct > 0.2 * n and distinct > 20) or distinct > 1000):
        return Kind("text", f"{distinct:,} distinct texts of {words:.0f} words on average")
    if n >= 20 and distinct == n:
        return Kind("id", "texts that no two rows share")
    if n >= 50 and distinct > 0.5 * n and shared < MIN_SHARED:
        if words >= 1.5:
            return Kind("text", f"{distinct:,} distinct texts in {n:,} rows")
        return Kind("id", f"{distinct:,} distinct texts in {n:,} rows")
    return Kind("category", counted(distinct, "distinct text"))


def guess_task(column: Column, task: str | None = None, kind: str | None = None) -> Task:
    """Guesses whether a target holds classes or numbers; `task` or `kind` overrules.

    Raises DataError for a target that can be neither, SettingError for an unknown task.
    """
    if task is not None and task not in TASKS:
        raise SettingError(
            "task", "unknown task", expected="one of " + ", ".join(TASKS), got=task,
            fix=did_you_mean(task, TASKS),
        )  # fmt: skip
    if task is not None:
        return Task(cast(TaskName, task), CHOSEN)
    if kind in ("number", "category", "boolean"):
        return Task("regression" if kind == "number" else "classification", CHOSEN)
    found = guess_kind(column)
    if column.classes:
        return Task("classification", found.reason)
    if column.storage == "date" or found.name == "date":
        raise DataError(
            f"target {column.name!r}",
            "dates cannot be predicted as they are",
            fix="make a number of it, for example the days until then",
        )
    if column.storage == "boolean" or found.name == "boolean":
        return Task("classification", found.reason)
    if column.storage == "text":
        if found.name == "number":
            return Task("regression", found.reason)
        return Task("classification", f"{column.distinct:,} distinct texts")
    distinct = column.distinct
    if column.storage == "number" and not _integral(column):
        return Task("regression", f"numbers with decimals, {distinct:,} distinct")
    if distinct <= 20 and column.count >= 2 * distinct:
        return Task("classification", f"{distinct} distinct integers")
    return Task("regression", f"{distinct:,} distinct integers")
