"""The words that the names of a category's levels share, beside the levels themselves."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column, code_counts
from chainrule.data.columns.bags import WordEncoder, learn_words

MIN_NAMES, MIN_NAME_WORDS = 50, 1.5
"""Names from which, and mean words of a name from which, the words of names are features."""
NAME_WORDS = 300
"""The most words of names that are features."""


class NameWords(WordEncoder, frozen=True, kw_only=True, tag="words"):
    """The counted words of names, weighted by rarity: a part of a category, no kind of its own."""

    kind = "words"

    @classmethod
    def of(cls, column: Column) -> Self | None:
        """The words that two levels or more share; None where names are short or few."""
        codes, labels = column.labels()
        names = [labels[k] for k in np.flatnonzero(code_counts(codes, len(labels)))]
        if len(names) < MIN_NAMES or np.mean([len(x.split()) for x in names]) < MIN_NAME_WORDS:
            return None
        words, weights = learn_words(names, np.ones(len(names), np.int64), NAME_WORDS)
        telling = [k for k, x in enumerate(weights) if 1 < x < np.log((1 + len(names)) / 2) + 1]
        if not telling:  # no word, or each in one name or in all
            return None
        return cls(name=column.name, reason="names of several words", gaps=column.gaps,
                   distinct=len(names), words=tuple(words[k] for k in telling),
                   weights=tuple(weights[k] for k in telling))  # fmt: skip

    @property
    def treatment(self) -> str:
        """The treatment of the column in words, for display."""
        return f"counts of {self.width} words of its names, weighted"

    def encode(self, column: Column) -> tuple[NDArray[np.float32], list[str]]:
        """(n, width) float32, all 0 for a gap or a name without a known word; no notes."""
        bags, _, rows = self.bags(column)
        return bags[rows], []
