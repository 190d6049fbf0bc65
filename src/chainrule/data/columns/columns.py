"""Column encoders: the statistics learned from a column, and its cells as numbers and codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from chainrule.data.column import Codes, Column, Floats
from chainrule.data.columns.cells import NO_TEXTS, YES_TEXTS, DecimalMark, NumberForm, yes_or_no
from chainrule.data.columns.encoder import (
    ENCODERS,
    CategoryEncoder,
    Encoder,
    NumericEncoder,
    match_labels,
    not_all,
    number_form,
    numbers_of,
    refuse_infinite,
    register,
    unseen_note,
)
from chainrule.data.columns.names import NameWords
from chainrule.data.columns.stats import Stats, shared_values, stats_of
from chainrule.display.format import counted

MISSING, UNSEEN = 0, 1  # category codes; known levels follow from 2
MAX_LEVELS = 1000
FEW_ROWS = 10  # up to which each unseen or rare value is told
MAX_UNGROUPED_LEVELS = 50  # with more distinct levels, those that occur once are grouped


@register
class NumberColumn(NumericEncoder, frozen=True, kw_only=True, tag="number"):
    """Numbers, also stored as text: float64 with NaN for a gap.

    shared: frequent numbers, ascending, where they are learned one by one.
    """

    kind = "number"
    stats: Stats
    decimal: DecimalMark = "."
    unit: str = ""
    shared: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        rising = list(self.shared) == sorted(set(self.shared))
        if not (rising and all(map(math.isfinite, self.shared))):
            raise ValueError("shared numbers must be finite and rise")

    @classmethod
    def fit(cls, column: Column, reason: str = "") -> Self:
        """Learn the statistics and, from texts, the decimal mark and the unit."""
        form = number_form(column)
        values, _ = numbers_of(column, form)
        stats = stats_of(refuse_infinite(values, column.name), column.weights)
        if not stats.count and column.distinct:
            raise not_all(column, "number", "no cell is a number")
        return cls(name=column.name, reason=reason, gaps=stats.gaps, distinct=column.distinct,
                   stats=stats, decimal=form.decimal, unit=form.unit,
                   shared=shared_values(values, stats, column.weights))  # fmt: skip

    @property
    def form(self) -> NumberForm:
        """The notation of numbers in texts."""
        return NumberForm(self.decimal, self.unit)

    @property
    def parts(self) -> tuple[tuple[str, Stats], ...]:
        """The name and statistics of each column of `encode`."""
        return ((self.name, self.stats),)

    @property
    def one_by_one(self) -> tuple[float, ...]:
        """The frequent numbers."""
        return self.shared

    @property
    def treatment(self) -> str:
        """The treatment of the column in words, for display."""
        return "number" + (", gaps marked and filled" if self.gaps else "")

    def encode(self, column: Column) -> tuple[Floats, list[str]]:
        """(n, 1) float64, and notes."""
        values, notes = numbers_of(column, self.form)
        if not notes and not self.gaps:
            notes = self.new_gaps(int(np.count_nonzero(np.isnan(values))))
        return values[:, None], notes


@register
class BooleanColumn(NumericEncoder, frozen=True, kw_only=True, tag="boolean"):
    """Yes or no, in any of the usual words or the two in the training data: 0, 1 and NaN."""

    kind = "boolean"
    false: str
    true: str
    stats: Stats

    @classmethod
    def guess(cls, column: Column) -> str | None:
        """Truth values, 0 and 1, or words for yes and no."""
        if column.storage == "boolean":
            return "true or false"
        if column.storage == "text":
            texts = column.texts
            return " or ".join(sorted(texts)[:4]) if yes_or_no(texts) else None
        if column.storage == "date" or column.distinct != 2:
            return None
        return "only 0 and 1" if set(np.unique(column.present).tolist()) == {0, 1} else None

    @classmethod
    def fit(cls, column: Column, reason: str = "") -> Self:
        """Learn the two words, in order. Raises DataError for more than two."""
        codes, labels = column.typed.labels()
        used = [labels[i] for i in np.unique(codes[codes >= 0])]
        usual = yes_or_no(used)
        if len(used) > 2 and not usual:
            raise not_all(column, "boolean", f"it holds {len(used)} distinct values")
        if usual:
            used = [next(u for u in used if u.lower() in side) for side in (NO_TEXTS, YES_TEXTS)]
        false, true = used if len(used) == 2 else ("False", used[0] if used else "True")
        values = _flags(codes, labels, false, true)
        return cls(name=column.name, reason=reason, gaps=column.gaps, distinct=column.distinct,
                   false=false, true=true, stats=stats_of(values, column.weights))  # fmt: skip

    @property
    def parts(self) -> tuple[tuple[str, Stats], ...]:
        """The name and statistics of each column of `encode`."""
        return ((self.name, self.stats),)

    @property
    def treatment(self) -> str:
        """The treatment of the column in words, for display."""
        return f"0 for {self.false}, 1 for {self.true}" + (", gaps marked" if self.gaps else "")

    def encode(self, column: Column) -> tuple[Floats, list[str]]:
        """(n, 1) float64, and notes."""
        codes, labels = column.typed.labels()
        values = _flags(codes, labels, self.false, self.true)
        odd = np.isnan(values) & (codes >= 0)
        notes = self.new_gaps(int((codes < 0).sum()))
        if odd.any():
            notes.append(unseen_note(self.name, codes, odd, labels, "treated as gaps"))
        return values[:, None], notes


def _flags(codes: Codes, labels: Sequence[str], false: str, true: str) -> Floats:
    """1 where the label says true, 0 where false, NaN elsewhere."""
    words = {**dict.fromkeys(NO_TEXTS, 0.0), **dict.fromkeys(YES_TEXTS, 1.0)}
    words |= {false.lower(): 0.0, true.lower(): 1.0}
    known = [words.get(label.lower(), np.nan) for label in labels]
    return np.array([*known, np.nan])[codes]


@register
class CategoryColumn(CategoryEncoder, frozen=True, kw_only=True, tag="category"):
    """Labels: int32 codes, 0 for a gap, 1 for unseen or rare, known levels from 2.

    gap_texts: the texts that training read as gaps.
    by_number: whether the levels were numbers in a container with types, so that a text is a level
        that has the same value; else only if it is written alike.
    words: those that the names of many levels share, as further features: a rare level is known
    by them, as "senior data engineer" by its three.
    """

    kind = "category"
    levels: tuple[str, ...]
    rare: int = 0
    gap_texts: tuple[str, ...] = ()
    by_number: bool = True
    words: NameWords | None = None

    def __post_init__(self) -> None:
        if len(set(self.levels)) != len(self.levels) or len(self.levels) > MAX_LEVELS:
            raise ValueError("levels must be distinct, and not too many")
        if self.counts and (len(self.counts) != self.width or min(self.counts) < 0):
            raise ValueError("each code needs its number of rows")

    @classmethod
    def fit(cls, column: Column, reason: str = "") -> Self:
        """Learn the levels: of over 50, those that occur once are grouped; at most 1,000 stay."""
        codes, labels = column.labels()
        counts = column.counts(codes, len(labels))
        used = np.flatnonzero(counts)
        kept = used if len(used) <= MAX_UNGROUPED_LEVELS else used[counts[used] > 1]
        if len(kept) > MAX_LEVELS:
            kept = np.sort(kept[np.argsort(-counts[kept], kind="stable")[:MAX_LEVELS]])
        rows = [column.gaps, int(column.count - counts[kept].sum()), *counts[kept].tolist()]
        return cls(name=column.name, reason=reason, gaps=column.gaps, distinct=column.distinct,
                   levels=tuple(labels[i] for i in kept), rare=column.distinct - len(kept),
                   gap_texts=tuple(column.gap_texts),
                   by_number=column.storage != "text" and column.written is None,
                   words=NameWords.of(column), counts=tuple(rows))  # fmt: skip

    @property
    def width(self) -> int:
        """The number of codes: one for each level, one for a gap and one for unseen levels."""
        return len(self.levels) + 2

    @property
    def met(self) -> list[int]:
        """The codes that occur in the training data."""
        gap, rare = [MISSING] * bool(self.gaps), [UNSEEN] * bool(self.rare)
        return [*gap, *rare, *range(2, self.width)]

    def name_of(self, code: int) -> str:
        """A code in words."""
        return ("gaps", "unseen or rare values")[code] if code < 2 else repr(self.levels[code - 2])

    @property
    def treatment(self) -> str:
        """The treatment of the column in words, for display."""
        rare = f", {self.rare:,} rare grouped" if self.rare else ""
        words = f", and {self.words.width:,} words of their names" if self.words else ""
        gaps = ", gaps a level" if self.gaps else ""
        return counted(len(self.levels), "level") + rare + gaps + words

    def encode(self, column: Column) -> tuple[Codes, list[str]]:
        """(n,) int32, and notes."""
        places, codes, labels = match_labels(
            column, self.levels, gaps=self.gap_texts, by_number=self.by_number
        )
        encoded = np.where(places >= 0, places + 2, -1 - places)  # MISSING or UNSEEN
        notes = [] if self.gaps else self.new_gaps(int(np.count_nonzero(places == -1)))
        odd = places == -2
        count = int(np.count_nonzero(odd))
        if count and not self.rare:
            notes.append(unseen_note(self.name, codes, odd, labels, "treated as unseen"))
        elif count and self._more_than_usual(count, len(codes)):
            rows = f"{count:,} of {counted(len(codes), 'row')}"
            notes.append(f"column {self.name!r}: {rows} with unseen or rare values, grouped")
        return encoded, notes

    def _more_than_usual(self, odd: int, rows: int) -> bool:
        """Whether unseen or rare values are more than those that always come.

        Levels not yet seen come as often as those seen once, and these as those seen twice.
        Source: I. J. Good, The population frequencies of species, 1953.
        """
        if not self.counts or rows <= FEW_ROWS:
            return odd > 0
        often = self.counts[UNSEEN] + sum(x for x in self.counts[2:] if x == 2)
        usual = rows * often / max(sum(self.counts), 1)
        return odd > usual + 5 * math.sqrt(usual) + 5


class DroppedColumn(Encoder, frozen=True, kw_only=True, tag="dropped"):
    """A column that is left out: an id, a constant, or one the user ignores."""

    kind = "dropped"
    guessed: str

    @property
    def treatment(self) -> str:
        """The treatment of the column in words, for display."""
        return "left out"


LEFT_OUT = ("id", "constant", "ignore")
"""The kinds of columns that no network uses."""


def learn_column(
    column: Column, kind: str, reason: str = "", options: Mapping[str, Any] | None = None
) -> Encoder:
    """The encoder for a column of a kind. Raises DataError where the column does not fit it.

    options: further arguments of the kind's `fit`.
    """
    if kind not in LEFT_OUT:
        return ENCODERS[kind].fit(column, reason, **(options or {}))
    return DroppedColumn(
        name=column.name, reason=reason, gaps=column.gaps, distinct=column.distinct, guessed=kind
    )
