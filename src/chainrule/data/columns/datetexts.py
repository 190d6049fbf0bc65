"""Dates in texts: their formats, and the moments that they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

DAYS = (
    "iso", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d",
    "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%d-%b-%Y", "%d-%b-%y",
    "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%Y%m%d",
)  # fmt: skip
TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
DATE_FORMATS = ("iso", *(day + time for day in DAYS[1:] for time in TIMES))
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
ISO_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?( ?(Z|UTC|GMT|[+-]\d\d(:?\d\d)?))?)?"
)
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
