"""Settings: frozen records that check themselves and convert to and from JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, Self, TypeAlias, get_type_hints

import numpy as np

from chainrule.errors import SettingError, did_you_mean
from chainrule.system.checks import integer
from chainrule.types import is_number

Check: TypeAlias = Callable[[str, Any], Any]
"""From the full name and value of a setting to its checked value. Raises SettingError."""


class Settings:
    """The base of frozen dataclasses whose fields are annotated with a type and a Check.

    Every field is checked when the record is created, also when it is read from a file.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        for key, check in _checks(type(self)).items():
            checked = check(f"{type(self).__name__}.{key}", getattr(self, key))
            object.__setattr__(self, key, checked)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain data: the name of the class, and all fields."""
        values = {key: _plain(getattr(self, key)) for key in _checks(type(self))}
        return {"name": self.name} | values

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Returns a record with the given fields. Raises SettingError, with the nearest name."""
        known = list(_checks(cls))
        for key in settings:
            if key not in known:
                raise SettingError(
                    cls.name,
                    f"there is no setting {key!r}",
                    expected="one of " + ", ".join(known),
                    fix=did_you_mean(str(key), known),
                )
        return cls(**settings)


def _checks(record: Any) -> dict[str, Check]:
    """The check of every field; those of a user's own class may have none."""
    return _cached_checks(record)


@cache
def _cached_checks(record: Any) -> dict[str, Check]:
    hints = get_type_hints(record, include_extras=True)
    checks = {item.name: getattr(hints[item.name], "__metadata__", ()) for item in fields(record)}
    return {name: check[0] if check else _unchecked for name, check in checks.items()}


def _unchecked(where: str, value: Any) -> Any:
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.to_dict()
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def refuse(where: str, expected: str, value: Any) -> SettingError:
    """The error for a setting that is not what was `expected`."""
    return SettingError(where, "the value is not valid", expected=expected, got=repr(value))


def as_number(where: str, value: Any) -> float:
    """Returns `value` as a finite float. Raises SettingError."""
    if not is_number(value):
        raise refuse(where, "a finite number", value)
    return float(value)


@dataclass(frozen=True)
class Within:
    """The check of a number between bounds; `above` and `below` are exclusive."""

    above: float = -math.inf
    least: float = -math.inf
    below: float = math.inf
    most: float = math.inf

    def __call__(self, where: str, value: Any) -> float:
        """Returns `value` as a float. Raises SettingError."""
        x = as_number(where, value)
        if not (self.above < x < self.below and self.least <= x <= self.most):
            raise refuse(where, self._text(where.split(".")[-1]), value)
        return x

    def _text(self, name: str) -> str:
        low = f"{self.least:g} <= " if math.isfinite(self.least) else ""
        low = f"{self.above:g} < " if math.isfinite(self.above) else low
        high = f" <= {self.most:g}" if math.isfinite(self.most) else ""
        high = f" < {self.below:g}" if math.isfinite(self.below) else high
        return low + name + high


@dataclass(frozen=True)
class AtLeast:
    """The check of an integer of at least `least`."""

    least: int

    def __call__(self, where: str, value: Any) -> int:
        """Returns `value` as an integer. Raises SettingError."""
        integral = isinstance(value, float) and value.is_integer()
        return require_integer(where, int(value) if integral else value, self.least)


def require_integer(where: str, value: object, least: int) -> int:
    """Returns `value` as an integer of at least `least`. Raises SettingError."""
    return integer(where, where.split(".")[-1], value, least)


def _flag(where: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise refuse(where, "true or false", value)
    return bool(value)


def _factors(where: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise refuse(where, 'factors by name pattern: {"hidden.*": 0.1}', value)
    return {key: NOT_NEGATIVE(f"{where}[{key!r}]", x) for key, x in value.items()}


NOT_NEGATIVE = Within(least=0)

Positive = Annotated[float, Within(above=0)]
NotNegative = Annotated[float, NOT_NEGATIVE]
Fraction = Annotated[float, Within(least=0, below=1)]
"""At least 0, below 1."""
Flag = Annotated[bool, _flag]
Factors = Annotated[Mapping[str, float], _factors]
"""Factors by name pattern."""
