"""`chainrule evaluate`: prints the scores of a saved model on a table that has the target."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated, Any

from chainrule.cli.command import Command, Data, Encoding, ModelSource, Option, Sheet
from chainrule.cli.console import Console
from chainrule.cli.jsontext import json_text
from chainrule.cli.modelsource import open_table_model
from chainrule.data.readers.sources import read
from chainrule.data.table import Table
from chainrule.errors import DataError
from chainrule.model.model import Model
from chainrule.recipe.evaluation import evaluate as evaluated
from chainrule.recipe.evaluation import without_repeats
from chainrule.report.results import counts_of
from chainrule.report.text import print_results


def evaluate(
    model: ModelSource,
    data: Data,
    /,
    *,
    json: Annotated[bool, Option("as JSON")] = False,
    encoding: Encoding = None,
    sheet: Sheet = None,
) -> None:
    """Print how good a model is on rows whose target is known."""
    screen, notes = Console(sys.stdout), Console(sys.stderr)
    loaded, path = open_table_model(model)
    schema = loaded.schema
    assert schema is not None
    assert schema.target is not None
    table = read(data, encoding=encoding, sheet=sheet)
    encoded = schema.encode(table, "required")
    if not len(encoded):
        raise DataError(table.source, "no row has a target")
    evaluations = [evaluation := evaluated(loaded, encoded, "test")]
    found = [*encoded.notes, *_seen_before(loaded, table)]
    if loaded.trained_rows is not None:
        evaluations = without_repeats(loaded, evaluation, loaded.trained_rows)
        found += evaluations[0].remarks
    if json:
        content: dict[str, Any] = {
            "model": str(path), "data": table.source, "target": schema.target.name,
            "task": schema.task, "rows": evaluation.rows, "metrics": evaluation.scores,
            "constant_guess": evaluation.guess, "notes": [*found, *evaluation.scores.notes],
        }  # fmt: skip
        if len(evaluations) > 1:
            content["unrepeated"] = {
                "rows": evaluations[1].rows, "metrics": evaluations[1].scores,
                "constant_guess": evaluations[1].guess,
            }  # fmt: skip
        outcome = evaluation.outcome
        if outcome.classes:
            content["classes"] = list(outcome.classes)
            content["confusion"] = counts_of(outcome).tolist()
        screen.write(json_text(content))
        return
    for note in found:
        notes.say(notes.advice(note), label="note", style="cyan")
    screen.write(screen.styled(f"{path} on {table.source}", "bold"))
    print_results(screen, [replace(x, remarks=()) for x in evaluations])


COMMAND = Command(
    "evaluate",
    evaluate,
    """
    chainrule evaluate penguins-model held_out.csv
    chainrule evaluate penguins-model held_out.csv --json | jq .metrics.accuracy
    chainrule evaluate model.safetensors "from 'all.csv' where year = 24"
    """,
)


def _seen_before(model: Model, table: Table) -> list[str]:
    """A caution where the rows have the source of the training data."""
    assert model.schema is not None
    if table.source != model.schema.source or len(table) < model.schema.rows:
        return []
    return [f"the model was trained on most rows of {table.source}: on new rows it may fare worse"]
