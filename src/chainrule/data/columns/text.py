"""Short texts as bags of words: the vocabulary of a column, and weighted counts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.columns.encoder import ArrayEncoder, not_all, register
from chainrule.data.table import Column, counted

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return WORD.findall(text.lower())


def learn_words(
    texts: Sequence[str], counts: NDArray[np.int64], width: int
) -> tuple[list[str], list[float]]:
    """The `width` words in most rows, sorted, and their weights ln((1 + n) / (1 + rows)) + 1.

    texts: distinct texts; counts: the rows that hold each. A word in one row only is left out,
    unless no word is in two.
    """
    rows: Counter[str] = Counter()
    for text, count in zip(texts, counts.tolist(), strict=True):
        if count:
            for word in set(words_of(text)):
                rows[word] += count
    shared = [word for word, count in rows.items() if count > 1] or list(rows)
    kept = sorted(sorted(shared, key=lambda word: (-rows[word], word))[:width])
    n = int(counts.sum())
    return kept, [float(np.log((1 + n) / (1 + rows[word])) + 1) for word in kept]


def bag_of_words(
    texts: Sequence[str], words: Sequence[str], weights: Sequence[float]
) -> NDArray[np.float32]:
    """(texts, words) float32: count times weight, each row scaled to length 1."""
    place = {word: i for i, word in enumerate(words)}
    bags = np.zeros((len(texts), len(words)), np.float32)
    for row, text in enumerate(texts):
        for word in words_of(text):
            if word in place:
                bags[row, place[word]] += 1
    bags *= np.asarray(weights, np.float32)
    length = np.sqrt(np.square(bags).sum(axis=1, keepdims=True))
    bags /= np.where(length > 0, length, np.float32(1))
    return bags


@register
class TextColumn(ArrayEncoder, frozen=True, kw_only=True, tag="text"):
    """Short texts: counts of known words, weighted by rarity, each row of length 1 (tf-idf)."""

    kind = "text"
    words: tuple[str, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.words) != len(self.weights) or len(set(self.words)) != len(self.words):
            raise ValueError("each word needs one weight")
        if not all(map(math.isfinite, self.weights)):
            raise ValueError("weights must be finite")

    @classmethod
    def fit(cls, column: Column, reason: str = "", width: int = 1000) -> Self:
        """Learn the `width` words in most rows, and their weights."""
        codes, labels = column.labels()
        words, weights = learn_words(
            labels, np.bincount(codes[codes >= 0], minlength=len(labels)), width
        )
        if not words:
            raise not_all(column, "text", "it holds no words")
        return cls(name=column.name, reason=reason, gaps=column.gaps, distinct=column.distinct,
                   words=tuple(words), weights=tuple(weights))  # fmt: skip

    @property
    def width(self) -> int:
        """The number of words."""
        return len(self.words)

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
        codes, labels = column.labels()
        used, rows = np.unique(codes, return_inverse=True)
        texts = [labels[code] if code >= 0 else "" for code in used]
        bags = bag_of_words(texts, self.words, self.weights)
        empty = ~bags.any(axis=1) & (used >= 0)
        lost = int(empty[rows].sum())
        notes = self.new_gaps(int((codes < 0).sum()))
        if lost:
            notes.append(f"column {self.name!r}: {counted(lost, 'text')} without a known word")
        return bags[rows], notes
