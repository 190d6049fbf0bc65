"""Tables from delimited text: CSV and its relatives, with what files of this kind suffer from."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from chainrule.data.columns.texts import Notes
from chainrule.data.readers.dialect import Dialect, guess_dialect
from chainrule.data.readers.duck import BLOCK, collect, connect, literal_path
from chainrule.data.readers.encoding import decode, detect, stated_encoding
from chainrule.data.readers.header import comments_above, padded_titles, read_header
from chainrule.data.readers.layout import lay_out
from chainrule.data.readers.quotes import Quotes
from chainrule.data.readers.records import any_length
from chainrule.data.readers.scan import Scan, scan
from chainrule.data.readers.tidy import tell_apostrophes, tidy
from chainrule.data.table import Table
from chainrule.display.tables import bytes_text
from chainrule.errors import DataError

SUFFIXES = (
    "CSV (.csv .tsv .txt), Parquet, JSON or JSON lines (.json .jsonl .ndjson), plain or .gz; "
    "spreadsheets (.xlsx .xls .ods); pictures: a folder, IDX, NPZ"
)
PREVIEW, LARGEST = 1 << 18, 1 << 23
EXCEL_DELIMITER = re.compile(r"\"?sep=(.)\"?\r?\n", re.IGNORECASE)  # before the header
PAGE = re.compile(r"\s*(<!doctype html|<html|<head|<\?xml)", re.IGNORECASE)
LINE_LIMIT = 1 << 24  # bytes; DuckDB's own is 2 MB


@dataclass(frozen=True)
class File:
    """A file, and its name for messages."""

    path: Path
    source: str

    def head(self) -> bytes:
        """The first bytes, with at least 30 lines where these are not very long."""
        with self.path.open("rb") as file:
            head = file.read(PREVIEW)
            while head.count(b"\n") < 30 and len(head) < LARGEST and (more := file.read(PREVIEW)):
                head += more
        return head

    def content(self) -> bytes:
        """All bytes."""
        return self.path.read_bytes()


class Loaded(NamedTuple):
    """The names of the columns of a delimited text, whose cells are in a table t, and its quotes.

    quotes: None where quoted cells are marked already.
    """

    names: list[str]
    quotes: Quotes | None


def read_delimited(file: File, head: bytes, *, header: bool | None, encoding: str | None) -> Table:
    """The table in a delimited text. Raises DataError with the line of what cannot be read."""
    notes = Notes()
    _, connection = connect()
    with connection:
        names, quotes = load_delimited(connection, file, head, notes, header, encoding)
        return collect(connection, names, file.source, notes, typed=False, quotes=quotes)


def _binary(head: bytes, path: str) -> tuple[str, str]:
    """The words for a binary file, and the way to its rows."""
    if head.startswith(b"SQLite format 3\0"):
        copy = f"sqlite3 -csv -header {path} 'SELECT * FROM TABLE' > table.csv"
        return "a database of SQLite", copy
    if head[8:12] == b"DUCK":
        return (
            "a database of DuckDB",
            f"a query: \"FROM read_duckdb('{path}', table_name='TABLE')\"",
        )
    return (
        f"a binary file that begins with {head[:8]!r}",
        "export it as CSV; if it is text, name its encoding: encoding='utf-16-le'",
    )


def load_delimited(
    connection: Any, file: File, head: bytes, notes: Notes, header: bool | None,
    encoding: str | None, most: int | None = None,
) -> Loaded:  # fmt: skip
    """Makes a table t of the cells of a delimited text, c0, c1, ..., as they stand.

    most: bytes up to which a text is read that needs more than DuckDB: it has to be in memory.

    Raises DataError with the line of what cannot be read.
    """
    encoding = encoding or stated_encoding(head)
    if encoding is None and b"\0" in head:
        got, fix = _binary(head, str(file.path))
        raise DataError(
            file.source, "is not a table that can be read", expected=SUFFIXES, got=got, fix=fix
        )
    with any_length():
        if encoding in (None, "utf-8", "utf-8-sig"):
            loaded = _regular(connection, file, head, notes, header)
            if loaded is not None:
                return loaded
        size = file.path.stat().st_size
        if most is not None and size > most:
            raise DataError(
                file.source, "has to be read whole, as it is not plain UTF-8 with equal records",
                expected=f"at most {bytes_text(most)} of such text",
                got=bytes_text(size),
                fix="write it anew as UTF-8 with one delimiter and equal records, or as Parquet",
            )  # fmt: skip
        return _irregular(connection, file, encoding, notes, header)


def _regular(
    connection: Any, file: File, head: bytes, notes: Notes, header: bool | None
) -> Loaded | None:
    """Loads UTF-8 whose records all have one form, by DuckDB; None: it is not so."""
    text = head.decode("utf-8", "ignore").removeprefix("\ufeff")
    _refuse_page(text, file.source)
    sample = _whole_lines(text)
    dialect = guess_dialect(sample)
    if EXCEL_DELIMITER.match(text) or not dialect.plain:
        return None
    try:
        with file.path.open("rb") as opened:
            found = scan(opened, dialect.delimiter, dialect.quote)
    except UnicodeDecodeError:
        return None
    if not found.regular or text[:1] in "\r\n":
        return None
    with contextlib.suppress(csv.Error):
        rows = list(dialect.reader(iter(io.StringIO(sample, newline=""))))[:200]
        rows = [row or [""] for row in rows]
        above = padded_titles(rows) or comments_above(rows)
        if not above and not (found.quoted and len(rows[0]) > BLOCK):
            _tell_dialect(dialect, notes)
            return _load(connection, file.path, file, rows, dialect, found, notes, header)
    return None


def _irregular(
    connection: Any, file: File, encoding: str | None, notes: Notes, header: bool | None
) -> Loaded:
    """Loads a text that needs more than DuckDB: its rows are written anew for it."""
    content = file.content()
    try:
        text = decode(content, encoding or "utf-8", file.source)
    except DataError:
        if encoding is not None:
            raise
        encoding = detect(content, file.source, notes)
        text = decode(content, encoding, file.source)
    _refuse_page(text, file.source)
    declared = EXCEL_DELIMITER.match(text)
    text = text[declared.end() :] if declared else text
    dialect = guess_dialect(_whole_lines(text), declared[1] if declared else None)
    _tell_dialect(dialect, notes)
    layout = lay_out(text, dialect, file.source, 2 if declared else 1, notes, header)
    plain = Dialect()
    with tempfile.TemporaryDirectory(prefix="chainrule-") as folder:
        copy = Path(folder) / "table.csv"
        with copy.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows(layout.rows())
        with copy.open("rb") as opened:
            found = scan(opened, plain.delimiter, plain.quote)
        apostrophes = f"{dialect.delimiter}'" in text and dialect.quote != "'"
        found.apostrophes |= apostrophes
        return _load(connection, copy, file, layout.head(), plain, found, notes, header)


def _load(
    connection: Any, path: Path, file: File, rows: list[list[str]], dialect: Dialect, found: Scan,
    notes: Notes, header: bool | None,
) -> Loaded:  # fmt: skip
    """Loads a regular file, of which `rows` are the first."""
    import duckdb  # noqa: PLC0415  (150 ms)

    if not rows:
        raise DataError(file.source, "the file holds no rows")
    names, has_header, below = read_header(rows, header, file.source, notes)
    types = {f"c{i}": "VARCHAR" for i in range(len(rows[0]))}
    query = (
        "SELECT * FROM read_csv(?, auto_detect=false, delim=?, quote=?, "
        "escape=?, header=?, columns=?, encoding='utf-8', max_line_size=?, new_line=?, "
        "compression='none', hive_partitioning=false)"
    )
    options: list[Any] = [
        literal_path(path), dialect.delimiter, dialect.quote, dialect.quote, has_header, types,
        max(LINE_LIMIT, 2 * found.longest), "\\r\\n" if found.returns else "\\n",
    ]  # fmt: skip
    try:
        connection.execute(f"CREATE TABLE t AS {query}", options)
    except duckdb.Error as error:
        raise _csv_error(file.source, str(error)) from None
    connection.execute(f"DELETE FROM t WHERE rowid < {below}")
    tidy(connection, rows[0] if has_header else None, rows[1 + below :], len(names), notes)
    if found.apostrophes:
        tell_apostrophes(connection, names, notes)
    marked = path != file.path or len(names) > BLOCK
    return Loaded(names, None if marked else Quotes(path, query, options, dialect.quote))


def _tell_dialect(dialect: Dialect, notes: Notes) -> None:
    if dialect.described:
        notes.add(dialect.described)


def _refuse_page(text: str, source: str) -> None:
    """Rejects a web page that was saved instead of a table, often a login page."""
    if PAGE.match(text):
        raise DataError(
            source,
            "is HTML or XML, not a table",
            got=text.strip()[:40].replace("\n", " "),
            fix="open it in a browser: it may ask for a login, or say where the file is",
        )


def _whole_lines(text: str) -> str:
    """The first lines of a text, without one that is cut off."""
    cut = text[:LARGEST]
    if len(cut) < PREVIEW // 4 or "\n" not in cut:
        return cut
    ends = (found.end() for found in re.finditer("\n", cut))
    for number, end in enumerate(ends):
        if number >= 30 and end > PREVIEW // 4:
            return cut[:end]
    return cut[: cut.rindex("\n") + 1]


def _csv_error(source: str, message: str) -> DataError:
    """The error for DuckDB's message about a file that should be regular."""
    line = re.search(r"Error on Line: (\d+)", message)
    what = [line for line in message.splitlines() if line and "Line:" not in line]
    return DataError(source, (what or ["DuckDB rejected it"])[0], fix="repair it",
                     at=f"{source}, line {line[1]}" if line else None)  # fmt: skip
