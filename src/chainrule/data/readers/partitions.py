"""Columns that the folders of a file name: year=2024, as Hive and Spark write them."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from chainrule.data.columns.texts import Notes
from chainrule.data.readers.duck import columns_of, connect
from chainrule.data.readers.sqltext import sql_text
from chainrule.data.table import Table

NONE = "__HIVE_DEFAULT_PARTITION__"
"""The value of a gap."""
WHOLE = re.compile(r"-?\d{1,18}")


def partitions(path: Path, *, typed: bool = False) -> dict[str, str]:
    """The cells that all rows of a file have, in SQL, by the names of their columns.

    typed: whether the other columns have types; else all cells are texts.
    """
    pairs = (part.partition("=") for part in path.parent.parts)
    found = {name: unquote(value) for name, equals, value in pairs if name and equals}
    return {name: _cell(value, typed=typed) for name, value in found.items()}


def _cell(value: str, *, typed: bool) -> str:
    if value == NONE:
        return "NULL::VARCHAR"
    return f"{value}::BIGINT" if typed and WHOLE.fullmatch(value) else sql_text(value)


def with_partitions(table: Table, path: Path) -> Table:
    """The table of a file with the columns that its folders name, unless it has them."""
    cells = {name: cell for name, cell in partitions(path).items() if name not in table}
    if not cells:
        return table
    _, connection = connect()
    with connection:
        chosen = ", ".join(f"{cell} AS c{k}" for k, cell in enumerate(cells.values()))
        connection.execute(f"CREATE TABLE t AS SELECT {chosen} FROM range({len(table)})")
        columns = columns_of(connection, list(cells), Notes(), typed=False)
    return table.replaced([*table, *columns], table.notes, table.gaps)
