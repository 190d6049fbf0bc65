"""`chainrule compare`: prints how two models differ, and writes it as JSON or as a page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from chainrule.cli.command import Command, Encoding, ModelSource, Option, Quiet, Sheet
from chainrule.cli.console import Console
from chainrule.cli.jsontext import json_text
from chainrule.cli.modelsource import open_model
from chainrule.cli.outputs import quoted
from chainrule.data.readers.sources import read
from chainrule.display.screen import Screen
from chainrule.display.tables import Section
from chainrule.errors import FeedError, SettingError
from chainrule.model.compare import Comparison
from chainrule.model.compare import compare as compared


def compare(
    a: ModelSource,
    b: Annotated[str, Option("the other model")],
    data: Annotated[
        str | None, Option("rows for scores and answers: a file, a query or the name of a data set")
    ] = None,
    /,
    *,
    output: Annotated[
        str | None, Option("a page to write: FILE.html", "--output", "-o", metavar="FILE")
    ] = None,
    json: Annotated[bool, Option("as JSON")] = False,
    encoding: Encoding = None,
    sheet: Sheet = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Print how two models differ: structure, settings, parameters, training, scores, answers."""
    screen, notes = Console(sys.stdout), Console(None if quiet else sys.stderr)
    page = None if output is None else _page(output)
    models = open_model(a), open_model(b)
    table = None if data is None else read(data, encoding=encoding, sheet=sheet)
    if table is not None and all(model.schema is None for model, _ in models):
        raise FeedError("compare", "the models were made from arrays, and have no columns",
                        fix="leave out the data; Python has cr.compare(a, b, {...})")  # fmt: skip
    names = (a, b) if a != b else ("A", "B")
    found = compared(models[0][0], models[1][0], table, names=names)
    if json:
        screen.write(json_text(found.to_dict()))
    elif not quiet:
        _print(screen, found)
    if page is not None:
        found.write(page)
        notes.say(f"the page is {quoted(page)}")


COMMAND = Command(
    "compare",
    compare,
    """
    chainrule compare penguins-model penguins-model-2 penguins
    chainrule compare old new held_out.csv -o comparison.html
    chainrule compare old new held_out.csv --json | jq .rows.scores
    """,
)


def _page(output: str) -> Path:
    """The path of the page. Raises SettingError."""
    path = Path(output)
    if path.is_dir():
        raise SettingError("compare", "this is a folder", got=path, expected="-o FILE",
                           fix=f"-o {quoted(path / 'comparison.html')}")  # fmt: skip
    if path.suffix.lower() not in (".html", ".htm"):
        raise SettingError("compare", "a page ends in .html", got=output,
                           fix=f"-o {quoted(path.with_suffix('.html'))}")  # fmt: skip
    if not path.parent.is_dir():
        raise SettingError("compare", "there is no such folder", got=path.parent,
                           fix=f"mkdir -p {quoted(path.parent)}")  # fmt: skip
    return path


def _print(screen: Screen, found: Comparison) -> None:
    """Print the sentences and tables, in the width of the terminal."""
    told = found.handout()
    screen.write(screen.styled(" ".join(screen.clean(told.title)), "bold"))
    for sentence in told.lead:
        screen.say(screen.advice(sentence), indent=2)
    for part in told.parts:
        table: Section = part.table
        screen.heading(table.title)
        for sentence in part.words:
            screen.say(screen.advice(sentence), indent=2)
        if table.rows:
            screen.table(table.rows, table.head, right=table.right)
