"""Tables from files and SQL queries, read by DuckDB."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import GAP_TEXTS, ISO_DATE, PLAIN_NUMBER, Notes, all_plain, text_column
from chainrule.data.table import Column, Table, listed, refuse_duplicates
from chainrule.errors import DataError

SUFFIXES = "CSV (.csv .tsv .txt), Parquet, JSON or JSON lines (.json .jsonl .ndjson), plain or .gz"
PREVIEW = 1 << 18
SETTINGS = (
    "SET python_enable_replacements=false",
    "SET autoinstall_known_extensions=false",
    "SET autoload_known_extensions=false",
    "SET enable_progress_bar=false",
    "SET lock_configuration=true",
)


def read_file(path: Path, *, header: bool | None = None, encoding: str = "utf-8") -> Table:
    """The table in a file; its format is told by its first bytes and its name."""
    source = path.name
    _refuse_unreadable(path)
    with path.open("rb") as file:
        magic = file.read(4)
    packed = magic[:2] == b"\x1f\x8b"
    inner = path.with_suffix("").name if packed and path.suffix == ".gz" else path.name
    suffix = Path(inner).suffix.lower()
    if magic == b"PAR1":
        return _read_query("SELECT * FROM read_parquet(?)", [_literal(path)], source)
    if suffix in (".json", ".jsonl", ".ndjson", ".geojson"):
        query = "SELECT * FROM read_json(?, sample_size=-1)"
        return _read_query(query, [_literal(path)], source)
    with gzip.open(path) if packed else path.open("rb") as file:
        head = file.read(PREVIEW)
    if b"\0" in head and encoding == "utf-8" and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            source,
            "is not a table that can be read",
            expected=SUFFIXES,
            got=f"a binary file that begins with {head[:8]!r}",
            fix="export it as CSV or Parquet",
        )
    return _read_csv(path, head, packed, header=header, encoding=encoding)


def read_query(query: str) -> Table:
    """The result of one SELECT. Nothing is written: every other statement is refused."""
    duckdb, connection = _connect()
    with connection:
        try:
            statements = connection.extract_statements(query)
        except duckdb.Error as error:
            raise _sql_error("the SQL query", error) from None
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise DataError(
                "the SQL query",
                "only one SELECT is run, so that a query cannot change anything",
                got=f"{len(statements)} statements" if len(statements) != 1 else query.strip(),
            )
    return _read_query(query, [], "the SQL query")


def _connect() -> tuple[Any, Any]:
    """The duckdb module and an in-memory database that installs and looks up nothing by itself."""
    import duckdb  # noqa: PLC0415  (150 ms)

    connection = duckdb.connect(":memory:")
    for setting in SETTINGS:
        connection.execute(setting)
    return duckdb, connection


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


def _read_csv(
    path: Path, head: bytes, packed: bool, *, header: bool | None, encoding: str
) -> Table:
    source = path.name
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=False)
    except (UnicodeDecodeError, LookupError) as error:
        raise _encoding_error(path, packed, encoding, error) from None
    text = text.removeprefix("\ufeff")
    delimiter = _guess_delimiter(text)
    preview = list(csv.reader(_whole_lines(text), delimiter=delimiter))[:200]
    preview = [row for row in preview if row]
    if not preview:
        raise DataError(source, "the file holds no rows", at=path)
    has_header = _guess_header(preview) if header is None else header
    notes = Notes()
    names = _names(preview[0], has_header, source, notes)
    columns = {f"c{i}": "VARCHAR" for i in range(len(names))}
    query = (
        "SELECT * FROM read_csv(?, auto_detect=false, delim=?, quote='\"', escape='\"', header=?, "
        "columns=?, encoding=?, max_line_size=16777216, compression=?)"
    )
    options = [delimiter, has_header, columns, _duckdb_name(encoding), "gzip" if packed else "none"]
    duckdb, connection = _connect()
    with connection:
        try:
            connection.execute(f"CREATE TABLE t AS {query}", [_literal(path), *options])
        except duckdb.Error as error:
            raise _csv_error(path, packed, encoding, str(error)) from None
        return _collect(connection, names, source, notes, typed=False)


def _duckdb_name(encoding: str) -> str:
    name = codecs.lookup(encoding).name
    return {"iso8859-1": "latin-1", "cp1252": "cp1252"}.get(name, name)


def _whole_lines(text: str) -> io.StringIO:
    """The text without a last line that the preview may have cut."""
    if len(text) >= PREVIEW // 4 and "\n" in text:
        text = text[: text.rindex("\n")]
    return io.StringIO(text, newline="")


def _guess_delimiter(text: str) -> str:
    """The one of , tab ; | that splits the first lines into the most columns of equal number."""
    lines = text[: PREVIEW // 4].splitlines()[:30]
    lines = lines[:-1] if len(lines) == 30 else lines

    def score(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual) / max(len(widths), 1) if usual > 1 else 0.0, usual)

    return max(",\t;|", key=score)


def _is_number(cell: str) -> bool:
    return PLAIN_NUMBER.fullmatch(cell.strip()) is not None


def _guess_header(preview: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns.

    It does unless it holds a number, and no text stands above a column of numbers. A first row
    0, 1, 2, ... is a header too: a frame's numbered columns.
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
        notes.add("the file has no header; its columns are called x0, x1, ...")
        return [f"x{i}" for i in range(len(first))]
    names = [cell.strip() for cell in first]
    refuse_duplicates([name for name in names if name], source)
    for i, name in enumerate(names):
        if not name:
            names[i] = f"unnamed_{i}"
            notes.add(f"column {i + 1} has no name in the header; called {names[i]!r}")
    return names


def _csv_error(path: Path, packed: bool, encoding: str, message: str) -> DataError:
    """DuckDB's complaint about a CSV file, told by line."""
    if "unicode" in message or "not utf-8" in message:
        return _encoding_error(path, packed, encoding, None)
    line = re.search(r"Error on Line: (\d+)", message)
    widths = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    place = f"{path.name}, line {line[1]}" if line else path
    if widths:
        return DataError(
            path.name,
            "a row has another number of cells than the header",
            expected=f"{widths[1]} cells",
            got=f"{widths[2]} cells",
            at=place,
            fix="quote cells that hold the delimiter, or repair that line",
        )
    return DataError(path.name, message.splitlines()[0], at=place, fix="repair that line")


def _encoding_error(path: Path, packed: bool, encoding: str, error: Exception | None) -> DataError:
    """Where the first byte is that is not in the encoding, found by decoding the file."""
    if isinstance(error, LookupError) and not isinstance(error, UnicodeError):
        return DataError(path.name, "unknown encoding", got=encoding, fix="utf-8 or latin-1")
    with gzip.open(path) if packed else path.open("rb") as file:
        data = file.read()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        got, fix = "a UTF-16 file", "read(path, encoding='utf-16'), or save it as UTF-8"
        return DataError(path.name, "is not UTF-8", expected=encoding, got=got, fix=fix)
    try:
        data.decode(encoding)
    except UnicodeDecodeError as found:
        line, start = data.count(b"\n", 0, found.start) + 1, max(found.start - 12, 0)
        near = data[start : found.start + 12].decode("latin-1").replace("\n", " ")
        return DataError(
            path.name,
            f"is not {encoding.upper()}",
            got=f"byte 0x{data[found.start]:02x} at offset {found.start}: {near!r} in Latin-1",
            at=f"{path.name}, line {line}",
            fix="read(path, encoding='latin-1'), or save it as UTF-8: "
            f"iconv -f latin1 -t utf-8 {path.name} > utf8.csv",
        )
    return DataError(path.name, "is not valid text in its encoding", expected=encoding)


# From DuckDB to columns ------------------------------------------------------------------------


def _read_query(query: str, parameters: list[Any], source: str) -> Table:
    """The result of a query whose columns have types."""
    duckdb, connection = _connect()
    with connection:
        try:
            described = connection.execute(f"DESCRIBE {query}", parameters).fetchall()
            names = [str(row[0]) for row in described]
            refuse_duplicates(names, source)
            renamed = ", ".join(f"c{i}" for i in range(len(names)))
            create = f"CREATE TABLE t AS SELECT * FROM ({_trim(query)}) AS q({renamed})"
            connection.execute(create, parameters)
            return _collect(connection, names, source, Notes(), typed=True)
        except duckdb.Error as error:
            raise _sql_error(source, error) from None


def _trim(query: str) -> str:
    """The query without its final semicolon; the line break ends a last comment."""
    return query.strip().rstrip(";") + "\n"


def _sql_error(where: str, error: Exception) -> DataError:
    lines = [line for line in str(error).splitlines() if line.strip()]
    what = re.sub(r"^(\w+ )+Error: ", "", lines[0]) if lines else "DuckDB refused it"
    hint = "\n".join(lines[1:]) or None
    return DataError(where, what, got=hint, fix="check names and quotes; files need '...'")


def _collect(connection: Any, names: list[str], source: str, notes: Notes, *, typed: bool) -> Table:
    """The columns c0, c1, ... of the table t, with their real names."""
    rows = connection.execute("SELECT count(*) FROM t").fetchone()[0]
    if rows == 0:
        raise DataError(source, "has no rows", got=f"columns {listed(names)}")
    kinds = [row[1] for row in connection.execute("DESCRIBE t").fetchall()]
    untyped = {} if typed else _candidates(connection, len(names))
    columns = []
    for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        column = _typed(connection, i, name, kind, notes) if typed else None
        if not typed and untyped[i] is not None:
            column = _cast(connection, i, name, untyped[i] or "")
        columns.append(column or _texts(connection, i, name, notes, typed=typed))
    return Table(columns, source=source, notes=notes.lines())


def _fetch(connection: Any, expression: str) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """One column of t as values and a mask of its NULLs (None: no NULL)."""
    array = connection.execute(f"SELECT {expression} AS c FROM t").fetchnumpy()["c"]
    if isinstance(array, np.ma.MaskedArray):
        return array.data, np.ma.getmaskarray(array)
    return array, None


def _candidates(connection: Any, width: int) -> dict[int, str | None]:
    """What the first 1,000 rows of each text column could be: a number, a date or None (text)."""
    rows = connection.execute("SELECT * FROM t LIMIT 1000").fetchall()
    found: dict[int, str | None] = {}
    for i in range(width):
        texts = {row[i].strip() for row in rows if row[i] is not None} - {""}
        if not texts:
            found[i] = None
        elif all_plain(texts):
            found[i] = "DOUBLE"
        else:
            found[i] = "TIMESTAMP" if all(map(ISO_DATE.match, texts)) else None
    return found


def _cast(connection: Any, i: int, name: str, kind: str) -> Column | None:
    """Column i as numbers or dates, or None where a cell does not fit: then it is text."""
    blank = f"c{i} IS NOT NULL AND trim(c{i}) <> ''"
    present = connection.execute(f"SELECT count(*) FROM t WHERE {blank}").fetchone()[0]
    values, mask = _fetch(connection, f"TRY_CAST(c{i} AS {kind})")
    lost = 0 if mask is None else int(mask.sum())
    if len(values) - lost != present:
        return None
    if kind == "TIMESTAMP":
        return _date(name, values, mask)
    if mask is not None:
        values = values.copy()
        values[mask] = np.nan
    if not (np.floor(values) == values)[~np.isnan(values)].all() or np.isinf(values).any():
        return Column(name, "number", values)
    digits = f"bool_and(regexp_full_match(c{i}, '\\s*[+-]?[0-9]+\\s*')) FILTER (WHERE {blank})"
    zeros = f"bool_or(regexp_matches(c{i}, '^\\s*[+-]?0[0-9]')) FILTER (WHERE {blank})"
    whole, coded = connection.execute(f"SELECT {digits}, {zeros} FROM t").fetchone()
    if coded:
        return None
    if not whole:
        return Column(name, "number", values)
    exact, gaps = _fetch(connection, f"TRY_CAST(c{i} AS BIGINT)")
    fits = len(exact) - (0 if gaps is None else int(gaps.sum())) == present
    return Column(name, "integer", exact, mask=gaps) if fits else None


def _date(name: str, values: NDArray[Any], mask: NDArray[np.bool_] | None) -> Column:
    stamps = values.astype("datetime64[us]")
    if mask is not None:
        stamps[mask] = np.datetime64("NaT")
    return Column(name, "date", stamps)


def _typed(connection: Any, i: int, name: str, kind: str, notes: Notes) -> Column | None:
    """Column i by the type that DuckDB gives it, or None for text."""
    base = kind.split("(")[0]
    if base in ("FLOAT", "DOUBLE", "DECIMAL", "HUGEINT", "UHUGEINT"):
        values, mask = _fetch(connection, f"c{i}" if base == "FLOAT" else f"c{i}::DOUBLE")
        if mask is not None:
            values = values.copy()
            values[mask] = np.nan
        return Column(name, "number", values)
    if base.endswith("INT") or base in ("INTEGER", "UINTEGER"):
        values, mask = _fetch(connection, f"c{i}")
        return Column(name, "integer", values, mask=mask)
    if base == "BOOLEAN":
        values, mask = _fetch(connection, f"c{i}")
        return Column(name, "boolean", values, mask=mask)
    if base == "DATE" or base.startswith("TIMESTAMP"):
        return _date(name, *_fetch(connection, f"c{i}::TIMESTAMP"))
    if base in ("TIME", "INTERVAL"):
        values, mask = _fetch(connection, f"epoch(c{i})::DOUBLE")
        return Column(name, "number", values if mask is None else np.where(mask, np.nan, values))
    if base.endswith("[]") or base in ("STRUCT", "MAP", "LIST", "ARRAY", "BLOB", "UNION"):
        notes.add(f"column {name!r}: nested values ({kind[:40]}) read as text")
    return None


def _texts(connection: Any, i: int, name: str, notes: Notes, *, typed: bool) -> Column:
    """Column i as codes and sorted levels; one Python string per level, none per cell."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE levels AS "
        "SELECT c, (row_number() OVER (ORDER BY c) - 1)::INTEGER AS k "
        f"FROM (SELECT DISTINCT c{i}::VARCHAR AS c FROM t WHERE c{i} IS NOT NULL)"
    )
    codes = connection.execute(
        f"SELECT coalesce(k, -1) AS k FROM t LEFT JOIN levels ON c{i}::VARCHAR = c ORDER BY t.rowid"
    ).fetchnumpy()["k"]
    levels = connection.execute("SELECT c FROM levels ORDER BY k").fetchnumpy()["c"]
    return text_column(name, codes.astype(np.int32), levels, notes, typed=typed)
