"""Writes the configuration as TOML with a comment for each key, and reads it back."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chainrule.errors import SettingError
from chainrule.recipe.config import BY_KEY, SETTINGS, Config, require_known

COMMENT_COLUMN = 28  # where comments start
_SECTION = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[^\s=#"']+)\s*(?:=|\.)""")


def to_toml(config: Config, command: str = "") -> str:
    """The configuration as TOML text.

    Args:
        command: the command line that repeats the run, for a comment.
    """
    import tomlkit  # noqa: PLC0415  (heavy: only where a configuration is written)

    document = tomlkit.document()
    for line in f"Repeat this run: {command}".splitlines() if command else ():
        document.add(tomlkit.comment(line))
    values, group = asdict(config), ""
    for setting in SETTINGS:
        value = values[setting.key]
        if setting.form == "kinds":
            continue
        if setting.group != group:
            group = setting.group
            document.add(tomlkit.nl())
        if value is None:
            document.add(tomlkit.comment(f"{setting.key} is not set: {setting.help}"))
            continue
        item = tomlkit.item(list(value) if isinstance(value, tuple) else value)
        document.add(setting.key, item)
        item.comment(setting.help + (setting.values if len(setting.choices) < 6 else ""))
        item.trivia.comment_ws = " " * max(
            COMMENT_COLUMN - len(f"{setting.key} = {item.as_string()}"), 2
        )
    document.add(tomlkit.nl())
    table = tomlkit.table()
    table.comment(BY_KEY["kinds"].help + BY_KEY["kinds"].values)
    for name, kind in config.kinds.items():
        table.add(name, kind)
    document.add("kinds", table)
    return tomlkit.dumps(document)


def from_toml(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, by key.

    Raises:
        SettingError: the file is missing or no TOML, a key is unknown, a value is not valid;
            names the file, the line and the nearest known key.
    """
    text = _text(path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(
            "config", "the file is not TOML", got=str(error), at=path,
            fix='a line is: key = value, with text in double quotes: task = "regression"',
        ) from None  # fmt: skip
    lines = _lines(text)
    settings = {}
    for key, value in document.items():
        at = f"{path}, line {lines[key]}" if key in lines else str(path)
        require_known("config", [key], at=at)
        settings[key] = BY_KEY[key].check(value, "config", at)
    return settings


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        raise SettingError("config", "there is no such file", got=path) from None
    except IsADirectoryError:
        fix = f"--config {path / 'config.toml'}"
        raise SettingError("config", "this is a folder, not a file", got=path, fix=fix) from None
    except UnicodeDecodeError as error:
        raise SettingError(
            "config", "the file is not UTF-8 text", got=f"byte {error.start + 1}", at=path
        ) from None


def _lines(text: str) -> Mapping[str, int]:
    """The line of each key of the top level, and of each section."""
    lines: dict[str, int] = {}
    section = False
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _SECTION.match(line):
            section = True
            name = match[1]
        elif not section and (match := _KEY.match(line)):
            name = match[1]
        else:
            continue
        lines.setdefault(name.split(".")[0].strip().strip("\"'"), number)
    return lines
