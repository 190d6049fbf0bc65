"""Writes text to a terminal or a pipe: headings, wrapped lines, tables."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, TextIO

from chainrule.errors import ChainruleError

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
DEFAULT_WIDTH = 100  # columns, where the stream is not a terminal
GAP = "  "
MIN_WIDTH = 12  # of a column of a table that is wrapped
MAX_WORD = 24  # columns of a word that is not cut, where a table is narrow


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
        """Write aligned columns under their names.

        Where the screen is too narrow, the widest columns of text are wrapped; where even that
        does not help, each row is a paragraph, in which a cell follows the name of its column.

        Args:
            head: names of the columns.
            right: the columns that are aligned right.
        """
        clean = [[" ".join(self.clean(cell)) for cell in row] for row in rows]
        all_rows = [list(head), *clean] if head else clean
        if not all_rows:
            return
        widths = self._widths(list(zip(*all_rows, strict=True)), right)
        if widths is None:
            self._stack(clean, head)
            return
        for place, row in enumerate(all_rows):
            self._row(row, widths, right, bool(head) and place == 0)

    def _widths(self, columns: Sequence[Sequence[str]], right: Sequence[int]) -> list[int] | None:
        """The widths of columns that fit the screen; None where there are none."""
        widths = [max(map(cells, column)) for column in columns]
        least = [
            width if k in right else min(width, max(MIN_WIDTH, _longest_word(column)))
            for k, (column, width) in enumerate(zip(columns, widths, strict=True))
        ]
        excess = sum(width + len(GAP) for width in widths) - self.width
        if sum(least) + len(GAP) * len(least) > self.width:
            return None
        while excess > 0:
            widest = max(
                (k for k, width in enumerate(widths) if width > least[k]), key=widths.__getitem__
            )
            widths[widest] -= 1
            excess -= 1
        return widths

    def _row(
        self, row: Sequence[str], widths: Sequence[int], right: Sequence[int], head: bool
    ) -> None:
        """Write a row; its cells are wrapped in their columns."""
        wrapped = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
        for lines in zip_longest(*wrapped, fillvalue=""):
            padded = [
                pad(line, width, k in right)
                for k, (line, width) in enumerate(zip(lines, widths, strict=True))
            ]
            text = (GAP + GAP.join(padded)).rstrip()
            self.write(self.styled(text, "dim") if head else text)

    def _stack(self, rows: Sequence[Sequence[str]], head: Sequence[str]) -> None:
        """Write each row as a paragraph; before a cell stands the name of its column."""
        names = [f"{name}: " if name else "" for name in head] or [""] * len(rows[0])
        for row in rows:
            self.say(row[0], indent=2)
            parts = [names[k] + cell for k, cell in enumerate(row) if k and cell]
            self.say("; ".join(parts), indent=6)

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


def _longest_word(column: Sequence[str]) -> int:
    longest = max((cells(word) for text in column for word in text.split(" ")), default=0)
    return min(longest, MAX_WORD)


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most so many columns; a longer word is cut, after a dot if it can."""
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if cells(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        while (cut := _fitting(word, width)) < len(word):
            joint = max(word.rfind(mark, 0, cut) for mark in "._-/") + 1  # of a dotted name
            cut = joint if joint > cut // 2 else cut
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    return [*lines, line] if line or not lines else lines


def _fitting(word: str, width: int) -> int:
    """The number of first characters that fit in so many columns, at least 1."""
    used = 0
    for k, char in enumerate(word):
        used += cells(char)
        if used > width:
            return max(k, 1)
    return len(word)


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
