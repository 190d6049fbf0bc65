"""A setting of a recipe: its values, its help, and its choice by the data."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, Literal

from chainrule.errors import SettingError, nearest
from chainrule.recipe.facts import Facts

Form = Literal["text", "column", "integer", "number", "widths", "names", "texts", "kinds"]
FORMS = {
    "text": "text",
    "column": "the name of a column",
    "integer": "an integer",
    "number": "a number",
    "widths": "a list of integers",
    "names": "a list of column names",
    "texts": "a list of texts",
    "kinds": "columns by name with their kinds",
}


@dataclass(frozen=True)
class Setting:
    """A setting as it is described in Python, on the command line and in files.

    Attributes:
        form: the form of its values.
        group: the heading under which it is shown.
        help: its description, in a few words.
        more: the meaning of the values, for the documentation.
        choices: the values that a text may have.
        least, most, above, below: bounds of a number; the last two are not reached.
        by_data: chooses a value by the data where the setting is left open.
        key, default: the field of Config.
    """

    form: Form
    group: str
    help: str
    more: str = ""
    choices: Sequence[str] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    by_data: Callable[[Facts], Any] | None = None
    key: str = ""
    default: Any = None

    @property
    def flag(self) -> str:
        """The option of the command line."""
        return "--" + self.key.replace("_", "-")

    @property
    def values(self) -> str:
        """The choices in parentheses, or nothing."""
        return f" ({', '.join(self.choices)})" if self.choices else ""

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
        """The value as Config stores it. Raises SettingError where it is not valid.

        Args:
            where: the first word of the message.
            at: the file and line.
        """
        if self.form in ("widths", "names", "texts") and isinstance(value, (int, str)):
            value = (value,)
        self._check_form(value, where, at)
        if self.choices and self.form == "text" and value not in self.choices:
            raise unknown(where, self.key, value, self.choices, at)
        if self.form == "widths":
            return tuple(int(self._bounded(x, where, at)) for x in value)
        if self.form in ("integer", "number"):
            return (int if self.form == "integer" else float)(self._bounded(value, where, at))
        return tuple(value) if self.form in ("names", "texts") else value

    def _check_form(self, value: Any, where: str, at: str | None) -> None:
        right = {
            "text": isinstance(value, str),
            "column": isinstance(value, str),
            "integer": _is_integer(value),
            "number": isinstance(value, Real) and not isinstance(value, bool),
            "widths": _is_list(value) and all(map(_is_integer, value)),
            "names": _is_list(value) and all(isinstance(x, str) for x in value),
            "texts": _is_list(value) and all(isinstance(x, str) for x in value),
            "kinds": isinstance(value, Mapping) and all(isinstance(x, str) for x in value.values()),
        }[self.form]
        if not right:
            raise SettingError(
                where, f"{self.key} has the wrong type", expected=FORMS[self.form],
                got=f"{_type_words(value)}: {value!r}", at=at,
            )  # fmt: skip

    def _bounded(self, x: float, where: str, at: str | None) -> float:
        inside = math.isfinite(x) and (
            (self.least is None or x >= self.least)
            and (self.most is None or x <= self.most)
            and (self.above is None or x > self.above)
            and (self.below is None or x < self.below)
        )
        if not inside:
            raise SettingError(
                where, f"{self.key} is out of its bounds",
                expected=f"{FORMS[self.form]} {self.bounds()}", got=x, at=at,
                fix=f"leave out {self.key}=: " + (
                    f"it is {self.default} then" if self.by_data is None else "the data decide"
                ),
            )  # fmt: skip
        return x

    def from_texts(self, texts: Sequence[str]) -> Any:
        """The value of a flag that may be repeated or contain commas. Raises SettingError."""
        parts = [part for text in texts for part in split_commas(text)]
        if self.form == "widths":
            parts = [part for text in parts for part in text.strip("[]() ").split()]
            if [part.lower() for part in parts] == ["none"]:
                return ()
            if not parts or not all(part.lstrip("-").isdecimal() for part in parts):
                raise SettingError(
                    self.flag, "widths of layers are integers", got=", ".join(texts),
                    expected=f"{self.flag} 128,64, or {self.flag} none for a linear model",
                )  # fmt: skip
            return [int(part) for part in parts]
        if self.form == "texts" and parts == ["none"]:
            return []
        return dict(map(self._pair, parts)) if self.form == "kinds" else parts

    def _pair(self, text: str) -> tuple[str, str]:
        name, mark, kind = text.rpartition("=")
        if not mark or not name:
            raise SettingError(
                self.flag, "it is not of the form COLUMN=KIND", got=text,
                expected="COLUMN=KIND, where KIND is one of " + ", ".join(self.choices),
                fix=f"{self.flag} zip=category,comment=ignore",
            )  # fmt: skip
        return name, kind


def setting(
    default: Any, form: Form, group: str, help: str, *,
    by_data: Callable[[Facts], Any] | None = None, **more: Any,
) -> Any:  # fmt: skip
    """A field of Config, described by a Setting; `more` are further attributes of that."""
    metadata = {"setting": Setting(form, group, help, by_data=by_data, **more)}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def settings_of(config: Any) -> tuple[Setting, ...]:
    """The settings that the fields of a dataclass describe, in their order."""
    return tuple(
        replace(
            x.metadata["setting"],
            key=x.name,
            default=x.default_factory() if x.default_factory is not MISSING else x.default,
        )
        for x in fields(config)
    )


def unknown(
    where: str, key: str, value: object, choices: Sequence[str], at: str | None = None
) -> SettingError:
    """The error for a value that is not one of the choices."""
    guess = nearest(str(value), choices)
    return SettingError(
        where, f"unknown {key} {value!r}", expected="one of " + ", ".join(choices), at=at,
        fix=f"did you mean {key}={guess!r}?" if guess else f"{key}={choices[0]!r}, for example",
    )  # fmt: skip


def split_commas(text: str) -> list[str]:
    """The parts of a text between commas; a part in double quotes may contain commas."""
    return [part.strip() for part in next(csv.reader([text], skipinitialspace=True), [])]


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, (str, Mapping))


def _type_words(value: Any) -> str:
    words = {bool: "true or false", int: "an integer", float: "a number", str: "text",
             list: "a list", dict: "a table"}  # fmt: skip
    return words.get(type(value), type(value).__name__)
