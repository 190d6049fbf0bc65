"""Progress as a log: plain lines, about ten a run however many epochs it has."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from chainrule.display.format import duration, number
from chainrule.train.progress.base import Shown, printable

LINES = 8
"""Lines of a run between its first and its last, where it has more epochs than that."""
LONGEST = 60.0
"""Seconds after which there is a line in any case: one who waits sees that it goes on."""


class LogProgress(Shown):
    """Plain lines for a file, a pipe or a terminal that can do no more.

    Of many epochs the first, the last and some between are told: each time an eighth of the run
    or a minute is over, the best epoch since the last line, or the latest where none was better.
    The best of all is among them. Other units than epochs are told one by one.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._stream: TextIO | None = stream
        self._best_line: str | None = None  # what is not told yet
        self._last_line: str | None = None
        self._told_at = (-1, 0.0)  # the part of the run and the time of the last line

    def _open(self) -> None:
        self._told_at = (-1, self._began)

    def epoch(self, row: Mapping[str, float], *, best: bool = False) -> None:
        super().epoch(row, best=best)
        parts = [self.counted(), *(text for _, text, _ in self.values())]
        if "rate" in self._row:
            parts.append(f"rate {number(self._row['rate']):<9}")
        parts.append(duration(self._row.get("seconds", self._clock() - self._began)))
        line = "  ".join(parts)
        self._last_line = None if best else line
        if best:
            self._best_line = line + "  best"
        if self._due():
            self._tell(self._best_line or line)

    def _due(self) -> bool:
        """Whether it is time for a line; if so, when that was."""
        now, part = self._clock(), int(self.done() * LINES)
        count = 0 if self._total is None else self._total - self._first + 1
        before, then = self._told_at
        every = self._unit != "epoch" or count <= LINES + 2
        if not every and part == before and now - then < LONGEST:
            return False
        self._told_at = (part, now)
        return True

    def _tell(self, line: str) -> None:
        self._best_line = None
        if line == self._last_line:
            self._last_line = None
        self.note(line)

    def note(self, text: str) -> None:
        for line in printable(text, self._stream):
            if self._stream is None:
                return
            try:
                self._stream.write(line.rstrip() + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # closed under us
                self._stream = None

    def finish(self, summary: str = "") -> None:
        self.close()
        if summary:
            self.note(summary)

    def close(self) -> None:
        for line in (self._best_line, self._last_line):
            if line is not None:
                self._tell(line)
