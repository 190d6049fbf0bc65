"""The columns of a spool by their distinct cells, counted in SQL: what a schema is learned from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column, Condensed
from chainrule.data.columns.columns import MAX_LEVELS
from chainrule.data.columns.texts import Notes
from chainrule.data.readers.duck import columns_of
from chainrule.data.readers.spool import Spool
from chainrule.display.format import counted
from chainrule.errors import DataError

MOST_CELLS = 20_000_000
"""Distinct cells of all columns together that are held."""
MOST_DISTINCT = 100_000
"""Distinct cells of a column up to which all of them are counted."""
MOST_GROUPS = 500_000
"""Distinct cells that are counted at a time: more would need more memory than there is."""
MOST_ODD = 2000
"""Distinct texts among numbers up to which all of them are counted."""
REALS = ("FLOAT", "DOUBLE", "DECIMAL", "HUGEINT", "UHUGEINT")
MOMENTS = ("DATE", "TIMESTAMP", "TIME", "INTERVAL")


class Digest:
    """Condensed columns in the place of a table.

    Attributes:
        source: as of a Table.
        gaps: the texts that were chosen as gaps, or None.
        columns: by name, as far as they are condensed.
    """

    def __init__(self, spool: Spool, gaps: tuple[str, ...] | None) -> None:
        self.source, self.gaps, self._spool = spool.source, gaps, spool
        self.columns: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def place(self, row: int, column: str) -> str:
        """The file, row and column of a cell of a condensed column."""
        return f"{self._spool.place(self.columns[column].row(row))}, column {column!r}"


class Facts(NamedTuple):
    """The first look at a column: cells that are not NULL, and about how many differ."""

    present: int
    about: int


def looked_at(spool: Spool, where: str) -> list[Facts]:
    """The facts of all columns, in one pass. Raises DataError for an infinity, with its row."""
    asked = []
    for i, kind in enumerate(spool.kinds):
        real = kind in ("FLOAT", "DOUBLE")
        odd = f"min(rowid) FILTER (isinf(c{i}))" if real else "NULL::BIGINT"
        asked.append(f"count(c{i}), approx_count_distinct(c{i}), {odd}")
    query = f"SELECT {', '.join(asked)} FROM spool.rows WHERE {where}"
    found = spool.connection.execute(query).fetchone()
    facts = []
    for i, name in enumerate(spool.names):
        present, about, infinite = found[3 * i : 3 * i + 3]
        if infinite is not None:
            raise DataError(
                spool.source, f"column {name!r} holds an infinity",
                expected="finite numbers, or gaps", at=f"{spool.place(infinite)}, column {name!r}",
                fix="replace it by a gap or a large number, or leave the column out",
            )  # fmt: skip
        facts.append(Facts(present, about))
    return facts


def condensed(spool: Spool, i: int, facts: Facts, where: str, notes: Notes) -> Column:
    """Column i of the rows that fulfil a condition, by its distinct cells.

    All of them where they are at most about MOST_DISTINCT. Of numbers and dates else a sample
    of the rows, and the extremes; of texts the most frequent, with the exact number of all.
    """
    most = min(MOST_DISTINCT, max(MOST_CELLS // len(spool.names), 1000))
    if facts.about <= 1.2 * most:
        query = f"SELECT c{i} AS c0, count(*) AS n, min(rowid) AS r FROM spool.rows WHERE {where} "
        _make(spool, f"{query} GROUP BY c{i}")
        return _column(spool, i, notes)
    kind = spool.kinds[i].split("(")[0]
    if kind in REALS or kind.startswith(MOMENTS):
        return _of_numbers(spool, i, facts, where, notes, most, f"c{i}", exact=False)
    if "INT" in kind:
        return _of_numbers(spool, i, facts, where, notes, most, f"c{i}", exact=True)
    if not spool.typed and _mostly_numbers(spool, i, where):
        return _of_numbers(
            spool, i, facts, where, notes, most, f"TRY_CAST(c{i} AS DOUBLE)", exact=True
        )
    return _of_texts(spool, i, facts, where, notes, most)


def _make(spool: Spool, query: str) -> None:
    """Makes the table t of cells c0, with their rows n and first row r, in the order of r."""
    spool.connection.execute(f"CREATE OR REPLACE TABLE counted AS SELECT * FROM ({query})")
    spool.connection.execute("CREATE OR REPLACE TABLE t AS SELECT c0 FROM counted ORDER BY r")


def _column(
    spool: Spool, i: int, notes: Notes, others: int = 0, distinct: int | None = None,
    shared: float | None = None, numbered: bool | None = None,
) -> Column:  # fmt: skip
    """The column of the table t."""
    found = spool.connection.execute("SELECT n::BIGINT AS n, r FROM counted ORDER BY r")
    arrays = found.fetchnumpy()
    known = Condensed(np.asarray(arrays["n"]), np.asarray(arrays["r"]), others, distinct, shared,
                      numbered)  # fmt: skip
    (column,) = columns_of(
        spool.connection, [spool.names[i]], notes, typed=spool.typed, condensed=known
    )
    return column


def _sampled(spool: Spool, most: int) -> str:
    """The condition of rows at random."""
    rows = spool.random_rows(most).tolist()
    spool.connection.execute("CREATE OR REPLACE TABLE chosen AS SELECT unnest(?) AS r", [rows])
    return "rowid IN (SELECT r FROM chosen)"


def _mostly_numbers(spool: Spool, i: int, where: str) -> bool:
    query = (
        f"SELECT count(TRY_CAST(c{i} AS DOUBLE)), count(c{i}) FROM spool.rows WHERE {where} AND "
        + _sampled(spool, 10_000)
    )
    numbers, cells = spool.connection.execute(query).fetchone()
    return bool(numbers > 0.5 * cells)


def _of_numbers(
    spool: Spool, i: int, facts: Facts, where: str, notes: Notes, most: int, value: str,
    exact: bool,
) -> Column:  # fmt: skip
    """A column of many numbers or dates: a sample, the extremes, and the texts among numbers.

    exact: whether the number of distinct cells is counted, not estimated.
    """
    connection, rows = spool.connection, f"FROM spool.rows WHERE {where}"
    gaps = (
        f"SELECT c{i} AS c0, count(*) AS n, min(rowid) AS r {rows} AND c{i} IS NULL GROUP BY c{i}"
    )
    usual = f"{rows} AND {value} IS NOT NULL"
    ends = (
        f"SELECT arg_min(rowid, {value}) AS r {usual} UNION SELECT arg_max(rowid, {value}) {usual}"
    )
    if "INT" not in spool.kinds[i] and not spool.kinds[i].startswith(MOMENTS):
        ends += (
            f" UNION (SELECT rowid {usual} AND {value} <> floor({value}) ORDER BY rowid LIMIT 3)"
        )
    chosen = f"SELECT rowid AS r {usual} AND {_sampled(spool, most)} UNION {ends}"
    connection.execute(f"CREATE OR REPLACE TABLE picked AS {chosen}")
    total = connection.execute(f"SELECT count(*) {usual}").fetchone()[0]
    some = connection.execute("SELECT count(*) FROM picked").fetchone()[0]
    cells = f"SELECT c{i} AS c0, rowid AS r FROM spool.rows WHERE rowid IN (SELECT r FROM picked)"
    each, more = divmod(total, some)
    count = f"{each} + (row_number() OVER (ORDER BY r) <= {more})::INT"
    weighed = f"SELECT c0, {count} AS n, r FROM ({cells})"
    odd = f"SELECT c{i}, count(*), min(rowid) {rows} AND c{i} IS NOT NULL AND {value} IS NULL"
    odd += f" GROUP BY c{i} ORDER BY 2 DESC, 3 LIMIT {MOST_ODD}"
    _make(spool, f"{gaps} UNION ALL ({weighed}) UNION ALL ({odd})")
    distinct, shared, numbered = facts.about, 1.0, False
    if exact:
        distinct, shared = _distinct(spool, i, where, facts.about)
    if "INT" in spool.kinds[i]:
        steps = f"SELECT min(c{i}::HUGEINT - rowid) = max(c{i}::HUGEINT - rowid) {rows}"
        numbered = bool(connection.execute(steps).fetchone()[0])
    return _column(spool, i, notes, 0, distinct, shared, numbered)


def _groups(spool: Spool, i: int, where: str, about: int) -> list[str]:
    """Queries of the distinct cells c0 of column i with their rows n and first row r, in parts.

    Each part has so few that they fit in memory, and none occurs in two.
    """
    count = max(1, -(-about // MOST_GROUPS))
    cell = f"c{i} AS c0, count(*) AS n, min(rowid) AS r"
    rows = f"FROM spool.rows WHERE {where} AND c{i} IS NOT NULL"
    return [
        f"SELECT {cell} {rows} {f'AND hash(c{i}) % {count} = {k}' * (count > 1)} GROUP BY c{i}"
        for k in range(count)
    ]


def distinct_cells(spool: Spool, name: str, where: str) -> int:
    """The number of distinct cells of a column in the rows that fulfil a condition."""
    i = spool.names.index(name)
    return _distinct(spool, i, where, looked_at(spool, where)[i].about)[0]


def _distinct(spool: Spool, i: int, where: str, about: int) -> tuple[int, float]:
    """The number of distinct cells, and the share of the rows whose cell another has too."""
    totals = np.zeros(3, np.int64)
    for groups in _groups(spool, i, where, about):
        query = f"SELECT count(*), sum(n), sum(n) FILTER (n > 1) FROM ({groups})"
        totals += [int(x or 0) for x in spool.connection.execute(query).fetchone()]
    distinct, total, shared = totals.tolist()
    return distinct, shared / max(total, 1)


def _of_texts(spool: Spool, i: int, facts: Facts, where: str, notes: Notes, most: int) -> Column:
    """A column of many texts: the most frequent, of equally frequent ones some by a hash.

    Those that a category keeps are chosen as in memory: of equally frequent ones the first.
    """
    connection = spool.connection
    connection.execute(
        f"CREATE OR REPLACE TABLE frequent AS SELECT c{i} AS c0, 1::BIGINT AS n, rowid AS r FROM "
        "spool.rows LIMIT 0"
    )
    for groups in _groups(spool, i, where, facts.about):
        connection.execute(f"INSERT INTO frequent {groups}")
        connection.execute(
            "CREATE OR REPLACE TABLE frequent AS "
            f"(FROM frequent ORDER BY n DESC, c0 LIMIT {MAX_LEVELS}) UNION "
            f"(FROM frequent ORDER BY n DESC, hash(c0) LIMIT {most})"
        )
    rows = f"FROM spool.rows WHERE {where}"
    gaps = f"SELECT c{i}, count(*), min(rowid) {rows} AND c{i} IS NULL GROUP BY c{i}"
    _make(spool, f"FROM frequent UNION ALL ({gaps})")
    counts = connection.execute("SELECT sum(n) FROM counted").fetchone()[0]
    total = connection.execute(f"SELECT count(*) {rows}").fetchone()[0]
    distinct, shared = _distinct(spool, i, where, facts.about)
    column = _column(spool, i, notes, total - int(counts), distinct, shared)
    kept = connection.execute("SELECT count(c0) FROM counted").fetchone()[0]
    if kept < distinct:
        notes.add(f"column {spool.names[i]!r}: {distinct:,} distinct texts; words and forms are "
                  f"those of the {kept:,} most frequent, {counted(int(counts), 'row')}"
                  )  # fmt: skip
    return column


def lost_cells(spool: Spool, i: int, cells: NDArray[np.bool_], where: str) -> str:
    """The condition of the rows whose cell in column i is none of those of t that are lost.

    cells: of the table t, (n,), as `condensed` has just made it.
    """
    places: list[Any] = np.flatnonzero(cells).tolist()
    spool.connection.execute(
        "CREATE OR REPLACE TABLE lost AS SELECT c0 FROM t WHERE c0 IS NOT NULL AND rowid IN "
        "(SELECT unnest(?))", [places],
    )  # fmt: skip
    return f"{where} AND c{i} IS NOT NULL AND c{i} NOT IN (SELECT c0 FROM lost)"
