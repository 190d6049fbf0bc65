"""The header of a table of texts: whether it has one, and the names in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from chainrule.data.columns.cells import PLAIN_NUMBER
from chainrule.data.columns.gaps import NO_VALUE, QUOTED
from chainrule.data.columns.texts import Notes
from chainrule.data.table import refuse_duplicates
from chainrule.display.format import clip

YEARS = range(1700, 2200)
NUMERIC = re.compile(r"\W*\d")  # -1, $5, 12 kg, 2024-01-05
UNIT = re.compile(
    r"[\[(].*[\])]|%|[$€£¥]|[kmcµn]?[gmls]|(min|hr?|sec|days?|years?)|°?[CFK]|[kM]?(Hz|W|Wh|Pa|J|N|V|A)"
    r"|(km|m|mi)/h|m/s|mmHg|bpm|EUR|USD|GBP|m[²³23]"
)


def is_number(cell: str) -> bool:
    """Whether a cell is a plain number."""
    return PLAIN_NUMBER.fullmatch(cell.strip()) is not None


def guess_header(preview: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns.

    It does unless it contains a number, and no text is above a column of numbers. A first row
    0, 1, 2, ... is a header too: the numbered columns of a data frame; and so are years, each
    as far from the next, above numbers that are not years.
    """
    first, body = preview[0], preview[1:]
    numbers = [cell for cell in first if is_number(cell)]
    if not numbers:
        return True
    counted = [cell.strip() for cell in first if cell.strip()]
    if len(counted) > 2 and counted in [
        [str(i + start) for i in range(len(counted))] for start in (0, 1)
    ]:
        return True
    if _years(first, body):
        return True
    for position, cell in enumerate(first):
        below = [row[position].strip() for row in body if len(row) > position]
        below = [text for text in below if text not in NO_VALUE]
        named = cell.strip() not in NO_VALUE and not is_number(cell)
        if named and below and all(map(is_number, below)):
            return True
    return False


def _years(first: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether the numbers of the first row are years in order, unlike those below them."""
    places = [k for k, cell in enumerate(first) if is_number(cell)]
    cells = [first[k].strip() for k in places]
    if len(cells) < 2 or not all(cell.isdigit() and int(cell) in YEARS for cell in cells):
        return False
    steps = {int(b) - int(a) for a, b in pairwise(cells)}
    below = [row[k].strip() for row in body for k in places if k < len(row)]
    years = [text for text in below if text.isdigit() and int(text) in YEARS]
    return len(steps) == 1 and steps != {0} and len(years) < len(below) / 2


def numeric_columns(body: Sequence[Sequence[str]]) -> list[int]:
    """The positions of the columns whose cells begin with a number, but for a few."""
    columns = []
    for k in range(min(map(len, body), default=0)):
        cells = [row[k] for row in body if row[k].strip() not in NO_VALUE]
        if cells and sum(map(bool, map(NUMERIC.match, cells))) >= 0.9 * len(cells):
            columns.append(k)
    return columns


def worded(row: Sequence[str], columns: Sequence[int]) -> bool:
    """Whether a row has words in all of these columns: neither numbers nor gaps."""
    cells = [row[k].strip() for k in columns]
    return not any(cell in NO_VALUE or NUMERIC.match(cell) for cell in cells)


def is_remark(text: str) -> bool:
    """Whether the only cell of a row is a remark: a sentence, or a text with a mark."""
    return len(text.split()) > 1 or text.startswith(("#", "*"))


def begins_table(above: Sequence[Sequence[str]], below: Sequence[Sequence[str]]) -> bool:
    """Whether another table begins below a break, with words where the rows above have numbers.

    If they have numbers in one column alone, two rows of different words have to follow.
    """
    columns = numeric_columns(above)
    rows = below[: 2 if len(columns) == 1 else 1]
    enough = len(columns) > 1 or len({row[k] for k in columns for row in rows}) == 2
    return bool(columns) and enough and all(worded(row, columns) for row in rows)


def divided(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that hold numbers in two or more rows and then all begin with words in one."""
    firsts = {}
    for k in range(width):
        words = (i for i, row in enumerate(rows) if len(row) > k and worded(row, [k]))
        firsts[k] = next(words, 0)
    columns = [k for k, first in firsts.items() if first > 1]
    return columns if len({firsts[k] for k in columns}) == 1 and len(columns) > 1 else []


def _rows_below(rows: Sequence[Sequence[str]]) -> int:
    """The number of rows below the header with units or further names: words above numbers."""
    for count in (2, 1):
        head, body = rows[1 : 1 + count], rows[1 + count :]
        columns = numeric_columns(body)
        if columns and all(_words(row, columns) for row in head):
            return count
    return 0


def _words(row: Sequence[str], columns: Sequence[int]) -> bool:
    """Whether a row has words in columns of numbers; one word alone has to be a unit.

    Where one of these columns is empty, so are those of texts.
    """
    held = [k for k in columns if row[k].strip()]
    if len(held) < len(columns) and any(
        cell.strip() for k, cell in enumerate(row) if k not in columns
    ):
        return False
    unit = len(held) == 1 and UNIT.fullmatch(row[held[0]].strip()) is not None
    return worded(row, held) and (len(held) > 1 or unit)


def joined(first: Sequence[str], second: Sequence[str]) -> list[str] | None:
    """The names of two rows, the first with names for groups; None if it has a name for each."""
    if all(map(str.strip, first)) or not all(map(str.strip, second)):
        return None
    group, names = "", []
    for above, name in zip(first, second, strict=True):
        group = above.strip() or group
        names.append(f"{group} {name.strip()}".strip())
    return names if len(set(names)) == len(names) else None


def _names_of(first: Sequence[str], has_header: bool, source: str, notes: Notes) -> list[str]:
    """The names of the columns: those of the header, or x0, x1, ... without one, noted."""
    if not has_header:
        notes.add("the file has no header; its columns are named x0, x1, ...")
        return [f"x{i}" for i in range(len(first))]
    names = [cell.removeprefix(QUOTED).strip() for cell in first]
    refuse_duplicates([name for name in names if name], source)
    for i, name in enumerate(names):
        if not name:
            names[i] = f"unnamed_{i}"
            notes.add(f"column {i + 1} has no name in the header; named {names[i]!r}")
    return names


def comments_above(rows: Sequence[Sequence[str]], more: bool = False) -> int:
    """The number of first rows that begin with #, if the names below them do not.

    A single such row holds the names itself, but where lines of other widths with # are above it.
    """
    count = next((k for k, row in enumerate(rows) if not row[0].startswith("#")), 0)
    body = rows[count + 1 :]
    named = count + more > 1 and count > 0 and guess_header(rows[count:])
    return count if named and worded(rows[count], numeric_columns(body)) else 0


def padded_titles(rows: Sequence[Sequence[str]]) -> int:
    """The number of first rows that are titles, or empty, as wide as the names below them.

    Where there are two columns, an empty row has to be below the title.
    """
    apart = len(rows) > 1 and not any(map(str.strip, rows[1]))
    for k, cells in enumerate(rows[:20]):
        if any(map(is_number, cells)) or len(cells) < (2 if apart else 3):
            return 0
        if all(map(str.strip, cells)):
            return k
        if any(map(str.strip, cells[1:])):
            return 0
    return 0


def read_header(
    rows: list[list[str]], header: bool | None, source: str, notes: Notes
) -> tuple[list[str], bool, int]:
    """The names of the columns; whether the first row holds them; the rows below it without data.

    These hold units or further names, and are noted; the last value is their number.

    Args:
        rows: the first of the table.
        header: whether it has one; None: that is guessed.
    """
    has_header = guess_header(rows) if header is None else header
    below = _rows_below(rows) if has_header and header is None else 0
    names = joined(rows[0], rows[below]) if below else None
    if names is not None:
        notes.add(f"two rows of names are joined: {clip(', '.join(names), 60)}")
        return names, has_header, below
    for row in rows[1 : 1 + below]:
        shown = clip(", ".join(filter(None, map(str.strip, row))), 60)
        notes.add(f"a row below the header holds units or further names, and is left out: {shown}")
    return _names_of(rows[0], has_header, source, notes), has_header, below
