"""The meaning of a cell's text: a gap, a number, a date, yes or no."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.data.table import Codes, Column, Floats, counted, listed

Decimal = Literal[".", ","]

GAP_TEXTS = frozenset(
    "? - -- . NA N/A n/a na NaN nan -nan null NULL Null None <NA> #N/A #NA".split()  # noqa: SIM905
)
NO_TEXTS = frozenset(("0", "false", "no", "n", "f", "off"))
YES_TEXTS = frozenset(("1", "true", "yes", "y", "t", "on"))

PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
LEADING_ZERO = re.compile(r"[+-]?0\d")
THOUSANDS = {
    ".": re.compile(r"[+-]?\d{1,3}(?:[, '\u00a0\u202f]\d{3})+(?:\.\d+)?"),
    ",": re.compile(r"[+-]?\d{1,3}(?:[. '\u00a0\u202f]\d{3})+(?:,\d+)?"),
}
DECORATION = " \t$€£¥%\u00a0"
GROUP_MARKS = {
    mark: str.maketrans("", "", " '\u00a0\u202f" + other) for mark, other in (".,", ",.")
}
UNIT = re.compile(  # "12 kg", "EUR 12.50"; not "A12", which is a code
    r"[^a-z]*\d\.?\s*([a-z\u00b5\u00b0\u20ac$][a-z\u00b5\u00b0\u00b2\u00b3/. ]{0,11})"
    r"|((?-i:[A-Z]{3}|Rs\.?)) [-+.\d].*",
    re.IGNORECASE,
)
LEDGER = re.compile(r"\((.*)\)|[-\u2212](.*)")  # (12.50) and -$12.50 are negative


class Notes:
    """Collects notes while reading; gap texts are reported once for all columns."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._gaps: dict[str, dict[str, int]] = {}

    def add(self, line: str) -> None:
        """Add a line."""
        self._lines.append(line)

    def gap(self, column: str, text: str, cells: int) -> None:
        """Count `cells` of a column in which `text` was read as a gap."""
        self._gaps.setdefault(text, {})[column] = cells

    def lines(self) -> list[str]:
        """All notes."""
        return self._lines + [
            f"{text!r} read as a gap: {counted(sum(found.values()), 'cell')} in "
            f"{'column' if len(found) == 1 else 'columns'} {listed(list(map(repr, found)), 6)}"
            for text, found in self._gaps.items()
        ]


def text_column(
    name: str, codes: Codes, levels: Sequence[Any] | NDArray[Any], notes: Notes, *, typed: bool
) -> Column:
    """A text column with trimmed, sorted levels and its gap texts, noted, as gaps.

    Where the source has no types (`typed` is False: CSV) a column whose texts are all plain
    numbers becomes numbers. Digits with leading zeros stay text.
    """
    stripped = [str(level).strip() for level in levels]
    kept = sorted(set(stripped) - GAP_TEXTS - {""})
    if kept != stripped:
        position = {text: i for i, text in enumerate(kept)}
        counts = np.bincount(codes[codes >= 0], minlength=len(stripped))
        for text, cells in zip(stripped, counts, strict=True):
            if text in GAP_TEXTS and cells:
                notes.gap(name, text, int(cells))
        codes = np.array([position.get(text, -1) for text in stripped] + [-1], np.int32)[codes]
    column = Column(name, "text", codes, np.array(kept, object))
    if kept and not typed and all_plain(kept):
        return _as_numbers(column)
    return column


def all_plain(texts: Iterable[str]) -> bool:
    """Whether every text is a plain number without leading zeros."""
    return all(PLAIN_NUMBER.fullmatch(t) and not LEADING_ZERO.match(t) for t in texts)


def _as_numbers(column: Column) -> Column:
    """Converts a text column of plain numbers: to integers where all are integers and fit."""
    assert column.levels is not None
    missing = column.missing
    if all(level.lstrip("+-").isdigit() for level in column.levels):
        whole = [int(level) for level in column.levels]
        if max(map(abs, whole)) >= 2**63:
            return column
        values = np.array([*whole, 0], np.int64)[column.values]
        return Column(column.name, "integer", values, mask=missing if missing.any() else None)
    numbers = np.array([*map(float, column.levels), np.nan])
    return Column(column.name, "number", numbers[column.values])


def yes_or_no(texts: Iterable[str]) -> bool:
    """Whether all texts are usual words for yes and no, and both are among them."""
    found = {text.lower() for text in texts}
    return found <= NO_TEXTS | YES_TEXTS and bool(found & NO_TEXTS) and bool(found & YES_TEXTS)


class NumberForm(NamedTuple):
    """The notation of a column's numbers: the decimal mark, and a common unit such as `kg`."""

    decimal: Decimal = "."
    unit: str = ""


def parse_numbers(texts: Iterable[str], decimal: str = ".", unit: str = "") -> Floats:
    """The numbers in texts such as '1,234.5', '-$12', '(45 %)'; NaN where there is none."""
    return np.array([_parse_number(text, decimal, unit) for text in texts], np.float64)


def _parse_number(text: str, decimal: str, unit: str) -> float:
    text, sign = text.strip(DECORATION), 1
    if unit:
        text = text.removeprefix(unit).removesuffix(unit).strip(DECORATION)
    if decimal == "." and PLAIN_NUMBER.fullmatch(text):  # most of them
        return float(text)
    if negative := LEDGER.fullmatch(text):
        text, sign = (negative[1] or negative[2] or "").strip(DECORATION), -1
        if text[:1] in ("+", "-"):
            return np.nan
    if THOUSANDS[decimal].fullmatch(text):
        text = text.translate(GROUP_MARKS[decimal])
    if decimal == ",":
        text = text.replace(",", ".")
    return sign * float(text) if PLAIN_NUMBER.fullmatch(text) else np.nan


def level_numbers(column: Column, form: NumberForm) -> Floats:
    """The number of each level of a text column, NaN where there is none; parsed once."""
    assert column.levels is not None
    if form not in column.parsed:
        column.parsed[form] = parse_numbers(column.levels, *form)
    return column.parsed[form]


def guess_form(texts: Sequence[str]) -> NumberForm:
    """The unit of numbers stored as text, and their decimal mark.

    A unit must occur in nine of ten texts. The mark is ',' where more of the texts are numbers
    with a decimal comma than with a point.
    """
    return _form(texts, lambda form: parse_numbers(texts, *form))


def form_of(column: Column) -> NumberForm:
    """The notation of a text column's numbers, from all levels that occur in a row."""
    used = column.level_counts > 0
    return _form(column.texts, lambda form: level_numbers(column, form)[used])


def _form(texts: Sequence[str], numbers: Callable[[NumberForm], Floats]) -> NumberForm:
    """See guess_form; `numbers` are those of the texts, written in a form."""
    unit = _guess_unit(texts)
    point, comma = NumberForm(".", unit), NumberForm(",", unit)
    most = np.isfinite(numbers(point)).sum()
    if most == len(texts) or most >= np.isfinite(numbers(comma)).sum():
        return point
    return comma


def _guess_unit(texts: Sequence[str]) -> str:
    sample = texts[:: max(1, len(texts) // 1000)]
    found = (UNIT.fullmatch(text.strip(DECORATION)) for text in sample)
    units = Counter(unit[1] or unit[2] for unit in found if unit)
    unit, count = next(iter(units.most_common(1)), ("", 0))
    return unit if count >= 0.9 * len(sample) else ""


DAYS = (
    "iso", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d",
    "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%d-%b-%Y", "%d-%b-%y",
    "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%Y%m%d",
)  # fmt: skip
TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
DATE_FORMATS = ("iso", *(day + time for day in DAYS[1:] for time in TIMES))
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
LIKE_A_DATE = re.compile(r"(?=.*\d).{1,9}[-/. ].{1,9}[-/. ,].{2,}")


def parse_dates(texts: Iterable[str], form: str) -> NDArray[np.datetime64]:
    """Texts as datetime64[us] in UTC by one of DATE_FORMATS; NaT where they do not fit."""
    return np.array([_parse_date(text, form) for text in texts], "datetime64[us]")


def _parse_date(text: str, form: str) -> datetime | None:
    try:
        if form != "iso":
            return datetime.strptime(text, form)
        if not ISO_DATE.match(text):
            return None
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def guess_date_format(texts: Sequence[str], share: float = 0.95) -> str | None:
    """The format that reads at least `share` of the texts as dates, or None.

    Where day/month and month/day both fit, '/' is read month first, '.' and '-' day first.
    """
    sample = [texts[i] for i in np.unique(np.linspace(0, len(texts) - 1, 300).astype(int))]
    if sum(LIKE_A_DATE.fullmatch(text) is not None for text in sample) < share * len(sample):
        return None
    scores = {
        form: np.count_nonzero(~np.isnat(parse_dates(sample, form)))
        for form in DATE_FORMATS
        if not np.isnat(parse_dates(sample[:8], form)).all()
    }
    best = max(scores, key=scores.__getitem__, default=None)
    return best if best is not None and scores[best] >= share * len(sample) else None


def form_words(form: str) -> str:
    """A date format in words: '%d/%m/%Y' is day/month/year."""
    words = {
        "%d": "day", "%m": "month", "%b": "month", "%B": "month", "%Y": "year", "%y": "year",
        "%H:%M:%S": "time", "%H:%M": "time", "%I:%M:%S %p": "time", "%I:%M %p": "time",
        "iso": "year-month-day",
    }  # fmt: skip
    for mark in sorted(words, key=len, reverse=True):
        form = form.replace(mark, words[mark])
    return form
