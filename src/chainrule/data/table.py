"""The table: immutable named NumPy columns, with their gaps and their source."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.data.written import Written, label_of
from chainrule.display.tables import Section, as_html, facts_html
from chainrule.errors import DataError, SettingError, did_you_mean

SHOWN_COLUMNS, SHOWN_ROWS = 40, 5
"""The columns and rows of a table that a notebook shows."""

Storage = Literal["number", "integer", "boolean", "text", "date", "array"]
Codes = NDArray[np.int32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Condensed:
    """The rows that the cells of a column stand for, where it has each distinct one once.

    Attributes:
        counts: of each cell, the rows that hold it, (n,).
        first: of each cell, the number of the first of them, (n,); they rise.
        others: rows of further cells, of which there are too many.
        distinct: the number of distinct cells; None: those that are there.
        shared: the share of the rows whose cell another row has too; None: by the counts.
        numbered: whether integers rise by one from row to row; None: those that are there say it.
    """

    counts: NDArray[np.int64]
    first: NDArray[np.int64]
    others: int = 0
    distinct: int | None = None
    shared: float | None = None
    numbered: bool | None = None

    def take(self, rows: NDArray[Any]) -> Condensed:
        """Those of the cells at `rows`, of which nothing else is known."""
        return Condensed(self.counts[rows], self.first[rows])


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
    | array   | (n, ...) numbers              | True in `mask`   |

    parsed: what the levels were found to be, for all columns that share them: numbers, cached by
    `cells.level_numbers`, or pictures, by `pictures.decoded`.
    written: the cells as they stand, where the source has no types: CSV.
    comma: whether numbers in texts may have decimal commas, as another column of the table shows.
    folder: that names of files in texts are relative to; empty: the working folder.
    ending: of the files that texts name without it, such as ".jpg" of ids.
    classes: whether the source says that these are classes, as the names of folders are.
    condensed: the rows that each cell stands for; None: one.
    """

    name: str
    storage: Storage
    values: NDArray[Any]
    levels: NDArray[np.object_] | None = None
    mask: Flags | None = None
    parsed: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    written: Written | None = None
    comma: bool = False
    folder: str = ""
    classes: bool = False
    condensed: Condensed | None = None
    ending: str = ""

    def __len__(self) -> int:
        return len(self.values)

    def _repr_html_(self) -> str:
        _, storage, text = _summary(self)
        first = ", ".join(_first(self))
        return facts_html(self.name, ("rows", f"{len(self):,}"), ("kept as", storage),
                          ("content", text), ("the first", first))  # fmt: skip

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
        return self.tally(self.missing)

    @property
    def weights(self) -> NDArray[np.int64] | None:
        """The rows that each cell stands for, (n,); None: one."""
        return None if self.condensed is None else self.condensed.counts

    @property
    def rows(self) -> int:
        """The number of rows."""
        if self.condensed is None:
            return len(self)
        return int(self.condensed.counts.sum()) + self.condensed.others

    @property
    def count(self) -> int:
        """The number of rows that are not gaps."""
        return self.rows - self.gaps

    def tally(self, cells: Flags) -> int:
        """The number of rows of some cells, (n,) True or False."""
        return int(np.count_nonzero(cells) if self.weights is None else self.weights[cells].sum())

    def row(self, cell: int) -> int:
        """The number of the first row that holds a cell."""
        return cell if self.condensed is None else int(self.condensed.first[cell])

    def counts(self, codes: Codes, labels: int) -> NDArray[np.int64]:
        """The number of rows with each of the codes from 0 to labels - 1; `codes` of the cells."""
        return code_counts(codes, labels, self.weights)

    @cached_property
    def distinct(self) -> int:
        """The number of distinct values, gaps not counted."""
        if self.condensed is not None and self.condensed.distinct is not None:
            return self.condensed.distinct
        if self.storage == "text":
            return int(np.count_nonzero(self.level_counts))
        if self.storage == "array":
            return len({hash(cell.tobytes()) for cell in self.present})
        return len(np.unique(self.present))

    @property
    def present(self) -> NDArray[Any]:
        """The values that are not gaps (for text: their codes)."""
        return self.values[~self.missing] if self.gaps else self.values

    @cached_property
    def level_counts(self) -> NDArray[np.int64]:
        """For text: how many rows hold each level."""
        assert self.levels is not None
        return self.counts(self.values, len(self.levels))

    @property
    def texts(self) -> list[str]:
        """For text: the levels that some row holds."""
        assert self.levels is not None
        return list(self.levels[self.level_counts > 0])

    def take(self, rows: NDArray[Any]) -> Column:
        """The column at `rows`, an index or boolean array."""
        mask = None if self.mask is None else self.mask[rows]
        written = None if self.written is None else self.written.take(rows)
        condensed = None if self.condensed is None else self.condensed.take(rows)
        return Column(self.name, self.storage, self.values[rows], self.levels, mask, self.parsed,
                      written, self.comma, self.folder, self.classes, condensed,
                      self.ending)  # fmt: skip

    @property
    def typed(self) -> Column:
        """The values alone, without the texts that they were read from."""
        return self if self.written is None else replace(self, written=None)

    def without(self, rows: Flags) -> Column:
        """The column with gaps at `rows`, (n,) True or False."""
        if self.storage in ("number", "date"):
            gap = np.nan if self.storage == "number" else np.datetime64("NaT", "us")
            return replace(self, values=np.where(rows, gap, self.values).astype(self.values.dtype))
        if self.storage == "text":
            return replace(self, values=np.where(rows, np.int32(-1), self.values))
        return replace(self, mask=self.missing | rows)

    @cached_property
    def gap_texts(self) -> dict[str, int]:
        """The texts that were read as gaps, with the number of cells of each."""
        if self.written is None or not self.gaps:
            return {}
        return self.written.gap_texts(self.missing, self.weights)

    def floats(self) -> Floats:
        """Numbers and booleans as float64 with NaN for a gap. Other storages have none."""
        if self.storage in ("text", "date", "array"):
            raise DataError(f"column {self.name!r}", f"holds {self.storage}, not numbers")
        out = np.array(self.values, np.float64)
        if self.mask is not None:
            out[self.mask] = np.nan
        return out

    def labels(self, known: Collection[str] = ()) -> tuple[Codes, list[str]]:
        """Codes (n,) int32, -1 for a gap, and the label of each code.

        A label is the text of the cell, where its source has no types; else the value is written
        the same from every storage: the number 3 is '3' also where it is stored as 3.0.

        known: texts that are labels also where they were read as gaps.
        """
        codes, labels = self._labels()
        words = [text for text in self.gap_texts if text in known] if known else []
        if not words:
            return codes, labels
        assert self.written is not None
        place = {text: code for code, text in enumerate(labels)}
        place |= {text: len(labels) + k for k, text in enumerate(words) if text not in place}
        found = [place[text] if text in words else -1 for text in self.written.stripped]
        shown = np.array([*found, -1], np.int32)[self.written.codes]
        return np.where(self.missing, shown, codes), list(place)

    def _labels(self) -> tuple[Codes, list[str]]:
        if self.storage == "text":
            assert self.levels is not None
            return self.values, list(self.levels)
        if self.storage == "array":
            codes = np.where(self.missing, -1, np.arange(len(self))).astype(np.int32)
            return codes, [shape_words(self.values.shape[1:])] * len(self)
        codes = np.full(len(self), -1, np.int32)
        plain, texts = self.written, ~self.missing
        odd = np.zeros(len(self), bool)
        if plain is not None and plain.codes is not None:
            odd = texts & (plain.codes >= 0)
        regular = texts & ~odd
        distinct, codes[regular] = np.unique(self.values[regular], return_inverse=True)
        if plain is None:
            return codes, [label_of(value) for value in distinct]
        labels = plain.regular(distinct)
        return (codes, labels) if not odd.any() else self._merged(codes, labels, distinct, odd)

    def _merged(
        self, codes: Codes, labels: list[str], distinct: NDArray[Any], odd: Flags
    ) -> tuple[Codes, list[str]]:
        """Labels in the order of their values, with those of the cells that are `odd`."""
        assert self.written is not None
        assert self.written.codes is not None
        kinds, first, of_kind = np.unique(
            self.written.codes[odd], return_index=True, return_inverse=True
        )
        texts = [self.written.texts[k].strip() for k in kinds]
        value_of = dict(zip(texts, self.values[odd][first], strict=True))
        value_of |= dict(zip(labels, distinct, strict=True))
        merged = sorted(value_of, key=lambda text: (value_of[text], text))
        place = {text: code for code, text in enumerate(merged)}
        new = np.array([*(place[text] for text in labels), -1], np.int32)[codes]
        new[odd] = np.array([place[text] for text in texts], np.int32)[of_kind]
        return new, merged

    def cells(self) -> list[str | None]:
        """The cells as they stand in their source, None where there is nothing."""
        codes, labels = self.labels()
        found: list[str | None] = [None if code < 0 else labels[code] for code in codes]
        if self.written is not None and self.written.codes is not None:
            for row in np.flatnonzero(self.written.codes >= 0):
                found[row] = str(self.written.texts[self.written.codes[row]])
        return found

    def to_numpy(self) -> NDArray[Any]:
        """A plain array: text as objects with None for a gap, gappy integers as float64."""
        if self.storage == "text":
            assert self.levels is not None
            return np.asarray(np.append(self.levels, [None])[self.values])
        return self.values if self.mask is None else self.floats()


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
        shown = [_summary(column) for column in list(self)[:SHOWN_COLUMNS]]
        width = max((len(name) for name, *_ in shown), default=0)
        lines = [f"  {name:<{width}}  {storage:<8} {text}" for name, storage, text in shown]
        if len(self._columns) > len(shown):
            lines.append(f"  ... and {len(self._columns) - len(shown)} more columns")
        return "\n".join([self._head, *lines])

    def _repr_html_(self) -> str:
        columns = list(self)[:SHOWN_COLUMNS]
        rows = [_summary(column) for column in columns]
        left_out = len(self._columns) - len(columns)
        if left_out > 0:
            rows.append((f"{left_out:,} more columns", "", ""))
        right = tuple(k for k, x in enumerate(columns) if x.storage in ("number", "integer"))
        first = tuple(zip(*map(_first, columns), strict=True))
        return as_html([
            Section(self._head, tuple(rows), ("column", "kept as", "content")),
            Section("The first rows", first, tuple(column.name for column in columns), right),
        ])  # fmt: skip


def place(source: str, parts: Sequence[tuple[int, str]], row: int) -> str:
    """The file and the row in it, from 1, of a row of a table; `parts` as in Table."""
    at = bisect_right(parts, row, key=lambda part: part[0]) - 1
    first, name = parts[at] if at >= 0 else (0, source)
    return f"{name}, row {row - first + 1:,}" if parts else f"{name}, row {row + 1}"


def _summary(column: Column) -> tuple[str, str, str]:
    """The cells of a column in the table's repr: its name, its storage, and what it holds."""
    gaps = f", {column.gaps:,} gaps" if column.gaps else ""
    if column.storage == "text":
        assert column.levels is not None
        order = np.argsort(-column.level_counts, kind="stable")[: min(3, column.distinct)]
        examples = ", ".join(clip(repr(column.levels[i])) for i in order)
        return column.name, "text", f"{column.distinct:,} distinct: {examples}{gaps}"
    if len(column) == column.gaps:
        return column.name, column.storage, "only gaps"
    low, high = label_of(column.present.min()), label_of(column.present.max())
    shape = f"{shape_words(column.values.shape[1:])}, " if column.storage == "array" else ""
    return column.name, column.storage, f"{shape}{low} to {high}{gaps}"


def shape_words(shape: Sequence[int]) -> str:
    """The shape of an array in words: '28 x 28 numbers'."""
    return f"{' x '.join(map(str, shape))} numbers"


def _first(column: Column) -> list[str]:
    """The first cells of a column as text; a gap is empty."""
    codes, labels = column.take(np.arange(min(SHOWN_ROWS, len(column)))).labels()
    return ["" if code < 0 else labels[code] for code in codes]


def code_counts(
    codes: Codes, labels: int, weights: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """The number of cells with each of the codes from 0 to labels - 1; gaps, -1, have none.

    weights: the rows that each cell stands for.
    """
    return np.bincount(codes + 1, weights, minlength=labels + 1)[1:].astype(np.int64, copy=False)


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
