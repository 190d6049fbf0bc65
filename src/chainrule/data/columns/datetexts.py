"""Dates in texts: their formats, and the moments that they mean."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
from numpy.typing import NDArray

DAYS = (
    "iso", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d",
    "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%d-%b-%Y", "%d-%b-%y",
    "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%Y%m%d",
)  # fmt: skip
SWAPPED = {
    form: form.replace("%d", "%?").replace("%m", "%d").replace("%?", "%m")
    for form in DAYS if form.startswith(("%d", "%m")) and "%m" in form
}  # fmt: skip
"""By format of a day, the one with day and month exchanged, where both are numbers."""
MAX_FORMS = 4
TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
DATE_FORMATS = ("iso", *(day + time for day in DAYS[1:] for time in TIMES))
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
ISO_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?( ?(Z|UTC|GMT|[+-]\d\d(:?\d\d)?))?)?"
)
CLOCK = re.compile(
    r"(?P<day>.*\S)[ T]+(?P<hour>\d{1,2}):(?P<minute>\d\d)(:(?P<second>\d\d)([.,](?P<part>\d+))?)?"
    r" ?(?P<half>[AaPp][Mm])? ?(?P<zone>Z|UTC|GMT|[+-]\d\d(:?\d\d)?)?"
)
LIKE_A_DATE = re.compile(r"(?=.*\d).{1,9}[-/. ].{1,9}[-/. ,].{2,}")


def parse_dates(texts: Iterable[str], *forms: str) -> NDArray[np.datetime64]:
    """Texts as datetime64[us] in UTC, each by the first of the forms that fits; else NaT.

    A form is one of DATE_FORMATS. A time of day may stand behind each day, with an offset.
    """
    days = tuple(dict.fromkeys(map(day_form, forms)))
    return np.array([_parse_date(text, days) for text in texts], "datetime64[us]")


def _parse_date(text: str, days: Sequence[str]) -> datetime | None:
    value = None
    for form in days:
        with contextlib.suppress(ValueError):
            value = _iso(text) if form == "iso" else _other(text, form)
        if value is not None:
            break
    if value is None or value.tzinfo is None:
        return value
    return value.astimezone(UTC).replace(tzinfo=None)


def _iso(text: str) -> datetime | None:
    if not ISO_DATE.match(text):
        return None
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text)
    return _other(text, "%Y-%m-%d")


def _other(text: str, form: str) -> datetime:
    """A day in a form, with a time of day in any form. Raises ValueError."""
    behind = CLOCK.fullmatch(text)
    if behind is None:
        return datetime.strptime(text, form)
    day = datetime.strptime(behind["day"], form)
    hour, half = int(behind["hour"]), (behind["half"] or "").lower()
    if half and not 1 <= hour <= 12:
        raise ValueError("an hour with am or pm is from 1 to 12")
    hour = hour % 12 + 12 * (half == "pm") if half else hour
    part = int((behind["part"] or "").ljust(6, "0")[:6])
    moment = day.replace(hour=hour, minute=int(behind["minute"]), second=int(behind["second"] or 0),
                         microsecond=part)  # fmt: skip
    zone = behind["zone"]
    return moment if zone is None else moment.replace(tzinfo=_zone(zone))


def _zone(text: str) -> timezone:
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(offset if text[0] == "+" else -offset)


def clock_kind(text: str) -> str | None:
    """ "zoned" for a day with a time and its offset from UTC, "bare" for one without; else None."""
    found = CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    return "bare" if found["zone"] is None else "zoned"


def day_form(form: str) -> str:
    """A form without its time of day."""
    return form.partition(" %H")[0].partition(" %I")[0]


def guess_date_forms(texts: Sequence[str]) -> tuple[str, ...]:
    """The formats that together read at least half of the texts as dates, the frequent first.

    Where day/month and month/day both fit, '/' is read month first, '.' and '-' day first.
    """
    sample = _sample(texts)
    forms: list[str] = []
    rest = sample
    while rest and len(forms) < MAX_FORMS:
        best = _best(rest)
        if best is None:
            break
        forms.append(best + _clock(rest) if best != "iso" else best)
        rest = _unread(rest, forms)
        if not rest:  # others may stand outside of the sample
            rest = _unread(texts, forms)[:300]
    return tuple(forms) if 2 * len(_unread(sample, forms)) <= len(sample) else ()


def _unread(texts: Sequence[str], forms: Sequence[str]) -> list[str]:
    return [x for x, t in zip(texts, parse_dates(texts, *forms), strict=True) if np.isnat(t)]


def _sample(texts: Sequence[str]) -> list[str]:
    """Up to 300 of the texts; none where fewer than half look like dates."""
    sample = [texts[i] for i in np.unique(np.linspace(0, len(texts) - 1, 300).astype(int))]
    alike = sum(LIKE_A_DATE.fullmatch(text) is not None for text in sample)
    return sample if 2 * alike >= len(sample) else []


def _best(texts: Sequence[str]) -> str | None:
    """The day format that reads most of the texts; None: none reads any."""
    scores = {form: np.count_nonzero(~np.isnat(parse_dates(texts, form))) for form in DAYS}
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] else None


def _clock(texts: Sequence[str]) -> str:
    """The time of day behind most of the texts, for display."""
    found = [CLOCK.fullmatch(text) for text in texts]
    clocks = Counter(
        "" if x is None else _CLOCKS[bool(x["half"]), bool(x["second"])] for x in found
    )
    return clocks.most_common(1)[0][0]


_CLOCKS = dict(zip(((False, True), (False, False), (True, True), (True, False)), TIMES[1:],
                   strict=True))  # fmt: skip


def either_order(texts: Sequence[str], form: str) -> bool:
    """Whether all texts that a form reads are dates too with day and month exchanged."""
    day = day_form(form)
    if day not in SWAPPED:
        return False
    stamps = parse_dates(texts, day)
    read = ~np.isnat(stamps)
    both = parse_dates([x for x, known in zip(texts, read, strict=True) if known], SWAPPED[day])
    return not np.isnat(both).any() and bool((both != stamps[read]).any())


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
