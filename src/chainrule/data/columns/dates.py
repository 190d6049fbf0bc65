"""Dates as numbers: elapsed days, the year, and the position in the year, week and day."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.columns.datetexts import (
    DATE_FORMATS,
    form_words,
    guess_date_format,
    parse_dates,
)
from chainrule.data.columns.encoder import NumericEncoder, Stats, not_all, register, stats_of
from chainrule.data.table import Column, Floats, counted

DAY = np.timedelta64(1, "D")


@register
class DateColumn(NumericEncoder, frozen=True, kw_only=True, tag="date"):
    """Dates and times: elapsed days, year, and position in the year, week and day as angles."""

    kind = "date"
    part_words = "parts of the date"
    form: str
    parts: tuple[tuple[str, Stats], ...]

    def __post_init__(self) -> None:
        if self.form not in DATE_FORMATS:
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
        form = _date_form(column)
        stamps = _stamps(column, form)
        if np.isnat(stamps).all():
            raise not_all(column, "date", "no cell is a date that can be read")
        parts = []
        for name, part in DATE_PARTS.items():
            stats = stats_of(part(stamps))
            if stats.quantiles[0] < stats.quantiles[-1] or name == "days":
                parts.append((f"{column.name}.{name}", stats))
        return cls(name=column.name, reason=reason, gaps=int(np.isnat(stamps).sum()),
                   distinct=column.distinct, form=form, parts=tuple(parts))  # fmt: skip

    @property
    def treatment(self) -> str:
        """The treatment of the column in words, for display."""
        names = ", ".join(_part(self.name, name) for name, _ in self.parts)
        return f"read as {form_words(self.form)}; parts: {names}"

    def encode(self, column: Column) -> tuple[Floats, list[str]]:
        """(n, parts) float64 with NaN for a gap, and notes."""
        stamps = _stamps(column, self.form)
        lost = int(np.isnat(stamps).sum()) - column.gaps
        notes = self.new_gaps(column.gaps)
        if lost:
            notes.append(
                f"column {self.name!r}: {counted(lost, 'cell')} not a date read as "
                f"{form_words(self.form)}, treated as gaps"
            )
        parts = [DATE_PARTS[_part(self.name, name)](stamps) for name, _ in self.parts]
        return np.stack(parts, axis=1), notes


def _part(column: str, name: str) -> str:
    return name.removeprefix(column + ".")


def dates_of(column: Column) -> NDArray[np.datetime64]:
    """(n,) datetime64[us] of a column of dates, also stored as text; NaT for a gap."""
    return _stamps(column, _date_form(column))


def _date_form(column: Column) -> str:
    if column.storage in ("integer", "number"):
        return "%Y%m%d"
    if column.storage != "text":
        return "iso"
    return (guess_date_format(column.texts, 0.5) if column.texts else None) or "iso"


def _stamps(column: Column, form: str) -> NDArray[np.datetime64]:
    """Any column as datetime64[us]: its dates, or its labels read by the format."""
    if column.storage == "date":
        return column.values
    codes, labels = column.typed.labels()
    stamps = parse_dates([*labels, ""], form)
    if column.storage == "text" and form != "iso":
        iso = parse_dates([*labels, ""], "iso")
        stamps = np.where(np.isnat(stamps), iso, stamps)
    return stamps[codes]


def _angle(function: Any, since: str, until: str) -> Any:
    """A part of a date as sine or cosine of its share of a period."""

    def part(stamps: NDArray[np.datetime64]) -> Floats:
        whole = stamps.astype(f"datetime64[{since}]")
        elapsed = (stamps - whole) / DAY
        length = 1.0 if until == "day" else 366.0
        return np.asarray(function(2 * np.pi * elapsed / length), np.float64)

    return part


def _weekday(function: Any) -> Any:
    def part(stamps: NDArray[np.datetime64]) -> Floats:
        days = np.floor((stamps - np.datetime64("1970-01-05")) / DAY)  # a Monday
        return np.asarray(function(2 * np.pi * np.mod(days, 7) / 7), np.float64)

    return part


def _days(stamps: NDArray[np.datetime64]) -> Floats:
    return np.asarray((stamps - np.datetime64("1970-01-01")) / DAY, np.float64)


def _year(stamps: NDArray[np.datetime64]) -> Floats:
    years = stamps.astype("datetime64[Y]").astype(np.int64) + 1970.0
    return np.where(np.isnat(stamps), np.nan, years)


DATE_PARTS = {
    "days": _days,
    "year": _year,
    "yearday_sin": _angle(np.sin, "Y", "year"),
    "yearday_cos": _angle(np.cos, "Y", "year"),
    "weekday_sin": _weekday(np.sin),
    "weekday_cos": _weekday(np.cos),
    "hour_sin": _angle(np.sin, "D", "day"),
    "hour_cos": _angle(np.cos, "D", "day"),
}
