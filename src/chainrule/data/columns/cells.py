"""The meaning of a text as a number, or as yes or no."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from chainrule.data.column import Column, Floats
from chainrule.data.columns.gaps import gap_among_numbers

DecimalMark = Literal[".", ","]

NO_TEXTS = frozenset(("0", "false", "no", "n", "f", "off"))
YES_TEXTS = frozenset(("1", "true", "yes", "y", "t", "on"))

PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
CODE = re.compile(r"[+-]?0\d+|\+\d{7,}")
MAX_CODES = 0.05
"""The share of numbers with leading zeros up to which these are numbers among decimals."""
THOUSANDS = {
    ".": re.compile(r"[+-]?[1-9]\d{0,2}(?:[, '\u00a0\u202f]\d{3})+(?:\.\d+)?"),
    ",": re.compile(r"[+-]?[1-9]\d{0,2}(?:[. '\u00a0\u202f]\d{3})+(?:,\d+)?"),
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


def are_digits(texts: Iterable[str]) -> bool:
    """Whether all texts are digits, with or without signs."""
    return all(text.lstrip("+-").isdigit() for text in texts)


def number_storage(cells: Mapping[str, int]) -> Literal["integer", "number"] | None:
    """The storage of plain numbers, counted by text; None: they stay texts.

    Codes stay texts, such as digits with leading zeros: see `codes_among`.
    """
    if not cells or not all(map(PLAIN_NUMBER.fullmatch, cells)):
        return None
    if codes_among(cells):
        return None
    if are_digits(cells):
        return "integer" if max(abs(int(text)) for text in cells) < 2**63 else None
    return "number"


def codes_among(cells: Mapping[str, int]) -> dict[str, int]:
    """The texts that make a column one of codes, with their counts: `007`, `+491701234567`.

    They do if all texts are digits, or more than a few cells hold one; a single `007` among
    decimals is the number 7.
    """
    codes = {text: count for text, count in cells.items() if is_code(text)}
    few = sum(codes.values()) <= MAX_CODES * sum(cells.values())
    if few and not are_digits(cells):
        return {}
    return codes


def is_code(text: str) -> bool:
    """Whether a text is digits with a leading zero, or a telephone number with its plus."""
    return CODE.fullmatch(text) is not None


def yes_or_no(texts: Iterable[str]) -> bool:
    """Whether all texts are usual words for yes and no, and both are among them."""
    found = {text.lower() for text in texts}
    return found <= NO_TEXTS | YES_TEXTS and bool(found & NO_TEXTS) and bool(found & YES_TEXTS)


class NumberForm(NamedTuple):
    """The notation of a column's numbers: the decimal mark, and a common unit such as `kg`."""

    decimal: DecimalMark = "."
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
    numbers: Floats = column.parsed[form]
    return numbers


def guess_form(texts: Sequence[str]) -> NumberForm:
    """The unit of numbers stored as text, and their decimal mark.

    A unit must occur in nine of ten texts. The mark is ',' where more of the texts are numbers
    with a decimal comma than with a point.
    """
    return _form(texts, lambda form: parse_numbers(texts, *form))


def form_of(column: Column) -> NumberForm:
    """The notation of a text column's numbers, from all levels that occur in a row."""
    assert column.levels is not None
    usual = np.array([not gap_among_numbers(text) for text in column.levels], bool)
    used = (column.level_counts > 0) & usual
    texts = list(column.levels[used])
    return _form(texts, lambda form: level_numbers(column, form)[used], column.comma)


def _form(
    texts: Sequence[str], numbers: Callable[[NumberForm], Floats], comma_wins: bool = False
) -> NumberForm:
    """See guess_form; `numbers` are those of the texts, written in a form."""
    unit = _guess_unit(texts)
    point, comma = NumberForm(".", unit), NumberForm(",", unit)
    most = np.isfinite(numbers(point)).sum()
    if most == len(texts) and not comma_wins:
        return point
    others = np.isfinite(numbers(comma)).sum()
    return comma if others > most or (others == most and comma_wins) else point


def _guess_unit(texts: Sequence[str]) -> str:
    sample = texts[:: max(1, len(texts) // 1000)]
    found = (UNIT.fullmatch(text.strip(DECORATION)) for text in sample)
    units = Counter(unit[1] or unit[2] for unit in found if unit)
    unit, count = next(iter(units.most_common(1)), ("", 0))
    return unit if count >= 0.9 * len(sample) else ""
