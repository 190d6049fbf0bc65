"""The page of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

from chainrule.cli.app import EXAMPLES, application
from chainrule.recipe import SETTINGS, Setting
from chainrule.recipe.setting import FORMS
from generators.signatures import cell

COMMANDS = ("train", "predict", "evaluate", "show", "data list", "data fetch", "data show")
OWN = frozenset(("settings",))
"""Parameters that stand for all settings of a run; those have a table of their own."""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, _examples("")]
    for command in COMMANDS:
        function = _function(command)
        parts += [f"## chainrule {command}", inspect.getdoc(function) or ""]
        parts += _parameters(command, function)
        if command == "train":
            parts.append(_settings())
        parts.append(_examples(command))
    return "\n\n".join([*parts, CODES]) + "\n"


def _function(command: str) -> Callable[..., Any]:
    app = application([])
    for word in command.split():
        app = app[word]
    assert app.default_command is not None
    return app.default_command


def _examples(command: str) -> str:
    return "```sh\n" + textwrap.dedent(EXAMPLES[command]).strip() + "\n```"


def _parameters(command: str, function: Callable[..., Any]) -> list[str]:
    """The table of arguments, where there are any."""
    rows = [f"| `{usage}` | {cell(text)} |" for usage, text in _usages(function)]
    return ["\n".join(["| argument | what it is |", "|---|---|", *rows])] if rows else []


def _usages(function: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    hints = get_type_hints(function, include_extras=True)
    for name, p in inspect.signature(function).parameters.items():
        if name in OWN:
            continue
        said = hints[name].__metadata__[0]
        if p.kind is p.KEYWORD_ONLY:
            names = said.name or ("--" + name.replace("_", "-"),)
            switch = isinstance(p.default, bool)
            yield ", ".join(names) + ("" if switch else " " + name.upper()), said.help
        else:
            many = "..." if p.kind is p.VAR_POSITIONAL else ""
            yield name.upper() + many, said.help


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
    if setting.by_data is not None:
        default = "the data decides"
    cells = (f"<nobr>`{setting.flag}`</nobr>", setting.help, values, default)
    return "| " + " | ".join(map(cell, cells)) + " |"


INTRODUCTION = """# The command line

`chainrule train DATA --target COLUMN` needs nothing else. DATA is a file (CSV, TSV, Parquet, JSON
lines), a SQL query, or the name of a [data set](datasets.md)."""

SETTINGS_HEAD = """What is not given is chosen by the data, and told before training begins.
The same names, with `_` for `-`, are keys of the TOML file that `train` writes and `--config` reads
back, and keywords of `cr.train(...)`."""

CODES = """## Exit codes

| code | meaning |
|---|---|
| 0 | all went well |
| 1 | the data, a file or a setting cannot be used; the message says which, and what to try |
| 2 | the command line is not understood |
| 70 | a mistake in Chainrule itself; the message says how to report it |
| 130 | Ctrl-C; `train` has saved the best model so far |"""
