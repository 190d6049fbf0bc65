"""Takes rows that hold no data from a table: names again, empty rows and remarks at its end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from chainrule.data.columns.gaps import GAP_TEXTS
from chainrule.data.columns.texts import Notes
from chainrule.data.readers.header import numeric_columns
from chainrule.data.table import clip, counted

SUM = re.compile(
    r"(grand |sub)?-?(totals?|sums?|average|mean|median|count|total general|gesamt|summe|somme|suma"
    r"|totale|итого|всего|合計|合计)\b.{0,12}", re.IGNORECASE,
)  # fmt: skip
LOOKED_AT = 50  # columns


def tidy(
    connection: Any, header: Sequence[str] | None, body: Sequence[Sequence[str]], notes: Notes
) -> None:
    """Deletes rows of the table t that hold no data, and notes them and rows that are like names.

    `body` are the first rows below the header.
    """
    width = len(connection.execute("DESCRIBE t").fetchall())
    if header is not None and width > 1:
        _repeated_names(connection, header, notes)
    _empty_end(connection, width, notes)
    if width > 1:
        _last_row(connection, width, notes)
    _words(connection, numeric_columns(body)[:LOOKED_AT], notes)


def _repeated_names(connection: Any, header: Sequence[str], notes: Notes) -> None:
    """Deletes rows that repeat the header, as files have that were joined."""
    held = [(i, name) for i, name in enumerate(header) if name][:LOOKED_AT]
    if not held:
        return
    same = " AND ".join(f"c{i} = ?" for i, _ in held)
    count = connection.execute(f"DELETE FROM t WHERE {same}", [x for _, x in held]).fetchone()[0]
    if count:
        notes.add(f"{counted(count, 'row')} that repeat the header left out")


def _empty_end(connection: Any, width: int, notes: Notes) -> None:
    """Deletes rows at the end that hold nothing, as a spreadsheet writes them."""
    held = " OR ".join(f"trim(c{i}) <> ''" for i in range(width))
    last = connection.execute(f"SELECT max(rowid) FROM t WHERE {held}").fetchone()[0]
    if last is None:
        return
    count = connection.execute("DELETE FROM t WHERE rowid > ?", [last]).fetchone()[0]
    if count and width > 1:  # in one column they are blank lines
        notes.add(f"{counted(count, 'row')} of empty cells at the end left out")


def _last_row(connection: Any, width: int, notes: Notes) -> None:
    """Deletes a last row that is a sentence in its first cell, under full rows; notes sums."""
    end = connection.execute("SELECT * FROM t ORDER BY rowid DESC LIMIT 2").fetchall()
    filled = [[cell.strip() for cell in row if cell and cell.strip()] for row in end]
    if len(end) < 2 or not filled[0]:
        return
    text = filled[0][0]
    if SUM.fullmatch(text):
        notes.add(f"the last row begins with {clip(text, 60)!r}: is it a sum? It is read as a row")
    if width < 3 or len(filled[0]) != 1 or not end[0][0] or len(filled[1]) < width / 2:
        return
    if len(text.split()) > 1 or text.startswith(("#", "*")):
        connection.execute("DELETE FROM t WHERE rowid = (SELECT max(rowid) FROM t)")
        notes.add(f"the last row is left out: it has one cell alone, {clip(text, 60)!r}")
    else:
        notes.add(f"the last row has one cell alone, {clip(text, 60)!r}, and is read as a row")


def _words(connection: Any, numeric: Sequence[int], notes: Notes) -> None:
    """Notes rows with words in all columns of numbers, as a second table's header has them."""
    if len(numeric) < 2:
        return
    gaps = ", ".join(f"'{text}'" for text in sorted(GAP_TEXTS))
    words = " AND ".join(
        [*(f"c{i} >= 'A'" for i in numeric), *(f"c{i} NOT IN ({gaps})" for i in numeric)]
    )
    found = connection.execute(f"SELECT rowid, * FROM t WHERE {words} LIMIT 100").fetchall()
    if not found:
        return
    position, *cells = found[0]
    row = connection.execute("SELECT count(*) FROM t WHERE rowid <= ?", [position]).fetchone()[0]
    shown = clip(", ".join(cell for cell in cells[:8] if cell), 60)
    more = f", and so do {len(found) - 1} more" if len(found) > 1 else ""
    notes.add(f"row {row} holds words where the others hold numbers ({shown}){more}: names of "
              "another table? It is read as a row")  # fmt: skip


def tell_apostrophes(connection: Any, names: Sequence[str], notes: Notes) -> None:
    """Notes cells and names in single quotes, which are kept."""
    counts = ", ".join(f"count(*) FILTER (c{i} LIKE '''%''')" for i in range(len(names)))
    found = sum(connection.execute(f"SELECT {counts} FROM t").fetchone())
    found += sum(name.startswith("'") and name.endswith("'") for name in names)
    if found:
        notes.add(f"{counted(found, 'cell')} in single quotes: the quotes are kept as text")
