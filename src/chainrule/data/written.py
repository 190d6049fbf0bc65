"""The cells of a column as they stand in a file without types, beside the values read from them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHORTEST, GENERAL = "shortest", "general"
"""Numbers as 10.0 and 0.1, or as 10 and 0.1, in the fewest digits that give them back."""


@dataclass(frozen=True, eq=False)
class Written:
    """The texts of the cells of one column.

    Most cells follow from their value and the `form` of the column; only the others are kept.

    Attributes:
        form: SHORTEST, GENERAL, a format as '.2f', or a pattern of dates as '%Y-%m-%d'.
        codes: (n,) int32 into `texts` of the cells that are written otherwise, -1 for the rest;
            None where there are none.
        texts: as they stand in the file, with their spaces.
        decimal: the decimal mark by which numbers were read.
    """

    form: str = ""
    codes: NDArray[np.int32] | None = None
    texts: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, object))
    decimal: str = "."

    def take(self, rows: NDArray[Any]) -> Written:
        """Those of the cells at `rows`."""
        codes = None if self.codes is None else self.codes[rows]
        return Written(self.form, codes, self.texts, self.decimal)

    @property
    def stripped(self) -> list[str]:
        """The texts without the spaces around them."""
        return [text.strip() for text in self.texts]

    def regular(self, values: Iterable[Any]) -> list[str]:
        """Values as the form of the column writes them."""
        return [written(value, self.form) for value in values]

    def gap_texts(
        self, missing: NDArray[np.bool_], weights: NDArray[np.int64] | None = None
    ) -> dict[str, int]:
        """The texts of the cells where `missing` is True, with the number of rows of each.

        weights: the rows of each cell.
        """
        if self.codes is None:
            return {}
        rows = missing & (self.codes >= 0)
        some = None if weights is None else weights[rows]
        counts = np.bincount(self.codes[rows], some, minlength=len(self.texts))
        found: dict[str, int] = {}
        for k in np.flatnonzero(counts):
            if text := self.texts[k].strip():
                found[text] = found.get(text, 0) + int(counts[k])
        return found

    def rows(self, texts: Collection[str]) -> NDArray[np.bool_]:
        """True at the rows whose cell, without spaces around it, is one of the texts, (n,)."""
        assert self.codes is not None
        chosen = np.array([*(text in texts for text in self.stripped), False])
        return np.asarray(chosen[self.codes])


def written(value: Any, form: str) -> str:
    """A value in a form of `Written`."""
    if isinstance(value, np.datetime64):
        moment = value.item()
        return str(moment.strftime(form.replace("%Y", f"{moment.year:04}")))
    if form.startswith("."):
        return format(float(value), form)
    return repr(float(value)) if form == SHORTEST else label_of(value)


def label_of(value: Any) -> str:
    """The text of one value: integral numbers without a point, dates as ISO."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value, unit="auto"))
    return str(value)
