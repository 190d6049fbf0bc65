"""The marker of a run on several ranks: a file that says how it ended, as no launcher does."""

from __future__ import annotations

import os
from contextlib import suppress

VARIABLE = "CHAINRULE_MARKER"
"""The environment variable with the path of the file; without it, none is written."""


def write_marker(state: str, reason: str = "") -> None:
    """Write how the run ended: "done", or "failed", which nothing replaces, with the reason."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    if state == "done":
        with suppress(OSError), open(path, "x", encoding="utf-8") as file:
            file.write("done\n")
        return
    with suppress(OSError), open(path, "a", encoding="utf-8") as file:
        file.write(f"failed: {reason}\n")


def read_marker(path: str) -> tuple[bool, str]:
    """Whether the run is complete, and else why it failed, as far as that is known."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
    except OSError:
        return False, ""
    failed = [x.removeprefix("failed: ") for x in lines if x.startswith("failed: ")]
    return lines[0] == "done" and not failed, failed[0] if failed else ""
