"""The table: immutable named columns, with their source."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column, first_cells, summary
from chainrule.display.format import counted, listed
from chainrule.display.tables import Section, as_html
from chainrule.errors import DataError, SettingError, did_you_mean

SHOWN_COLUMNS = 40
"""The columns of a table that a notebook shows."""


class Table:
    """Ordered, named columns of equal length. It is immutable; methods return new tables.

    gaps: the texts that were chosen as gaps; None: those of the container.
    parts: the files that the rows are of, each with the number of its first row; empty: `source`.
    """

    def __init__(
        self,
        columns: Iterable[Column],
        *,
        source: str = "a table",
        notes: Sequence[str] = (),
        origin: NDArray[np.int64] | None = None,
        rows: int | None = None,
        gaps: tuple[str, ...] | None = None,
        parts: Sequence[tuple[int, str]] = (),
    ) -> None:
        columns = list(columns)
        self.gaps, self.parts = gaps, parts
        self._columns = {column.name: column for column in columns}
        self.source, self.notes, self._origin = source, tuple(notes), origin
        self.rows = len(columns[0]) if columns else int(rows or 0)
        refuse_duplicates([column.name for column in columns], source)
        for column in columns:
            if len(column) != self.rows:
                raise DataError(
                    source,
                    "columns have different lengths",
                    expected=f"{self.rows} rows, as in {columns[0].name!r}",
                    got=f"{len(column)} rows in {column.name!r}",
                )

    @property
    def columns(self) -> list[str]:
        """The names, in order."""
        return list(self._columns)

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Column]:
        return iter(self._columns.values())

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> Column:
        if name not in self._columns:
            raise DataError(
                self.source,
                f"has no column {name!r}",
                got=listed(self.columns),
                fix=did_you_mean(name, self.columns),
            )
        return self._columns[name]

    def called(self, source: str) -> Table:
        """The same table with another source."""
        return Table(self, source=source, notes=self.notes, origin=self._origin, rows=self.rows,
                     gaps=self.gaps, parts=self.parts)  # fmt: skip

    def select(self, names: Iterable[str]) -> Table:
        """Only these columns, in this order."""
        return self._with([self[name] for name in names])

    def drop(self, *names: str) -> Table:
        """All columns but these."""
        gone = {self[name].name for name in names}
        return self._with([column for column in self if column.name not in gone])

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> Table:
        """Only these rows: an index array, a boolean array or a slice."""
        if not isinstance(rows, slice):
            rows = np.asarray(rows) if len(rows) else np.empty(0, np.int64)
        index = np.arange(self.rows)[rows]
        origin = index if self._origin is None else self._origin[index]
        columns = [column.take(index) for column in self]
        return Table(columns, source=self.source, notes=self.notes, origin=origin,
                     rows=len(index), gaps=self.gaps, parts=self.parts)  # fmt: skip

    def place(self, row: int, column: str) -> str:
        """The position of a cell, for an error: file, row (from 1, without the header), column."""
        row = int(row if self._origin is None else self._origin[row])
        return f"{place(self.source, self.parts, row)}, column {column!r}"

    def number(self, row: int) -> int:
        """The number of a row in the table that this one was taken from, from 1."""
        return int(row if self._origin is None else self._origin[row]) + 1

    def to_dict(self) -> dict[str, NDArray[Any]]:
        """The columns as plain NumPy arrays by name."""
        return {column.name: column.to_numpy() for column in self}

    def replaced(
        self, columns: Iterable[Column], notes: Sequence[str], gaps: tuple[str, ...] | None
    ) -> Table:
        """The same rows with other columns, notes, and texts that were chosen as gaps."""
        return Table(columns, source=self.source, notes=notes, origin=self._origin,
                     rows=self.rows, gaps=gaps, parts=self.parts)  # fmt: skip

    def _with(self, columns: list[Column]) -> Table:
        return self.replaced(columns, self.notes, self.gaps)

    @property
    def _head(self) -> str:
        size = f"{counted(self.rows, 'row')} x {counted(len(self._columns), 'column')}"
        return f"Table of {size} from {self.source}"

    def __repr__(self) -> str:
        shown = [summary(column) for column in list(self)[:SHOWN_COLUMNS]]
        width = max((len(name) for name, *_ in shown), default=0)
        lines = [f"  {name:<{width}}  {storage:<8} {text}" for name, storage, text in shown]
        if len(self._columns) > len(shown):
            lines.append(f"  ... and {len(self._columns) - len(shown)} more columns")
        return "\n".join([self._head, *lines])

    def _repr_html_(self) -> str:
        columns = list(self)[:SHOWN_COLUMNS]
        rows = [summary(column) for column in columns]
        left_out = len(self._columns) - len(columns)
        if left_out > 0:
            rows.append((f"{left_out:,} more columns", "", ""))
        right = tuple(k for k, x in enumerate(columns) if x.storage in ("number", "integer"))
        first = tuple(zip(*map(first_cells, columns), strict=True))
        return as_html([
            Section(self._head, tuple(rows), ("column", "kept as", "content")),
            Section("The first rows", first, tuple(column.name for column in columns), right),
        ])  # fmt: skip


def place(source: str, parts: Sequence[tuple[int, str]], row: int) -> str:
    """The file and the row in it, from 1, of a row of a table; `parts` as in Table."""
    at = bisect_right(parts, row, key=lambda part: part[0]) - 1
    first, name = parts[at] if at >= 0 else (0, source)
    return f"{name}, row {row - first + 1:,}" if parts else f"{name}, row {row + 1}"


def require_column(setting: str, name: str | None, table: Table) -> None:
    """Raises SettingError where a column that a setting names is not in the table."""
    if name is not None and name not in table:
        raise SettingError(
            setting,
            f"there is no column {name!r}",
            got=f"columns {listed(table.columns)}",
            at=table.source,
            fix=did_you_mean(name, table.columns),
        )


def refuse_duplicates(names: Sequence[str], source: str) -> None:
    """Raise DataError where two columns share a name."""
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        if name in seen:
            raise DataError(
                source,
                f"two columns are called {name!r}",
                got=f"columns {seen[name] + 1} and {position + 1} of {len(names)}",
                fix="rename one of them",
            )
        seen[name] = position
