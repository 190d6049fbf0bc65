"""The settings of a training run by key: what each means, and what values make sense."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chainrule.data.columns.kinds import KINDS, TASKS
from chainrule.data.features import SCALINGS
from chainrule.errors import SettingError, did_you_mean
from chainrule.nn.arguments import ACTIVATIONS
from chainrule.recipe import (
    CLASS_WEIGHTS,
    EMBEDDINGS,
    NORMS,
    QUALITIES,
    REFITS,
    SCHEDULES,
    TARGET_SCALINGS,
    losses,
)
from chainrule.system.checks import as_integer
from chainrule.train.optim import OPTIMIZERS

Form = Literal["text", "whole", "number", "widths", "names", "kinds"]
FORMS = {
    "text": "text",
    "whole": "an integer",
    "number": "a number",
    "widths": "a list of integers",
    "names": "a list of column names",
    "kinds": "columns by name with their kinds",
}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        key: its name in Config and in TOML; the flag is --key with hyphens.
        form: what its value is.
        group: the heading under which it is shown.
        help: what it does; the comment in TOML.
        known: the values there are.
        least, most: bounds of a number; `above` and `below` are bounds it must not reach.
    """

    key: str
    form: Form
    group: str
    help: str
    known: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    @property
    def values(self) -> str:
        """The known values in parentheses, or nothing."""
        return f" ({', '.join(self.known)})" if self.known else ""

    @property
    def flag(self) -> str:
        """The option of the command line."""
        return "--" + self.key.replace("_", "-")

    def bounds(self) -> str:
        """The bounds in words: "from 1", "from 0, below 1"."""
        parts = [
            f"{word} {bound}"
            for word, bound in (
                ("from", self.least), ("above", self.above), ("to", self.most),
                ("below", self.below),
            )
            if bound is not None
        ]  # fmt: skip
        return ", ".join(parts).replace(", to ", " to ")

    def check(self, value: Any, where: str, at: str | None = None) -> Any:
        """The value as Config takes it. Raises SettingError where it makes no sense.

        Args:
            where: what the message begins with.
            at: the file and line.
        """
        self._check_form(value, where, at)
        if self.known and self.form == "text" and value not in self.known:
            raise SettingError(
                where, f"unknown {self.key} {value!r}", expected=", ".join(self.known), at=at,
                fix=did_you_mean(str(value), self.known),
            )  # fmt: skip
        for number in value if self.form == "widths" else [value]:
            if self.form in ("whole", "number", "widths") and not self._inside(number):
                raise SettingError(
                    where, f"{self.key} is out of its bounds",
                    expected=f"{FORMS[self.form]} {self.bounds()}", got=number, at=at,
                )  # fmt: skip
        if self.form in ("widths", "names"):
            return tuple(value)
        return float(value) if self.form == "number" else value

    def _inside(self, x: float) -> bool:
        return math.isfinite(x) and (
            (self.least is None or x >= self.least)
            and (self.most is None or x <= self.most)
            and (self.above is None or x > self.above)
            and (self.below is None or x < self.below)
        )

    def _check_form(self, value: Any, where: str, at: str | None) -> None:
        right = {
            "text": isinstance(value, str),
            "whole": as_integer(value) is not None,
            "number": as_integer(value) is not None or isinstance(value, float),
            "widths": isinstance(value, (list, tuple)) and None not in map(as_integer, value),
            "names": _texts(value),
            "kinds": isinstance(value, Mapping) and _texts(list(value.values())),
        }[self.form]
        if not right:
            raise SettingError(
                where, f"{self.key} is of the wrong kind", expected=FORMS[self.form],
                got=f"{_kind(value)}: {value!r}", at=at,
            )  # fmt: skip

    def from_texts(self, texts: Sequence[str]) -> Any:
        """The value of a flag that may be repeated or hold commas. Raises SettingError."""
        parts = [part for text in texts for part in split_commas(text)]
        if self.form == "widths":
            parts = [part for text in parts for part in text.strip("[]() ").split()]
            if [part.lower() for part in parts] == ["none"]:
                return ()
            if not parts or not all(part.lstrip("-").isdecimal() for part in parts):
                raise SettingError(
                    self.flag, "widths of layers are integers", got=", ".join(texts),
                    expected="--hidden 128,64, or --hidden none for a linear model",
                )  # fmt: skip
            return [int(part) for part in parts]
        return dict(map(self._pair, parts)) if self.form == "kinds" else parts

    def _pair(self, text: str) -> tuple[str, str]:
        name, mark, kind = text.rpartition("=")
        if not mark or not name:
            raise SettingError(
                self.flag, "says not which column is of which kind", got=text,
                expected="COLUMN=KIND, the kinds being " + ", ".join(KINDS),
                fix=f"{self.flag} zip=category,comment=ignore",
            )  # fmt: skip
        return name, kind


def split_commas(text: str) -> list[str]:
    """The parts of a text between commas; a part in double quotes may hold commas itself."""
    return [part.strip() for part in next(csv.reader([text], skipinitialspace=True), [])]


def _texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(x, str) for x in value)


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
    return kinds.get(type(value), "a list" if isinstance(value, list) else "a table"
                     if isinstance(value, Mapping) else type(value).__name__)  # fmt: skip


_LOSSES = {task: losses(task) for task in TASKS}
_ACTIVATIONS = tuple(str(name) for name in ACTIVATIONS)

SETTINGS = (
    Setting("target", "text", "Data", "the column to predict"),
    Setting("task", "text", "Data", "guessed from the target", TASKS),
    Setting("quality", "text", "Effort", "how much time to take for a good model", QUALITIES),
    Setting("members", "whole", "Effort", "networks whose predictions are averaged", least=1),
    Setting("refit", "text", "Effort", "train once more, on all rows, when the score is known",
            REFITS),
    Setting("ignore", "names", "Data", "columns to leave out"),
    Setting("scaling", "text", "Data", "of numbers; auto is what has learned best",
            SCALINGS),
    Setting("embedding", "text", "Network", "of numbers: functions that bend, beside each",
            EMBEDDINGS),
    Setting("hidden", "widths", "Network", "widths of the hidden layers", least=1),
    Setting("activation", "text", "Network", "after each hidden layer",
            _ACTIVATIONS),
    Setting("norm", "text", "Network", "normalisation after each hidden layer", NORMS),
    Setting("dropout", "number", "Network", "share of units dropped after each hidden layer",
            least=0, below=1),
    Setting("loss", "text", "Loss",
            "what is made small; for numbers: " + ", ".join(_LOSSES["regression"]),
            tuple(name for names in _LOSSES.values() for name in names)),
    Setting("target_scaling", "text", "Loss",
            "of a number to predict; log is for targets of heavy tail", TARGET_SCALINGS),
    Setting("label_smoothing", "number", "Loss",
            "what cross-entropy takes from the true class for all others", least=0, below=1),
    Setting("class_weights", "text", "Loss", "balanced gives rare classes the weight of frequent",
            CLASS_WEIGHTS),
    Setting("optimizer", "text", "Optimizer", "what makes the loss small", tuple(OPTIMIZERS)),
    Setting("rate", "number", "Optimizer",
            "the learning rate, at its highest, of a layer with 256 inputs", above=0),
    Setting("decay", "number", "Optimizer", "weight decay", least=0),
    Setting("schedule", "text", "Optimizer", "of the learning rate", SCHEDULES),
    Setting("clip_norm", "number", "Optimizer", "bound on the length of the gradient", above=0),
    Setting("batch_size", "whole", "Training", "examples a step", least=1),
    Setting("epochs", "whole", "Training", "times that all rows are gone through, at most",
            least=1),
    Setting("patience", "whole", "Training",
            "epochs without improvement after which training stops", least=1),
    Setting("validation", "number", "Training", "share of rows held out; 0 holds out none",
            least=0, below=1),
    Setting("groups", "text", "Training", "a column whose groups are held out whole"),
    Setting("time", "text", "Training", "a column by which the latest rows are held out"),
    Setting("seed", "whole", "Training", "of everything random", least=0, most=2**63 - 1),
    Setting("kinds", "kinds", "Data", "what columns are, where the guess is wrong", KINDS),
)  # fmt: skip
BY_KEY = {setting.key: setting for setting in SETTINGS}
