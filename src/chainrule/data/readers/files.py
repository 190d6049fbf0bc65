"""Tables from files: detects their format, encoding, delimiter and header."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from chainrule.data.columns.cells import PLAIN_NUMBER
from chainrule.data.columns.gaps import GAP_TEXTS
from chainrule.data.columns.texts import Notes
from chainrule.data.readers.duck import collect, connect, read_typed
from chainrule.data.readers.quotes import Quotes
from chainrule.data.table import Table, counted, refuse_duplicates
from chainrule.errors import DataError

SUFFIXES = "CSV (.csv .tsv .txt), Parquet, JSON or JSON lines (.json .jsonl .ndjson), plain or .gz"
PREVIEW = 1 << 18
EXCEL_DELIMITER = re.compile(r"\"?sep=(.)\"?\r?\n", re.IGNORECASE)  # before the header
QUOTED = re.compile(r'"[^"]*"')
PAGE = re.compile(r"\s*(<!doctype html|<html|<head|<\?xml)", re.IGNORECASE)


def read_file(path: Path, *, header: bool | None = None, encoding: str | None = None) -> Table:
    """Returns the table in a file; its first bytes and its name determine the format."""
    source = path.name
    _refuse_unreadable(path)
    with path.open("rb") as file:
        magic = file.read(4)
    compressed = magic[:2] == b"\x1f\x8b"
    inner = path.with_suffix("").name if compressed and path.suffix == ".gz" else path.name
    suffix = Path(inner).suffix.lower()
    if magic == b"PAR1":
        return read_typed("SELECT * FROM read_parquet(?)", [_literal(path)], source)
    if suffix in (".json", ".jsonl", ".ndjson", ".geojson"):
        query = "SELECT * FROM read_json(?, sample_size=-1)"
        return read_typed(query, [_literal(path)], source)
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            head = file.read(PREVIEW)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(source, "cannot be unpacked", got=str(error), fix="get it again") from None
    if encoding is None and head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    if b"\0" in head and encoding is None:
        raise DataError(
            source,
            "is not a table that can be read",
            expected=SUFFIXES,
            got=f"a binary file that begins with {head[:8]!r}",
            fix="export it as CSV or Parquet",
        )
    notes = Notes()
    try:
        return _read_csv(path, head, compressed, notes, header=header, encoding=encoding or "utf-8")
    except _NotInEncoding:
        if encoding is not None or not _western(path, compressed):
            raise
    notes.add("the file is not UTF-8: read as Windows-1252, as Excel writes it in Western Europe")
    return _read_csv(path, head, compressed, notes, header=header, encoding="windows-1252")


def _refuse_unreadable(path: Path) -> None:
    source = path.name
    if path.stat().st_size == 0:
        raise DataError(source, "the file is empty", at=path)
    if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise DataError(
            source, "spreadsheets are not read", expected=SUFFIXES, fix="save the sheet as CSV"
        )


def _literal(path: Path) -> str:
    """The path with its glob characters made literal."""
    return re.sub(r"[\[*?]", lambda found: f"[{found[0]}]", str(path))


# CSV -----------------------------------------------------------------------------------------


class _NotInEncoding(DataError):
    """Bytes that are not valid in the encoding."""


def _western(path: Path, compressed: bool) -> bool:
    """Whether a file is probably Windows-1252, rather than UTF-8 with a few bad bytes."""
    data = _content(path, compressed)
    with contextlib.suppress(UnicodeDecodeError):
        data.decode("windows-1252")
        return data.decode("utf-8", "ignore").isascii()
    return False


def _content(path: Path, compressed: bool) -> bytes:
    with gzip.open(path) if compressed else path.open("rb") as file:
        return file.read()


def _read_csv(
    path: Path, head: bytes, compressed: bool, notes: Notes, *, header: bool | None, encoding: str
) -> Table:
    source = path.name
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=False)
    except (UnicodeDecodeError, LookupError) as error:
        raise _encoding_error(path, compressed, encoding, error) from None
    text = text.removeprefix("\ufeff")
    _refuse_page(text, source)
    declared = EXCEL_DELIMITER.match(text)
    text = text[declared.end() :] if declared else text
    delimiter = declared[1] if declared else _guess_delimiter(text)
    above = 0 if declared else _lines_above(text, delimiter)
    if above:
        text = "".join(text.splitlines(keepends=True)[above:])
        notes.add(f"{counted(above, 'line')} above the header skipped")
    preview = list(csv.reader(_whole_lines(text), delimiter=delimiter))[:200]
    preview = [row for row in preview if row]
    if not preview:
        raise DataError(source, "the file holds no rows", at=path)
    has_header = _guess_header(preview) if header is None else header
    names = _names(preview[0], has_header, source, notes)
    columns = {f"c{i}": "VARCHAR" for i in range(len(names))}
    query = (
        "SELECT * FROM read_csv(?, auto_detect=false, delim=?, quote='\"', escape='\"', header=?, "
        "columns=?, encoding=?, max_line_size=16777216, compression=?, skip=?"
        f"{_line_end(text, preview[0])})"
    )
    duckdb, connection = connect()
    with connection, _readable(path, compressed, encoding) as (file, compression, known):
        options = [delimiter, has_header, columns, known, compression, 1 if declared else above]
        try:
            options.insert(0, _literal(file))
            connection.execute(f"CREATE TABLE t AS {query}", options)
        except duckdb.Error as error:
            raise _csv_error(path, compressed, encoding, str(error)) from None
        if len(names) == 1:  # blank lines at the end are not rows
            last = "(SELECT max(rowid) FROM t WHERE c0 IS NOT NULL)"
            connection.execute(f"DELETE FROM t WHERE rowid > {last}")
        return collect(connection, names, source, notes, typed=False,
                       quotes=Quotes(file, query, options))  # fmt: skip


def _refuse_page(text: str, source: str) -> None:
    """Rejects a web page that was saved instead of a table, often a login page."""
    if PAGE.match(text):
        raise DataError(
            source,
            "is HTML or XML, not a table",
            got=text.strip()[:40].replace("\n", " "),
            fix="open it in a browser: it may ask for a login, or say where the file is",
        )


@contextlib.contextmanager
def _readable(path: Path, compressed: bool, encoding: str) -> Iterator[tuple[Path, str, str]]:
    """Yields a file that DuckDB reads, its compression and encoding; a UTF-8 copy if needed."""
    name = codecs.lookup(encoding).name
    known = {"utf-8": "utf-8", "ascii": "utf-8", "iso8859-1": "latin-1"}
    if name in known:
        yield path, "gzip" if compressed else "none", known[name]
        return
    with tempfile.TemporaryDirectory(prefix="chainrule-") as folder:
        copy = Path(folder) / "utf-8.csv"
        try:
            copy.write_bytes(_content(path, compressed).decode(encoding).encode())
        except UnicodeError:
            raise _encoding_error(path, compressed, encoding, None) from None
        yield copy, "none", "utf-8"


def _whole_lines(text: str) -> io.StringIO:
    """The text without the last line, which the preview may have cut off."""
    if len(text) >= PREVIEW // 4 and "\n" in text:
        text = text[: text.rindex("\n")]
    return io.StringIO(text, newline="")


def _line_end(text: str, header: Sequence[str]) -> str:
    """The option for line ends, needed if a name contains one that would mislead DuckDB."""
    if not any("\n" in name for name in header):
        return ""
    end = re.search(r"\r?\n", QUOTED.sub("", text))
    return ", new_line='\\r\\n'" if end and end[0] == "\r\n" else ""


def _guess_delimiter(text: str) -> str:
    """The delimiter among , tab ; | that splits the first lines most evenly."""
    lines = text[: PREVIEW // 4].splitlines()[:30]
    lines = lines[:-1] if len(lines) == 30 else lines

    def score(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual) / max(len(widths), 1) if usual > 1 else 0.0, usual)

    return max(",\t;|", key=score)


def _lines_above(text: str, delimiter: str) -> int:
    """The number of lines above the header: titles of one cell, and blank lines."""
    lines = text[: PREVIEW // 4].splitlines()[:30]
    widths = [len(next(csv.reader([line], delimiter=delimiter), [])) for line in lines]
    usual = max(set(widths), key=widths.count, default=1)
    first = next((k for k, width in enumerate(widths) if width > 1), 0)
    titles = any(lines[:first]) and not any('"' in line for line in lines[:first])
    return first if usual > 1 and widths[first] == usual and titles else 0


def _is_number(cell: str) -> bool:
    return PLAIN_NUMBER.fullmatch(cell.strip()) is not None


def _guess_header(preview: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns.

    It does unless it contains a number, and no text is above a column of numbers. A first row
    0, 1, 2, ... is a header too: the numbered columns of a data frame.
    """
    first, body = preview[0], preview[1:]
    numbers = [cell for cell in first if _is_number(cell)]
    if not numbers:
        return True
    counted = [cell.strip() for cell in first if cell.strip()]
    if len(counted) > 2 and counted in [
        [str(i + start) for i in range(len(counted))] for start in (0, 1)
    ]:
        return True
    for position, cell in enumerate(first):
        below = [row[position].strip() for row in body if len(row) > position]
        below = [text for text in below if text and text not in GAP_TEXTS]
        named = cell.strip() and not _is_number(cell) and cell.strip() not in GAP_TEXTS
        if named and below and all(map(_is_number, below)):
            return True
    return False


def _names(first: Sequence[str], has_header: bool, source: str, notes: Notes) -> list[str]:
    if not has_header:
        notes.add("the file has no header; its columns are named x0, x1, ...")
        return [f"x{i}" for i in range(len(first))]
    names = [cell.strip() for cell in first]
    refuse_duplicates([name for name in names if name], source)
    for i, name in enumerate(names):
        if not name:
            names[i] = f"unnamed_{i}"
            notes.add(f"column {i + 1} has no name in the header; named {names[i]!r}")
    return names


def _csv_error(path: Path, compressed: bool, encoding: str, message: str) -> DataError:
    """The error for DuckDB's message about a CSV file, with the line."""
    if "unicode" in message or "not utf-8" in message:
        return _encoding_error(path, compressed, encoding, None)
    line = re.search(r"Error on Line: (\d+)", message)
    widths = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    place = f"{path.name}, line {line[1]}" if line else path
    if widths:
        return DataError(
            path.name,
            "a row and the header differ in their number of cells",
            expected=f"{widths[1]} cells",
            got=f"{widths[2]} cells",
            at=place,
            fix="quote cells that hold the delimiter, or repair that line",
        )
    if "quote" in message:
        return DataError(path.name, "a quoted cell is not closed, or text follows its quote",
                         at=place, fix='close it, and write " inside a cell twice')  # fmt: skip
    what = [line for line in message.splitlines() if line and "Line:" not in line]
    return DataError(path.name, (what or ["DuckDB rejected it"])[0], at=place, fix="repair it")


def _encoding_error(
    path: Path, compressed: bool, encoding: str, error: Exception | None
) -> DataError:
    """The error for the first byte that is not valid in the encoding, found by decoding."""
    if isinstance(error, LookupError) and not isinstance(error, UnicodeError):
        return DataError(path.name, "unknown encoding", got=encoding, fix="utf-8 or latin-1")
    data = _content(path, compressed)
    try:
        data.decode(encoding)
    except UnicodeDecodeError as found:
        line, start = data.count(b"\n", 0, found.start) + 1, max(found.start - 12, 0)
        near = data[start : found.start + 12].decode("latin-1").replace("\n", " ")
        return _NotInEncoding(
            path.name,
            f"is not {encoding.upper()}",
            got=f"byte 0x{data[found.start]:02x} at offset {found.start}: {near!r} in Latin-1",
            at=f"{path.name}, line {line}",
            fix="read(path, encoding='latin-1'), or save it as UTF-8: "
            f"iconv -f latin1 -t utf-8 {path.name} > utf8.csv",
        )
    return DataError(path.name, "is not valid text in its encoding", expected=encoding)
