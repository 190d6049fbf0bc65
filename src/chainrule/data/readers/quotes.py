"""Finds the cells of a CSV file that look like gaps but are quoted, and so are values."""

from __future__ import annotations

import mmap
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.columns.gaps import NO_VALUE


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
        if not self._read and not self._holds(texts):
            return None
        if not self._read:
            width = range(len(connection.execute("DESCRIBE t").fetchall()))
            flags = ", ".join(f"c{k} IS NOT NULL AS c{k}" for k in width)
            query = f"CREATE TABLE quoted AS SELECT {flags} FROM ({self._query})"
            connection.execute(query, self._options)
            self._read = True
        found: NDArray[np.bool_] = connection.execute(
            f"SELECT q.c{i} AS c FROM t JOIN quoted AS q ON t.rowid = q.rowid ORDER BY t.rowid"
        ).fetchnumpy()["c"]
        return np.ma.getdata(found)

    def _holds(self, texts: Collection[str]) -> bool:
        """Whether one of the texts stands in quotes somewhere in the file."""
        wanted = [f"{self._quote}{text}{self._quote}".encode() for text in texts]
        with (
            self._path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return any(content.find(text) >= 0 for text in wanted)
