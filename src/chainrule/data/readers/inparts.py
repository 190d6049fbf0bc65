"""Decides whether a source is read in parts: by its size against the free memory, or by choice."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chainrule.data.readers.duck import connect, literal_path
from chainrule.data.readers.several import name_of, several
from chainrule.data.readers.sources import find, is_query
from chainrule.data.readers.spool import Spool
from chainrule.data.readers.stdin import STDIN
from chainrule.display.tables import bytes_text
from chainrule.errors import DataError, SettingError
from chainrule.system.memory import free_memory, parse_size

TAKEN = 10
"""Bytes that a table takes, in all steps of training, for each byte of its cells as numbers."""
CELL = 8
"""Bytes of a cell as a number; in CSV it has about as many characters."""
PACKED = {".gz": 6, ".json": 0.5, ".jsonl": 0.5, ".ndjson": 0.5}
"""Bytes of cells for each byte of a file, by its ending; of others 1."""
FREE_SHARE = 0.5
"""The share of the free memory that a table may take."""
LEAST = 400 * 10**6
"""Bytes that a process with less than a table takes."""
USUAL = 10**9
"""Bytes of memory that reading in parts takes at most, where it is not chosen."""
FEW = 1 << 20
"""Bytes of a Parquet file up to which its size says enough."""
QUOTED = re.compile(r"'([^']+)'")


class InParts(NamedTuple):
    """A source that is read in parts.

    Attributes:
        source: a query, or files.
        name: in messages.
        memory: the bytes that it may take.
        sentence: why it is read so.
        encoding: of text, where it is given.
    """

    source: str | Sequence[Path]
    name: str
    memory: int
    sentence: str
    encoding: str | None = None

    def spool(self, *, header: bool | None = None) -> Spool:
        """Read all rows to disk. Raises DataError."""
        return Spool(
            self.source, self.name, memory=self.memory, header=header, encoding=self.encoding
        )


def in_parts(
    source: Any, *, stream: bool = False, memory: str | float | None = None,
    encoding: str | None = None, sheet: str | None = None, processes: int = 1,
) -> InParts | None:  # fmt: skip
    """The way to read a source in parts; None: it is read as a whole, as sheets always are.

    Args:
        stream: whether it is chosen.
        memory: the bytes that all may take, as '1GB'; None: half of what is free, or 1 GB where it
            is read in parts.
        encoding, sheet: as of `read`.
        processes: that share the memory, each with all of a table that is read as a whole.

    Raises:
        SettingError: not a size. DataError: a source that cannot be read in parts was asked to be.
    """
    if sheet is not None:
        return None
    budget = None if memory is None else parse_size(memory)
    if budget is not None and budget < LEAST:
        raise SettingError("memory", "is too little to read anything", got=str(memory),
                           expected=f"at least {bytes_text(LEAST)}")  # fmt: skip
    found = _files(source)
    if found is None:
        if stream:
            raise DataError(
                "stream", "this is not read in parts", got=_words(source),
                expected="files (CSV, Parquet, JSON), a pattern or folder of them, or a query",
                fix="write it to a Parquet file, or leave out stream=True",
            )  # fmt: skip
        return None
    what, name = found
    taken, free = TAKEN * cell_bytes(what), free_memory()
    most = int(FREE_SHARE * free / processes) if budget is None else budget
    if not stream and taken <= most:
        return None
    limit = min(USUAL, max(most, LEAST)) if budget is None else budget
    each = f" of each of {processes} processes" if processes > 1 else ""
    room = f", {bytes_text(free)} free" if budget is None else ""
    why = "as asked for" if stream else f"{bytes_text(taken)} in memory{each}{room}"
    told = f"{why}: streamed, with at most {bytes_text(limit)}"
    return InParts(what, name, limit, told, encoding)


def _words(source: Any) -> str:
    return str(source) if isinstance(source, (str, os.PathLike)) else type(source).__name__


def _files(source: Any) -> tuple[str | Sequence[Path], str] | None:
    """The query or the files of a source, and its name; None: it is something else."""
    if isinstance(source, str) and is_query(source):
        return source, "the SQL query"
    files = several(source)
    if files is not None:
        name = name_of(files) if isinstance(source, (list, tuple)) else str(source)
        return files, name
    if not isinstance(source, (str, os.PathLike)) or str(source) in ("-", STDIN):
        return None
    path = find(source)
    if not path.is_file() or not _streamed(path):
        return None
    return [path], path.name if path.name == Path(source).name else str(source)


def _streamed(path: Path) -> bool:
    """Whether a file has one of the formats that are read in parts."""
    known = (".csv", ".tsv", ".txt", ".parquet", ".json", ".jsonl", ".ndjson", ".data")
    if any(x.lower() in known for x in path.suffixes):
        return True
    with path.open("rb") as opened:
        return opened.read(4) == b"PAR1"


def cell_bytes(source: str | Sequence[Path]) -> int:
    """About the bytes of the cells of a query or of files, as numbers."""
    if not isinstance(source, str):
        return sum(map(_file_bytes, source))
    total = 0
    for text in QUOTED.findall(source):
        try:
            files = several(text) or ([Path(text)] if os.path.isfile(text) else [])
        except (DataError, OSError, ValueError):
            continue
        total += sum(map(_file_bytes, files))
    return total


def _file_bytes(path: Path) -> int:
    try:
        size = path.stat().st_size
        with path.open("rb") as opened:
            parquet = opened.read(4) == b"PAR1"
    except OSError:
        return 0
    if not parquet or size < FEW:
        return int(size * PACKED.get(path.suffix.lower(), 1))
    duckdb, connection = connect()
    with connection:
        try:
            rows = "SELECT sum(num_rows) FROM parquet_file_metadata(?)"
            (count,) = connection.execute(rows, [literal_path(path)]).fetchone()
            columns = connection.execute(
                "DESCRIBE SELECT * FROM read_parquet(?)", [literal_path(path)]
            ).fetchall()
        except duckdb.Error:  # told where it is read
            return size
    return int(count or 0) * len(columns) * CELL
