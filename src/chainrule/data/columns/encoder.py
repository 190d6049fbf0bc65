"""The base classes of column encoders, their table, notes and errors."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Codes, Column, Floats
from chainrule.data.columns.cells import (
    PLAIN_NUMBER,
    NumberForm,
    form_of,
    level_numbers,
    parse_numbers,
)
from chainrule.data.columns.stats import Stats
from chainrule.display.format import clip, counted, listed
from chainrule.errors import DataError, SettingError

MAX_GRID = 4_000_000
"""Elements of a grid, such as a picture of 1,000 x 1,300 pixels in colour."""


class Encoder(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """A fitted column; each kind of column is a subclass.

    A kind extends `NumericEncoder`, `CategoryEncoder` or `ArrayEncoder`, which determine how a
    network uses its arrays, has its name as `kind` and as the tag in files, and is entered in
    the table by `register`.

    Attributes:
        name: of the column.
        reason: for its kind.
        gaps: the number in the training data.
        distinct: the number of distinct values in the training data.
    """

    name: str
    reason: str
    gaps: int
    distinct: int

    kind: ClassVar[str] = ""

    @classmethod
    def guess(cls, column: Column) -> str | None:
        """The reason why a column is certainly of this kind; None: `kinds.guess_kind` decides."""
        return None

    @classmethod
    def fit(cls, column: Column, reason: str = "") -> Self:
        """Learn a column. Raises DataError where it cannot be of this kind."""
        raise NotImplementedError

    @property
    def treatment(self) -> str:
        """The treatment of the column in words, for display."""
        raise NotImplementedError

    def encode(self, column: Column) -> tuple[NDArray[Any], list[str]]:
        """The cells of a column as an array, and notes on differences from the training data."""
        raise NotImplementedError

    def new_gaps(self, missing: int) -> list[str]:
        """The note on gaps in a column that had none in training."""
        if not missing or self.gaps:
            return []
        return [f"column {self.name!r}: {counted(missing, 'gap')}, training had none"]


class NumericEncoder(Encoder, frozen=True, kw_only=True):
    """A kind whose cells become numbers: (n, parts) float64, NaN for a gap.

    They join the block of numbers; the network fills and marks their gaps, and scales them.
    """

    part_words: ClassVar[str] = "its parts"

    @property
    def parts(self) -> tuple[tuple[str, Stats], ...]:
        """The name and statistics of each column of `encode`."""
        raise NotImplementedError

    @property
    def one_by_one(self) -> tuple[float, ...]:
        """The numbers, ascending, that are also learned one by one."""
        return ()


class ArrayEncoder(Encoder, frozen=True, kw_only=True):
    """A kind whose cells become features as they are: (n, width) float32."""

    @property
    def width(self) -> int:
        """The number of features."""
        raise NotImplementedError

    @property
    def features(self) -> str:
        """The features that the network gets, in words, for display."""
        return self.treatment


class GridEncoder(Encoder, frozen=True, kw_only=True):
    """A kind whose cells become grids of numbers: (n, *shape), channels last.

    mean, std: of each channel in the training data; the network scales by them.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the grid of a cell: (height, width, channels), or (length, channels)."""
        raise NotImplementedError

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns of a table that it is made of."""
        return (self.name,)

    def absent(self, column: Column) -> NDArray[np.bool_]:
        """The cells that cannot be read, (n,); `encode` makes zeros of them."""
        return column.missing

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.std) == self.shape[-1]:
            raise ValueError("each channel needs its mean and standard deviation")
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise ValueError("statistics must be finite, and deviations above 0")
        if min(self.shape) < 1 or math.prod(self.shape) > MAX_GRID:
            raise ValueError(f"a grid has 1 to {MAX_GRID:,} elements")


class CategoryEncoder(Encoder, frozen=True, kw_only=True):
    """A kind whose cells become codes, (n,) int32, one-hot encoded or embedded.

    words: an encoder of further features of the same column, or None.
    counts: the training rows of each code; empty in files of earlier versions.
    """

    words: ArrayEncoder | None = None
    counts: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """The number of codes."""
        raise NotImplementedError

    @property
    def met(self) -> list[int]:
        """The codes that occur in the training data."""
        return list(range(self.width))

    def name_of(self, code: int) -> str:
        """A code in words."""
        return f"code {code}"


ENCODERS: dict[str, type[Encoder]] = {}
"""The kinds of columns that a network uses, by name."""

_ABSTRACT: dict[type[Encoder], tuple[str, ...]] = {
    NumericEncoder: ("parts",), CategoryEncoder: ("width",), ArrayEncoder: ("width",),
    GridEncoder: ("shape",),
}  # fmt: skip
"""By base class, the members that a kind defines besides `fit`, `encode` and `treatment`."""

AnyKind = TypeVar("AnyKind", bound=type[Encoder])


def register(kind: AnyKind) -> AnyKind:
    """Enter a kind of column in the table. Raises SettingError where a member is missing."""
    base = base_of(kind)
    needed = ("fit", "encode", "treatment", *_ABSTRACT[base])
    defined = {name for x in kind.__mro__ if x not in (base, Encoder) for name in vars(x)}
    lacking = [name for name in needed if name not in defined]
    if lacking:
        raise SettingError(kind.__name__, f"the kind of column has no {listed(lacking)}")
    if not kind.kind or kind.kind != kind.__struct_config__.tag:
        raise SettingError(
            kind.__name__, "the kind of column needs one name", expected="kind == tag",
            got=f"kind {kind.kind!r}, tag {kind.__struct_config__.tag!r}",
        )  # fmt: skip
    if kind.kind in ENCODERS:
        raise SettingError(kind.__name__, f"there is a kind {kind.kind!r} already")
    ENCODERS[kind.kind] = kind
    return kind


def base_of(kind: type[Encoder]) -> type[Encoder]:
    """The base class of a kind, which decides how a network uses it. Raises SettingError."""
    for base in _ABSTRACT:
        if issubclass(kind, base):
            return base
    raise SettingError(
        kind.__name__,
        f"a column of kind {kind.kind!r} would not reach the network",
        expected="a subclass of " + " or ".join(base.__name__ for base in _ABSTRACT),
    )


def number_form(column: Column) -> NumberForm:
    """The notation of a column's numbers, also where they are stored as text."""
    if column.storage == "text":
        return form_of(column)
    return NumberForm("," if column.written and column.written.decimal == "," else ".")


def numbers_of(column: Column, form: NumberForm) -> tuple[Floats, list[str]]:
    """Any column but dates as float64 (n,), with a note on cells that are not numbers."""
    if column.storage == "date":
        raise not_all(column, "number", "it holds dates")
    as_read = column.written is None or form.decimal == column.written.decimal
    if column.storage != "text" and as_read:
        return column.floats(), []
    codes, labels = column.labels()
    parsed = (
        level_numbers(column, form) if column.storage == "text" else parse_numbers(labels, *form)
    )
    values = np.append(parsed, np.nan)[codes]
    odd = np.isnan(values) & (codes >= 0)
    return values, [
        unseen_note(column.name, codes, odd, labels, "not numbers, treated as gaps")
    ] * int(odd.any())


class Infinite(ValueError):
    """An infinity at a row of a column; the schema adds file and column."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


def refuse_infinite(values: Floats, name: str) -> Floats:
    """Returns the values. Raises Infinite."""
    infinite = np.isinf(values)
    if infinite.any():
        raise Infinite(int(infinite.argmax()))
    return values


def not_all(column: Column, kind: str, why: str) -> DataError:
    """The error for a column that cannot be read as a kind."""
    return DataError(
        f"column {column.name!r}",
        f"cannot be read as {kind}: {why}",
        got=f"{column.storage}, {counted(column.distinct, 'distinct value')}",
        fix=f"choose another kind: kinds={{{column.name!r}: 'category'}}",
    )


def match_labels(
    column: Column, levels: Sequence[str], *, gaps: Collection[str], by_number: bool
) -> tuple[Codes, Codes, list[str]]:
    """The place of each cell among the levels (n,), -1 for a gap, -2 for none; codes and labels.

    A label is the level that is written alike; else, for a number, the one level of that value.
    Between texts of files, only 3 and 3.0 have the same value: 1.1 and 1.10 may be versions.

    Args:
        gaps: the texts that training read as gaps; a level comes first.
        by_number: whether the levels were numbers in a container with types.
    """
    codes, labels = column.labels(known=levels)
    typed = column.storage != "text" and column.written is None
    key = _value if by_number or typed else _bare
    place = {level: k for k, level in enumerate(levels)}
    alike: dict[Any, list[int]] = {}
    found = [place.get(label, -2) for label in labels]
    if -2 in found:
        for level, k in place.items():
            alike.setdefault(key(level), []).append(k)
        for at, label in enumerate(labels):
            if found[at] == -2 and len(same := alike.get(key(label), [])) == 1:
                found[at] = same[0]
            elif found[at] == -2 and label in gaps:
                found[at] = -1
    return np.array([*found, -1], np.int32)[codes], codes, labels


def _bare(label: str) -> str:
    return label.removesuffix(".0") if label[:-2].lstrip("-").isdigit() else label


def _value(label: str) -> Any:
    return Decimal(label) if PLAIN_NUMBER.fullmatch(label) else label


def unseen_note(
    name: str, codes: Codes, odd: NDArray[np.bool_], labels: Sequence[str], how: str
) -> str:
    """The note on values that do not occur in the training data, at the rows `odd`."""
    found = np.unique(codes[odd])
    shown = listed([repr(clip(labels[i])) for i in found[:3]])
    more = ", ..." if len(found) > 3 else ""
    rows = f"{odd.sum():,} of {counted(len(codes), 'row')}"
    values = counted(len(found), "unseen value")
    return f"column {name!r}: {values} ({shown}{more}; {rows}) {how}"
