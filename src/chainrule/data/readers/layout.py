"""The table in a delimited text: what stands above and below it, and rows that do not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chainrule.data.columns.texts import Notes
from chainrule.data.readers.dialect import NONE, USUAL, Dialect
from chainrule.data.readers.header import (
    begins_table,
    comments_above,
    guess_header,
    is_number,
    is_remark,
    padded_titles,
)  # fmt: skip
from chainrule.data.readers.records import Record, records
from chainrule.data.readers.sqltext import sql_text
from chainrule.display.format import clip, counted
from chainrule.errors import DataError

KNOWN = 200  # records whose cells are kept at each end, and of those that do not fit


@dataclass(eq=False)
class Layout:
    """The records of a text: which of them make the table, and how.

    Attributes:
        text, dialect, source, first: as of `records`.
        widths, lines: the cells, and the first line, of each record; a blank line has none.
        width: the number of cells of a row.
        kept: the cells of some records by their position.
        omitted: the positions of records that are not rows.
        cut: whether the last cell, empty in each row, is left out.
    """

    text: str
    dialect: Dialect
    source: str
    first: int
    widths: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    width: int = 1
    kept: dict[int, list[str]] = field(default_factory=dict)
    omitted: set[int] = field(default_factory=set)
    cut: bool = False

    def records(self) -> Iterator[Record]:
        """All records of the text."""
        return records(self.text, self.dialect, self.source, self.first)

    def rows(self) -> Iterator[list[str]]:
        """The header and the rows of the table, with equal numbers of cells."""
        for k, record in enumerate(self.records()):
            if k not in self.omitted:
                yield record.cells[: self.width] or [""]

    def head(self) -> list[list[str]]:
        """The first rows of the table."""
        return [self.kept[k][: self.width] or [""] for k in sorted(self.kept)
                if k not in self.omitted][:KNOWN]  # fmt: skip

    def at(self, k: int) -> str:
        """The place of a record, for an error."""
        return f"{self.source}, line {self.lines[k]}"


def lay_out(
    text: str, dialect: Dialect, source: str, first: int, notes: Notes, header: bool | None
) -> Layout:
    """The table in a text. Raises DataError for rows that do not fit, with their line."""
    layout = Layout(text, dialect, source, first)
    loose = _measure(layout)
    full = [k for k, width in enumerate(layout.widths) if width]
    if not full:
        raise DataError(source, "the file holds no rows")
    _keep(layout)
    begin = _above(layout, full, notes, header)
    end = _below(layout, full, begin, notes)
    _blank(layout, begin, end, notes)
    _misfits(layout, [k for k in full if begin <= k <= end], notes)
    if loose:
        place = f"line {loose[0]}" if len(loose) == 1 else f"{len(loose):,} lines, first {loose[0]}"
        notes.add(f"a quote in the middle of a cell is kept as part of its text: {place}")
    return layout


def _measure(layout: Layout) -> list[int]:
    """Counts the cells of each record; returns the lines with quotes inside of cells."""
    loose = []
    for record in layout.records():
        layout.widths.append(len(record.cells))
        layout.lines.append(record.line)
        if record.loose:
            loose.append(record.line)
    widths = [width for width in layout.widths if width]
    counts = Counter(widths)
    layout.width = max(counts, key=lambda width: (counts[width], width), default=1)
    below = widths[next((k for k, width in enumerate(widths) if width > 1), len(widths)) :]
    if layout.width == 1 and len(below) > 1 and len(set(below)) == 1:
        layout.width = below[0]
    return loose


def _keep(layout: Layout) -> None:
    """Keeps the cells of the first and last records, of misfits, and of those below blank lines."""
    total, odd = len(layout.widths), 0
    for k, record in enumerate(layout.records()):
        misfit = len(record.cells) not in (0, layout.width) or 0 in layout.widths[max(k - 2, 0) : k]
        odd += misfit
        if k < KNOWN or k >= total - KNOWN or (misfit and odd <= KNOWN):
            layout.kept[k] = record.cells


# above and below the table ---------------------------------------------------------------------


def _above(layout: Layout, full: Sequence[int], notes: Notes, header: bool | None) -> int:
    """The position of the header, or of the first row; all above is omitted, and noted."""
    begin = next(k for k in full if layout.widths[k] == layout.width)
    above = [k for k in full if k < begin]
    if above and layout.width > 1:
        if _ends_empty(layout, above[-1], begin):
            layout.cut, layout.width, begin = True, layout.width - 1, above.pop()
            notes.add("each row ends with a delimiter and the header does not: "
                      "the empty cell at the end is left out")  # fmt: skip
        elif not _titles(layout, above, begin, header):
            raise _header_misfit(layout, above[-1], begin)
    rows = [k for k in full if k >= begin and k in layout.kept]
    commented = any(layout.kept[k][0].startswith("#") for k in above)
    held = [layout.kept[k] for k in rows]
    padded = comments_above(held, commented) or padded_titles(held)
    above, begin = above + rows[:padded], rows[padded]
    layout.omitted.update(range(begin))
    if above:
        said = "; ".join(" ".join(filter(None, layout.kept[k])) for k in above[:3])
        notes.add(f"{counted(begin, 'line')} above the header skipped: {clip(said, 80)!r}")
    return begin


def _ends_empty(layout: Layout, head: int, begin: int) -> bool:
    """Whether the rows have one cell more than the header above them, which is always empty."""
    if layout.widths[head] != layout.width - 1 or head + 1 != begin:
        return False
    return all(not record.cells[-1].strip() for k, record in enumerate(layout.records())
               if k >= begin and len(record.cells) == layout.width)  # fmt: skip


def _titles(layout: Layout, above: Sequence[int], begin: int, header: bool | None) -> bool:
    """Whether the lines above the first row of the usual width are titles, not a broken header."""
    if header is False or above[-1] + 1 < begin:
        return True  # a blank line is between them
    rows = [layout.kept[k] for k in range(begin, begin + 50)
            if layout.widths[k : k + 1] == [layout.width] and k in layout.kept]  # fmt: skip
    names = not any(map(is_number, rows[0]))
    last = layout.kept.get(above[-1], [])
    if len(last) > 1:
        return names and any(is_number(cell) for row in rows[1:] for cell in row)
    marks = sum(last[0].count(x) == layout.width - 1 for x in USUAL) if last else 0
    return guess_header(rows) and not marks


def _header_misfit(layout: Layout, head: int, begin: int) -> DataError:
    return DataError(
        layout.source,
        "the header and the rows differ in their number of cells",
        expected=f"{counted(layout.width, 'name')}, as line {layout.lines[begin]} has cells",
        got=f"{counted(layout.widths[head], 'name')}: {clip(' | '.join(layout.kept[head]), 60)}",
        at=layout.at(head),
        fix="write the name or the delimiter that is missing, or delete the line if it is a title",
    )


def _below(layout: Layout, full: Sequence[int], begin: int, notes: Notes) -> int:
    """The position of the last row; footnotes below it are omitted, and noted."""
    usual = {layout.width, layout.width + layout.cut}
    end = max(k for k in full if layout.widths[k] in usual)
    below = [k for k in full if k > end]
    if layout.width == 1:
        end, below = full[-1], []
    layout.omitted.update(range(end + 1, len(layout.widths)))
    if not below:
        return end
    widths = [layout.widths[k] for k in below]
    if len(below) > 1 and len(set(widths)) == 1 and widths[0] > 1:
        raise DataError(
            layout.source, "a second table stands below the first",
            expected=f"one table of {layout.width} columns",
            got=f"{counted(len(below), 'row')} of {widths[0]} cells",
            at=layout.at(below[0]), fix="make a file of each table",
        )  # fmt: skip
    apart = below[0] > end + 1
    if not all(apart or _footnote(layout, k) for k in below) or len(below) > KNOWN:
        raise _misfit(layout, below)
    said = " ".join(filter(None, layout.kept[below[0]]))
    notes.add(f"{counted(len(below), 'line')} below the table left out, from line "
              f"{layout.lines[below[0]]}: {clip(said, 60)!r}")  # fmt: skip
    return end


def _footnote(layout: Layout, k: int) -> bool:
    """Whether the only cell of a record is a remark rather than the start of a row."""
    text, *others = layout.kept[k]
    if others or any(text.count(x) == layout.width - 1 for x in USUAL):
        return False
    return is_remark(text) and not is_number(text.split()[0])


# rows that do not fit ----------------------------------------------------------------------------


def _blank(layout: Layout, begin: int, end: int, notes: Notes) -> None:
    """Omits blank lines between the rows; in one column they are gaps.

    Raises DataError where another table begins below one.
    """
    blank = [k for k in range(begin, end) if not layout.widths[k]]
    if layout.width == 1 or not blank:
        return
    layout.omitted.update(blank)
    for k in blank:
        _refuse_second(layout, begin, k)
    place = f"line {layout.lines[blank[0]]}"
    notes.add(f"{counted(len(blank), 'blank line')} between the rows left out: "
              f"{place if len(blank) == 1 else 'the first is ' + place}")  # fmt: skip


def _refuse_second(layout: Layout, begin: int, blank: int) -> None:
    """Raises DataError if another table, as wide as the first, begins below a blank line."""
    below = [layout.kept[k] for k in (blank + 1, blank + 2) if layout.kept.get(k)]
    if layout.widths[blank + 1] != layout.width or not below or below[0] == layout.kept[begin]:
        return
    rows = [layout.kept.get(k, []) for k in range(begin + 1, min(blank, begin + KNOWN))]
    if begins_table([row for row in rows if len(row) >= layout.width], below):
        raise DataError(
            layout.source, "a second table stands below the first",
            expected="numbers in the columns that hold numbers above the blank line",
            got=f"words: {clip(', '.join(below[0]), 60)}", at=layout.at(blank + 1),
            fix="make a file of each table, or delete that line if it is a remark",
        )  # fmt: skip


def _misfits(layout: Layout, rows: Sequence[int], notes: Notes) -> None:
    """Omits comments, and empty cells at the end of a row. Raises DataError for other misfits."""
    usual = layout.width + layout.cut
    misfits = [k for k in rows if layout.widths[k] not in (usual, layout.width)]
    misfits += [k for k in rows[1:] if layout.cut and layout.widths[k] == layout.width]
    comments = [k for k in misfits if layout.kept.get(k, [""])[0].startswith("#")]
    longer = [k for k in misfits if k not in comments and _only_longer(layout, k)]
    wrong = sorted(set(misfits) - set(comments) - set(longer))
    if wrong:
        raise _misfit(layout, wrong)
    layout.omitted.update(comments)
    for found, what in ((comments, "begins with # and is left out"),
                        (longer, "ends with a delimiter too many, which is ignored")):  # fmt: skip
        if found:
            more = f", and {counted(len(found) - 1, 'further line')}" if len(found) > 1 else ""
            notes.add(f"line {layout.lines[found[0]]} {what}{more}")


def _only_longer(layout: Layout, k: int) -> bool:
    """Whether the cells after the last column are empty, and no other is: nothing is shifted."""
    cells = layout.kept.get(k, [])
    width = layout.width
    return len(cells) > width and all(cells[:width]) and not any(map(str.strip, cells[width:]))


def _misfit(layout: Layout, wrong: Sequence[int]) -> DataError:
    """The error for rows of another number of cells than the header has."""
    k = wrong[0]
    short = layout.widths[k] < layout.width
    shown = clip(layout.dialect.delimiter.join(layout.kept[k]).replace(NONE, " "), 60)
    more = f" (and in {counted(len(wrong) - 1, 'further row')})" if len(wrong) > 1 else ""
    empty = ", the last one empty, as most rows have" if layout.cut else ""
    fix = "quote cells that hold the delimiter, or repair that line"
    if short and not (layout.dialect.pattern or layout.dialect.escaped):
        fix = ("repair that line; to fill short rows with gaps at their end, read it by a query: "
               f"\"FROM read_csv({sql_text(layout.source)}, null_padding=true)\"")  # fmt: skip
    return DataError(
        layout.source,
        "a row and the header differ in their number of cells",
        expected=f"{counted(layout.width + layout.cut, 'cell')}{empty}",
        got=f"{counted(layout.widths[k], 'cell')}{more}: {shown}",
        at=layout.at(k),
        fix=fix,
    )
