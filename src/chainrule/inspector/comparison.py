"""Two documents as one page: both graphs with what differs, the curves, and the scores."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chainrule.display.handout import Handout, Part
from chainrule.inspector.page import Page

MAX_ROWS = 64
"""Rows that a page of two holds at most: each is computed twice."""

Interval = tuple[float, float, float] | None
"""B - A, and the ends of its interval; None where there is none."""


class ComparisonDisplay(ABC):
    """The displays of a comparison: as text, in a notebook, and as a page."""

    names: tuple[str, str]

    @abstractmethod
    def handout(self) -> Handout:
        """The comparison as sentences, tables and charts."""

    @abstractmethod
    def _sides(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The documents of A and of B."""

    def _intervals(self) -> dict[str, list[Interval]]:
        """By the title of a part, for each of its rows the difference with its interval."""
        return {}

    def show(self) -> Page:
        """The page: one graph of both, coloured by what differs, the curves and the scores.

        The graph is of both as they are now.
        """
        return Page(compared(self._sides(), self.names, self.handout(), self._intervals()))

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page: the complete file or nothing. Raises OSError."""
        return self.show().write(path)

    def __str__(self) -> str:
        return self.handout().text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.handout()._repr_html_()


def compared(
    sides: tuple[Mapping[str, Any], Mapping[str, Any]],
    names: tuple[str, str],
    handout: Handout,
    intervals: Mapping[str, Sequence[Interval]],
) -> dict[str, Any]:
    """Returns the document of A with that of B in it, and the differences as `Comparison`.

    Rows beyond `MAX_ROWS` are left out, with a note. See web/src/sections.ts.

    Args:
        sides: the documents of A and of B.
        names: of both.
        handout: what differs, as sentences and tables.
        intervals: by the title of a part, for each of its rows: drawn as error bars.
    """
    a, b = (_shortened(x) for x in sides)
    alike = a["holds"] == b["holds"]
    notes = [*a["notes"], *(x for x in b["notes"] if x not in a["notes"])]
    return a | {
        "title": handout.title,
        "holds": a["holds"] if alike else f"{a['holds']}, and {b['holds']}",
        "notes": notes,
        "comparison": {
            "names": list(names),
            "lead": list(handout.lead),
            "parts": [
                _part_form(x) | {"intervals": _finite(intervals.get(x.table.title, ()))}
                for x in handout.parts
            ],
            "other": b,
        },
    }


def _shortened(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document with rows that a page of two can show together."""
    rows, notes = document["rows"], list(document["notes"])
    if len(rows) > MAX_ROWS:
        notes.append(
            f"the page has the first {MAX_ROWS} of {len(rows):,} rows: values that depend on all "
            "rows, such as a mean loss, are those of these"
        )
    kept = rows[:MAX_ROWS]
    shorter = {"rows": kept, "batch": list(range(len(kept))), "notes": notes}
    if len(rows) > MAX_ROWS:
        shorter["holds"] = f"{MAX_ROWS} of {len(rows):,} rows"
    return {**document, **shorter}


def _part_form(part: Part) -> dict[str, Any]:
    return {
        "title": part.table.title,
        "words": list(part.words),
        "head": list(part.table.head),
        "right": list(part.table.right),
        "rows": [list(cells) for cells, _ in part.rows],
        "marks": [mark for _, mark in part.rows],
    }


def _finite(x: Any) -> Any:
    """A value as JSON has it: null for a number that is not finite."""
    if isinstance(x, list | tuple):
        return [_finite(y) for y in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x
