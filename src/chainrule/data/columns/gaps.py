"""The texts that are gaps: by default, and by choice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MARKS = frozenset(("?", "-", "--", ".", "-nan", "<NA>", "#N/A", "#NA"))
WORDS = frozenset(("NA", "N/A", "n/a", "na", "NaN", "nan", "null", "NULL", "Null", "None"))
GAP_TEXTS = MARKS | WORDS
"""Texts by which files without types usually say that a value is missing."""
NO_VALUE = GAP_TEXTS | {""}
"""These, and the empty text."""
_FOLDED = frozenset(text.casefold() for text in GAP_TEXTS)

QUOTED = "\x02"
"""Stands before a text of GAP_TEXTS that is quoted in its file: a value."""
QUOTED_GAPS = frozenset(QUOTED + text for text in GAP_TEXTS)


def gap_among_numbers(text: str) -> bool:
    """Whether a text says among numbers or dates that there is none; in any case of letters."""
    return text.casefold() in _FOLDED


def default_gaps(counts: Mapping[str, int]) -> frozenset[str]:
    """The gaps among the unquoted texts of a column of texts.

    A mark such as '?' is one, and so is a word such as 'NA', unless it is frequent beside other
    texts that repeat: at least half as frequent as the median of them. Where the same word is
    quoted too, the file tells them apart; among true and false it is a gap.
    """
    if WORDS.isdisjoint(counts):
        return NO_VALUE
    others = {text: count for text, count in counts.items() if text not in NO_VALUE}
    if {text.casefold() for text in others} <= {"true", "false"}:
        return NO_VALUE
    typical = np.median(list(others.values()))
    values = {
        text for text in WORDS
        if 1 < typical <= 2 * counts.get(text, 0) and QUOTED + text not in counts
    }  # fmt: skip
    return NO_VALUE - values
