"""Dates as numbers: elapsed days, the year, and the position in the year, week and day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column, Floats
from chainrule.data.columns.datetexts import (
    DATE_FORMATS,
    form_words,
    guess_date_forms,
    parse_dates,
)
from chainrule.data.columns.encoder import NumericEncoder, not_all, register
from chainrule.data.columns.gaps import gap_among_numbers
from chainrule.data.columns.stats import Stats, stats_of
from chainrule.display.format import counted

DAY = np.timedelta64(1, "D")


@register
class DateColumn(NumericEncoder, frozen=True, kw_only=True, tag="date"):
    """Dates and times: elapsed days, year, and position in the year, week and day as angles.

    form, others: the formats of texts, the most frequent first.
    """

    kind = "date"
    part_words = "parts of the date"
    form: str
    parts: tuple[tuple[str, Stats], ...]
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not {self.form, *self.others} <= set(DATE_FORMATS):
            raise ValueError("unknown date format")
        if any(_part(self.name, name) not in DATE_PARTS for name, _ in self.parts):
            raise ValueError("unknown part of a date")

    @classmethod
    def guess(cls, column: Column) -> str | None:
        """The reason where the cells are stored as dates."""
        return "dates" if column.storage == "date" else None

    @classmethod
    def fit(cls, column: Column, reason: str = "") -> Self:
        """Learn the format of texts, and which parts vary."""
        form, *others = _date_forms(column)
        stamps = _stamps(column, form, *others)
        if np.isnat(stamps).all():
            raise not_all(column, "date", "no cell is a date that can be read")
        parts = []
        for name, part in DATE_PARTS.items():
            stats = stats_of(part(stamps), column.weights)
            if stats.quantiles[0] < stats.quantiles[-1] or name == "days":
                parts.append((f"{column.name}.{name}", stats))
        return cls(name=column.name, reason=reason, gaps=column.tally(np.isnat(stamps)),
                   distinct=column.distinct, form=form, parts=tuple(parts),
                   others=tuple(others))  # fmt: skip

    @property
    def treatment(self) -> str:
        """The treatment of the column in words, for display."""
        names = ", ".join(_part(self.name, name) for name, _ in self.parts)
        return f"read as {self.words}; parts: {names}"

    @property
    def words(self) -> str:
        """The formats of texts in words."""
        return " or ".join(map(form_words, (self.form, *self.others)))

    def stamps(self, column: Column) -> NDArray[np.datetime64]:
        """(n,) datetime64[us] of a column; NaT for a gap, and for a text that is not read."""
        return _stamps(column, self.form, *self.others)

    def encode(self, column: Column) -> tuple[Floats, list[str]]:
        """(n, parts) float64 with NaN for a gap, and notes."""
        stamps = self.stamps(column)
        lost = int(np.isnat(stamps).sum()) - column.gaps
        notes = self.new_gaps(column.gaps)
        if lost:
            notes.append(
                f"column {self.name!r}: {counted(lost, 'cell')} not a date read as "
                f"{self.words}, treated as gaps"
            )
        parts = [DATE_PARTS[_part(self.name, name)](stamps) for name, _ in self.parts]
        return np.stack(parts, axis=1), notes


def _part(column: str, name: str) -> str:
    return name.removeprefix(column + ".")


def dates_of(column: Column) -> NDArray[np.datetime64]:
    """(n,) datetime64[us] of a column of dates, also stored as text; NaT for a gap."""
    return _stamps(column, *_date_forms(column))


def _date_forms(column: Column) -> tuple[str, ...]:
    if column.storage in ("integer", "number"):
        return ("%Y%m%d",)
    if column.storage != "text":
        return ("iso",)
    texts = [text for text in column.texts if not gap_among_numbers(text)]
    return guess_date_forms(texts) or ("iso",)


def _stamps(column: Column, *forms: str) -> NDArray[np.datetime64]:
    """Any column as datetime64[us]: its dates, or its labels read by the formats."""
    if column.storage == "date":
        return column.values
    codes, labels = column.typed.labels()
    more = ("iso",) if column.storage == "text" else ()
    return parse_dates([*labels, ""], *forms, *more)[codes]


Part = Callable[[NDArray[np.datetime64]], Floats]
"""A number of each date, (n,), NaN for a gap."""


def _angle(function: np.ufunc, since: str, until: str) -> Part:
    """A part of a date as sine or cosine of its share of a period."""

    def part(stamps: NDArray[np.datetime64]) -> Floats:
        whole = stamps.astype(f"datetime64[{since}]")
        elapsed = (stamps - whole) / DAY
        length = 1.0 if until == "day" else 366.0
        return np.asarray(function(2 * np.pi * elapsed / length), np.float64)

    return part


def _weekday(function: np.ufunc) -> Part:
    def part(stamps: NDArray[np.datetime64]) -> Floats:
        days = np.floor((stamps - np.datetime64("1970-01-05")) / DAY)  # a Monday
        return np.asarray(function(2 * np.pi * np.mod(days, 7) / 7), np.float64)

    return part


def _days(stamps: NDArray[np.datetime64]) -> Floats:
    return np.asarray((stamps - np.datetime64("1970-01-01")) / DAY, np.float64)


def _year(stamps: NDArray[np.datetime64]) -> Floats:
    years = stamps.astype("datetime64[Y]").astype(np.int64) + 1970.0
    return np.where(np.isnat(stamps), np.nan, years)


DATE_PARTS: dict[str, Part] = {
    "days": _days,
    "year": _year,
    "yearday_sin": _angle(np.sin, "Y", "year"),
    "yearday_cos": _angle(np.cos, "Y", "year"),
    "weekday_sin": _weekday(np.sin),
    "weekday_cos": _weekday(np.cos),
    "hour_sin": _angle(np.sin, "D", "day"),
    "hour_cos": _angle(np.cos, "D", "day"),
}
