"""The records of a delimited text with their lines; quotes that do not close are refused."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from chainrule.data.columns.gaps import GAP_TEXTS, QUOTED
from chainrule.data.readers.dialect import Dialect
from chainrule.display.format import clip
from chainrule.errors import DataError

LONGEST = 2**31 - 1


class Record(NamedTuple):
    """A record: the line on which it begins, from 1, and its cells; a blank line has none.

    A quoted cell that looks like a gap has the mark QUOTED. `loose` says that a quote is part of a
    cell, as in 5" or in a "b" c.
    """

    line: int
    cells: list[str]
    loose: bool


@contextlib.contextmanager
def any_length() -> Iterator[None]:
    """Lifts the limit that Python sets on the length of a cell."""
    before = csv.field_size_limit(LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)


class _Lines:
    """The lines of a text, and those taken since `begin`."""

    def __init__(self, text: str, first: int) -> None:
        self._lines = iter(io.StringIO(text, newline=""))
        self.next_line = first
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        self.next_line += 1
        return line

    def begin(self) -> int:
        """The number of the next line, the first of a record."""
        self.taken.clear()
        return self.next_line


def records(text: str, dialect: Dialect, source: str, first: int = 1) -> Iterator[Record]:
    """The records of a text whose first line has the number `first`.

    Raises DataError for a quoted cell that is not closed, for a text behind its closing quote,
    and for quotes inside of cells that are ambiguous.
    """
    lines = _Lines(text, first)
    reader = dialect.reader(lines)
    quote = dialect.quote
    formed = _well_formed(dialect) if quote in text else None
    while True:
        line = lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _open_quote(str(error), quote, line, lines, source) from None
        loose = False
        if formed is not None and any(quote in x for x in lines.taken):
            loose = not formed.fullmatch("".join(lines.taken))
            if not GAP_TEXTS.isdisjoint(cells):
                cells = [_marked(cell, quote, lines.taken) for cell in cells]
            if loose and sum(cell.count(quote) % 2 for cell in cells) > 1:
                raise _split_quote(cells, quote, line, source)
        yield Record(line, cells, loose)


def _marked(cell: str, quote: str, lines: Sequence[str]) -> str:
    """A cell, with a mark if it looks like a gap but is quoted in its lines."""
    quoted = cell in GAP_TEXTS and any(f"{quote}{cell}{quote}" in line for line in lines)
    return QUOTED + cell if quoted else cell


def _well_formed(dialect: Dialect) -> re.Pattern[str] | None:
    """The pattern of a record whose quotes are all around cells; None: not checked."""
    if dialect.pattern or dialect.escaped:
        return None
    q, d = re.escape(dialect.quote), re.escape(dialect.delimiter)
    space = " *" if dialect.spaced else ""
    cell = f"{space}(?:{q}[^{q}]*(?:{q}{q}[^{q}]*)*{q}|[^{q}{d}\r\n]*)"
    return re.compile(f"{cell}(?:{d}{cell})*[\r\n]*")


def _open_quote(error: str, quote: str, line: int, lines: _Lines, source: str) -> DataError:
    """The error for a quoted cell that is not closed, or closed in the middle of a text."""
    last = lines.next_line - 1
    raw = lines.taken[-1] if lines.taken else ""
    fix = f"close it, and write {quote} inside a cell twice: {quote}{quote}"
    if "expected after" not in error:
        return DataError(source, "a quoted cell is not closed", at=f"{source}, line {line}",
                         got=clip(lines.taken[0].strip(), 60) if lines.taken else None,
                         fix=fix)  # fmt: skip
    where = f"line {line}" if line == last else f"lines {line} to {last}"
    return DataError(source, "a text follows the closing quote of a cell",
                     expected=f"a quoted cell ends at its second {quote}", at=f"{source}, {where}",
                     got=clip(raw.strip(), 60), fix=fix)  # fmt: skip


def _split_quote(cells: list[str], quote: str, line: int, source: str) -> DataError:
    """The error for a quote that opens inside one cell and closes inside another."""
    cell = next(cell for cell in cells if cell.count(quote) % 2)
    return DataError(
        source, "a quote opens in the middle of a cell and closes in another one",
        expected=f"{quote} around whole cells", got=clip(cell, 60), at=f"{source}, line {line}",
        fix="write the delimiter that is missing before the quote, or quote the whole cell",
    )  # fmt: skip
