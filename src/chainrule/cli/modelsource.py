"""Opens the model that a command is given: a file, or the folder that `train` made."""

from __future__ import annotations

from pathlib import Path

from chainrule.cli.console import Console
from chainrule.cli.outputs import MODEL, quoted
from chainrule.data.readers.sources import read
from chainrule.data.table import Table
from chainrule.errors import ChainruleError, ModelFileError, nearest
from chainrule.model.model import Model, load
from chainrule.recipe import KEYS, Config


def open_model(source: str) -> tuple[Model, Path]:
    """The model and its file. Raises ModelFileError."""
    path = Path(source).expanduser()
    if not path.exists():
        raise ModelFileError("load", "there is no such model", got=source, fix=_made(path))
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        if (path / MODEL).is_file():
            path = path / MODEL
        elif len(files) == 1:
            path = files[0]
        else:
            names = ", ".join(file.name for file in files[:8])
            train = f"chainrule train DATA -o {quoted(path)}"
            raise ModelFileError(
                "load", "the folder holds no model.safetensors", got=names or "no model file",
                at=path, fix=f"name one: {quoted(files[0])}" if files else train,
            )  # fmt: skip
    model = load(path)
    return model, path


def _made(path: Path) -> str:
    """The advice where there is no model: the nearest folder that holds one, or how to make one."""
    folder = path.parent
    there = [x.parent.name for x in folder.glob(f"*/{MODEL}")] if folder.is_dir() else []
    there += [x.name for x in folder.glob("*.safetensors")]
    guess = nearest(path.name, there) or (there[0] if len(there) == 1 else None)
    if guess is not None:
        return f"did you mean {quoted(folder / guess)}?"
    return f"chainrule train DATA --target COLUMN -o {quoted(path)}"


def open_table_model(source: str) -> tuple[Model, Path]:
    """A model with the schema of a table, and its file. Raises ModelFileError."""
    model, path = open_model(source)
    if model.schema is None or model.schema.target is None:
        raise ModelFileError(
            "load", "the model was made from arrays, and has no columns", at=path,
            fix="use it from Python: chainrule.load(...).predict({...})",
        )  # fmt: skip
    return model, path


def training_table(model: Model, notes: Console) -> Table | None:
    """The table that the model was trained on, where it can still be read, or None."""
    assert model.schema is not None
    source, wrong = model.schema.source, "cannot be read"
    try:
        table = read(source)
        wrong = "does not fit the model any more"
        model.schema.encode(table.take(slice(1)), "none")
    except (ChainruleError, OSError) as error:
        why = str(error).splitlines()[0].partition("] ")
        notes.say(f"{source} {wrong}: {why[2] or why[0]}", label="note", style="cyan")
        return None
    notes.say(
        f"rows of {table.source}, which it was trained on, as the file is now", label="note",
        style="cyan",
    )  # fmt: skip
    return table


def saved_config(model: Model) -> Config | None:
    """The settings that `train` saved with a model, or None."""
    saved = model.notes.get("config")
    return Config(**{k: v for k, v in saved.items() if k in KEYS}) if saved else None
