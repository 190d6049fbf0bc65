"""Texts as bags of words: the words of many texts, and weighted counts of them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Codes, Column
from chainrule.data.columns.encoder import ArrayEncoder

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


class WordEncoder(ArrayEncoder, frozen=True, kw_only=True):
    """A kind whose features are the counts of known words, weighted by rarity."""

    words: tuple[str, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.words) != len(self.weights) or len(set(self.words)) != len(self.words):
            raise ValueError("each word needs one weight")
        if not all(map(math.isfinite, self.weights)):
            raise ValueError("weights must be finite")

    @property
    def width(self) -> int:
        """The number of words."""
        return len(self.words)

    def bags(self, column: Column) -> tuple[NDArray[np.float32], Codes, NDArray[np.intp]]:
        """The bag of each distinct text, its code (-1 for a gap), and the text of each row."""
        codes, labels = column.labels()
        used, rows = np.unique(codes, return_inverse=True)
        texts = [labels[code] if code >= 0 else "" for code in used]
        return bag_of_words(texts, self.words, self.weights), used, rows
