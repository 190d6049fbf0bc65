"""The History of training: a row of numbers for each epoch."""

from __future__ import annotations

import csv
import html
import io
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from chainrule.display.format import number, words
from chainrule.display.tables import clean
from chainrule.errors import ModelFileError, SettingError, did_you_mean
from chainrule.system.atomicfile import write_whole
from chainrule.train.metrics import Direction, direction, plain_name

if TYPE_CHECKING:
    from chainrule.display.lineplot import Plot

FIRST = ("epoch", "step", "seconds", "rate", "loss", "validation_loss")
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
LABEL = 40  # characters of a column's name in plots and tables
_SHOWN = 5  # last rows shown in a notebook


class History:
    """The rows of a run, one an epoch; rows are added at the end and never changed.

    `history["loss"]` is a column, (epochs,), NaN where a row has no such value. The usual columns
    are epoch, step (updates so far), seconds (since the run began; spread evenly over short epochs
    that ran in one call), rate, loss, validation_loss; metrics stand under their names, on
    validation data as validation_NAME.

    Args:
        criterion: the column that determines the best epoch; by default validation_loss where
            there is one, else loss.
        better: "min" or "max"; by default the metric's direction.
    """

    def __init__(self, criterion: str | None = None, better: Direction | None = None) -> None:
        self._rows: list[dict[str, float]] = []
        self._starts: list[int] = []
        self.judge_by(criterion, better)

    def judge_by(self, criterion: str | None, better: Direction | None = None) -> None:
        """Set the criterion, for a later run that has another one.

        Raises:
            SettingError: the direction of the criterion is unknown.
        """
        self._criterion = None if criterion is None else plain_name(criterion)
        self._better = better or ("min" if criterion is None else direction(criterion))

    def begin_run(self) -> int:
        """Record the start of a run; returns its first epoch. An empty run is not recorded."""
        start = self.last_epoch + 1
        if self._starts[-1:] != [start]:
            self._starts.append(start)
        return start

    def append(self, row: Mapping[str, float]) -> dict[str, float]:
        """Add an epoch's row and return it as stored; without "epoch" it is the next one.

        Raises:
            SettingError: the epoch is not later than the last, or a value is not a number.
        """
        stored: dict[str, float] = {"epoch": self.last_epoch + 1}
        for name, value in row.items():
            if not isinstance(value, (int, float, np.number, np.bool_)):
                raise SettingError("history", f"{name!r} is not a number", got=repr(value))
            integer = isinstance(value, (int, np.integer))
            stored[plain_name(name)] = int(value) if integer else float(value)
        if stored["epoch"] <= self.last_epoch or stored["epoch"] % 1:
            raise SettingError("history", "epochs must increase", got=stored["epoch"],
                               expected=f"{self.last_epoch + 1} or later")  # fmt: skip
        if not self._starts:
            self.begin_run()
        self._rows.append(stored)
        return dict(stored)

    @property
    def last_epoch(self) -> int:
        """The number of the last epoch, 0 before the first."""
        return int(self._rows[-1]["epoch"]) if self._rows else 0

    @property
    def runs(self) -> tuple[int, ...]:
        """The first epoch of each run, that is of each call of `fit`."""
        return tuple(start for start in self._starts if start <= self.last_epoch)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns: standard ones first, then metrics in order of appearance."""
        seen = dict.fromkeys(name for row in self._rows for name in row)
        return tuple(n for n in FIRST if n in seen) + tuple(n for n in seen if n not in FIRST)

    @property
    def criterion(self) -> str:
        """The column that determines the best epoch."""
        if self._criterion is not None:
            return self._criterion
        return "validation_loss" if "validation_loss" in self.columns else "loss"

    @property
    def best(self) -> int | None:
        """The epoch with the best criterion (ties: the first); None where it has no value."""
        if self.criterion not in self.columns:
            return None
        values = self[self.criterion]
        values = np.where(np.isfinite(values), values if self._better == "min" else -values, np.inf)
        index = int(np.argmin(values))
        return int(self._rows[index]["epoch"]) if values[index] < np.inf else None

    def until(self, epoch: int) -> History:
        """A copy of the rows up to an epoch."""
        copy = History(self._criterion, self._better)
        copy._rows = [dict(x) for x in self._rows if x["epoch"] <= epoch]
        copy._starts = [x for x in self._starts if x <= epoch]
        return copy

    def row(self, epoch: int) -> dict[str, float]:
        """The row of an epoch, a copy; -1 is the last."""
        for row in reversed(self._rows):
            if epoch in (-1, row["epoch"]):
                return dict(row)
        raise SettingError(
            "history", f"there is no epoch {epoch}", expected=f"1 to {self.last_epoch}"
        )

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        plain = plain_name(name)
        if plain not in self.columns:
            raise SettingError("history", f"there is no column {name!r}",
                               expected=", ".join(self.columns) or "an epoch first",
                               fix=did_you_mean(plain, self.columns))  # fmt: skip
        return np.array([row.get(plain, math.nan) for row in self._rows], dtype=np.float64)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and plain_name(name) in self.columns

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return (dict(row) for row in self._rows)

    def __repr__(self) -> str:
        if not self._rows:
            return "History(no epochs yet)"
        parts = [f"{len(self)} epoch{'s' if len(self) > 1 else ''}", self.extreme()]
        return f"History({', '.join(filter(None, parts))})"

    def extreme(self) -> str:
        """The best criterion, as in "lowest loss 0.12 in epoch 7"; empty where it has no value.

        The model need not have the parameters of that epoch: `keep_best` says whether it does.
        """
        best = self.best
        if best is None:
            return ""
        which = "lowest" if self._better == "min" else "highest"
        value = number(self.row(best)[self.criterion])
        return f"{which} {words(self.criterion)} {value} in epoch {best}"

    def plot(self, *names: str, width: int = 640, height: int = 360) -> Plot:
        """A line plot over the epochs, of loss and validation loss or of the named columns.

        A notebook shows it; `.save("curves.svg")` writes it.
        """
        from chainrule.display.lineplot import Plot, curves_svg  # noqa: PLC0415  (few need it)

        columns = [plain_name(n) for n in names] or [
            n for n in ("loss", "validation_loss") if n in self
        ]
        lines = {clean(words(name, not names), LABEL): self[name] for name in columns}
        axis = "loss" if not names else next(iter(lines)) if len(lines) == 1 else "value"
        x = self["epoch"] if self._rows else np.zeros(0)
        judged = clean(words(self.criterion, not names), LABEL)
        best = None if self.best is None else (self.best, judged)
        return Plot(curves_svg(x, lines, y_label=axis, best=best, starts=self.runs[1:],
                               width=width, height=height))  # fmt: skip

    def _repr_html_(self) -> str:
        rows = [self.row(int(row["epoch"])) for row in self._rows[-_SHOWN:]]
        best = self.best
        if best is not None and best not in [row["epoch"] for row in rows]:
            rows.insert(0, self.row(best))
        head = "".join(
            f"<th>{html.escape(clean(words(name), LABEL))}</th>" for name in self.columns
        )
        body = ""
        for row in rows:
            cells = "".join(f"<td>{number(row[n]) if n in row else ''}</td>" for n in self.columns)
            bold = ' style="font-weight:bold"' if row["epoch"] == best else ""
            body += f"<tr{bold}>{cells}</tr>"
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        said = html.escape(clean(repr(self), 200))
        return (
            f'<div style="overflow-x:auto">{said}<br>{self.plot().svg}{table if rows else ""}</div>'
        )

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the rows as CSV: all of the file or nothing; a value that is missing stays empty.

        Raises:
            OSError: the folder does not exist or cannot be written.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns or FIRST, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        return write_whole(path, text.getvalue())

    def to_dict(self) -> dict[str, Any]:
        """The history as JSON values: NaN and infinities as text, missing values as null."""
        columns = {name: [_plain(row.get(name)) for row in self._rows] for name in self.columns}
        return {
            "columns": columns,
            "runs": list(self.runs),
            "criterion": self._criterion,
            "better": self._better,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> History:
        """The history that `to_dict` wrote.

        Raises:
            ModelFileError: `saved` has another form.
        """
        try:
            columns, runs = dict(saved["columns"]), list(saved["runs"])
            criterion, better = saved["criterion"], saved["better"]
            table = {str(name): [_number(v) for v in values] for name, values in columns.items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(f"{type(error).__name__}: {error}") from None
        lengths = {len(values) for values in table.values()}
        if len(lengths) > 1 or (table and "epoch" not in table):
            raise _damaged("columns of unequal length, or no epochs")
        if better not in ("min", "max") or not isinstance(criterion, (str, type(None))):
            raise _damaged("an unknown criterion")
        history = cls(criterion, better)
        for values in zip(*table.values(), strict=True):
            row = {n: v for n, v in zip(table, values, strict=True) if v is not None}
            if not isinstance(row.get("epoch"), int):
                raise _damaged("an epoch is not an integer")
            try:
                history.append(row)
            except SettingError as error:
                raise _damaged(error.what) from None
        epochs = {row["epoch"] for row in history}
        integers = all(type(start) is int for start in runs)
        if not integers or any(start not in epochs for start in runs) or sorted(set(runs)) != runs:
            raise _damaged("a run starts at no epoch")
        history._starts = runs
        return history


def _plain(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return _NOT_FINITE[value]
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise TypeError(f"{value!r} is not a number")
    return None if value is None else value


def _damaged(what: str) -> ModelFileError:
    return ModelFileError("history", "the saved history is damaged", got=what)
