"""Writes the generated pages and the types of settings; with --check, lists those out of date."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from generators import api, commands, layers, lesson, ops, options, slips, tour

DOCS = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py: change that, not this page. -->\n\n"

PAGES: dict[str, Callable[[], str]] = {
    "training-illustrated.md": lambda: NOTE + lesson.page(),
    "ops.md": lambda: NOTE + ops.page(),
    "python-api.md": lambda: NOTE + api.page(),
    "command-line.md": lambda: NOTE + commands.page(),
    "contributing.md": layers.page,
    "assets/lecture.svg": lesson.drawing,
    "assets/tour.svg": tour.drawing,
    "../src/chainrule/recipe/options.py": options.module,
    "../web/src/panels/slips.json": slips.sentences,
}
"""The generator of each file."""


def main(arguments: list[str]) -> int:
    """Writes the pages that have changed; with --check only lists them, and returns 1 if any."""
    stale = [name for name, make in PAGES.items() if _read(DOCS / name) != make()]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/{name} is out of date: run `python docs/generate.py`")
        return int(bool(stale))
    for name in stale:
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8", newline="\n")
        print(f"wrote docs/{name}")
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
