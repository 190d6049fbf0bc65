"""`chainrule evaluate`: prints the scores of a saved model on a table that has the target."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated, Any

from chainrule.cli.command import (
    Command,
    Data,
    Encoding,
    InPartsOption,
    Memory,
    ModelSource,
    Option,
    Sheet,
)
from chainrule.cli.console import Console
from chainrule.cli.inparts import Evaluated, seen_before
from chainrule.cli.jsontext import json_text
from chainrule.cli.modelsource import open_table_model
from chainrule.data.columns.target import ClassTarget
from chainrule.data.readers.inparts import in_parts
from chainrule.data.readers.sources import read
from chainrule.errors import DataError
from chainrule.recipe.evaluation import evaluate as evaluated
from chainrule.recipe.evaluation import without_repeats
from chainrule.report.results import counts_of
from chainrule.report.text import print_results, print_scores


def evaluate(
    model: ModelSource,
    data: Data,
    /,
    *,
    json: Annotated[bool, Option("as JSON")] = False,
    encoding: Encoding = None,
    sheet: Sheet = None,
    stream: InPartsOption = False,
    memory: Memory = None,
) -> None:
    """Print how good a model is on rows whose target is known."""
    screen, notes = Console(sys.stdout), Console(sys.stderr)
    loaded, path = open_table_model(model)
    schema = loaded.schema
    assert schema is not None
    assert schema.target is not None
    parts = in_parts(data, stream=stream, memory=memory, encoding=encoding, sheet=sheet)
    if parts is not None:
        notes.say(parts.sentence)
        with parts.spool() as spool:
            found_in_parts = Evaluated(loaded, spool, parts.memory)
        _print_parts(found_in_parts, str(path), spool.source, json, screen, notes)
        return
    table = read(data, encoding=encoding, sheet=sheet)
    encoded = schema.encode(table, "required")
    if not len(encoded):
        raise DataError(table.source, "no row has a target")
    evaluations = [evaluation := evaluated(loaded, encoded, "test")]
    found = [*encoded.notes, *seen_before(schema, table.source, len(table))]
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


def _print_parts(
    found: Evaluated, model: str, source: str, json: bool, screen: Console, notes: Console
) -> None:
    """Print the scores on a table that was read in parts."""
    scores, tally = found.scored, found.all
    if json:
        content: dict[str, Any] = {
            "model": model, "data": source, "target": found.target.name,
            "task": found.target.task, "rows": tally.rows, "metrics": scores[0].scores,
            "constant_guess": scores[0].guess, "notes": [*found.notes, *scores[0].scores.notes],
        }  # fmt: skip
        for other in scores[1:]:
            content["unrepeated"] = {
                "rows": other.rows, "metrics": other.scores, "constant_guess": other.guess,
            }  # fmt: skip
        if isinstance(found.target, ClassTarget):
            content["classes"] = list(map(str, found.target.classes))
            content["confusion"] = tally.counts.tolist()
        screen.write(json_text(content))
        return
    for note in found.notes:
        notes.say(notes.advice(note), label="note", style="cyan")
    screen.write(screen.styled(f"{model} on {source}", "bold"))
    screen.heading("Results")
    for some in scores:
        for sentence in some.headline:
            screen.say(sentence, indent=2)
    classes = found.target.classes if isinstance(found.target, ClassTarget) else ()
    print_scores(screen, scores, list(map(str, classes)), scores[-1].counts)


COMMAND = Command(
    "evaluate",
    evaluate,
    """
    chainrule evaluate penguins-model held_out.csv
    chainrule evaluate penguins-model held_out.csv --json | jq .metrics.accuracy
    chainrule evaluate model.safetensors "from 'all.csv' where year = 24"
    """,
)
