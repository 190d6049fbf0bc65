"""`chainrule exercise`: writes sheets of a network to compute by hand, with worked keys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from chainrule.cli.command import Command, Encoding, Option, Quiet, Sheet
from chainrule.cli.console import Console
from chainrule.cli.modelsource import open_model
from chainrule.cli.outputs import MODEL, quoted
from chainrule.data.readers.sources import read
from chainrule.errors import FeedError, SettingError
from chainrule.model.exercise import FILES
from chainrule.model.exercise import exercise as sheets_of
from chainrule.model.model import Model

LECTURE = "lecture"


def exercise(
    network: Annotated[
        str, Option("lecture, for the network of the documentation; or a model: its folder or file")
    ],
    data: Annotated[
        str | None, Option("rows for a model's sheets: a file, a query or the name of a data set")
    ] = None,
    /,
    *,
    variants: Annotated[int, Option("the number of sheets", metavar="N")] = 20,
    seed: Annotated[int, Option("of the numbers; the same seed makes the same sheets",
                                metavar="N")] = 0,
    output: Annotated[
        str | None,
        Option("the folder to write; without it NAME-exercise", "--output", "-o", metavar="FOLDER"),
    ] = None,
    rate: Annotated[
        float | None, Option("of the update: 10 for the lecture, else 1", metavar="X")
    ] = None,
    rows: Annotated[
        list[str] | None, Option("rows of the data, a sheet for each, from 1", metavar="N,N")
    ] = None,
    only: Annotated[
        str | None, Option("the part to compute: forward or backward", metavar="PART")
    ] = None,
    weights: Annotated[
        str, Option("those of the model, rounded (own), or drawn", metavar="KIND")
    ] = "own",
    title: Annotated[str | None, Option("of the sheets", metavar="TEXT")] = None,
    force: Annotated[bool, Option("replace the files of another exercise")] = False,
    encoding: Encoding = None,
    sheet: Sheet = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write exercise sheets: a network to compute by hand, with other numbers each, and keys."""
    screen, notes = Console(None if quiet else sys.stdout), Console(None if quiet else sys.stderr)
    folder = Path(f"{Path(network).stem or 'model'}-exercise" if output is None else output)
    taken = [name for name in FILES if (folder / name).exists()]
    if taken and not force:
        raise SettingError("exercise", "the files of another exercise exist", got=", ".join(taken),
                           at=folder, fix="choose another folder with -o, or --force")  # fmt: skip
    table = None if data is None else read(data, encoding=encoding, sheet=sheet)
    model, path = (network, Path(network)) if network == LECTURE else open_model(network)
    if table is not None and isinstance(model, Model) and model.schema is None:
        raise FeedError("exercise", "the model was made from arrays, and has no columns",
                        fix="leave out the data: the inputs are then drawn")  # fmt: skip
    made = sheets_of(
        model, table, variants=variants, seed=seed, rate=rate, rows=_rows(rows), only=only,
        weights=weights, title=title or _title(model, path),
    )  # fmt: skip
    paths = made.write(folder, force=force)
    for note in made.notes:
        notes.say(note, label="note", style="cyan")
    count = f"{len(made)} sheet" + "s" * (len(made) != 1)
    screen.say(f"{count} with keys in {quoted(folder)}: {', '.join(x.name for x in paths)}")


COMMAND = Command(
    "exercise",
    exercise,
    """
    chainrule exercise lecture --variants 20
    chainrule exercise lecture --seed 7 --only forward -o homework
    chainrule exercise penguins-model penguins --rows 17,42
    """,
)


def _title(model: Model | str, path: Path) -> str | None:
    """The title of a model's sheets, by the name of its folder or file."""
    name = path.parent.name if path.name == MODEL else path.stem
    return f"One training step of {name} by hand" if isinstance(model, Model) and name else None


def _rows(texts: list[str] | None) -> list[int] | None:
    """The numbers of rows. Raises SettingError where one is not an integer from 1 on."""
    if texts is None:
        return None
    words = [word.strip() for text in texts for word in text.split(",")]
    for word in words:
        if not word.isdecimal() or int(word) < 1:
            raise SettingError(
                "exercise", "a row is an integer of at least 1", got=word or "nothing",
                fix="--rows 17,42",
            )  # fmt: skip
    return [int(word) for word in words]
