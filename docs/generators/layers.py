"""The table of floors in the guide for contributors, from `tests/layers.py`."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "contributing.md"
BEGIN, END = "<!-- floors: written by docs/generate.py -->", "<!-- end of floors -->"


def page() -> str:
    """The guide with the current table in it."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n\n" + table() + "\n\n" + END + rest.split(END)[1]


def table() -> str:
    """The floors, from the ground up."""
    layers = runpy.run_path(str(ROOT / "tests" / "layers.py"))["LAYERS"]
    lines = ["| floor | parts | what they are |", "|---|---|---|"]
    for number, (names, what) in enumerate(layers):
        lines.append(f"| {number} | {' '.join(f'`{name}`' for name in names)} | {what} |")
    return "\n".join(lines)
