"""Finds the cells of a CSV file that look like gaps but are quoted, and so are values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.columns.gaps import GAP_TEXTS, NO_VALUE, QUOTED

PIECE = 1 << 22
"""Bytes of a file at a time."""


class Quotes:
    """The quotes of the file that table t was read from, found by reading it once more.

    It is read again only where it holds a text such as "NA" in quotes.
    """

    def __init__(self, path: Path, query: str, options: Sequence[Any], quote: str = '"') -> None:
        """`query` selects from read_csv(?, ...) with these options, whose first is the path."""
        gaps = "[" + ", ".join(f"'{text}'" for text in sorted(NO_VALUE)) + "]"
        call = f"read_csv(?, nullstr={gaps}, allow_quoted_nulls=false"
        self._path, self._quote, self._options = path, quote, list(options)
        self._query = query.replace("read_csv(?", call, 1)
        self._read = False

    def around(self, connection: Any, i: int, texts: Collection[str]) -> NDArray[np.bool_] | None:
        """Whether each cell of column i of t that looks like a gap is quoted (n,); None: none is.

        texts: those in the column that look like gaps.
        """
        if not self._found(connection, texts):
            return None
        found: NDArray[np.bool_] = connection.execute(
            f"SELECT q.c{i} AS c FROM t JOIN quoted AS q ON t.rowid = q.rowid ORDER BY t.rowid"
        ).fetchnumpy()["c"]
        return np.ma.getdata(found)

    def mark(self, connection: Any, width: int) -> None:
        """Put QUOTED before the cells of t that look like gaps but are quoted, in all columns."""
        words = "[" + ", ".join(f"'{text}'" for text in sorted(GAP_TEXTS)) + "]"
        for i in range(width if self._found(connection, GAP_TEXTS) else 0):
            connection.execute(
                f"UPDATE t SET c{i} = chr({ord(QUOTED)}) || c{i} FROM quoted AS q WHERE "
                f"q.rowid = t.rowid AND q.c{i} AND list_contains({words}, t.c{i})"
            )
        if self._read:
            connection.execute("DROP TABLE quoted")

    def _found(self, connection: Any, texts: Collection[str]) -> bool:
        """Whether one of the texts is quoted in the file, which is read again in that case."""
        if not self._read and self._holds(texts):
            width = range(len(connection.execute("DESCRIBE t").fetchall()))
            flags = ", ".join(f"c{k} IS NOT NULL AS c{k}" for k in width)
            query = f"CREATE TABLE quoted AS SELECT {flags} FROM ({self._query})"
            connection.execute(query, self._options)
            self._read = True
        return self._read

    def _holds(self, texts: Collection[str]) -> bool:
        """Whether one of the texts stands in quotes somewhere in the file."""
        wanted = [f"{self._quote}{text}{self._quote}".encode() for text in texts]
        longest, rest = max(map(len, wanted)), b""
        with self._path.open("rb") as file:
            while piece := file.read(PIECE):
                rest = rest[-longest:] + piece
                if any(text in rest for text in wanted):
                    return True
        return False
