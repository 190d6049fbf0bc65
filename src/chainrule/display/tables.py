"""Tables as data, with their forms as text and HTML; quantities with their units."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.display.screen import printable

WIDTH = 100
_GAP = "  "


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
    return _cut(" ".join(printable(_cut(str(text), 4 * most), None)), most)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[len(text) - end :]}"


def as_html(sections: Sequence[Section]) -> str:
    """The sections as tables, for a notebook."""
    return "".join(_table(section) for section in sections)


def _table(section: Section) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        tagged = (
            f'<{tag} style="text-align:{"right" if k in section.right else "left"}">'
            f"{html.escape(cell)}</{tag}>"
            for k, cell in enumerate(cells)
        )
        return f"<tr>{''.join(tagged)}</tr>"

    head = f"<thead>{row(section.head, 'th')}</thead>" if section.head else ""
    body = "".join(row(cells, "td") for cells in section.rows)
    title = f"<caption>{html.escape(section.title)}</caption>" if section.title else ""
    return f"<table>{title}{head}<tbody>{body}</tbody></table>"


# ---------------------------------------------------------------- quantities


def seconds_text(seconds: float) -> str:
    """A short time with its unit: 0.42 us, 12.3 us, 1.23 ms, 2.5 s."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{digits(seconds / size)} {unit}"
    return f"{seconds * 1e6:.2f} us"


def bytes_text(count: float) -> str:
    """A size with its unit: 512 B, 1.5 KB, 12.3 MB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
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
