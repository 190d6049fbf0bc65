"""`chainrule play`: the playground, a page on which designs are changed while they learn."""

from __future__ import annotations

import json
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

from chainrule.cli.command import Command, Data, Encoding, Option, Sheet
from chainrule.cli.console import Console
from chainrule.cli.target import require_target
from chainrule.data.readers.sources import read
from chainrule.errors import SettingError

Port = Annotated[int, Option("the port on this machine; 0 takes a free one", metavar="NUMBER")]


def play(
    data: Data,
    /,
    *,
    target: Annotated[str | None, Option("the column to predict", metavar="COLUMN")] = None,
    design: Annotated[
        Path | None, Option("begin with the designs of a file, which the page saves")
    ] = None,
    port: Port = 0,
    open: Annotated[bool, Option("open the page in the browser")] = False,
    encoding: Encoding = None,
    sheet: Sheet = None,
) -> None:
    """Open a playground: networks on your table, changed by hand while they learn.

    It prints the address of a page that only this machine can open. Ctrl-C ends it.
    """
    from chainrule.live.design import Design  # noqa: PLC0415  (a server: only where it is used)
    from chainrule.live.playground import Playground  # noqa: PLC0415
    from chainrule.live.server import Server  # noqa: PLC0415

    screen = Console(sys.stdout)
    table = read(data, encoding=encoding, sheet=sheet)
    chosen = require_target(table, data, target)
    saved, epochs = ([], []) if design is None else _designs(design)
    playground = Playground(table, chosen, [Design.of(x) for x in saved], epochs)
    for note in [*table.notes, *playground.notes]:
        screen.say(note, label="note", style="cyan")
    server = Server(playground, _checked(port))
    screen.say(f"{table.source}: {len(table):,} rows, to predict {chosen}")
    screen.write(screen.styled(server.url, "bold"))
    screen.say("open this page on this machine; Ctrl-C ends it")
    if open:
        webbrowser.open(server.url)
    try:
        server.run()
    finally:
        playground.close()


COMMAND = Command(
    "play",
    play,
    """
    chainrule play penguins --target species
    chainrule play houses.csv --target price --open
    chainrule play penguins --target species --design designs.json
    """,
)


def _designs(path: Path) -> tuple[list[object], list[int]]:
    """The one or two designs of a file, and the epoch of each. Raises SettingError."""
    try:
        content = json.loads(path.read_text("utf-8"))
        designs = content["designs"]
        if not isinstance(designs, list) or len(designs) not in (1, 2):
            raise ValueError("one or two designs")
        epochs = content.get("epochs", [])
        if not isinstance(epochs, list) or any(type(x) is not int or x < 0 for x in epochs):
            raise ValueError("epochs are integers from 0 on")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SettingError(
            "play", "this is not a file of designs", at=path,
            got=f"{type(error).__name__}: {error}",
            expected='{"designs": [...], "epochs": [...]}',
            fix="leave out --design, and save one from the page",
        ) from None  # fmt: skip
    return designs, epochs


def _checked(port: int) -> int:
    if not 0 <= port <= 65535:
        raise SettingError("play", "not a port", got=port, expected="0 to 65535")
    return port
