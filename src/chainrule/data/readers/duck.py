"""Columns from DuckDB: typed query results, and the cells of CSV files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Codes, Column, Condensed
from chainrule.data.columns.gaps import GAP_TEXTS, QUOTED
from chainrule.data.columns.texts import Notes, coded, list_note, text_column
from chainrule.data.readers.plain import Form, guess_plain, read_plain, regular_cells
from chainrule.data.readers.quotes import Quotes
from chainrule.data.readers.sqltext import sql_name
from chainrule.data.table import Table, refuse_duplicates
from chainrule.display.format import clip, listed
from chainrule.errors import DataError

QUERY = "the SQL query"
BLOCK = 128  # columns of a table at a time: each query costs time for all columns of its table
LIKE_DATES = re.compile(r"(DATE|TIME(STAMP)?|UUID)\b")
CELLS = 1 << 20  # of columns that are read by one query
NUMBERED = re.compile(r"_\d+$")
NUMBER_LIST = re.compile(r"(U?\w*INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\))\[\d*\]")
ENUM_LIMIT = 10_000  # distinct texts above which a dict is faster than an enum
CSV_LINE = re.compile(
    r"CSV Error on Line: (\d+)\nOriginal Line: (.*?)\n"
    r'Error when converting column "(.*?)"\. (.*?)\n.*?\n  file = (.*?)\n', re.S
)  # fmt: skip
"""A line of a CSV file that a query cannot read, in DuckDB's words."""
SETTINGS = (
    "SET python_enable_replacements=false",
    "SET autoinstall_known_extensions=false",
    "SET autoload_known_extensions=false",
    "SET enable_progress_bar=false",
    "SET TimeZone='UTC'",
    "SET lock_configuration=true",
)


def read_query(query: str) -> Table:
    """Returns the result of one SELECT. All other statements are rejected: nothing is written."""
    refuse_changes(query)
    return read_typed(query, [], QUERY)


def refuse_changes(query: str) -> None:
    """Raises DataError for all but one SELECT."""
    duckdb, connection = connect()
    with connection:
        try:
            statements = connection.extract_statements(query)
        except duckdb.Error as error:
            raise sql_error(QUERY, error) from None
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise DataError(
                QUERY,
                "only one SELECT is run, so that a query cannot change anything",
                got=f"{len(statements)} statements" if len(statements) != 1 else query.strip(),
            )


def literal_path(path: Path) -> str:
    """The path with its glob characters made literal."""
    return re.sub(r"[\[*?]", lambda found: f"[{found[0]}]", str(path))


def connect(settings: Sequence[str] = (), *, lock: bool = True) -> tuple[Any, Any]:
    """The duckdb module and an in-memory database that loads no extensions or Python objects.

    settings: further ones, as SQL; lock: whether they are the last.
    """
    import duckdb  # noqa: PLC0415  (150 ms)

    connection = duckdb.connect(":memory:")
    for setting in (*settings, *(SETTINGS if lock else SETTINGS[:-1])):
        connection.execute(setting)
    return duckdb, connection


def read_typed(query: str, parameters: list[Any], source: str) -> Table:
    """Returns the result of a query whose columns have types."""
    duckdb, connection = connect()
    with connection:
        try:
            names, kinds = described(connection, query, parameters, source)
            renamed = ", ".join(f"c{i}" for i in range(len(names)))
            cells = ", ".join(map(cell, names, kinds))
            connection.execute(f"CREATE TABLE q AS {query}", parameters)
            connection.execute(f"CREATE VIEW t({renamed}) AS SELECT {cells} FROM q")
            return collect(connection, names, source, Notes(), typed=True)
        except duckdb.Error as error:
            raise sql_error(source, error) from None


def described(
    connection: Any, query: str, parameters: list[Any], source: str
) -> tuple[list[str], list[str]]:
    """The names and the types of the columns of a query. Raises DataError for equal names."""
    rows = connection.execute(f"DESCRIBE {query}", parameters).fetchall()
    names = [str(row[0]) for row in rows]
    refuse_duplicates(names, source)
    return names, [str(row[1]) for row in rows]


def read_json(path: str, source: str) -> Table:
    """Returns the table in a JSON file. Its texts stay texts, also those that are like dates."""
    return read_typed(*json_query(path, source), source)


def json_query(path: str, source: str) -> tuple[str, list[Any]]:
    """The query of a JSON file, and its parameters. Raises DataError for other content."""
    query = "SELECT * FROM read_json(?, sample_size=-1)"
    duckdb, connection = connect()
    with connection:
        try:
            rows = connection.execute(f"DESCRIBE {query}", [path]).fetchall()
            kinds = {str(row[0]): str(row[1]) for row in rows}
            if list(kinds) == ["json"]:
                _refuse_others(connection, path, source)
            _refuse_same_names(connection, path, list(kinds), source)
        except duckdb.Error as error:
            raise sql_error(source, error) from None
    if any(LIKE_DATES.match(kind) for kind in kinds.values()) and list(kinds) != ["json"]:
        texts = {x: "VARCHAR" if LIKE_DATES.match(kind) else kind for x, kind in kinds.items()}
        return "SELECT * FROM read_json(?, columns=?)", [path, texts]
    return query, [path]


def _refuse_others(connection: Any, path: str, source: str) -> None:
    """Raises DataError for the first value that is not an object."""
    records = "SELECT row_number() OVER () AS n, json AS j FROM read_json_objects(?)"
    query = f"SELECT n, j FROM ({records}) WHERE json_type(j) <> 'OBJECT' ORDER BY n LIMIT 1"
    found = connection.execute(query, [path]).fetchone()
    if found is not None:
        number, text = found
        raise DataError(
            source, "a value is not an object", expected='objects such as {"a": 1, "b": 2}',
            got=clip(str(text), 60), at=f"{source}, value {number}",
            fix="write each row as an object, with the names of the columns",
        )  # fmt: skip


def _refuse_same_names(connection: Any, path: str, names: Sequence[str], source: str) -> None:
    """Raises DataError for names that differ in case alone: DuckDB numbers and may mix them."""
    folded = {name.casefold() for name in names}
    if not any(
        NUMBERED.search(name) and NUMBERED.sub("", name).casefold() in folded for name in names
    ):
        return
    query = "SELECT DISTINCT unnest(json_keys(json)) FROM read_json_objects(?)"
    keys = sorted(str(key) for (key,) in connection.execute(query, [path]).fetchall())
    known = Counter(key.casefold() for key in keys)
    alike = [key for key in keys if known[key.casefold()] > 1]
    if alike:
        raise DataError(source, "names differ in small and capital letters alone",
                        got=listed(alike), fix="rename one of them")  # fmt: skip


def cell(name: str, kind: str) -> str:
    """The SQL of a column; one of JSON, such as numbers and texts, gives texts without quotes."""
    quoted = sql_name(name)
    return f"{quoted} ->> '$'" if kind == "JSON" else quoted


def sql_error(source: str, error: Exception) -> DataError:
    """DuckDB's message, without its trace; for a file, without our query."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    what = re.sub(r"^(\w+ )+Error: ", "", lines[0]).strip() if lines else "DuckDB rejected it"
    if source != QUERY:
        return DataError(source, what, fix="the file may be damaged or truncated: get it again")
    if found := CSV_LINE.search(str(error)):
        return _csv_line_error(source, found)
    fix = "check names and quotes; files need '...'"
    if str(error).startswith(("Conversion Error", "Out of Range Error")):
        fix = "TRY_CAST(x AS TYPE) in the place of CAST or ::TYPE, for gaps where none can be made"
    if "following parameters" in what:
        fix = "write the values into the query"
    if "httpfs" in what:
        return DataError(source, "web addresses are not read", got=what, fix="download the file")
    return DataError(source, what, got="\n".join(lines[1:5]) or None, fix=fix)


def _csv_line_error(source: str, found: re.Match[str]) -> DataError:
    """The error of a query at a line of a CSV file, in our words."""
    line, text, column, what, file = map(str.strip, found.groups())
    return DataError(
        source, f"a cell of column {column!r} does not fit the type of the others: {what}",
        got=text, at=f"{file}, line {line}",
        fix=f"read_csv('{file}', types={{'{column}': 'VARCHAR'}}) in the query, and no CAST of "
            f"{column}: texts that are numbers count as such here, and others are gaps",
    )  # fmt: skip


def collect(
    connection: Any, names: list[str], source: str, notes: Notes, *, typed: bool,
    quotes: Quotes | None = None,
) -> Table:  # fmt: skip
    """Returns the columns c0, c1, ... of the table t under their real names.

    quotes: of the CSV file that t was read from; not where it has more than BLOCK columns.
    """
    rows = connection.execute("SELECT count(*) FROM t").fetchone()[0]
    if rows == 0:
        raise DataError(source, "has no rows", got=f"columns {listed(names)}")
    columns = []
    if len(names) <= BLOCK:
        columns = columns_of(connection, names, notes, typed=typed, quotes=quotes)
    else:
        connection.execute(f"ALTER {'VIEW' if typed else 'TABLE'} t RENAME TO wide")
        for start in range(0, len(names), BLOCK):
            block = names[start : start + BLOCK]
            cells = ", ".join(f"c{start + k} AS c{k}" for k in range(len(block)))
            connection.execute(f"CREATE OR REPLACE TABLE t AS SELECT {cells} FROM wide")
            columns += columns_of(connection, block, notes, typed=typed)
    return Table(columns, source=source, notes=notes.lines())


def columns_of(
    connection: Any, names: list[str], notes: Notes, *, typed: bool, quotes: Quotes | None = None,
    condensed: Condensed | None = None,
) -> list[Column]:  # fmt: skip
    """The columns c0, c1, ... of t under their real names."""
    kinds = [row[1] for row in connection.execute("DESCRIBE t").fetchall()]
    forms = [None] * len(names) if typed else guess_plain(connection)
    counts = ", ".join(f"count(c{i})" for i in range(len(names)))
    present = connection.execute(f"SELECT {counts} FROM t").fetchone()
    regular = _regular(connection, {i: form for i, form in enumerate(forms) if form is not None})
    columns = []
    for i, (name, kind, form) in enumerate(zip(names, kinds, forms, strict=True)):
        column = _typed(connection, i, name, kind, notes) if typed else None
        if form is not None:
            column = read_plain(
                connection, i, name, form, present[i], next(regular), notes, condensed
            )
        if column is None:
            codes, levels = _texts(connection, i)
            if quotes is not None:
                codes, levels = _marked(connection, i, codes, levels, quotes)
            column = text_column(name, codes, levels, notes, typed=typed, condensed=condensed)
        columns.append(column if condensed is None else replace(column, condensed=condensed))
    return columns


def _regular(
    connection: Any, forms: Mapping[int, Form]
) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """The regular cells of the columns of t that have a form, a few columns at a time."""
    if not forms:
        return
    rows = connection.execute("SELECT count(*) FROM t").fetchone()[0]
    numbers, step = list(forms), max(1, CELLS // rows)
    for start in range(0, len(numbers), step):
        some = {i: forms[i] for i in numbers[start : start + step]}
        yield from regular_cells(connection, some).values()


def _fetch(connection: Any, expression: str) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """One column of t as values and a mask of its NULLs (None: no NULL)."""
    array = connection.execute(f"SELECT {expression} AS c FROM t").fetchnumpy()["c"]
    if isinstance(array, np.ma.MaskedArray):
        return array.data, np.ma.getmaskarray(array)
    return array, None


def _with_gaps(values: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[Any]:
    """The values, floats, with NaN where the mask is True."""
    return values if mask is None else np.where(mask, values.dtype.type(np.nan), values)


def _date(name: str, values: NDArray[Any], mask: NDArray[np.bool_] | None) -> Column:
    stamps = values.astype("datetime64[us]")
    if mask is not None:
        stamps[mask] = np.datetime64("NaT", "us")
    return Column(name, "date", stamps)


def _typed(connection: Any, i: int, name: str, kind: str, notes: Notes) -> Column | None:
    """Column i by its type in DuckDB, or None for text."""
    if NUMBER_LIST.fullmatch(kind):
        notes.add(list_note(name))
        return None
    base = "LIST" if kind.endswith("]") else kind.split("(")[0]
    if base in ("FLOAT", "DOUBLE", "DECIMAL", "HUGEINT", "UHUGEINT"):
        expression = f"c{i}" if base == "FLOAT" else f"c{i}::DOUBLE"
        return Column(name, "number", _with_gaps(*_fetch(connection, expression)))
    if base.endswith("INT") or base in ("INTEGER", "UINTEGER"):
        values, mask = _fetch(connection, f"c{i}")
        return Column(name, "integer", values, mask=mask)
    if base == "BOOLEAN":
        values, mask = _fetch(connection, f"c{i}")
        return Column(name, "boolean", values, mask=mask)
    if base == "DATE" or base.startswith("TIMESTAMP"):
        return _date(name, *_fetch(connection, f"c{i}::TIMESTAMP"))
    if base in ("TIME", "INTERVAL"):
        return Column(name, "number", _with_gaps(*_fetch(connection, f"epoch(c{i})::DOUBLE")))
    if base in ("STRUCT", "MAP", "LIST", "ARRAY", "BLOB", "UNION"):
        notes.add(f"column {name!r}: nested values ({kind[:40]}) read as text")
    return None


def _texts(connection: Any, i: int) -> tuple[Codes, list[str]]:
    """Column i as codes and levels: by an enum, or by a dict if nearly all texts differ."""
    count = f"SELECT approx_count_distinct(c{i}) FROM t"
    if connection.execute(count).fetchone()[0] > ENUM_LIMIT:
        cells, mask = _fetch(connection, f"c{i}::VARCHAR")
        if mask is not None:
            cells[mask] = ""  # read as a gap
        return coded(cells.tolist())
    levels = f"SELECT DISTINCT c{i}::VARCHAR AS c FROM t WHERE c{i} IS NOT NULL ORDER BY c"
    connection.execute(f"CREATE TYPE e{i} AS ENUM ({levels})")
    codes, _ = _fetch(connection, f"coalesce(enum_code(c{i}::VARCHAR::e{i})::INTEGER, -1)")
    texts = connection.execute(f"SELECT unnest(enum_range(NULL::e{i})) AS c").fetchnumpy()["c"]
    connection.execute(f"DROP TYPE e{i}")
    return codes, list(map(str, texts))


def _marked(
    connection: Any, i: int, codes: Codes, levels: list[str], quotes: Quotes
) -> tuple[Codes, list[str]]:
    """The column with the mark QUOTED before texts that look like gaps but are quoted."""
    words = GAP_TEXTS.intersection(levels)
    quoted = quotes.around(connection, i, words) if words else None
    if quoted is None:
        return codes, levels
    marked = [QUOTED + text for text in sorted(words)]
    place = {text: len(levels) + k for k, text in enumerate(marked)}
    new = np.array([*(place.get(QUOTED + text, k) for k, text in enumerate(levels)), -1], np.int32)
    return np.where(quoted, new[codes], codes), levels + marked
