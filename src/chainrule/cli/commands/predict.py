"""`chainrule predict`: writes the predictions of a saved model for a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from chainrule.cli.command import Command, Data, Encoding, ModelSource, Option, Quiet, Sheet
from chainrule.cli.console import Console
from chainrule.cli.modelsource import open_table_model
from chainrule.cli.outputs import output_file, quoted
from chainrule.data.predictions import csv_text
from chainrule.data.readers.sources import is_query, read
from chainrule.data.table import Column, Table, counted
from chainrule.display.screen import forget
from chainrule.errors import SettingError
from chainrule.model.model import Model
from chainrule.model.predicted import PredictedNodes, Unknown, named
from chainrule.recipe.setting import split_commas
from chainrule.system.atomicfile import replacing, write_whole
from chainrule.system.signals import interrupted_queries
from chainrule.types import N

FORMATS = (".csv", ".tsv", ".parquet", ".jsonl")
Columns = dict[str, npt.NDArray[Any]]


def predict(
    model: ModelSource,
    data: Data,
    /,
    *,
    output: Annotated[
        str | None,
        Option(
            "the file to write: .csv, .tsv, .parquet or .jsonl; without it CSV goes to standard "
            "output", "--output", "-o", metavar="FILE",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None, Option("columns of the data to copy", metavar="COLUMN,COLUMN")
    ] = None,
    node: Annotated[
        list[str] | None,
        Option("nodes of the network to write in place of the prediction; show --all and "
               "show --graph name them", metavar="NAME,NAME"),
    ] = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write what a model predicts for each row of a table; no target is needed.

    With --node, the values of the network's nodes: a column for each number of a row, `dense.0`.
    """
    notes = Console(None if quiet else sys.stderr)
    loaded, path = open_table_model(model)
    suffix = _format(output, [path, *([] if is_query(data) else [Path(data)])])
    table = read(data, encoding=encoding, sheet=sheet)
    copied = {name: table[name] for text in keep or () for name in split_commas(text)}
    if node is None:
        predictions = loaded.predict(table)
        made, found, what = predictions.to_dict(), predictions.notes, predictions.target
    else:
        names = [name for text in node for name in split_commas(text) if name]
        made, found = _nodes(loaded, path, table, names)
        what = f"{counted(len(made), 'column')} of {', '.join(names)}"
    for note in found:
        notes.say(notes.advice(note), label="note", style="cyan")
    predicted: Columns = {}
    for name, values in made.items():
        free = name
        while free in copied:
            free = f"predicted {free}"
        if free != name:
            notes.say(f"column {name!r} is copied: the prediction is {free!r}", label="note",
                      style="cyan")  # fmt: skip
        predicted[free] = values
    if suffix in (".csv", ".tsv"):
        columns = {name: _texts(column) for name, column in copied.items()} | predicted
        _write_text(csv_text(columns, "\t" if suffix == ".tsv" else ","), output)
    else:
        assert output is not None
        arrays = {name: _array(column) for name, column in copied.items()}
        _write_columns(arrays | predicted, Path(output), suffix)
    if output not in (None, "-"):
        rows = len(next(iter(made.values()), ()))
        said = counted(rows, "prediction" if node is None else "row")
        notes.say(f"{said} of {what} in {quoted(output)}")


COMMAND = Command(
    "predict",
    predict,
    """
    chainrule predict penguins-model new.csv -o predictions.csv
    chainrule predict penguins-model new.csv --keep id,name -o out.parquet
    chainrule predict penguins-model new.csv --node dense -o features.csv
    chainrule predict model.safetensors new.csv | head
    """,
)


def _nodes(
    model: Model, path: Path, table: Table, names: Sequence[str]
) -> tuple[Columns, tuple[str, ...]]:
    """The values of nodes as columns, `dense.0` and so on, and notes on the table.

    Raises SettingError for a name that no node has, or a node without a value for each row.
    """
    if not names:
        raise SettingError("predict", "no node is named", at="--node", fix="--node NAME,NAME")
    for name in names:
        found = named(model.graph, name)
        if isinstance(found, Unknown) or found.shape[:1] != (N,):
            guess = found.guess if isinstance(found, Unknown) else None
            raise SettingError(
                "predict",
                found.what if isinstance(found, Unknown)
                else f"the node {name!r} has no value for each row, but {found.type}",
                at=f"--node {name}",
                fix=f"--node {guess}" if guess else "the names of layers, or of all nodes: "
                f"chainrule show {quoted(path)} --all, or --graph",
            )  # fmt: skip
    values, notes = model.predict_nodes(PredictedNodes(model.graph).of(names), table)
    columns: Columns = {}
    for name, array in zip(names, values, strict=True):
        flat = array.reshape(len(array), -1)
        places = np.ndindex(array.shape[1:])
        columns |= {".".join([name, *map(str, at)]): flat[:, k] for k, at in enumerate(places)}
    return columns, notes


def _format(output: str | None, sources: Sequence[Path]) -> str:
    """The suffix of the output, for its format. Raises SettingError where it cannot be written."""
    if output in (None, "-"):
        return ".csv"
    assert output is not None
    return output_file("predict", output, sources, FORMATS, "predictions").suffix.lower()


def _texts(column: Column) -> npt.NDArray[Any]:
    """The cells of a column as they stand in its source, a gap empty."""
    return np.array([text or "" for text in column.cells()], object)


def _array(column: Column) -> npt.NDArray[Any]:
    """The values of a column; its texts where these are more than numbers in one notation."""
    written = column.written
    codes = None if written is None else written.codes
    if column.storage == "text" or (codes is not None and (codes[~column.missing] >= 0).any()):
        return np.array(column.cells(), object)
    return column.to_numpy()


def _write_text(text: str, output: str | None) -> None:
    if output not in (None, "-"):
        write_whole(output, text)
        return
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # the reader closed the pipe
        forget(sys.stdout)


def _write_columns(columns: Columns, path: Path, suffix: str) -> None:
    """Parquet or JSON lines, through DuckDB."""
    import duckdb  # noqa: PLC0415  (heavy: only where no CSV is wanted)

    form = "parquet" if suffix == ".parquet" else "json"
    with interrupted_queries(), replacing(path) as new, duckdb.connect() as connection:
        connection.register("predictions", {n: _plain(v) for n, v in columns.items()})
        name = str(new).replace("'", "''")
        connection.execute(f"COPY (FROM predictions) TO '{name}' (FORMAT {form})")


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Text as objects: DuckDB would make an enum of it."""
    return values.astype(object) if values.dtype.kind == "U" else values
