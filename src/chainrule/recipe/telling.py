"""Prints what a training run will do, before it does: split and configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import groupby
from typing import Any

from chainrule.display.screen import Screen
from chainrule.recipe.config import SETTINGS, Config


def print_config(screen: Screen, config: Config) -> None:
    """Print the configuration in a few lines, without settings that are not set."""
    screen.heading("Configuration")
    values = asdict(config)
    values |= {key: "by cross-validation" for key in ("epochs", "rate") if values[key] is None}
    rows = [("task", f"{config.task} of {config.target}")]
    for group, settings in groupby(SETTINGS, key=lambda row: row.group.lower()):
        parts = [
            ("" if row.key == group else f"{row.key} ") + _setting(values[row.key])
            for row in settings
            if values[row.key] not in (None, {}) and (values[row.key] != () or row.key == "hidden")
        ]
        if group != "data" and parts:  # the first line has those of the data
            rows.append((group, "; ".join(parts)))
    screen.table(rows)


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={kind}" for name, kind in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
