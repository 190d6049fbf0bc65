"""The interface of progress displays, and the state that the visible ones share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from chainrule.display.format import duration, number, words
from chainrule.train.metrics import plain_name

MIN_MEASURED_SECONDS = 0.5  # before it, no time left is shown
METRICS_SHOWN = 2  # in addition to loss and validation loss
_STANDARD = ("epoch", "step", "seconds", "rate", "loss", "validation_loss")

Part = tuple[int, str, str]  # rank (the highest is left out first), text, style


class Progress:
    """The interface, and the silent display: its methods show nothing.

    Use it as a context manager, so that a terminal is restored after an error or Ctrl-C.

    Attributes:
        output: the stream for text before and after the run; None: there is none.
        live: whether it is redrawn in place, so that a short run leaves few lines.
    """

    output: TextIO | None = None
    live: bool = False

    def stage(self, heading: str, later: float = 0.0) -> None:
        """Announces the next of several runs.

        Args:
            heading: what the run is for.
            later: the work of all runs after it, in units of its own; for the time left.
        """

    def start(
        self,
        total_epochs: int | None,
        *,
        first_epoch: int = 1,
        criterion: str | None = None,
        unit: str = "epoch",
    ) -> None:
        """Starts a run of epochs first_epoch .. total_epochs (None: until it is stopped).

        The column `criterion` comes first among the metrics. `unit` names what is counted.
        """

    def update(
        self, epoch: int, fraction: float, *, loss: float | None = None, rate: float | None = None
    ) -> None:
        """Reports that `fraction` (0 to 1) of an epoch is done. Cheap: call it often."""

    def epoch(self, row: Mapping[str, float], *, best: bool = False) -> None:
        """Reports the end of an epoch: its row of the history, and whether it is the best."""

    def note(self, text: str) -> None:
        """Shows a message on a line of its own."""

    def finish(self, summary: str = "") -> None:
        """Ends the run."""

    def close(self) -> None:
        """Restores terminal and notebook; may be called twice."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Shown(Progress):
    """The base of visible displays: the state of the run, and its parts as text."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._total: int | None = None
        self._unit = "epoch"
        self._first, self._epoch, self._fraction = 1, 1, 0.0
        self._criterion: str | None = None
        self._row: dict[str, float] = {}
        self._best: int | None = None
        self._began = clock()
        self._later = 0.0
        self._measured_from: tuple[float, float] | None = None  # time and fraction done

    def stage(self, heading: str, later: float = 0.0) -> None:
        self.note(heading)
        self._later = later

    def start(
        self,
        total_epochs: int | None,
        *,
        first_epoch: int = 1,
        criterion: str | None = None,
        unit: str = "epoch",
    ) -> None:
        self.close()
        self._total, self._first, self._epoch = total_epochs, first_epoch, first_epoch
        self._criterion = None if criterion is None else plain_name(criterion)
        self._fraction, self._row, self._best, self._unit = 0.0, {}, None, unit
        self._began, self._measured_from = self._clock(), None
        self._open()

    def _open(self) -> None:
        """Prepares to show a new run."""

    def update(
        self, epoch: int, fraction: float, *, loss: float | None = None, rate: float | None = None
    ) -> None:
        self._epoch, self._fraction = epoch, min(max(fraction, 0.0), 1.0)
        current = {"loss": loss, "rate": rate}
        told = {name: value for name, value in current.items() if value is not None}
        self._row = self._row | told  # a new one: a line may still tell of the last

    def epoch(self, row: Mapping[str, float], *, best: bool = False) -> None:
        self._row = {plain_name(name): value for name, value in row.items()}
        self._epoch, self._fraction = int(self._row.get("epoch", self._epoch)), 1.0
        if best:
            self._best = self._epoch

    def done(self) -> float:
        """The fraction of the run that is done; of the epoch if the run has no fixed end."""
        if self._total is None:
            return self._fraction
        run = max(self._total - self._first + 1, 1)
        return min((self._epoch - self._first + self._fraction) / run, 1.0)

    def seconds_left(self) -> float | None:
        """The estimated seconds until the end of this and all later runs; None if unknown."""
        now, done = self._clock(), self.done()
        if self._total is None or done <= 0:
            return None
        if self._measured_from is None:  # what was before, such as compiling, is done once
            self._measured_from = now, done
        since, already = self._measured_from
        if now - self._began < MIN_MEASURED_SECONDS or done == already:
            return None
        return (now - since) / (done - already) * (1 - done + self._later)

    def time_left(self) -> str:
        """The estimated time left, such as "12 s left"; empty if unknown or under 0.1 s."""
        return self.left(self.seconds_left(), self.done())

    def left(self, seconds: float | None, done: float) -> str:
        """The time left as text, where a fraction of the run is done."""
        if seconds is None or seconds < 0.1 or (done == 1 and not self._later):
            return ""
        return f"{duration(seconds)} left" + (" in all" if self._later else "")

    def position(self, epoch: int | None = None) -> str:
        """The current epoch, or another, such as "epoch 7/20", padded to a fixed width."""
        number = self._epoch if epoch is None else epoch
        if self._total is None:
            return f"{self._unit} {number}"
        return f"{self._unit} {number:>{len(str(self._total))}}/{self._total}"

    def values(self, row: Mapping[str, float] | None = None) -> list[Part]:
        """Losses and metrics with their rank; those on validation data are adjacent.

        row: of an epoch; None: the present one.
        """
        row = self._row if row is None else row
        parts: list[Part] = []
        if "loss" in row:
            parts.append((2, f"loss {number(row['loss']):<7}", ""))
        validation = [name for name in row if name.startswith("validation_")]
        names = [n for n in row if n not in _STANDARD and n not in validation]
        names = [n for n in names if f"validation_{n}" not in row]
        others = [n for n in validation if n not in _STANDARD] + names
        others.sort(key=lambda name: name != self._criterion)  # stable
        if "validation_loss" in row:
            parts.append((1, f"validation loss {number(row['validation_loss']):<7}", "bold"))
        for k, name in enumerate(others[:METRICS_SHOWN]):
            short = name.removeprefix("validation_") if "validation_loss" in row else name
            label = words(short if name in validation else name)
            parts.append((5 + 2 * k, f"{label} {number(row[name]):<6}", ""))
        return parts


class Brief(Progress):
    """Shows how far a run is on a live display, and leaves no lines."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown if shown.live else Progress()

    def start(
        self,
        total_epochs: int | None,
        *,
        first_epoch: int = 1,
        criterion: str | None = None,
        unit: str = "epoch",
    ) -> None:
        self._shown.start(total_epochs, first_epoch=first_epoch, unit=unit)

    def update(
        self, epoch: int, fraction: float, *, loss: float | None = None, rate: float | None = None
    ) -> None:
        self._shown.update(epoch, fraction)

    def epoch(self, row: Mapping[str, float], *, best: bool = False) -> None:
        self._shown.epoch({name: row[name] for name in ("epoch",) if name in row})

    def close(self) -> None:
        self._shown.close()
