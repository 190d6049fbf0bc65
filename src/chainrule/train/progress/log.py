"""Progress as a log: plain lines, about ten per run for any number of epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TextIO

from chainrule.display.format import duration, number
from chainrule.display.screen import printable
from chainrule.train.progress.base import Shown

MAX_LINES = 8
"""The number of lines between the first and the last, for runs with more epochs."""
MAX_SILENCE_SECONDS = 60.0
"""The longest time without a line, in seconds."""


class _Line(NamedTuple):
    """The content of a line; it becomes text when it is written, as most never are.

    Attributes:
        row, epoch: of the history.
        seconds: of the run so far.
        left: the seconds left, or None; `done` is the fraction that is done.
        best: whether it is the best epoch so far.
    """

    row: Mapping[str, float]
    epoch: int
    seconds: float
    left: float | None
    done: float
    best: bool


class LogProgress(Shown):
    """Plain lines for a file, a pipe or a simple terminal.

    Of many epochs it shows the first, the last and some between: after each eighth of the run, and
    at least once a minute, the best epoch since the last line, or the latest if none improved. The
    best of all is always shown. Units other than epochs are shown one by one.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._stream: TextIO | None = stream
        self.output = stream
        self._best_line: _Line | None = None  # not written yet
        self._last_line: _Line | None = None
        self._staged = False  # whether there was a heading
        self._written_at = (-1, 0.0)  # the part of the run and the time of the last line

    def _open(self) -> None:
        self._written_at = (-1, self._began)

    def epoch(self, row: Mapping[str, float], *, best: bool = False) -> None:
        super().epoch(row, best=best)
        seconds = self._row.get("seconds", self._clock() - self._began)
        line = _Line(self._row, self._epoch, seconds, self.seconds_left(), self.done(), best)
        self._last_line = None if best else line
        if best:
            self._best_line = line
        if self._due():
            self._write(self._best_line or line)

    def _text(self, line: _Line) -> str:
        parts = [self.position(line.epoch), *(text for _, text, _ in self.values(line.row))]
        if "rate" in line.row:
            parts.append(f"rate {number(line.row['rate']):<9}")
        parts.append(duration(line.seconds))
        parts += [left for left in (self.left(line.left, line.done),) if left]
        return "  ".join(parts) + "  best" * line.best

    def _due(self) -> bool:
        """Whether a line is due; if so, records the time."""
        now, part = self._clock(), int(self.done() * MAX_LINES)
        count = 0 if self._total is None else self._total - self._first + 1
        last_part, last_time = self._written_at
        all_lines = self._unit != "epoch" or count <= MAX_LINES + 2
        if not all_lines and part == last_part and now - last_time < MAX_SILENCE_SECONDS:
            return False
        self._written_at = (part, now)
        return True

    def _write(self, line: _Line) -> None:
        self._best_line = None
        if line is self._last_line:
            self._last_line = None
        self.note(self._text(line))

    def stage(self, heading: str, later: float = 0.0) -> None:
        if self._staged:
            self._put("")
        self._staged = True
        super().stage(heading, later)

    def note(self, text: str) -> None:
        for line in printable(text, self._stream):
            self._put(line)

    def _put(self, line: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(line.rstrip() + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # the stream was closed
            self._stream = None

    def finish(self, summary: str = "") -> None:
        self.close()
        if summary:
            self.note(summary)

    def close(self) -> None:
        for line in (self._best_line, self._last_line):
            if line is not None:
                self._write(line)
