"""Numbers, names and durations as text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

MAX_IN_FULL = 1e9
"""From here on, numbers have an exponent."""


def number(value: float) -> str:
    """Four significant digits: 0.6931, 12.35, 1.2e-5; from 10,000 on integers: 3,512,000."""
    if not math.isfinite(value):
        return str(float(value))
    if 9999.5 <= abs(value) < MAX_IN_FULL:
        return f"{value:,.0f}"
    if abs(value) < 1e4 and value == int(value):
        return str(int(value))
    return short(f"{value:.4g}")


def short(text: str) -> str:
    """A number in scientific notation without what says nothing: 1e-5 in place of 1e-05."""
    return re.sub(r"e([+-])0+", r"e\1", text).replace("e+", "e")


def words(name: str, training: bool = False) -> str:
    """The display name of a column: "validation loss"; "training loss" if `training` is set."""
    plain = name.replace("_", " ")
    return "training loss" if training and plain == "loss" else plain


def duration(seconds: float) -> str:
    """A duration in its two largest units: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min, 1 d 4 h."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    total = round(seconds)
    minutes, rest = divmod(total, 60)
    hours, minute = divmod(minutes, 60)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{minutes} min {rest:02d} s"
    if total < 86400:
        return f"{hours} h {minute:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def listed(names: Sequence[object], limit: int = 12) -> str:
    """Names for a message, cut after `limit`."""
    shown = ", ".join(str(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def clip(text: str, width: int = 30) -> str:
    """A text cut to `width` characters."""
    return text if len(text) <= width else text[: width - 3] + "..."


def clip_names(names: Sequence[str], width: int = 30) -> list[str]:
    """Names cut to `width` characters, in the middle where names that differ would be alike."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(clip(name, width), []).append(name)
    short: dict[str, str] = {}
    for cut, alike in groups.items():
        short |= zip(alike, [cut] if len(alike) == 1 else _apart(alike, width), strict=True)
    return [short[name] for name in names]


def _apart(names: list[str], width: int) -> list[str]:
    """Names that begin alike, cut so that they differ: to their ends, or to where they differ."""
    first, last = min(names), max(names)
    common = next((k for k in range(len(first)) if first[k] != last[k]), len(first)) - 3
    ends = [clip_middle(name, width) for name in names]
    differing = [clip("..." + name[common:], width) for name in names]
    return next((cut for cut in (ends, differing) if len(set(cut)) == len(names)), names)


def clip_middle(text: str, width: int = 30) -> str:
    """A text cut to `width` characters that keeps its end, such as the name of a file."""
    head = (width - 3) // 2
    return text if len(text) <= width else f"{text[:head]}...{text[len(text) - width + head + 3 :]}"


def counted(number: int, noun: str) -> str:
    """'1 row', '2 rows'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
