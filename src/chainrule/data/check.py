"""The data check before training: properties of a table that are likely to spoil the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from chainrule.data.column import Column, code_counts
from chainrule.data.columns.cells import guess_form, parse_numbers, yes_or_no
from chainrule.data.columns.encoder import Infinite, number_form, numbers_of
from chainrule.data.columns.kinds import Kind, Task, guess_kinds, guess_task
from chainrule.data.columns.pictures import lost_pictures
from chainrule.data.columns.target import NumberTarget
from chainrule.data.leaks import is_copy, told_share
from chainrule.data.order import order_share
from chainrule.data.repeats import MIN_SHARE, alike_by_chance
from chainrule.data.series import orders
from chainrule.data.shuffle import mix, shuffled
from chainrule.data.table import Table
from chainrule.display.format import clip, counted, listed, number
from chainrule.display.tables import Section, as_html
from chainrule.errors import DataError

SAMPLE = 50_000
MIN_LEAK_SHARE = 0.995  # share of held-out rows or of variance that one column alone explains
MIN_ORDER_SHARE = 0.05  # of variance, from which the order of an id is worth a warning
UNTOLD = ("text", "picture", "signal")  # kinds of columns that are not tried alone
NO_TOTAL = ("date", "boolean", "array")
Severity = Literal["error", "warning", "info"]


class Finding(NamedTuple):
    """A property of a table that may spoil the result: severity, column, message, and a fix."""

    severity: Severity
    column: str | None
    message: str
    fix: str

    def _repr_html_(self) -> str:
        return Findings([self])._repr_html_()


class Findings(list[Finding]):
    """Findings, the worst first: a list that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        rows = tuple((x.severity, x.column or "", x.message, x.fix) for x in self)
        title = counted(len(self), "finding") if self else "no findings"
        return as_html([Section(title, rows, ("", "column", "finding", "fix") if rows else ())])


def check_table(
    table: Table,
    target: str | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    task: str | None = None,
    shuffled_split: bool = True,
) -> Findings:
    """Returns the findings on a table, the worst first; an empty list for healthy data.

    Large tables are checked on a fixed sample of 50,000 rows.

    Args:
        target: the column to predict.
        kinds, task: as in `Schema.learn`.
        shuffled_split: whether rows are held out by chance, not by time or groups.
    """
    totals = _check_totals(table)
    guesses = guess_kinds(table, kinds)
    if len(table) > SAMPLE:
        table = table.take(np.sort(shuffled(len(table), 0)[:SAMPLE]))
    label = table[target] if target is not None else None
    features = [column for column in table if column.name != target]
    findings = totals + _check_size(table, features)
    for column in features:
        findings += _check_column(column, guesses[column.name], len(table))
    if label is not None and label.gaps < len(label):
        kind = (kinds or {}).get(label.name)
        findings += _check_target(label, features, guesses, task, kind, shuffled_split)
    findings += _check_duplicates(table, guesses)
    order = ("error", "warning", "info")
    return Findings(sorted(findings, key=lambda found: order.index(found.severity)))


def _check_size(table: Table, features: list[Column]) -> list[Finding]:
    rows, width = len(table), len(features)
    if rows < 50:
        few = f"only {counted(rows, 'row')}: scores will vary with the split"
        return [Finding("info", None, few,
                        "collect more rows, or trust the scores little")]  # fmt: skip
    if width > rows:
        return [Finding("info", None, f"{width:,} columns but only {counted(rows, 'row')}",
                        "keep fewer columns, or raise decay= or dropout=")]  # fmt: skip
    return []


def _check_totals(table: Table) -> list[Finding]:
    """Finds a last row of column totals, as in spreadsheets: it would be learned."""
    summed = [repr(column.name) for column in table if _ends_in_total(column)]
    if not summed:
        return []
    return [Finding("warning", None, "the last row looks like a total: it holds the sums of "
                    f"{listed(summed, 3)}", "remove that row")]  # fmt: skip


def _ends_in_total(column: Column) -> bool:
    """Whether the last cell is the sum of at least ten above, and more than any of them."""
    if len(column) < 11 or column.storage in NO_TOTAL or column.missing[-1]:
        return False
    if column.storage == "text":
        last = column.take(np.array([len(column) - 1]))
        if np.isnan(parse_numbers(last.texts, *guess_form(last.texts))).all():
            return False
    values = numbers_of(column, number_form(column))[0]
    above, total = np.nan_to_num(values[:-1]), values[-1]
    return bool(abs(total) > np.abs(above).max() and abs(above.sum() - total) <= 1e-6 * abs(total))


def _check_column(column: Column, kind: Kind, rows: int) -> list[Finding]:
    name = column.name
    if kind.name not in ("picture", "ignore") and (path := lost_pictures(column)):
        return [Finding("warning", name, "names of pictures, and none of the files is there: "
                        f"the first is looked for at {path!r}", "correct the names: they are "
                        "relative to the folder of the table, or begin with '/'")]  # fmt: skip
    chosen = kind.reason == "chosen by you" and kind.name in ("id", "constant")
    if chosen or kind.name == "ignore":
        return []
    if kind.name == "constant":
        return [Finding("info", name, f"constant ({kind.reason}); it is left out",
                        "remove it from the data")]  # fmt: skip
    if kind.name == "id":
        return [Finding("info", name, f"looks like an id ({kind.reason}); it is left out",
                        f"if it carries meaning: kinds={{{name!r}: 'category'}}")]  # fmt: skip
    found = _check_spelling(column, "info") if kind.name == "category" else []
    if column.gaps > 0.5 * rows:
        share = 100 * column.gaps / rows
        found.append(Finding("warning", name, f"{share:.0f} % of its cells are gaps",
                             "find out why they are missing, or leave it out: "
                             f"ignore={[name]}"))  # fmt: skip
    if column.storage in ("number", "integer") and kind.name == "number":
        found += _check_numbers(column, rows)
    return found


def _check_numbers(column: Column, rows: int) -> list[Finding]:
    values = column.floats()
    infinite = int(np.isinf(values).sum())
    if infinite:
        return [Finding("error", column.name, f"holds {counted(infinite, 'infinite value')}",
                        "replace them by gaps, or leave it out: "
                        f"ignore={[column.name]}")]  # fmt: skip
    values = values[~np.isnan(values)]
    steps = np.diff(values)
    if rows >= 20 and column.storage == "integer" and (steps == 1).all():
        return [Finding("warning", column.name, "numbers the rows: it is the order of the file",
                        "leave it out, unless it means something: "
                        f"ignore={[column.name]}")]  # fmt: skip
    if len(values) < 50 or column.distinct < 10:
        return []
    centred = values - values.mean()
    scale = np.abs(centred).max()
    skew = np.mean((centred / scale) ** 3) / max(np.mean((centred / scale) ** 2) ** 1.5, 1e-300)
    if abs(skew) <= 10:
        return []
    low, middle, high = values.min(), float(np.median(values)), values.max()
    return [Finding("info", column.name,
                    f"very skewed: from {number(low)} to {number(high)}, half of the values at "
                    f"{'most' if skew > 0 else 'least'} {number(middle)}",
                    "scaling='quantile', or take its logarithm in the data")]  # fmt: skip


def _check_target(
    label: Column, features: list[Column], guesses: Mapping[str, Kind], task: str | None,
    kind: str | None, shuffled_split: bool,
) -> list[Finding]:  # fmt: skip
    try:
        found = guess_task(label, task, kind)
    except DataError as error:
        return [Finding("error", label.name, f"as a target: {error.what}", error.fix or "choose "
                        "another target")]  # fmt: skip
    findings = []
    if label.gaps > 0.1 * len(label):
        share = 100 * label.gaps / len(label)
        findings.append(Finding("warning", label.name, f"{share:.0f} % of the rows lack the target",
                                "make sure that they lack it by chance"))  # fmt: skip
    if label.distinct < 2:
        return [*findings, Finding("error", label.name, "the target has a single value",
                                   "choose another target, or more data")]  # fmt: skip
    if found.name == "classification" and not (label.distinct > 2 and _says_yes_or_no(label)):
        findings += _check_spelling(label, "warning") + _check_balance(label)
    elif found.name == "regression":
        findings += _check_tail(label)
    classes = found.name == "classification"
    findings += [
        Finding("warning", c.name, "orders the target: rows that follow each other in time have "
                "similar targets, so rows held out by chance flatter the scores",
                f"hold out the latest rows: time={c.name!r}")
        for c in features
        if shuffled_split and guesses[c.name].name == "date" and orders(c, label, classes)
    ]  # fmt: skip
    usable = [c for c in features if guesses[c.name].name not in ("constant", "ignore")]
    kept = np.flatnonzero(~label.missing)
    label, usable = label.take(kept), [column.take(kept) for column in usable]
    if len(usable) >= 2 and len(kept) >= 50:
        for column in usable:
            findings += _check_leak(column, label, found, guesses[column.name])
    return findings


def _says_yes_or_no(label: Column) -> bool:
    """Whether its texts are words for yes and no, which count as two classes."""
    return label.storage == "text" and yes_or_no(label.texts)


def _check_tail(label: Column) -> list[Finding]:
    """Finds a few outliers among the numbers to predict."""
    try:
        target = NumberTarget.fit(label)
    except (DataError, Infinite):  # reported where it is learned
        return []
    if not target.heavy:
        return []
    low, *_, high = target.stats.quantiles
    return [Finding("warning", label.name,
                    f"a few rows are far out: from {number(low)} to {number(high)}, half of "
                    f"them at most {number(target.stats.median)}",
                    "check whether they are mistakes: most scores depend on them alone, the median "
                    "absolute error of the others")]  # fmt: skip


def _check_spelling(column: Column, severity: Severity) -> list[Finding]:
    """Finds labels that differ only in case and spaces: 'Yes' and 'yes'."""
    if column.storage != "text":
        return []
    alike: dict[str, list[str]] = {}
    for text in column.texts:
        alike.setdefault("".join(text.casefold().split()), []).append(repr(clip(text)))
    twice = [" and ".join([", ".join(same[:-1]), same[-1]])
             for same in alike.values() if len(same) > 1]  # fmt: skip
    if not twice:
        return []
    return [Finding(severity, column.name,
                    f"spells one value in several ways: {listed(twice, 3)}",
                    "write each value in one way, or they count as different")]  # fmt: skip


def _check_balance(label: Column) -> list[Finding]:
    codes, labels = label.labels()
    counts = code_counts(codes, len(labels))
    used = np.flatnonzero(counts)
    least, most = used[counts[used].argmin()], used[counts[used].argmax()]
    few, many = int(counts[least]), int(counts[most])
    if len(label) >= 50 and few < 5:
        rare = int((counts[used] < 5).sum())
        what = f"{clip(repr(labels[least]))} has only {counted(few, 'row')}"
        more = f", and {rare - 1} more have under 5" if rare > 1 else ""
        return [Finding("warning", label.name, f"class {what}{more}",
                        "join rare classes, or collect more of them")]  # fmt: skip
    if few * 20 < many:
        return [Finding("warning", label.name,
                        f"classes are imbalanced: {clip(repr(labels[most]))} has {many:,} rows, "
                        f"{clip(repr(labels[least]))} {few:,}",
                        "judge by log loss and AUC, not by accuracy; to find more rows of rare "
                        "classes, class_weights='balanced'")]  # fmt: skip
    return []


# Leaks ---------------------------------------------------------------------------------------


def _check_order(column: Column, label: Column) -> list[Finding]:
    """Finds an id that is left out although its order tells something, such as the time."""
    share = order_share(column, label)
    if share < MIN_ORDER_SHARE:
        return []
    keep = f"kinds={{{column.name!r}: 'number'}}"
    return [Finding("warning", column.name,
                    f"is left out as an id, but its order tells {share:.0%} of the variance of "
                    f"{label.name!r}",
                    f"if new rows go on in that order, as times do: {keep}; if the file was "
                    "sorted by it, leave it out")]  # fmt: skip


def _check_leak(column: Column, label: Column, task: Task, kind: Kind) -> list[Finding]:
    """Finds a column that alone predicts the target: a copy, another spelling, a consequence."""
    if is_copy(column, label):
        return [Finding("warning", column.name, f"is a copy of the target {label.name!r}",
                        f"leave it out: ignore={[column.name]}")]  # fmt: skip
    if kind.name == "id":
        return _check_order(column, label)
    if kind.name in UNTOLD or told_share(column, kind, label, task) < MIN_LEAK_SHARE:
        return []
    return [Finding("warning", column.name,
                    f"alone predicts the target {label.name!r} almost perfectly: it may be known "
                    "only afterwards", "leave it out unless it is known beforehand: "
                    f"ignore={[column.name]}")]  # fmt: skip


# Duplicates ------------------------------------------------------------------------------------


def _check_duplicates(table: Table, guesses: Mapping[str, Kind]) -> list[Finding]:
    """Finds equal rows, where the columns could distinguish many more rows."""
    used = [c for c in table if guesses[c.name].name not in ("constant", "id", "ignore")]
    if len(table) < 20 or alike_by_chance((column.distinct for column in used), len(table)):
        return []
    mixed = np.zeros(len(table), np.uint64)
    for column in used:
        codes = column.values
        if column.storage == "array":
            codes = np.array([hash(cell.tobytes()) for cell in column.values])
        elif column.storage in ("number", "date"):
            codes = codes.astype(np.float64).view(np.uint64)
        mixed = mix(mixed ^ codes.astype(np.int64).view(np.uint64))
    share = 1 - len(np.unique(mixed)) / len(table)
    if share < MIN_SHARE:
        return []
    return [Finding("warning", None, f"{100 * share:.0f} % of the rows repeat another row",
                    "remove duplicates, or copies in the validation rows flatter the scores",
                    )]  # fmt: skip
