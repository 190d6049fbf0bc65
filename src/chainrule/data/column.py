"""A column of a table: NumPy values with their gaps, and the rows that each cell stands for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.data.written import Written, label_of
from chainrule.display.format import clip
from chainrule.display.tables import facts_html
from chainrule.errors import DataError

SHOWN_ROWS = 5
"""The first cells of a column that a notebook shows."""

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
        _, storage, text = summary(self)
        first = ", ".join(first_cells(self))
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


def summary(column: Column) -> tuple[str, str, str]:
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


def first_cells(column: Column) -> list[str]:
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
