"""Progress in a notebook: a line of text over the loss curves, redrawn in place."""

from __future__ import annotations

import html
import importlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from chainrule.display.format import number, words
from chainrule.display.screen import printable
from chainrule.errors import MissingExtra
from chainrule.train.progress.base import Shown


class NotebookProgress(Shown):
    """A line of text over the loss curves, redrawn in place a few times a second."""

    EVERY = 0.4  # seconds between refreshes
    live = True

    def __init__(
        self,
        display: Callable[..., Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self.output = sys.stdout
        self._display = display or _ipython_display()
        self._handle: Any = None
        self._rows: list[dict[str, float]] = []
        self._notes: list[str] = []
        self._drawn = -1.0

    def _open(self) -> None:
        self._rows = []
        self._handle = self._display(self._picture(), display_id=True)

    def update(
        self, epoch: int, fraction: float, *, loss: float | None = None, rate: float | None = None
    ) -> None:
        super().update(epoch, fraction, loss=loss, rate=rate)
        self._draw()

    def epoch(self, row: Mapping[str, float], *, best: bool = False) -> None:
        super().epoch(row, best=best)
        self._rows.append(self._row)
        self._draw()

    def note(self, text: str) -> None:
        self._notes += printable(text, None)
        self._draw()

    def finish(self, summary: str = "") -> None:
        if summary:
            self._notes += printable(summary, None)
        self.close()

    def close(self) -> None:
        self._draw(now=True)
        if self._handle is not None:
            self._handle, self._notes = None, []  # those of the next run are shown with it

    def _draw(self, now: bool = False) -> None:
        time_now = self._clock()
        if self._handle is not None and (now or time_now - self._drawn >= self.EVERY):
            self._drawn = time_now
            self._handle.update(self._picture())

    def _picture(self) -> _Picture:
        parts = [self.position(), *(text.rstrip() for _, text, _ in self.values())]
        if "rate" in self._row:
            parts.append(f"rate {number(self._row['rate'])}")
        if self._best is not None:
            parts.append(f"best {self._best}")
        if left := self.time_left():
            parts.append(left)
        return _Picture(" · ".join(parts), tuple(self._notes), self._curves())

    def _curves(self) -> str:
        from chainrule.display.lineplot import curves_svg  # noqa: PLC0415  (only where one is seen)

        if len(self._rows) < 2:
            return ""
        names = [n for n in ("loss", "validation_loss") if any(n in row for row in self._rows)]
        lines = {
            words(name, True): [row.get(name, float("nan")) for row in self._rows] for name in names
        }
        x = [row.get("epoch", k + self._first) for k, row in enumerate(self._rows)]
        best = None
        if self._best is not None:
            best = (float(self._best), words(self._criterion or names[-1], True))
        return curves_svg(x, lines, best=best, width=560, height=280)


class _Picture:
    """The current display: HTML, or plain text where that is not supported."""

    def __init__(self, line: str, notes: tuple[str, ...], svg: str) -> None:
        self.line, self.notes, self.svg = line, notes, svg

    def _repr_html_(self) -> str:
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self.notes)
        return f"<div>{notes}<div><b>{html.escape(self.line)}</b></div>{self.svg}</div>"

    def __repr__(self) -> str:
        return "\n".join((*self.notes, self.line))


def _ipython_display() -> Callable[..., Any]:
    try:
        module = importlib.import_module("IPython.display")
    except ImportError:
        raise MissingExtra(
            "verbose",
            "this is not a notebook: IPython is not installed",
            fix="leave verbose out: the display is then detected",
        ) from None
    shown: Callable[..., Any] = module.display
    return shown
