"""Progress in a terminal: one live line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from chainrule.display.format import number
from chainrule.display.screen import is_terminal, printable
from chainrule.train.progress.base import Part, Shown

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

BAR = 12  # characters


class TerminalProgress(Shown):
    """One live line, drawn by rich at most ten times a second; the last one stays."""

    EVERY = 0.1  # seconds between refreshes
    live = True

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        from rich.console import Console  # noqa: PLC0415  (heavy: only where a terminal is)

        self._stream = self.output = stream
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._fancy = _can_write(stream, "━╸")
        self._live: Live | None = None
        self._drawn = -1.0
        self._broken = False

    def _open(self) -> None:
        from rich.live import Live  # noqa: PLC0415  (heavy: only where a terminal is)

        self._live = Live(
            self._line(),
            console=self._console,
            auto_refresh=False,
            redirect_stdout=is_terminal(sys.stdout),  # never redirect piped data
            redirect_stderr=True,
            vertical_overflow="crop",
        )
        self._safely(self._live.start, True)

    @property
    def able(self) -> bool:
        """Whether the terminal can redraw a line."""
        return not self._console.is_dumb_terminal

    def update(
        self, epoch: int, fraction: float, *, loss: float | None = None, rate: float | None = None
    ) -> None:
        super().update(epoch, fraction, loss=loss, rate=rate)
        self._draw()

    def epoch(self, row: Mapping[str, float], *, best: bool = False) -> None:
        super().epoch(row, best=best)
        self._draw()

    def stage(self, heading: str, later: float = 0.0) -> None:
        self._print(("\n" if self._later else "") + heading, "bold")
        self._later = later

    def note(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str, style: str = "") -> None:
        from rich.text import Text  # noqa: PLC0415  (heavy: only where a terminal is)

        for line in printable(text, self._stream):
            self._safely(self._console.print, Text(line, style))

    def finish(self, summary: str = "") -> None:
        self.close()
        if summary:
            self.note(summary)

    def close(self) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            self._safely(live.update, self._line(), refresh=True)
            self._safely(live.stop, always=True)  # restores stdout and stderr

    def _draw(self) -> None:
        now = self._clock()
        if self._live is not None and now - self._drawn >= self.EVERY:
            self._drawn = now
            self._safely(self._live.update, self._line(), refresh=True)

    def _line(self) -> Text:
        """The live line, without the least important parts if it does not fit."""
        from rich.text import Text  # noqa: PLC0415  (heavy: only where a terminal is)

        parts: list[Part] = [(0, self.position(), "bold"), (8, self._bar(), "cyan"), *self.values()]
        if "rate" in self._row:
            parts.append((9, f"rate {number(self._row['rate'])}", "dim"))
        if self._best is not None:
            parts.append((6, f"best {self._best}", "green"))
        if left := self.time_left():
            parts.append((3, left, "dim"))
        width = self._console.width - 1
        while len(parts) > 1 and sum(len(text) + 2 for _, text, _ in parts) - 2 > width:
            parts.remove(max(parts))
        line = Text(no_wrap=True, overflow="crop", end="")
        for k, (_, text, style) in enumerate(parts):
            line.append("  " if k else "").append(text, style)
        line.truncate(max(width, 1))
        return line

    def _bar(self) -> str:
        full = round(self.done() * BAR)
        if self._fancy:
            return "━" * full + "╸" * (full < BAR) + " " * (BAR - full - 1)
        return "[" + "=" * full + " " * (BAR - full) + "]"

    def _safely(
        self, write: Callable[..., object], *args: Any, always: bool = False, **kw: Any
    ) -> None:
        """Writes unless the terminal was closed; notices when it is."""
        if self._broken and not always:
            return
        try:
            write(*args, **kw)
        except (OSError, ValueError):  # the terminal was closed
            self._broken = True


def _can_write(stream: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True
