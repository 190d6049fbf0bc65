"""One row at a time: what was found of the cells of earlier rows is not found again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.data.blocks import Block, Encoded
from chainrule.data.columns.cells import PLAIN_NUMBER
from chainrule.data.columns.columns import NumberColumn
from chainrule.data.readers.sources import read
from chainrule.data.schema import Schema

MOST_BYTES = 1 << 23
"""The most bytes that remembered cells take; each column begins anew at its share of them."""

ORDERS = 16
"""The most orders of columns that are remembered."""

LARGE = 2**53
"""The number from which a float may stand for several integers."""

LONGEST = 200
"""The most characters of a text that is remembered."""

NUMBERS = frozenset((float, int, np.float64, np.float32, np.int64, np.int32))
REMEMBERED = NUMBERS | {str, bool, type(None), date, datetime, np.bool_, np.str_}
"""Types whose values are equal only where a column reads them alike, but for 0.0 and -0.0."""


class Row(NamedTuple):
    """A row as it was given: its names, the type of each column there, and the cells."""

    names: tuple[str, ...]
    types: Sequence[Hashable]
    cells: Sequence[Any]


class Piece(NamedTuple):
    """A part of a cell's code: the block, its first column in it, and the elements."""

    block: str
    at: int
    elements: NDArray[Any]


@dataclass(eq=False)
class Slot:
    """A column of a table.

    Attributes:
        places: the blocks that it is in, the first of its columns there, and their number; none
            for a column that the network does not use.
        low, high: numbers between these are taken as they are; empty where none is.
        types: those of columns and cells that were so taken, or of which nothing was said.
        known: the pieces of cells by type and value.
        bytes: about what `known` takes.
    """

    places: list[tuple[Block, int, int]] = field(default_factory=list)
    low: float = math.inf
    high: float = -math.inf
    types: set[Hashable] = field(default_factory=set)
    known: dict[Hashable, list[Piece]] = field(default_factory=dict)
    bytes: int = 0


class RowReader:
    """Encodes tables as a schema does; a usual row, of cells that came before, sooner.

    Usual is a row that has the columns of training in their order, numbers within the training
    range, and else cells that an earlier row had, about which nothing was noted.

    Any number of threads may use it at once.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._used = [x.name for x in schema.used]
        self._slots = {x.name: Slot() for x in schema.columns}
        if schema.target is not None:
            self._slots[schema.target.name] = Slot()
        for block in schema.blocks:
            if block.kind != "grid":
                self._place(block)
        for encoder in schema.used:
            if isinstance(encoder, NumberColumn) and encoder.stats.count:
                low, *_, high = encoder.stats.quantiles
                self._slots[encoder.name].low, self._slots[encoder.name].high = low, high
        texts = [text.strip() for text in schema.gaps or ()]
        self._gaps = {float(text) for text in texts if PLAIN_NUMBER.fullmatch(text)}
        self._share = MOST_BYTES // len(self._slots)
        self._grids = any(block.kind == "grid" for block in schema.blocks)
        self._orders: dict[tuple[str, ...], list[Slot]] = {}

    def _place(self, block: Block) -> None:
        """Note the places of a block's columns."""
        if block.kind in ("category", "array"):
            self._slots[block.columns[0]].places.append((block, 0, block.width))
            return
        widths = Counter([x.column for x in block.members] or block.columns)
        at = 0
        for name in block.columns:
            self._slots[name].places.append((block, at, widths[name]))
            at += widths[name]

    def encode(self, data: Any) -> Encoded:
        """The arrays of a table, as `Schema.encode(read(data), "none")` makes them."""
        row = None if self._grids else given_row(data)
        order = None if row is None else self._order(row)
        found = None if row is None or order is None else self._recalled(row, order)
        if found is not None:
            return found
        table = read(data)
        encoded = self._schema.encode(table, "none")
        if row is not None and order is not None and len(table) == 1 and not encoded.notes:
            self._remember(row, order, encoded)
        return encoded

    def _order(self, row: Row) -> list[Slot] | None:
        """The slot of each cell; None for other columns than in training, or another order."""
        known = self._orders.get(row.names)
        if known is not None:
            return known
        unique = len(set(row.names)) == len(row.names)
        used = set(self._used)
        if not unique or [name for name in row.names if name in used] != self._used:
            return None
        if not self._slots.keys() >= set(row.names):
            return None
        if len(self._orders) >= ORDERS:
            self._orders.clear()
        made = self._orders[row.names] = [self._slots[name] for name in row.names]
        return made

    def _recalled(self, row: Row, order: Sequence[Slot]) -> Encoded | None:
        """The arrays of a usual row; None for another."""
        numbers: list[tuple[int, float]] = []
        pieces: list[Piece] = []
        for slot, kind, cell in zip(order, row.types, row.cells, strict=True):
            if (kind, type(cell)) in slot.types and self._plain(slot, cell):
                if slot.places:
                    numbers.append((slot.places[0][1], cell))
                continue
            key = _key(kind, cell)
            found = None if key is None else slot.known.get(key)
            if found is None:
                return None
            pieces += found
        return Encoded(self._arrays(numbers, pieces), None, np.arange(1), [])

    def _plain(self, slot: Slot, cell: Any) -> bool:
        """Whether a cell is a number that is taken as it is, or one of which nothing is said."""
        if not slot.places:
            return self._schema.gaps is None  # else a note says what was read as a gap
        return type(cell) in NUMBERS and slot.low <= cell <= slot.high and cell not in self._gaps

    def _arrays(
        self, numbers: Sequence[tuple[int, float]], pieces: Sequence[Piece]
    ) -> dict[str, NDArray[Any]]:
        arrays = {x.name: _empty(x) for x in self._schema.blocks}
        for name, at, elements in pieces:
            array = arrays[name]
            if array.ndim == 1:
                array[0] = elements[0]
            else:
                array[0, at : at + len(elements)] = elements
        if numbers:
            block = arrays[self._schema.blocks[0].name][0]  # numbers come first
            for at, number in numbers:
                block[at] = number
        return arrays

    def _remember(self, row: Row, order: Sequence[Slot], encoded: Encoded) -> None:
        """Note what became of the cells of a row without notes."""
        for slot, kind, cell in zip(order, row.types, row.cells, strict=True):
            key = _key(kind, cell)
            if key is None:
                continue
            pieces = []
            for block, at, width in slot.places:
                array = encoded.arrays[block.name]
                part = array[:1] if array.ndim == 1 else array[0, at : at + width]
                pieces.append(Piece(block.name, at, part.copy()))
            if self._plain(slot, cell) and all(x.elements[0] == cell for x in pieces):
                slot.types.add((kind, type(cell)))
                continue
            slot.bytes += 500 + sum(x.elements.nbytes for x in pieces)
            if slot.bytes > self._share:
                slot.known, slot.bytes = {}, 0
            slot.known[key] = pieces


def _empty(block: Block) -> NDArray[Any]:
    """The array of a block for one row, to be filled."""
    if block.kind == "category":
        return np.empty(1, np.int32)
    dtype = {"numbers": np.float64, "categories": np.int32, "array": np.float32}[block.kind]
    return np.empty((1, block.width), dtype)


def _key(kind: Hashable, cell: Any) -> Hashable:
    """A key that is equal only for cells that a column reads alike; None for other cells."""
    own = type(cell)
    if isinstance(cell, datetime):
        return (kind, own, cell) if cell.tzinfo is None else None
    if own not in REMEMBERED or (isinstance(cell, str) and len(cell) > LONGEST):
        return None
    return kind, own, cell if cell or own in (str, int) else repr(cell)


# ---------------------------------------------------------------- rows as they are given


def given_row(data: Any) -> Row | None:
    """The row of a table in memory that has one, in a usual form; else None."""
    kind = type(data)
    if kind is dict:
        return _of_dict(data)
    if kind is list:
        usual = len(data) == 1 and type(data[0]) is dict
        return Row(tuple(data[0]), [None] * len(data[0]), list(data[0].values())) if usual else None
    if kind.__name__ == "DataFrame":
        reader = _FRAMES.get(kind.__module__.partition(".")[0])
        return None if reader is None else reader(data)
    return None


def _of_dict(data: dict[Any, Any]) -> Row | None:
    types: list[Hashable] = []
    cells = []
    for values in data.values():
        if type(values) is list and len(values) == 1:
            types.append(None)
            cells.append(values[0])
        elif type(values) is np.ndarray and values.shape == (1,) and values.dtype.kind in "fiubU":
            types.append(values.dtype)
            cells.append(values.item())
        else:
            return None
    return Row(tuple(data), types, cells)


def _of_pandas(frame: Any) -> Row | None:
    """The row of a pandas frame. Numbers of several types come as floats, if they are all."""
    if len(frame.index) != 1 or not len(frame.columns):
        return None
    types, series = frame.dtypes.tolist(), frame.iloc[0]
    cells = series.tolist()
    alike = series.dtype == object or all(kind == series.dtype for kind in types)
    if not alike and not all(type(x) is float and abs(x) < LARGE for x in cells):
        return None
    kinds = [x if isinstance(x, np.dtype) else str(x) for x in types]  # which is sooner compared
    return Row(tuple(frame.columns.tolist()), kinds, cells)


def _of_polars(frame: Any) -> Row | None:
    if frame.height != 1:
        return None
    return Row(tuple(frame.columns), frame.dtypes, frame.row(0))


_FRAMES: dict[str, Callable[[Any], Row | None]] = {"pandas": _of_pandas, "polars": _of_polars}
"""By package, the reader of its frames; it need not be imported."""
