"""`chainrule predict`: writes the predictions of a saved model for a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from chainrule.cli.command import (
    Command,
    Data,
    Device,
    Encoding,
    InPartsOption,
    Memory,
    ModelSource,
    Option,
    Quiet,
    Sheet,
)
from chainrule.cli.console import Console
from chainrule.cli.inparts import plain, unlike, write_column_parts, write_query, write_text_parts
from chainrule.cli.modelsource import open_table_model
from chainrule.cli.outputs import output_file, quoted
from chainrule.data.column import Column
from chainrule.data.predictions import csv_text
from chainrule.data.readers.inparts import in_parts
from chainrule.data.readers.sources import is_query, read
from chainrule.data.readers.spool import Spool
from chainrule.data.table import Table, require_column
from chainrule.display.format import counted
from chainrule.display.screen import forget
from chainrule.engine.devices import AUTO
from chainrule.errors import SettingError
from chainrule.model.automatic import predicted
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
    stream: InPartsOption = False,
    memory: Memory = None,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write what a model predicts for each row of a table; no target is needed.

    With --node, the values of the network's nodes: a column for each number of a row, `dense.0`.
    """
    notes = Console(None if quiet else sys.stderr)
    loaded, path = open_table_model(model)
    sources = [] if is_query(data) else [Path(data)]
    suffix = _format(output, [path, *sources])
    kept = [name for text in keep or () for name in split_commas(text)]
    names = None if node is None else [x for text in node for x in split_commas(text) if x]
    parts = in_parts(data, stream=stream, memory=memory, encoding=encoding, sheet=sheet)
    asked = _Asked(loaded, path, kept, names, device)
    if parts is None:
        table = read(data, encoding=encoding, sheet=sheet)
        copied = {name: table[name] for name in kept}
        made, found = asked.predicted(table)
        _tell(notes, [*found, *asked.renamed])
        _write(copied, made, output, suffix)
        rows = len(table)
    else:
        notes.say(parts.sentence)
        with parts.spool() as spool:
            rows, found = _write_parts(spool, parts.memory, asked, output, suffix)
            _tell(notes, [*spool.notes, *found, *unlike(loaded, spool), *asked.renamed])
    if output not in (None, "-"):
        said = counted(rows, "prediction" if names is None else "row")
        notes.say(f"{said} of {asked.what} in {quoted(output)}")


COMMAND = Command(
    "predict",
    predict,
    """
    chainrule predict penguins-model new.csv -o predictions.csv
    chainrule predict penguins-model new.csv --keep id,name -o out.parquet
    chainrule predict penguins-model new.csv --node dense -o features.csv
    chainrule predict penguins-model 'new/*.parquet' --keep id -o out.parquet
    chainrule predict model.safetensors new.csv | head
    """,
)


class _Asked:
    """The columns that are written of each row.

    Attributes:
        kept: columns of the table to copy.
        what: the columns that are made, in words.
        renamed: notes on those whose name is that of one that is copied.
    """

    def __init__(
        self, model: Model, path: Path, kept: Sequence[str], nodes: Sequence[str] | None,
        device: str,
    ) -> None:  # fmt: skip
        """`nodes` whose values are written in place of the prediction, made by a device."""
        self.model, self.kept, self.what = model, kept, ""
        self.renamed: list[str] = []
        self._path, self._nodes, self._device = path, nodes, device

    def predicted(self, table: Table, *, watch: bool = True) -> tuple[Columns, Sequence[str]]:
        """The columns that are made of a table or a part of it, and notes on it.

        watch: as of `Schema.encode`.
        """
        if self._nodes is None:
            assert self.model.schema is not None
            schema = self.model.schema
            encoded = table if watch else schema.encode(table, "none", watch=False)
            predictions = self.model.predict(encoded, device=self._device)
            named = predictions.names.keys() & self.kept  # the files of pictures: written once
            made = {k: x for k, x in predictions.to_dict().items() if k not in named}
            found, self.what = predictions.notes, predictions.target
        else:
            made, found = _nodes(self.model, self._path, table, self._nodes, self._device)
            self.what = f"{counted(len(made), 'column')} of {', '.join(self._nodes)}"
        self.renamed, predicted = [], {}
        for name, values in made.items():
            free = name
            while free in self.kept:
                free = f"predicted {free}"
            if free != name:
                self.renamed.append(f"column {name!r} is copied: the prediction is {free!r}")
            predicted[free] = values
        return predicted, found


def _tell(screen: Console, notes: Sequence[str]) -> None:
    for note in notes:
        screen.say(screen.advice(note), label="note", style="cyan")


def _write_parts(
    spool: Spool, memory: int, asked: _Asked, output: str | None, suffix: str
) -> tuple[int, list[str]]:
    """Write the predictions for a table in parts; returns the rows, and notes."""
    for name in asked.kept:
        require_column("keep", name, spool.table(0, 1))
    made = partial(asked.predicted, watch=False)
    if suffix in (".csv", ".tsv"):
        mark = "\t" if suffix == ".tsv" else ","
        return write_text_parts(spool, memory, made, asked.kept, output, mark)
    assert output is not None
    form = "parquet" if suffix == ".parquet" else "json"
    return write_column_parts(spool, memory, made, asked.kept, Path(output), form)


def _nodes(
    model: Model, path: Path, table: Table, names: Sequence[str], device: str
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
    nodes = PredictedNodes(model.graph)

    def run(device: str) -> tuple[Any, tuple[str, ...]]:
        return model.predict_nodes(nodes.of(names, device), table)

    if device == AUTO:
        (values, notes), why = predicted(table, nodes.of(names), run)
        notes = (*notes, why)
    else:
        values, notes = run(device)
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


def _write(copied: dict[str, Column], made: Columns, output: str | None, suffix: str) -> None:
    if suffix in (".csv", ".tsv"):
        columns = {name: _texts(column) for name, column in copied.items()} | made
        _write_text(csv_text(columns, "\t" if suffix == ".tsv" else ","), output)
    else:
        assert output is not None
        arrays = {name: _array(column) for name, column in copied.items()}
        _write_columns(arrays | made, Path(output), suffix)


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
        connection.register("predictions", {n: plain(v) for n, v in columns.items()})
        write_query(connection, "FROM predictions", new, form)
