"""The kinds of columns: what each is made of, their table, statistics, notes and refusals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from chainrule.data.columns.cells import NumberForm, form_of, level_numbers
from chainrule.data.table import Codes, Column, Floats, clip, counted, listed
from chainrule.errors import DataError, SettingError

KNOTS = 33
SHARED_BY, SHARED = 10, 200
"""Rows that make a number one that many share, and how many of those are learned at most."""


class Stats(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What training met in one column of numbers: all that a numeric encoder needs.

    quantiles: KNOTS evenly spaced quantiles, from the minimum to the maximum. Without any
    number all values are 0.
    """

    count: int
    gaps: int
    mean: float
    std: float
    median: float
    quantiles: tuple[float, ...]

    @property
    def quartiles(self) -> tuple[float, float]:
        """The numbers below which a quarter, and three quarters, of all lie."""
        return self.quantiles[KNOTS // 4], self.quantiles[-1 - KNOTS // 4]

    def __post_init__(self) -> None:
        values = (self.mean, self.std, self.median, *self.quantiles)
        if not all(map(math.isfinite, values)) or self.std < 0:
            raise ValueError("statistics must be finite")
        if len(self.quantiles) != KNOTS or list(self.quantiles) != sorted(self.quantiles):
            raise ValueError(f"quantiles must be {KNOTS} ascending numbers")
        if self.count < 0 or self.gaps < 0:
            raise ValueError("counts must not be negative")


def stats_of(values: Floats) -> Stats:
    """The statistics of finite numbers with NaN gaps, (n,)."""
    present = values[~np.isnan(values)]
    gaps = len(values) - len(present)
    if not len(present):
        return Stats(0, gaps, 0.0, 0.0, 0.0, (0.0,) * KNOTS)
    scale = float(np.abs(present).max()) or 1.0  # keeps squares and sums of huge numbers finite
    mean, std = float(np.mean(present / scale) * scale), float(np.std(present / scale) * scale)
    knots = np.quantile(present / scale, np.linspace(0, 1, KNOTS)) * scale
    knots = np.maximum.accumulate(np.clip(knots, present.min(), present.max()))
    return Stats(len(present), gaps, mean, std, float(knots[KNOTS // 2]), tuple(knots.tolist()))


def tail_share(values: Floats) -> float:
    """Of the squared distances to the median, the share of one number in twenty, the farthest.

    0.28 for normally distributed numbers, 0.5 for exponentially distributed ones; near 1 where a
    few outliers hide all others. (n,), NaN for a gap.
    """
    present = values[~np.isnan(values)]
    if not len(present):
        return 0.0
    far = np.abs(present / 4 - np.median(present) / 4)  # huge numbers stay finite
    squares = np.sort(np.square(far / (far.max() or 1.0)))
    return float(squares[-math.ceil(len(far) / 20) :].sum() / (squares.sum() or 1.0))


def spread_of(stats: Stats) -> float:
    """The distance of the quartiles; where they are equal, of the next quantiles that are not."""
    knots = stats.quantiles
    last = len(knots) - 1
    for k in range(last // 4, -1, -1):
        if (width := knots[last - k] - knots[k]) > 0 and math.isfinite(width):
            return width if k else width / 2
    return stats.std or 1.0


def shared_values(values: Floats, stats: Stats) -> tuple[float, ...]:
    """The numbers that many rows share, rising, where both quartiles are one number; else none.

    There distances tell little, as in a column of amounts that is 0 in most rows.
    """
    low, high = stats.quartiles
    if low != high:
        return ()
    numbers, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHARED]
    chosen = numbers[order[counts[order] >= SHARED_BY]]
    return tuple(np.sort(chosen).tolist()) if len(chosen) > 2 else ()


class Encoder(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """One column as it was learned; each kind of column is a subclass.

    A kind extends `NumericEncoder`, `CategoryEncoder` or `ArrayEncoder`, which say what becomes
    of its arrays in a network, has its name as `kind` and as the tag in files, and is entered in
    the table by `register`.

    Attributes:
        name: of the column.
        reason: why it is read so.
        gaps: that training met in it.
        distinct: values that training met in it.
    """

    name: str
    reason: str
    gaps: int
    distinct: int

    kind: ClassVar[str] = ""

    @classmethod
    def guess(cls, column: Column) -> str | None:
        """Why a column is certainly of this kind; None leaves it to `kinds.guess_kind`."""
        return None

    @classmethod
    def fit(cls, column: Column, reason: str = "") -> Self:
        """Learn a column. Raises DataError where it cannot be of this kind."""
        raise NotImplementedError

    @property
    def treatment(self) -> str:
        """What becomes of the column, for display."""
        raise NotImplementedError

    def encode(self, column: Column) -> tuple[NDArray[Any], list[str]]:
        """The cells of a column as an array, and notes on what training did not meet."""
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
        """Numbers, rising, of which each is learned by itself besides."""
        return ()


class CategoryEncoder(Encoder, frozen=True, kw_only=True):
    """A kind whose cells become codes: (n,) int32, which are one-hot or embedded."""

    @property
    def width(self) -> int:
        """The number of codes."""
        raise NotImplementedError

    @property
    def met(self) -> list[int]:
        """The codes that training met."""
        return list(range(self.width))


class ArrayEncoder(Encoder, frozen=True, kw_only=True):
    """A kind whose cells become features as they are: (n, width) float32."""

    @property
    def width(self) -> int:
        """The number of features."""
        raise NotImplementedError

    @property
    def features(self) -> str:
        """What the network gets of the column, for display."""
        return self.treatment


ENCODERS: dict[str, type[Encoder]] = {}
"""The kinds of columns that a network uses, by name."""

_ABSTRACT: dict[type[Encoder], tuple[str, ...]] = {
    NumericEncoder: ("parts",), CategoryEncoder: ("width",), ArrayEncoder: ("width",),
}  # fmt: skip
"""For each base of kinds what a kind has to say besides `fit`, `encode` and `treatment`."""

AnyKind = TypeVar("AnyKind", bound=type[Encoder])


def register(kind: AnyKind) -> AnyKind:
    """Enter a kind of column in the table. Raises SettingError where it lacks something."""
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
    """The base of a kind, by which its arrays reach a network. Raises SettingError."""
    for base in _ABSTRACT:
        if issubclass(kind, base):
            return base
    raise SettingError(
        kind.__name__,
        f"a column of kind {kind.kind!r} would not reach the network",
        expected="a subclass of " + " or ".join(base.__name__ for base in _ABSTRACT),
    )


def number_form(column: Column) -> NumberForm:
    """How a column writes its numbers, also where they are stored as text."""
    return form_of(column) if column.storage == "text" else NumberForm()


def numbers_of(column: Column, form: NumberForm) -> tuple[Floats, list[str]]:
    """Any column but dates as float64 (n,), with a note on cells that are not numbers."""
    if column.storage == "date":
        raise not_all(column, "number", "it holds dates")
    if column.storage != "text":
        return column.floats(), []
    codes, labels = column.labels()
    values = np.append(level_numbers(column, form), np.nan)[codes]
    odd = np.isnan(values) & (codes >= 0)
    return values, [
        unseen_note(column.name, codes[odd], labels, "not numbers, treated as gaps")
    ] * int(odd.any())


class Infinite(ValueError):
    """An infinity at a row of a column; the schema tells where that is."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


def refuse_infinite(values: Floats, name: str) -> Floats:
    """The values, if none is infinite."""
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
        fix="choose another kind for it",
    )


def unseen_note(name: str, codes: Codes, labels: Sequence[str], how: str) -> str:
    """The note on values that training did not have."""
    found = np.unique(codes)
    shown = listed([repr(clip(labels[i])) for i in found[:3]])
    more = ", ..." if len(found) > 3 else ""
    rows = counted(len(codes), "row")
    values = counted(len(found), "unseen value")
    return f"column {name!r}: {values} ({shown}{more}; {rows}) {how}"
