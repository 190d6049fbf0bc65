"""The page of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

from chainrule.cli.app import CHAINRULE
from chainrule.cli.command import Command, Option, paths
from chainrule.recipe import SETTINGS, Setting
from chainrule.recipe.setting import FORMS
from generators.signatures import cell


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, _examples(CHAINRULE)]
    for path, command in paths(CHAINRULE.commands):
        if command.run is not None:
            parts += [f"## chainrule {path}", inspect.getdoc(command.run) or ""]
            parts += _parameters(command.run)
            parts.append(_examples(command))
    return "\n\n".join([*parts, CODES]) + "\n"


def _examples(command: Command) -> str:
    return "\n".join(["```sh", *command.example_lines, "```"])


def _parameters(function: Callable[..., Any]) -> list[str]:
    """The table of arguments, where there are any, and that of settings, where it takes these."""
    rows = [f"| `{usage}` | {cell(text)} |" for usage, text in _usages(function)]
    parts = ["\n".join(["| argument | what it is |", "|---|---|", *rows])] if rows else []
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    return parts + ([_settings()] if inspect.Parameter.VAR_KEYWORD in kinds else [])


def _usages(function: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    hints = get_type_hints(function, include_extras=True)
    for name, p in inspect.signature(function).parameters.items():
        option = getattr(hints[name], "__metadata__", [None])[0]
        if not isinstance(option, Option):
            continue
        if p.kind is p.KEYWORD_ONLY:
            names = option.names or ("--" + name.replace("_", "-"),)
            switch = isinstance(p.default, bool)
            yield ", ".join(names) + ("" if switch else " " + name.upper()), option.help
        else:
            many = "..." if p.kind is p.VAR_POSITIONAL else ""
            yield name.upper() + many, option.help


def _settings() -> str:
    """All settings of a run, by group."""
    parts = ["### Settings", SETTINGS_HEAD]
    rows = ["| flag | what it does | values | default |", "|---|---|---|---|"]
    for group in dict.fromkeys(setting.group for setting in SETTINGS):
        rows += [_row(setting) for setting in SETTINGS if setting.group == group]
    return "\n\n".join([*parts, "\n".join(rows)])


def _row(setting: Setting) -> str:
    bounds = setting.bounds() or FORMS[setting.form]
    if setting.form == "integer":
        bounds = f"an integer {bounds}"
    values = ", ".join(setting.choices) or bounds
    default = "none" if setting.default in (None, (), {}) else str(setting.default)
    if setting.form == "texts":  # whose value `none` is another choice
        default = "the usual ones of CSV"
    if setting.by_data is not None:
        default = "the data decides"
    cells = (f"<nobr>`{setting.flag}`</nobr>", setting.help, values, default)
    return "| " + " | ".join(map(cell, cells)) + " |"


INTRODUCTION = """# The command line

`chainrule train DATA --target COLUMN` needs nothing else. DATA is a file (CSV, TSV, Parquet,
JSON, JSON lines, a spreadsheet), `-` for standard input, a SQL query, or the name of a
[data set](datasets.md)."""

SETTINGS_HEAD = """Settings that are not given are chosen by the data, and printed before
training begins. The same names, with `_` for `-`, are keys of the TOML file that `train` writes and
`--config` reads back, and keywords of `cr.train(...)`."""

CODES = """## Exit codes

| code | meaning |
|---|---|
| 0 | all went well |
| 1 | the data, a file or a setting cannot be used; the message says which, and what to try |
| 2 | the command line is not understood |
| 70 | a mistake in Chainrule itself; the message says how to report it |
| 130 | Ctrl-C or SIGTERM; `train` has saved the best model so far |"""
