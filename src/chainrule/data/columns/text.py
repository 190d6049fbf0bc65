"""Short texts as bags of words: the vocabulary of a column, and weighted counts."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column
from chainrule.data.columns.bags import WordEncoder, learn_words
from chainrule.data.columns.encoder import not_all, register
from chainrule.display.format import counted


@register
class TextColumn(WordEncoder, frozen=True, kw_only=True, tag="text"):
    """Short texts: counts of known words, weighted by rarity, each row of length 1 (tf-idf)."""

    kind = "text"

    @classmethod
    def fit(cls, column: Column, reason: str = "", width: int = 1000) -> Self:
        """Learn the `width` words in most rows, and their weights."""
        codes, labels = column.labels()
        words, weights = learn_words(labels, column.counts(codes, len(labels)), width)
        if not words:
            raise not_all(column, "text", "it holds no words")
        return cls(name=column.name, reason=reason, gaps=column.gaps, distinct=column.distinct,
                   words=tuple(words), weights=tuple(weights))  # fmt: skip

    @property
    def treatment(self) -> str:
        """The treatment of the column in words, for display."""
        return f"{self.width:,} counted words"

    @property
    def features(self) -> str:
        """The features that the network gets, in words, for display."""
        return f"counts of {self.width} words, weighted"

    def encode(self, column: Column) -> tuple[NDArray[np.float32], list[str]]:
        """(n, width) float32, all 0 for a gap, and notes."""
        bags, used, rows = self.bags(column)
        empty = ~bags.any(axis=1) & (used >= 0)
        lost = int(empty[rows].sum())
        notes = self.new_gaps(int((used[rows] < 0).sum()))
        if lost:
            notes.append(f"column {self.name!r}: {counted(lost, 'text')} without a known word")
        return bags[rows], notes
