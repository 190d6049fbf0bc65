"""Tables as data, with their forms as text and HTML; quantities with their units."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chainrule.display.screen import printable

WIDTH = 100
_GAP = "  "
ROWS, COLUMNS = 60, 20
"""The rows and columns that a notebook shows of a table."""

CELL, LAST = 160, 500
"""The characters of a cell there, and of the last cell of a row."""


@dataclass(frozen=True)
class Section:
    """A table under a title.

    Attributes:
        title: may be empty.
        rows: cells of text; the last cell of a row is wrapped.
        head: the names of the columns; may be empty.
        right: the indices of right-aligned columns.
    """

    title: str
    rows: tuple[tuple[str, ...], ...]
    head: tuple[str, ...] = ()
    right: tuple[int, ...] = ()


def as_text(sections: Sequence[Section]) -> str:
    """The sections as plain text of `WIDTH` columns."""
    return "\n\n".join("\n".join(_lines(section)) for section in sections)


def _lines(section: Section) -> list[str]:
    lines = [section.title] if section.title else []
    rows = [*([section.head] if section.head else []), *section.rows]
    if not rows:
        return lines
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = max(WIDTH - sum(w + 2 for w in widths[:-1]) - 2, 20)
    for row in rows:
        cells = [
            cell.rjust(width) if k in section.right else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row[:-1], widths, strict=False))
        ]
        start = _GAP + "".join(cell + _GAP for cell in cells)
        last = row[-1].rjust(widths[-1]) if len(row) - 1 in section.right else row[-1]
        wrapped = [last] if len(last) <= room else textwrap.wrap(last, room)
        lines += [
            ((start if k == 0 else " " * len(start)) + line).rstrip()
            for k, line in enumerate(wrapped or [""])
        ]
    return lines


def clean(text: str, most: int) -> str:
    """A text on one line without control characters, cut in its middle to `most` characters."""
    plain = _cut(str(text), 4 * most).replace("\xa0", " ")
    return _cut(" ".join(printable(plain, None)), most)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[len(text) - end :]}"


def as_html(sections: Iterable[Section]) -> str:
    """The sections as tables, for a notebook: in the colours of the page, without scripts.

    What is in a cell is text, whatever it holds. Long cells and names are cut, of many rows and
    columns the first are shown, with the number of the others and the last row.
    """
    tables = "".join(_table(section) for section in sections)
    return f'<div style="overflow-x:auto">{tables}</div>'


def facts_html(title: str, *facts: tuple[str, object]) -> str:
    """A table of names and values, for a notebook; values that are empty or None are left out."""
    rows = tuple((name, str(x)) for name, x in facts if x is not None and str(x))
    return as_html([Section(title, rows)])


def _table(section: Section) -> str:
    rows = list(section.rows)
    width = max(map(len, [section.head, *rows]), default=0)
    right, head = section.right, section.head
    if width > COLUMNS:
        more = f"{width - COLUMNS + 1:,} more columns"
        rows = [(*row[: COLUMNS - 1], "…") for row in rows]
        head = (*head[: COLUMNS - 1], more) if head else ()
    if len(rows) > ROWS:
        left_out = f"{len(rows) - ROWS + 1:,} more rows"
        rows = [*rows[: ROWS - 1], (left_out, *[""] * (len(rows[0]) - 1)), rows[-1]]

    def row(cells: Sequence[str], tag: str) -> str:
        tagged = (
            f'<{tag} style="text-align:{"right" if k in right else "left"}">'
            f"{html.escape(clean(cell, LAST if k == len(cells) - 1 else CELL))}</{tag}>"
            for k, cell in enumerate(cells)
        )
        return f"<tr>{''.join(tagged)}</tr>"

    above = f"<thead>{row(head, 'th')}</thead>" if head else ""
    body = "".join(row(cells, "td") for cells in rows)
    said = html.escape(clean(section.title, CELL))
    style = "caption-side:top;text-align:left;font-weight:bold;white-space:nowrap;padding-top:6px"
    title = f'<caption style="{style}">{said}</caption>' if said else ""
    return f"<table>{title}{above}<tbody>{body}</tbody></table>"


# ---------------------------------------------------------------- quantities


def seconds_text(seconds: float) -> str:
    """A short time with its unit: 0.42 us, 12.3 us, 1.23 ms, 2.5 s."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{digits(seconds / size)} {unit}"
    return f"{seconds * 1e6:.2f} us"


def bytes_text(count: float) -> str:
    """A size with its unit: 512 B, 1.50 kB, 12.3 MB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{digits(count / size)} {unit}"
    return f"{count:.0f} B"


def flops_text(count: float) -> str:
    """A count of operations: 512, 1.5 thousand, 12.3 million."""
    for unit, size in (("billion", 1e9), ("million", 1e6), ("thousand", 1e3)):
        if count >= size:
            return f"{digits(count / size)} {unit}"
    return f"{count:.0f}"


def digits(value: float) -> str:
    """Three significant digits without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
