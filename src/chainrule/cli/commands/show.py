"""`chainrule show`: prints what a saved model holds."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

from chainrule import recipe
from chainrule.cli.command import Command, Data, ModelSource, Option
from chainrule.cli.console import Console
from chainrule.cli.jsontext import json_text
from chainrule.cli.modelsource import open_model, saved_config, training_table
from chainrule.cli.outputs import quoted, trace_file, write_trace
from chainrule.costs.forecast import Forecast
from chainrule.costs.profile import Profile
from chainrule.data.features import features
from chainrule.data.readers.sources import is_query, read
from chainrule.display.format import counted, duration
from chainrule.errors import ModelFileError, SettingError
from chainrule.graph.listing import listing
from chainrule.graph.serialize import to_dict
from chainrule.model.model import Model
from chainrule.recipe import Config
from chainrule.recipe.configfile import to_toml
from chainrule.report.text import (
    ColumnRow,
    column_rows,
    print_columns,
    print_sections,
)


def show(
    model: ModelSource,
    data: Annotated[
        Data | None, Option("rows to profile with; without them, the training data")
    ] = None,
    /,
    *,
    all: Annotated[
        bool, Option("every layer, node and kernel, also those that come again and again")
    ] = False,
    graph: Annotated[bool, Option("every node, with the line that made it")] = False,
    columns: Annotated[bool, Option("the columns and how each is treated")] = False,
    config: Annotated[bool, Option("the configuration as TOML")] = False,
    plan: Annotated[bool, Option("what a training step does, and what it takes")] = False,
    profile: Annotated[bool, Option("where the time of a training step goes, measured")] = False,
    trace: Annotated[
        str | None,
        Option("write that profile as trace events, for ui.perfetto.dev", metavar="FILE.json"),
    ] = None,
    json: Annotated[bool, Option("everything as JSON")] = False,
) -> None:
    """Print what is in a model file."""
    screen = Console(sys.stdout)
    loaded, path = open_model(model)
    resolved = saved_config(loaded)
    measured = _measured(loaded, path, data, resolved, profile, trace)
    if json:
        content = _content(loaded, str(path), resolved)
        if plan:
            content["plan"] = _plan(loaded, resolved).to_dict()
        if profile and measured is not None:
            content["profile"] = measured.to_dict()
        screen.write(json_text(content))
        return
    if graph:
        distinct = (
            len({node.source for node in loaded.graph}) > 1
        )  # else the lines are not informative
        screen.write(*listing(loaded.graph, sources=distinct, full=all).splitlines())
    if config:
        if resolved is None:
            raise SettingError("show", "the model was not made by `train`", at=path,
                               fix="--graph shows how it is built")  # fmt: skip
        screen.write(*to_toml(resolved).splitlines())
    if columns:
        if loaded.schema is None:
            raise SettingError("show", "the model was made from arrays, and has no columns",
                               at=path)  # fmt: skip
        print_columns(screen, _columns(loaded, resolved))
    if plan:
        print_sections(screen, _plan(loaded, resolved).sections(full=all))
    if profile and measured is not None:
        print_sections(screen, measured.sections(full=all))
    if not (graph or config or columns or plan or measured):
        _print_summary(loaded, str(path), screen, full=all)


COMMAND = Command(
    "show",
    show,
    """
    chainrule show penguins-model
    chainrule show penguins-model --all
    chainrule show penguins-model --columns
    chainrule show penguins-model --config > config.toml
    chainrule show penguins-model --plan
    chainrule show penguins-model new.csv --profile --trace step.json
    chainrule show model.safetensors --graph | less
    """,
)


def _plan(model: Model, resolved: Config | None) -> Forecast:
    """The training step of the model, for its settings or the defaults."""
    if resolved is None:
        return model.plan()
    rows = None if model.schema is None else model.schema.rows
    return model.plan(**recipe.step_settings_here(resolved, model.graph), rows=rows)


def _measured(
    model: Model, path: Path, data: str | None, resolved: Config | None, profile: bool,
    trace: str | None,
) -> Profile | None:  # fmt: skip
    """The profile of a training step, if one is asked for; its trace is written."""
    sources = [path, *([] if data is None or is_query(data) else [Path(data)])]
    events = trace_file("show", trace, sources)
    option = "--profile" if profile or events is None else f"--trace {quoted(events)}"
    if not profile and events is None:
        if data is not None:
            raise SettingError("show", "DATA is what --profile measures with", got=data,
                               fix=f"add {option}, or leave out DATA")  # fmt: skip
        return None
    if model.schema is None:
        raise ModelFileError(
            "show", "the model was made from arrays, and has no columns", at=path,
            fix="use it from Python: print(chainrule.load(...).profile({...}))",
        )  # fmt: skip
    screen = Console(sys.stderr)
    table = read(data) if data is not None else training_table(model, screen)
    if table is None:
        raise SettingError("show", "there is no data to measure with",
                           fix=f"chainrule show {quoted(path)} DATA {option}")  # fmt: skip
    settings = {} if resolved is None else recipe.step_settings_here(resolved, model.graph)
    found = model.profile(table, **settings)
    if events is not None:
        write_trace(found, events, screen)
    return found


def _columns(model: Model, resolved: Config | None) -> list[ColumnRow]:
    assert model.schema is not None
    encoders = features(model.schema, scaling=resolved.scaling if resolved else "auto")
    return column_rows(model.schema, encoders.treatments)


def _print_summary(model: Model, path: str, screen: Console, *, full: bool) -> None:
    facts, schema, history = [], model.schema, model.history
    screen.write(screen.styled(path, "bold"))
    if schema is not None and schema.target is not None:
        facts.append(("predicts", f"{schema.target.name} ({schema.task})"))
        used = f"{len(schema.used)} of {counted(len(schema.columns), 'column')}"
        facts.append(("learned from", f"{counted(schema.rows, 'row')} of {schema.source}, {used}"))
    if model.split:
        facts.append(("split", model.split))
    if len(history):
        ran = f"{counted(len(history), 'epoch')} in {duration(float(history['seconds'][-1]))}"
        facts.append(("trained", "; ".join(filter(None, [ran, history.extreme()]))))
    facts.append(("seed", str(model.seed)))
    screen.table(facts)
    screen.heading("Network")
    summary = model.summary(full=full)
    rows = [(row.name, row.what, row.shape, f"{row.parameters:,}" if row.parameters else "",
             ", ".join(row.reads)) for row in summary.shown]  # fmt: skip
    screen.table(rows, ("name", "what", "shape", "parameters", "reads"), right=(3,))
    screen.say(summary.total, indent=2)
    if summary.hidden:
        screen.say(f"{summary.hidden}; --all shows every one", indent=2)


def _content(model: Model, path: str, resolved: Config | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "file": path, "seed": model.seed, "split": model.split, "parameters": model.size,
        "config": None if resolved is None else dataclasses.asdict(resolved),
        "history": model.history.to_dict(),
        "graph": to_dict(model.graph)[0],
    }  # fmt: skip
    if model.schema is not None:
        content["target"] = model.schema.target.name if model.schema.target else None
        content["task"] = model.schema.task
        content["columns"] = [row._asdict() for row in model.schema.describe()]
    return content
