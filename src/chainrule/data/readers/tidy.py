"""Takes rows that hold no data from a table: names again, empty rows and remarks at its end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from chainrule.data.columns.gaps import GAP_TEXTS
from chainrule.data.columns.texts import Notes
from chainrule.data.readers.header import begins_table, divided, is_remark, numeric_columns
from chainrule.display.format import clip, counted

SUM = re.compile(
    r"(grand |sub)?-?(totals?|sums?|average|mean|median|count|total general|gesamt|summe|somme|suma"
    r"|totale|итого|всего|合計|合计)\b.{0,12}", re.IGNORECASE,
)  # fmt: skip
LOOKED_AT = 50  # columns
REMARKS = 20  # rows


def tidy(
    connection: Any, header: Sequence[str] | None, body: Sequence[Sequence[str]], width: int,
    notes: Notes,
) -> None:  # fmt: skip
    """Deletes rows of the table t that hold no data, and notes them and rows that are like names.

    `body` are the first rows below the header, `width` is the number of columns.
    """
    repeated = 0
    if header is not None and width > 1:
        repeated = _repeated_names(connection, header, notes)
    end = _end(connection, repeated)
    if end and not any(cell and cell.strip() for cell in end[0]):
        _empty_end(connection, width, notes)
        end = _end(connection, repeated)
    if width > 1:
        _last_rows(connection, end, width, notes)
    else:
        _one_column(body, notes)
    looked_at = min(width, LOOKED_AT)
    columns = divided(body, looked_at) or divided(body[::-1], looked_at) or numeric_columns(body)
    _words(connection, columns[:LOOKED_AT], notes)


def _repeated_names(connection: Any, header: Sequence[str], notes: Notes) -> int:
    """Deletes and counts rows that repeat the header, as files have that were joined."""
    held = [(i, name) for i, name in enumerate(header) if name][:LOOKED_AT]
    if not held:
        return 0
    same = " AND ".join(f"c{i} = ?" for i, _ in held)
    delete = f"DELETE FROM t WHERE {same}"
    count: int = connection.execute(delete, [x for _, x in held]).fetchone()[0]
    if count:
        notes.add(f"{counted(count, 'row')} that repeat the header left out")
    return count


def _end(connection: Any, deleted: int) -> list[tuple[str | None, ...]]:
    """The last rows, from the last one up, where `deleted` are gone from their numbers."""
    last = connection.execute("SELECT max(rowid) FROM t").fetchone()[0]
    if last is None:
        return []
    above = last - REMARKS - 1 - deleted
    rows = connection.execute(f"SELECT * FROM t WHERE rowid > {above}").fetchall()
    return list(rows[: -REMARKS - 2 : -1])


def _empty_end(connection: Any, width: int, notes: Notes) -> None:
    """Deletes rows at the end that hold nothing, as a spreadsheet writes them."""
    held = " OR ".join(f"trim(c{i}) <> ''" for i in range(width))
    last = connection.execute(f"SELECT max(rowid) FROM t WHERE {held}").fetchone()[0]
    if last is None:
        return
    count = connection.execute("DELETE FROM t WHERE rowid > ?", [last]).fetchone()[0]
    if count and width > 1:  # in one column they are blank lines
        notes.add(f"{counted(count, 'row')} of empty cells at the end left out")


def _last_rows(
    connection: Any, end: Sequence[Sequence[str | None]], width: int, notes: Notes
) -> None:
    """Deletes last rows that are a sentence in their first cell, under full rows; notes sums."""
    filled = [[cell.strip() for cell in row if cell and cell.strip()] for row in end]
    if len(end) < 2 or not filled[0]:
        return
    if SUM.fullmatch(filled[0][0]):
        notes.add(f"the last row begins with {clip(filled[0][0], 60)!r}: is it a sum? It is read "
                  "as a row")  # fmt: skip
    alone = [len(texts) == 1 and bool(row[0]) for row, texts in zip(end, filled, strict=True)]
    count = alone.index(False) if False in alone else 0
    if width < 3 or not count or len(filled[count]) < width / 2:
        return
    one = count == 1
    rows = "the last row is" if one else f"the last {count} rows are"
    has = f"{'it has' if one else 'they have'} one cell alone, {clip(filled[count - 1][0], 60)!r}"
    texts = [row[0] for row in filled[:count]]
    if all(map(is_remark, texts)):
        connection.execute(
            f"DELETE FROM t WHERE rowid IN (SELECT rowid FROM t ORDER BY rowid DESC LIMIT {count})"
        )
        notes.add(f"{rows} left out: {has}")
    else:
        notes.add(f"{rows} read as {'a row' if one else 'rows'}: {has}")


def _one_column(body: Sequence[Sequence[str]], notes: Notes) -> None:
    """Notes words below an empty row under numbers, where each row is one cell."""
    for k in range(2, len(body)):
        if not any(body[k - 1]) and begins_table(body[:k], body[k : k + 2]):
            shown = clip(", ".join(row[0] for row in body[k : k + 2]), 60)
            notes.add(f"row {k + 1}, below an empty one, holds a word where others hold numbers "
                      f"({shown}): the name of another table? It is read as a row")  # fmt: skip
            return


def _words(connection: Any, numeric: Sequence[int], notes: Notes) -> None:
    """Notes rows with words in all columns of numbers, as a second table's header has them."""
    if len(numeric) < 2:
        return
    gaps = ", ".join(f"'{text}'" for text in sorted(GAP_TEXTS))
    words = " AND ".join(
        [
            *(f"(c{i} >= 'A' OR c{i} < '!')" for i in numeric),  # rules out most, and fast
            *(f"trim(c{i}) >= 'A'" for i in numeric),
            *(f"trim(c{i}) NOT IN ({gaps})" for i in numeric),
        ]
    )
    found = connection.execute(f"SELECT rowid FROM t WHERE {words} LIMIT 100").fetchall()
    if not found:
        return
    (position,) = found[0]
    cells = connection.execute(f"SELECT * FROM t WHERE rowid = {position}").fetchone()
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
