"""Writes text to a terminal or a pipe: headings, wrapped lines, tables."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Sequence
from typing import Any, TextIO

from chainrule.errors import ChainruleError

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
DEFAULT_WIDTH = 100  # columns, where the stream is not a terminal
GAP = "  "
MIN_LAST_WIDTH = 12  # columns of the last cell of a table; below, its rows are stacked


class Screen:
    """Writes to a stream, or nothing to None. A closed stream is not written to again.

    Styles are used on a terminal only, and not where NO_COLOR is set.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.coloured = stream is not None and coloured(stream)
        self.width = max(_width(stream), 20)

    def write(self, *lines: str) -> None:
        """Write lines unchanged."""
        if self.stream is None:
            return
        try:
            self.stream.write("".join(line.rstrip() + "\n" for line in lines))
            self.stream.flush()
        except BrokenPipeError:
            forget(self.stream)
            self.stream = None

    def clean(self, text: str) -> list[str]:
        """The lines of a text, without control characters and what the stream cannot show."""
        return printable(text.replace("\xa0", " "), self.stream)

    def advice(self, text: str) -> str:
        """A message as it is shown here; the base shows settings as Python names them."""
        return text

    def heading(self, text: str) -> None:
        """Write an empty line and a heading."""
        self.write("", self.styled(text, "bold"))

    def say(self, text: str, *, indent: int = 0, label: str = "", style: str = "") -> None:
        """Write a paragraph, wrapped under its label."""
        start = " " * indent + label + (GAP if label else "")
        room = max(self.width - cells(start), 20)
        lines = [
            " ".join(self.clean(part)) for line in text.splitlines() for part in wrap(line, room)
        ]
        for place, line in enumerate(lines or [""]):
            head = start if place == 0 else " " * cells(start)
            if place == 0 and label:
                head = " " * indent + self.styled(label, style) + GAP
            self.write(head + line)

    def table(
        self, rows: Sequence[Sequence[str]], head: Sequence[str] = (), *, right: Sequence[int] = ()
    ) -> None:
        """Write aligned columns, the last one wrapped; stacked where the terminal is too narrow.

        Args:
            head: names of the columns.
            right: the columns that are aligned right.
        """
        clean = [[" ".join(self.clean(cell)) for cell in row] for row in rows]
        all_rows = [list(head), *clean] if head else clean
        if not all_rows:
            return
        widths = [max(map(cells, column)) for column in zip(*all_rows, strict=True)]
        room = self.width - 2 - sum(width + 2 for width in widths[:-1])
        if room < min(MIN_LAST_WIDTH, widths[-1]):
            self._stack(clean, head, right)
            return
        for place, row in enumerate(all_rows):
            self._row(row, widths, room, right, bool(head) and place == 0)

    def _row(
        self, row: Sequence[str], widths: list[int], room: int, right: Sequence[int], head: bool
    ) -> None:
        last = len(row) - 1
        padded = [
            pad(cell, width, k in right)
            for k, (cell, width) in enumerate(zip(row[:last], widths, strict=False))
        ]
        final = row[last].rjust(widths[last]) if last in right else row[last]
        lines = wrap(final, room) if last not in right else [final]
        start = GAP + GAP.join(padded) + (GAP if padded else "")
        for place, line in enumerate(lines or [""]):
            text = (start if place == 0 else " " * cells(start)) + line
            self.write(self.styled(text.rstrip(), "dim") if head else text)

    def _stack(
        self, rows: Sequence[Sequence[str]], head: Sequence[str], right: Sequence[int]
    ) -> None:
        """Each row as a paragraph; after a number stands the name of its column."""
        names = {k: f" {head[k]}" for k in right if head}
        for row in rows:
            self.say(row[0], indent=2)
            parts = [cell + names.get(k, "") for k, cell in enumerate(row) if k and cell]
            self.say(", ".join(parts), indent=6)

    def styled(self, text: str, *styles: str) -> str:
        """The text in a style, where the stream shows styles."""
        codes = ";".join(STYLES[style] for style in styles if style)
        return f"\033[{codes}m{text}\033[0m" if self.coloured and codes and text else text

    def error(self, error: ChainruleError) -> None:
        """Write an error in its four parts, the later ones wrapped under their label."""
        what = self.advice(error.what).replace("\n", " ")
        self.say(f"[{error.where}] {what}", style="red")
        parts = {
            "expected": error.expected, "got": error.got, "at": error.at,
            "fix": error.fix and self.advice(error.fix),
        }  # fmt: skip
        for label, part in parts.items():
            if part is not None:
                self.say(str(part), indent=2, label=f"{label:<8}", style="bold")


def coloured(stream: TextIO) -> bool:
    """Whether a stream shows styles: a terminal that can, without NO_COLOR."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return is_terminal(stream)


def forget(stream: TextIO) -> None:
    """Discard, without errors, all further output to a closed pipe."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def _width(stream: TextIO | None) -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    if stream is None or not is_terminal(stream):
        return DEFAULT_WIDTH
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns


def cells(text: str) -> int:
    """The columns that a text takes: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def pad(text: str, width: int, right: bool = False) -> str:
    """The text filled with spaces up to a number of columns."""
    space = " " * (width - cells(text))
    return space + text if right else text + space


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most so many columns; a word that is longer is cut."""
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if cells(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        while cells(word) > width:
            cut = next(k for k in range(len(word), 0, -1) if cells(word[:k]) <= width or k == 1)
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    return [*lines, line] if line or not lines else lines


def printable(text: str, stream: TextIO | None) -> list[str]:
    """The lines of a text; control characters and what the stream cannot encode are escaped."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    lines = []
    for line in str(text).splitlines():
        clean = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line.expandtabs(4))
        lines.append(clean.encode(encoding, "backslashreplace").decode(encoding))
    return lines


def is_terminal(stream: Any) -> bool:
    """Whether a stream writes to an open terminal."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError, OSError):
        return False
