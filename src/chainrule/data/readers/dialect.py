"""The dialect of a delimited text: its delimiter, quotes and escapes, guessed from a sample."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

USUAL = ",\t;|"
UNUSUAL = ("^", "~", "!", "#", "&", ":", "\x01", "\x1f")
NONE = "\x1f"
"""The delimiter of one column: a character that no text holds."""
SPACES, GAPS = r" +", r" *\t *| {2,}"
NUMBER = re.compile(r"[+-]?\d[\d.,]*")
SIGN = re.compile(r"[^\w\s.+\-\"]")


@dataclass(frozen=True)
class Dialect:
    """The delimiter, and how cells that hold it are written.

    Attributes:
        delimiter: one character.
        pattern: the regular expression of a delimiter of several characters; `delimiter` stands
            for it.
        quote: the character around cells.
        escaped: whether a backslash makes the next character a plain one.
        spaced: whether spaces that follow a delimiter are part of it.
    """

    delimiter: str = ","
    pattern: str = ""
    quote: str = '"'
    escaped: bool = False
    spaced: bool = False

    @property
    def plain(self) -> bool:
        """Whether DuckDB reads it too."""
        one = self.delimiter.isascii() and self.quote.isascii()
        return one and not (self.pattern or self.escaped or self.spaced)

    @property
    def described(self) -> str:
        """The differences from the usual dialect, in words; empty if there are none."""
        parts = []
        if self.pattern in (SPACES, GAPS):
            parts.append("cells are taken to be separated by spaces")
        elif self.pattern or self.delimiter not in USUAL + NONE:
            shown = self.pattern.replace("\\", "") or self.delimiter
            parts.append(f"cells are taken to be separated by {shown!r}")
        if self.quote != '"':
            parts.append(f"{self.quote} around cells is taken as their quote")
        if self.escaped:
            parts.append("a backslash is taken to escape the next character")
        return ", ".join(parts)

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """The rows of lines with their ends; csv.Error where a quoted cell is not well formed."""
        if self.pattern:
            lines = map(self._single, lines)
        return csv.reader(
            lines, delimiter=self.delimiter, quotechar=self.quote, strict=True,
            escapechar="\\" if self.escaped else None, doublequote=True,
            skipinitialspace=self.spaced,
        )  # fmt: skip

    def _single(self, line: str) -> str:
        """A line with one character for each delimiter outside of quotes."""
        if self.pattern in (SPACES, GAPS):
            line = re.sub(r"^ +| +(?=\r?\n?$)", "", line)
        quoted = f"({self.quote}[^{self.quote}]*{self.quote})"
        return re.sub(f"{quoted}|{self.pattern}", lambda x: str(x[1] or self.delimiter), line)


@dataclass(frozen=True)
class _Fit:
    """The rows that a dialect makes of a sample, and measures of how well it fits."""

    dialect: Dialect
    rows: list[list[str]]
    broken: bool

    @cached_property
    def usual(self) -> int:
        """The usual number of cells, below titles of one cell."""
        widths = list(map(len, self.rows))
        first = next((k for k, width in enumerate(widths) if width > 1), 0)
        counts = Counter(widths[first:])
        return max(counts, key=lambda width: (counts[width], width), default=1)

    @cached_property
    def share(self) -> float:
        """The share of the rows with the usual number of cells, if that is more than one."""
        fitting = sum(len(row) == self.usual for row in self.rows)
        return 0.0 if self.usual == 1 else fitting / (len(self.rows) + self.broken)

    @cached_property
    def pure(self) -> float:
        """The share of the cells that hold no other delimiter, numbers aside."""
        cells = [cell for row in self.rows for cell in row[:50]]
        mixed = sum(any(x in cell for x in USUAL) and not NUMBER.fullmatch(cell) for cell in cells)
        return 1 - mixed / max(len(cells), 1)

    @cached_property
    def numbers(self) -> bool:
        """Whether a column below its name holds numbers alone."""
        body = [row for row in self.rows[1:] if len(row) == self.usual]
        columns = zip(*body, strict=True)
        return any(all(NUMBER.fullmatch(cell.strip()) for cell in column) for column in columns)


def _fit(dialect: Dialect, sample: str) -> _Fit:
    rows: list[list[str]] = []
    try:
        for row in dialect.reader(iter(io.StringIO(sample, newline=""))):
            if row:
                rows.append(row)
    except csv.Error:
        return _Fit(dialect, rows, broken=True)
    return _Fit(dialect, rows, broken=False)


def guess_dialect(sample: str, delimiter: str | None = None) -> Dialect:
    """The dialect that divides the lines of a sample most evenly."""
    known = [delimiter] if delimiter else [x for x in USUAL if x in sample] or [","]
    fits = [_fit(dialect, sample) for x in known for dialect in _quotings(x, sample)]
    best = max(fits, key=lambda fit: (fit.share, fit.dialect.escaped, fit.pure, fit.usual))
    if delimiter is None and _doubled(best.dialect.delimiter, sample):
        pair = re.escape(best.dialect.delimiter * 2)
        return replace(best.dialect, delimiter=NONE, pattern=pair)
    if delimiter is None and best.share < 1:
        best = _unusual(sample, spaces=best.share < 0.5) or best
    if delimiter is None and _one_column(best):
        return Dialect(NONE)
    return best.dialect


def _quotings(delimiter: str, sample: str) -> Iterator[Dialect]:
    """The dialects with this delimiter for which the sample speaks, the usual one first."""
    usual = Dialect(delimiter)
    quote = _strange_quote(delimiter, sample)
    yield replace(usual, quote=quote) if quote else usual
    if delimiter + ' "' in sample:
        yield replace(usual, spaced=True)
    if re.search(rf'\\"(?!{re.escape(delimiter)}|\s)|\\{re.escape(delimiter)}', sample):
        yield replace(usual, escaped=True)
        if quote:
            yield replace(usual, quote=quote, escaped=True)


def _strange_quote(delimiter: str, sample: str) -> str:
    """A sign other than " that stands on both sides of many cells, or ""."""
    d = re.escape(delimiter)
    heads = Counter(re.findall(rf"(?m)(?:^|{d})({SIGN.pattern})(?=[^{d}\r\n])", sample))
    for sign, opened in heads.most_common(1):
        q = re.escape(sign)
        whole = len(re.findall(rf"(?m)(?:^|{d}){q}(?:[^{q}\r\n]|{q}{q})*{q}(?=\r|$|{d})", sample))
        if sign not in USUAL and opened == whole >= 2 and f'{delimiter}"' not in sample:
            return str(sign)
    return ""


def _doubled(delimiter: str, sample: str) -> bool:
    """Whether a delimiter, not one for which an empty cell is usual, always stands twice."""
    runs = {len(run) for run in re.findall(re.escape(delimiter) + "+", sample)}
    return delimiter in "|:~^" and runs == {2}


def _unusual(sample: str, *, spaces: bool) -> _Fit | None:
    """The dialect of a delimiter that divides all lines equally, or None."""
    pairs = [Dialect(NONE, pattern=x) for x in ("::", r"~~", r"\^\^") if x.strip("\\") in sample]
    runs = [Dialect(NONE, pattern=x) for x in (GAPS, SPACES) if spaces]
    for dialect in [*pairs, *(Dialect(x) for x in UNUSUAL if x in sample), *runs]:
        fit = _fit(dialect, sample)
        if fit.share < 1 or fit.broken or len(fit.rows) < 2:
            continue
        if dialect.pattern not in (GAPS, SPACES) or fit.usual > 2 or fit.numbers:
            return fit
    return None


def _one_column(fit: _Fit) -> bool:
    """Whether the delimiter is part of the texts or numbers below a name that has none."""
    delimiter, rows = fit.dialect.delimiter, fit.rows
    first = next((k for k, row in enumerate(rows) if len(row) > 1), 0)
    if not first:
        return False
    body = rows[1:]
    decimals = [len(row) == 2 and row[1].isdigit() for row in body]
    whole = (re.fullmatch(r"[+-]?\d+", row[0]) and len(row) < 3 for row in body)
    if delimiter == "," and 2 <= sum(decimals) >= len(body) / 2 and all(whole):
        return all(len(row) == 1 or found for row, found in zip(body, decimals, strict=True))
    if not fit.numbers and all(cell.startswith(" ") for row in rows for cell in row[1:]):
        return True
    below = [len(row) == fit.usual for row in rows[first:]]
    return len(below) > 2 and sum(below) < 0.8 * len(below)
