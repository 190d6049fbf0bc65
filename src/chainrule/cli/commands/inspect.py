"""`chainrule inspect`: writes a page of a saved model, to step through its rows."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path
from typing import Annotated

from chainrule import recipe
from chainrule.cli.command import Command, Data, Encoding, ModelSource, Option, Quiet, Sheet
from chainrule.cli.console import Console
from chainrule.cli.modelsource import open_model, saved_config, training_table
from chainrule.cli.outputs import beside, output_file, quoted
from chainrule.costs.forecast import Forecast
from chainrule.costs.profile import Profile
from chainrule.data.readers.sources import is_query, read
from chainrule.data.table import Table
from chainrule.display.format import counted
from chainrule.display.tables import bytes_text
from chainrule.errors import ModelFileError, SettingError
from chainrule.model.learning.file import load_learning
from chainrule.model.model import Model
from chainrule.train.lbfgs import LBFGS


def inspect(
    model: ModelSource,
    data: Annotated[Data | None, Option("rows to look at; without them, the training data")] = None,
    /,
    *,
    row: Annotated[
        list[int] | None,
        Option("a row of the data, from 1; several times for several", metavar="NUMBER"),
    ] = None,
    output: Annotated[
        str | None, Option("the file to write", "--output", "-o", metavar="FILE.html")
    ] = None,
    profile: Annotated[
        bool, Option("measure the time of each kernel of a training step, and show it")
    ] = False,
    open: Annotated[bool, Option("open the page in the browser")] = False,
    encoding: Encoding = None,
    sheet: Sheet = None,
    quiet: Quiet = False,
) -> None:
    """Write a page that steps through a model: each number forward and backward, on your rows.

    The page is one HTML file that works offline. It computes: change an input, a weight or the
    target, and all that follows from it changes.
    """
    notes = Console(None if quiet else sys.stderr)
    loaded, path = open_model(model)
    sources = [path, *([] if data is None or is_query(data) else [Path(data)])]
    written = output_file("inspect", output or _name(model), sources, (".html",), "inspect")
    table = None
    if loaded.schema is None and data is not None:
        raise ModelFileError(
            "inspect", "the model was made from arrays, and has no columns", at=path,
            fix="use it from Python: chainrule.load(...).show({...}).write('page.html')",
        )  # fmt: skip
    if data is not None:
        table = read(data, encoding=encoding, sheet=sheet)
    elif loaded.schema is not None:
        table = training_table(loaded, notes)
    if table is None and row:
        raise SettingError(
            "inspect", "--row needs data", fix=f"chainrule inspect {model} DATA --row {row[0]}"
        )
    for number in row or ():
        if table is not None and not 1 <= number <= len(table):
            raise SettingError(
                "inspect", f"{table.source} has no row {number}",
                expected=f"--row 1 to {len(table)}",
            )  # fmt: skip
    if profile and isinstance(loaded.optimizer, LBFGS):
        notes.say("no kernels are shown: L-BFGS takes no steps of minibatches", label="note",
                  style="cyan")  # fmt: skip
    _add_recorded(loaded, path, notes)
    page = loaded.show(
        table, rows=[k - 1 for k in row] if row else None,
        machine=_machine(loaded, table if profile else None),
    )  # fmt: skip
    for note in page.document["notes"]:
        notes.say(note, label="note", style="cyan")
    page.write(written)
    rows, size = counted(len(page.document["rows"]), "row"), written.stat().st_size
    notes.say(f"{rows} in {quoted(written)}, {bytes_text(size)}: open it in a browser")
    if open:
        webbrowser.open(written.resolve().as_uri())


COMMAND = Command(
    "inspect",
    inspect,
    """
    chainrule inspect penguins-model
    chainrule inspect penguins-model new.csv --row 17
    chainrule inspect penguins-model new.csv --row 3 --row 17 -o two-rows.html
    """,
)


def _name(model: str) -> str:
    """The page's file where none is named: in the model's folder, or beside its file."""
    path = Path(model)
    return str(path / "inspect.html" if path.is_dir() else path.with_suffix(".html"))


def _add_recorded(model: Model, path: Path, notes: Console) -> None:
    """Give a model what its training recorded, where that lies beside it."""
    file = beside(path)
    if not file.exists():
        return
    try:
        model.learning = load_learning(file, model)
    except ModelFileError as error:
        why = str(error).splitlines()[0].partition("] ")
        notes.say(f"{quoted(file)} is left out: {why[2] or why[0]}", label="note", style="cyan")


def _machine(model: Model, table: Table | None) -> Forecast | Profile | None:
    """The plan of a training step with the settings of the model, or its profile on a table."""
    if model.loss is None or isinstance(model.optimizer, LBFGS):
        return None
    saved = saved_config(model)
    settings = {} if saved is None else recipe.step_settings_here(saved, model.graph)
    return model.plan(**settings) if table is None else model.profile(table, **settings)
