"""The target on a command line, and advice where none is named."""

from __future__ import annotations

from pathlib import Path

from chainrule.cli.outputs import quoted
from chainrule.data.readers import datasets
from chainrule.data.table import Table, require_column
from chainrule.display.format import listed
from chainrule.errors import SettingError
from chainrule.recipe.target import default_target, refuse_unlabelled

TARGET_NAMES = ("target", "label", "class", "y", "outcome", "response", "species", "price")


def require_target(table: Table, source: str, target: str | None) -> str:
    """The target. Raises SettingError, with a guess, where none is named.

    Args:
        source: the data as it was named.
    """
    target = default_target(table) if target is None else target
    if target is None:
        refuse_unlabelled(table)
        raise _no_target(table, source)
    require_column("target", target, table)
    return target


def _no_target(table: Table, source: str) -> SettingError:
    name, why = _likely_target(table, source)
    return SettingError(
        "train", "no target is given", expected="--target COLUMN",
        got="columns " + listed(table.columns, 40),
        fix=f"--target {quoted(name)} ({why})",
    )  # fmt: skip


def _likely_target(table: Table, source: str) -> tuple[str, str]:
    """The most probable target, and the reason."""
    if source in datasets.names() and not Path(source).is_file():
        return datasets.get(source).target, "it is the target of this data set"
    folded = {name.strip().lower(): name for name in reversed(table.columns)}
    for name in TARGET_NAMES:
        if name in folded:
            return folded[name], "a guess: by its name"
    return table.columns[-1], "a guess: the last column"
