"""Progress as a log: one plain line an epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from chainrule.train.progress.base import Shown, printable
from chainrule.train.words import duration, number


class LogProgress(Shown):
    """One plain line an epoch, for a file, a pipe or a terminal that can do no more."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._stream: TextIO | None = stream

    def epoch(self, row: Mapping[str, float], *, best: bool = False) -> None:
        super().epoch(row, best=best)
        parts = [self.counted(), *(text for _, text, _ in self.values())]
        if "rate" in self._row:
            parts.append(f"rate {number(self._row['rate']):<9}")
        parts.append(duration(self._row.get("seconds", self._clock() - self._began)))
        self.note("  ".join(parts) + ("  best" if best else ""))

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
        if summary:
            self.note(summary)
