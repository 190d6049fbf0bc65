"""The table: immutable named NumPy columns, with their gaps and their source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, did_you_mean

Storage = Literal["number", "integer", "boolean", "text", "date"]
Codes = NDArray[np.int32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Column:
    """One column of n rows.

    | storage | values                        | a gap is         |
    |---------|-------------------------------|------------------|
    | number  | floating                      | NaN              |
    | integer | any NumPy integer             | True in `mask`   |
    | boolean | bool                          | True in `mask`   |
    | text    | int32 codes into `levels`     | code -1          |
    | date    | datetime64[us], UTC           | NaT              |

    parsed: the levels as numbers, cached by `cells.level_numbers` for all columns that share them.
    """

    name: str
    storage: Storage
    values: NDArray[Any]
    levels: NDArray[np.object_] | None = None
    mask: Flags | None = None
    parsed: dict[Any, Floats] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def missing(self) -> Flags:
        """True where the column has a gap, shape (n,)."""
        if self.storage == "number":
            return np.asarray(np.isnan(self.values))
        if self.storage == "date":
            return np.asarray(np.isnat(self.values))
        if self.storage == "text":
            return np.asarray(self.values < 0)
        return np.zeros(len(self), bool) if self.mask is None else self.mask

    @cached_property
    def gaps(self) -> int:
        """The number of gaps."""
        return int(np.count_nonzero(self.missing))

    @cached_property
    def distinct(self) -> int:
        """The number of distinct values, gaps not counted."""
        if self.storage == "text":
            return int(np.count_nonzero(self.level_counts))
        return len(np.unique(self.present))

    @property
    def present(self) -> NDArray[Any]:
        """The values that are not gaps (for text: their codes)."""
        return self.values[~self.missing] if self.gaps else self.values

    @cached_property
    def level_counts(self) -> NDArray[np.int64]:
        """For text: how many rows hold each level."""
        assert self.levels is not None
        return np.bincount(self.present, minlength=len(self.levels)).astype(np.int64)

    @property
    def texts(self) -> list[str]:
        """For text: the levels that some row holds."""
        assert self.levels is not None
        return list(self.levels[self.level_counts > 0])

    def take(self, rows: NDArray[Any]) -> Column:
        """The column at `rows`, an index or boolean array."""
        mask = None if self.mask is None else self.mask[rows]
        return Column(self.name, self.storage, self.values[rows], self.levels, mask, self.parsed)

    def floats(self) -> Floats:
        """Numbers and booleans as float64 with NaN for a gap. Text and dates have none."""
        if self.storage in ("text", "date"):
            raise DataError(f"column {self.name!r}", f"holds {self.storage}, not numbers")
        out = np.array(self.values, np.float64)
        if self.mask is not None:
            out[self.mask] = np.nan
        return out

    def labels(self) -> tuple[Codes, list[str]]:
        """Codes (n,) int32, -1 for a gap, and the label of each code, the same from every storage.

        The number 3 is '3' whether a file stores it as 3, 3.0 or '3'; True is 'True'.
        """
        if self.storage == "text":
            assert self.levels is not None
            return self.values, list(self.levels)
        codes = np.full(len(self), -1, np.int32)
        distinct, inverse = np.unique(self.present, return_inverse=True)
        codes[~self.missing] = inverse
        return codes, [label_of(value) for value in distinct]

    def to_numpy(self) -> NDArray[Any]:
        """A plain array: text as objects with None for a gap, gappy integers as float64."""
        if self.storage == "text":
            assert self.levels is not None
            return np.asarray(np.append(self.levels, [None])[self.values])
        return self.values if self.mask is None else self.floats()


def label_of(value: Any) -> str:
    """The text of one value: integral numbers without a point, dates as ISO."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value, unit="auto"))
    return str(value)


class Table:
    """Ordered, named columns of equal length. It is immutable; methods return new tables."""

    def __init__(
        self,
        columns: Iterable[Column],
        *,
        source: str = "a table",
        notes: Sequence[str] = (),
        origin: NDArray[np.int64] | None = None,
        rows: int | None = None,
    ) -> None:
        columns = list(columns)
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
        return Table(self, source=source, notes=self.notes, origin=self._origin, rows=self.rows)

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
        return Table(columns, source=self.source, notes=self.notes, origin=origin, rows=len(index))

    def place(self, row: int, column: str) -> str:
        """The position of a cell, for an error: file, row (from 1, without the header), column."""
        row = int(row if self._origin is None else self._origin[row])
        return f"{self.source}, row {row + 1}, column {column!r}"

    def to_dict(self) -> dict[str, NDArray[Any]]:
        """The columns as plain NumPy arrays by name."""
        return {column.name: column.to_numpy() for column in self}

    def _with(self, columns: list[Column]) -> Table:
        return Table(
            columns, source=self.source, notes=self.notes, origin=self._origin, rows=self.rows
        )

    def __repr__(self) -> str:
        head = f"Table of {self.rows:,} rows x {len(self._columns)} columns from {self.source}"
        shown = [_summary(column) for column in list(self)[:40]]
        width = max((len(name) for name, _ in shown), default=0)
        lines = [f"  {name:<{width}}  {text}" for name, text in shown]
        if len(self._columns) > len(shown):
            lines.append(f"  ... and {len(self._columns) - len(shown)} more columns")
        return "\n".join([head, *lines])


def _summary(column: Column) -> tuple[str, str]:
    """The two cells of a column in the table's repr: its name, and what it holds."""
    gaps = f", {column.gaps:,} gaps" if column.gaps else ""
    if column.storage == "text":
        assert column.levels is not None
        order = np.argsort(-column.level_counts, kind="stable")[: min(3, column.distinct)]
        examples = ", ".join(clip(repr(column.levels[i])) for i in order)
        return column.name, f"text     {column.distinct:,} distinct: {examples}{gaps}"
    if len(column) == column.gaps:
        return column.name, f"{column.storage:<8} only gaps"
    low, high = label_of(column.present.min()), label_of(column.present.max())
    return column.name, f"{column.storage:<8} {low} to {high}{gaps}"


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


def listed(names: Sequence[object], limit: int = 12) -> str:
    """Names for a message, cut after `limit`."""
    shown = ", ".join(str(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def clip(text: str, width: int = 30) -> str:
    """A text cut to `width` characters."""
    return text if len(text) <= width else text[: width - 3] + "..."


def counted(number: int, noun: str) -> str:
    """'1 row', '2 rows'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
