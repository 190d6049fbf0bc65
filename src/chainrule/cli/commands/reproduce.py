"""`chainrule reproduce`: trains a saved model again, and says whether the bits agree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from chainrule.cli.command import Command, Data, Encoding, Memory, ModelSource, Option, Quiet, Sheet
from chainrule.cli.console import Console
from chainrule.cli.modelsource import open_table_model
from chainrule.cli.outputs import output_file, quoted
from chainrule.data.readers.inparts import InParts
from chainrule.data.readers.sources import is_query
from chainrule.recipe.reproduce import reproduce as reproduced
from chainrule.recipe.reproduce import source_of

DIFFERENT = 1
"""The exit code where the bits differ."""


def reproduce(
    model: ModelSource,
    data: Data,
    /,
    *,
    output: Annotated[
        str | None,
        Option("where to write the new model", "--output", "-o", metavar="FILE.safetensors"),
    ] = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    memory: Memory = None,
    quiet: Quiet = False,
) -> int:
    """Train a model again as its file records, and compare it bit by bit.

    The exit code is 0 where all parameters have the same bits, and 1 where they differ; then it
    says which of data, version and processor differ. The number of threads makes no difference.
    Where the data are not those that the model was trained on, nothing is trained. Data that were
    read in parts are read so again.
    """
    screen = Console(None if quiet else sys.stdout)
    old, path = open_table_model(model)
    sources = [path, *([] if is_query(data) else [Path(data)])]
    new = None
    if output is not None:
        new = output_file("reproduce", output, sources, (".safetensors",), "reproduced")
    source = source_of(old, data, memory=memory, encoding=encoding, sheet=sheet)
    found = reproduced(old, source, verbose=not quiet)
    name = source.name if isinstance(source, InParts) else source.source
    screen.write(screen.styled(f"{path}, made again from {name}", "bold"))
    screen.table([(name, text) for name, text in found.facts.items()])
    if new is not None and found.model is not None:
        found.model.save(new)
        screen.say(f"the new model is in {quoted(new)}", indent=2)
    screen.say(found.verdict)
    return 0 if found.agrees else DIFFERENT


COMMAND = Command(
    "reproduce",
    reproduce,
    """
    chainrule reproduce penguins-model penguins
    chainrule reproduce houses-model houses.csv -o again.safetensors
    chainrule reproduce model.safetensors "from 'logs/*.parquet'" --quiet && echo same bits
    """,
)
