"""Reads rows that lie in a database on disk: in the process that wrote it, or beside it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column
from chainrule.data.columns.texts import Notes
from chainrule.data.readers.duck import BLOCK, columns_of, connect, sql_error
from chainrule.data.readers.sqltext import sql_text
from chainrule.data.shuffle import drawn, shuffled
from chainrule.data.table import Table, place
from chainrule.display.tables import bytes_text
from chainrule.errors import DataError
from chainrule.system.signals import interrupted_queries

THREADS = 4
MOST_DUCKDB, LEAST_DUCKDB = 4 * 10**9, 128 * 10**6
"""Bounds of the bytes that DuckDB may take."""
FULL = re.compile(
    r"no space left|file too large|max_temp_directory_size|failed to offload|disk quota|"
    r"could not write",
    re.I,
)
DATABASE = "rows.duckdb"
"""The file of the database in the folder."""
SHARED = ("source", "names", "typed", "rows", "parts", "folder", "memory")
"""The attributes of `Spooled` that another process needs."""


class Spooled:
    """The rows of a source, in order, in the table `spool.rows`.

    Attributes:
        source: as of a Table.
        names: of the columns; in the table they are c0, c1, ...
        typed: whether the source has types; else all cells are texts as they stand in CSV.
        rows: their number.
        parts: the files, each with its first row.
        folder: on disk, of the database.
        memory: the bytes that the process may take; DuckDB has a third.
        connection: to DuckDB.
    """

    source: str
    names: list[str]
    typed: bool
    rows: int
    parts: list[tuple[int, str]]
    folder: Path
    memory: int
    connection: Any

    def _connect(self, spill: Path, how: str) -> None:
        """Open the database; `how`: as in SQL."""
        taken = int(np.clip(self.memory // 3, LEAST_DUCKDB, MOST_DUCKDB))
        settings = [
            f"SET memory_limit='{taken // 10**6}MB'",
            f"SET threads={min(THREADS, os.cpu_count() or 1)}",
            f"SET temp_directory={sql_text(str(spill))}",
        ]
        self._duckdb, self.connection = connect(settings=settings, lock=False)
        self._attach(how)

    def _attach(self, how: str) -> None:
        database = sql_text(str(self.folder / DATABASE))
        self.connection.execute(f"ATTACH {database} AS spool {how}")

    @contextlib.contextmanager
    def named(self, name: str) -> Iterator[None]:
        """Names the file in an error of DuckDB."""
        try:
            yield
        except self._duckdb.Error as error:
            raise self._failed(name, error) from None

    def _failed(self, name: str, error: Exception) -> DataError:
        text = str(error)
        if FULL.search(text):
            return full_disk(self.source, self.folder)
        if "Out of Memory" in text:
            return DataError(self.source, "needs more memory than it may take",
                             got=bytes_text(self.memory),
                             fix=f'memory="{2 * self.memory // 10**6}MB"')  # fmt: skip
        return sql_error(name, error)

    def table(self, begin: int = 0, end: int | None = None) -> Table:
        """The rows from `begin` to before `end`, as `read` gives them."""
        end = self.rows if end is None else end
        return self.table_of(f"rowid >= {begin} AND rowid < {end}", np.arange(begin, end))

    def table_of(self, which: str, origin: Any = None) -> Table:
        """The rows that fulfil a condition in SQL, in order; `origin` are their numbers."""
        notes, columns = Notes(), list[Column]()
        with interrupted_queries(), self.named(self.source):
            for start in range(0, len(self.names), BLOCK):
                block = self.names[start : start + BLOCK]
                cells = ", ".join(f"c{start + k} AS c{k}" for k in range(len(block)))
                self.connection.execute(
                    f"CREATE OR REPLACE TABLE t AS SELECT {cells} FROM spool.rows WHERE {which} "
                    "ORDER BY rowid"
                )
                columns += columns_of(self.connection, block, notes, typed=self.typed)
        parts = self.parts if len(self.parts) > 1 else ()
        return Table(columns, source=self.source, notes=notes.lines(), origin=origin, parts=parts)

    def blocks(self, size: int) -> Iterator[Table]:
        """All rows in order, `size` at a time."""
        for begin in range(0, self.rows, size):
            yield self.table(begin, min(begin + size, self.rows))

    def random_rows(self, most: int) -> NDArray[np.int64]:
        """Numbers of rows at random, ascending, the same for the same number of rows."""
        if self.rows <= most:
            return np.arange(self.rows)
        some = drawn(self.rows, 2 * most, 0)
        return np.sort(some[shuffled(len(some), 0)[:most]])

    def sample(self, most: int) -> Table:
        """Rows at random as a table, in their order; all where they are few."""
        rows = self.random_rows(most)
        if len(rows) == self.rows:
            return self.table()
        self.connection.execute(
            "CREATE OR REPLACE TABLE sampled AS SELECT unnest(?) AS r", [rows.tolist()]
        )
        return self.table_of("rowid IN (SELECT r FROM sampled)", rows)

    def place(self, row: int) -> str:
        """The file of a row and its number in it, for a message."""
        return place(self.source, self.parts if len(self.parts) > 1 else (), row)


@contextlib.contextmanager
def opened(shared: Mapping[str, Any]) -> Iterator[Spooled]:
    """The rows that another process of this machine has read, and keeps; see `Spool.shared`."""
    found = Spooled()
    vars(found).update(shared)
    found._connect(found.folder / f"spill-{os.getpid()}", "(READ_ONLY)")
    with found.connection:
        yield found


def full_disk(source: str, folder: Path) -> DataError:
    """The error where the folder for temporary data is full."""
    free = shutil.disk_usage(folder).free if folder.exists() else 0
    return DataError(
        source, "the disk for temporary data is full", got=f"{bytes_text(free)} free",
        at=str(folder.parent), fix="free some, or name another folder: TMPDIR=/path/to/folder",
    )  # fmt: skip
