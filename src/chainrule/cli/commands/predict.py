"""`chainrule predict` and `chainrule evaluate`: what a saved model says, and what it is worth."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.cli import messages as told
from chainrule.cli.console import Screen, forget
from chainrule.cli.evaluation import judge, texts
from chainrule.cli.outputs import MODEL, quoted
from chainrule.data.predictions import csv_text
from chainrule.data.readers.sources import read
from chainrule.data.table import Column, Table, counted
from chainrule.errors import DataError, ModelFileError, SettingError
from chainrule.model.model import Model, load
from chainrule.system.atomicfile import replacing, write_whole
from chainrule.train.metrics import confusion_matrix

FORMATS = (".csv", ".tsv", ".parquet", ".jsonl")
Columns = dict[str, npt.NDArray[Any]]


def open_model(source: str) -> tuple[Model, Path]:
    """The model in a file, or in the folder that `train` made. Raises ModelFileError."""
    path = Path(source).expanduser()
    if path.is_dir():
        found = sorted(path.glob("*.safetensors"))
        if (path / MODEL).is_file():
            path = path / MODEL
        elif len(found) == 1:
            path = found[0]
        else:
            names = ", ".join(file.name for file in found[:8])
            raise ModelFileError(
                "load", "the folder holds no model.safetensors", got=names or "no model file",
                at=path, fix="name the file",
            )  # fmt: skip
    model = load(path)
    return model, path


def open_table_model(source: str) -> tuple[Model, Path]:
    """A model that knows the columns of its table. Raises ModelFileError."""
    model, path = open_model(source)
    if model.schema is None or model.schema.target is None:
        raise ModelFileError(
            "load", "the model was made from arrays, and knows no columns", at=path,
            fix="use it from Python: chainrule.load(...).predict({...})",
        )  # fmt: skip
    return model, path


def predict(
    model_source: str, data: str, output: str | None, keep: Sequence[str], notes: Screen
) -> None:
    """Write the predictions for a table, a row for each of its rows, in their order.

    Args:
        output: the file, its format told by its ending; None or "-" is standard output, as CSV.
        keep: columns of the table to copy.
        notes: where is told what was met.
    """
    model, path = open_table_model(model_source)
    suffix = _format(output, (path, Path(data)))
    table = read(data)
    kept = {name: table[name] for name in keep}
    found = model.predict(table)
    for note in found.notes:
        notes.say(note, label="note", style="cyan")
    predicted: Columns = {}
    for name, values in found.to_dict().items():
        free = name
        while free in kept:
            free = f"predicted {free}"
        if free != name:
            notes.say(f"column {name!r} is kept: the prediction is {free!r}", label="note",
                      style="cyan")  # fmt: skip
        predicted[free] = values
    if suffix in (".csv", ".tsv"):
        columns = {name: _texts(column) for name, column in kept.items()} | predicted
        _write_text(csv_text(columns, "\t" if suffix == ".tsv" else ","), output)
    else:
        assert output is not None
        arrays = {name: column.to_numpy() for name, column in kept.items()}
        _write_columns(arrays | predicted, Path(output), suffix)
    if output not in (None, "-"):
        notes.say(f"{counted(len(found), 'prediction')} of {found.target} in {quoted(output)}")


def _format(output: str | None, sources: Sequence[Path]) -> str:
    """The ending that tells the format; an output that would destroy an input is refused."""
    if output in (None, "-"):
        return ".csv"
    path = Path(output)
    if path.is_dir():
        raise SettingError("predict", "this is a folder", got=path, expected="-o FILE",
                           fix=f"-o {quoted(path / 'predictions.csv')}")  # fmt: skip
    if not path.parent.is_dir():
        raise SettingError("predict", "there is no such folder", got=path.parent,
                           at=f"-o {output}", fix="make it first")  # fmt: skip
    for source in sources:
        if path.exists() and source.exists() and path.samefile(source):
            raise SettingError("predict", "the output would replace what is read", got=path,
                               fix="choose another name")  # fmt: skip
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise SettingError(
            "predict", f"unknown ending {path.suffix!r}" if suffix else "the file has no ending",
            expected=", ".join(FORMATS), got=output, fix=f"-o {quoted(path.with_suffix('.csv'))}",
        )  # fmt: skip
    return suffix


def _texts(column: Column) -> npt.NDArray[Any]:
    """The cells of a column as text, a gap empty."""
    return np.array([text or "" for text in texts(column.labels())], object)


def _write_text(text: str, output: str | None) -> None:
    if output not in (None, "-"):
        write_whole(output, text)
        return
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # the reader had enough
        forget(sys.stdout)


def _write_columns(columns: Columns, path: Path, suffix: str) -> None:
    """Parquet or JSON lines, through DuckDB."""
    import duckdb  # noqa: PLC0415  (heavy: only where no CSV is wanted)

    form = "parquet" if suffix == ".parquet" else "json"
    with replacing(path) as new, duckdb.connect() as connection:
        connection.register("predictions", {n: _plain(v) for n, v in columns.items()})
        name = str(new).replace("'", "''")
        connection.execute(f"COPY (FROM predictions) TO '{name}' (FORMAT {form})")


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Text as objects: DuckDB would make an enum of it."""
    return values.astype(object) if values.dtype.kind == "U" else values


# ---------------------------------------------------------------- evaluate


def evaluate(model_source: str, data: str, as_json: bool, screen: Screen, notes: Screen) -> None:
    """Tell what a model is worth on a table that has the target."""
    model, path = open_table_model(model_source)
    assert model.schema is not None
    table = read(data)
    encoded = model.schema.encode(table, "required")
    if not len(encoded):
        raise DataError(table.source, "no row has a target")
    verdict = judge(model, encoded, "test")
    met = [*encoded.notes, *_seen_before(model, table)]
    if as_json:
        content = {
            "model": str(path), "data": table.source, "target": model.schema.target.name,  # type: ignore[union-attr]
            "task": model.schema.task, "rows": verdict.rows, "metrics": verdict.scores,
            "constant_guess": verdict.guess, "notes": [*met, *verdict.scores.notes],
        }  # fmt: skip
        if verdict.judged.classes:
            content["classes"] = list(verdict.judged.classes)
            matrix = confusion_matrix(verdict.judged.target, np.asarray(verdict.judged.prediction))
            content["confusion"] = matrix.tolist()
        screen.write(as_text(content))
        return
    for note in met:
        notes.say(note, label="note", style="cyan")
    screen.write(screen.styled(f"{path} on {table.source}", "bold"))
    told.tell_results(screen, [verdict])


def _seen_before(model: Model, table: Table) -> list[str]:
    """A caution where the rows are those of training, as their source tells."""
    assert model.schema is not None
    if table.source != model.schema.source or len(table) < model.schema.rows:
        return []
    return [f"the model was trained on most rows of {table.source}: on new rows it may fare worse"]


def as_text(content: Any) -> str:
    """JSON; what is not finite is null."""
    return json.dumps(_finite(content), indent=2, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(x) for x in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
