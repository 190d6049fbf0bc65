"""Exercise sheets and their keys as pages to print, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chainrule.display.handout import render
from chainrule.explain.sheet import DIGITS, Sheet

WORDS = {
    "forward": "Forward: from the inputs to the error",
    "backward": "Backward: the gradients, from the error on",
    "update": "Update: one step of gradient descent",
}
ADVICE = (
    f"Round each result to {DIGITS} significant digits and go on with it; an answer is right when "
    "it agrees with the key in the first two or three digits. exp, log, sigmoid and tanh come from "
    "a calculator: sigmoid(z) = 1 / (1 + exp(-z))."
)


def page(title: str, sheets: Sequence[Sheet], seed: int, total: int, *, key: bool) -> str:
    """One HTML page with all sheets, or all keys, each on paper of its own."""
    return _render("sheets.html.j2", title, sheets, seed, total, key)


def fragment(title: str, sheets: Sequence[Sheet], seed: int, total: int, *, key: bool) -> str:
    """The sheets for a notebook."""
    return _render("sheet.html.j2", title, sheets, seed, total, key)


def _render(
    template: str, title: str, sheets: Sequence[Sheet], seed: int, total: int, key: bool
) -> str:
    return render(
        template, Path(__file__).with_name("templates"), title=title, seed=seed, total=total,
        key=key, sheets=sheets, words=WORDS, advice=ADVICE,
    )  # fmt: skip


def text(title: str, sheets: Sequence[Sheet], seed: int, total: int, *, key: bool) -> str:
    """The sheets, or the keys, as Markdown."""
    return "\n\n---\n\n".join(_sheet(title, x, seed, total, key) for x in sheets) + "\n"


def _sheet(title: str, sheet: Sheet, seed: int, total: int, key: bool) -> str:
    what = "key" if key else "sheet"
    parts = [f"# {_plain(title)}: {what} {sheet.number} of {total}", *map(_plain, sheet.notes)]
    parts += [] if key else ["Name: ____________________ Date: ____________", ADVICE]
    rows = [f"| {_code(x.name)} | {x.what} | {_code(x.text)} |" for x in sheet.given]
    parts.append("\n".join(["| given | | |", "|---|---|---|", *rows]))
    for part, lines in sheet.parts:
        parts.append(f"## {WORDS[part]}")
        for number, line in lines:
            asked = f"{number}. {_code(f'{line.title} = {line.formula}')}"
            if not key:
                parts.append(f"{asked}\n\n    {_code(f'{line.name} = {line.blank}')}")
                continue
            worked = line.entries or [(line.name, line.numbers, line.text)]
            listed = (" = ".join(dict.fromkeys(x)) for x in worked)
            parts.append(f"{asked}\n\n" + "\n".join(f"    - {_code(x)}" for x in listed))
    parts.append(f"Seed {seed}, variant {sheet.number}.")
    return "\n\n".join(parts)


def _code(text: str) -> str:
    """Code; a name that would end it, or the cell of a table, is written with other marks."""
    plain = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"


def _plain(text: str) -> str:
    """A sentence without the marks of Markdown and HTML."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in " ".join(text.split()))
