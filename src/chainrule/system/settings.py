"""Settings: frozen records that check themselves and go to JSON and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Self, TypeAlias, get_type_hints

import numpy as np

from chainrule.errors import SettingError, did_you_mean
from chainrule.system.checks import integer
from chainrule.types import is_number

Check: TypeAlias = Callable[[str, Any], Any]
"""From the place and value of a setting to the value that is kept. Raises SettingError."""


class Settings:
    """Base of frozen dataclasses whose fields are annotated with a type and a Check.

    Every field is checked when the record is made, and so again when it is read from a file.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        for key, check in _checks(type(self)).items():
            checked = check(f"{type(self).__name__}.{key}", getattr(self, key))
            object.__setattr__(self, key, checked)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain data: the name of the kind, and every field."""
        values = {key: _plain(getattr(self, key)) for key in _checks(type(self))}
        return {"name": self.name} | values

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """A record from some of its fields by name. Raises SettingError, naming the nearest."""
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


def _checks(kind: type[Any]) -> dict[str, Check]:
    """For every field its check; those of a user's own kind may have none."""
    hints = get_type_hints(kind, include_extras=True)
    checks = {item.name: getattr(hints[item.name], "__metadata__", ()) for item in fields(kind)}
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
    """The error of a setting that is not what was `expected`."""
    return SettingError(where, "the value makes no sense", expected=expected, got=repr(value))


def as_number(where: str, value: Any) -> float:
    """`value` as a finite float. Raises SettingError."""
    if not is_number(value):
        raise refuse(where, "a finite number", value)
    return float(value)


@dataclass(frozen=True)
class Within:
    """The check of a number between bounds; `above` and `below` exclude them."""

    above: float = -math.inf
    least: float = -math.inf
    below: float = math.inf
    most: float = math.inf

    def __call__(self, where: str, value: Any) -> float:
        """`value` as a float. Raises SettingError."""
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
    """The check of an integer that has a lower bound."""

    least: int

    def __call__(self, where: str, value: Any) -> int:
        """`value` as an integer. Raises SettingError."""
        whole = isinstance(value, float) and value.is_integer()
        return integer(where, where.split(".")[-1], int(value) if whole else value, self.least)


def _flag(where: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise refuse(where, "true or false", value)
    return bool(value)


def _factors(where: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise refuse(where, 'factors by pattern of name: {"hidden.*": 0.1}', value)
    return {key: NOT_NEGATIVE(f"{where}[{key!r}]", x) for key, x in value.items()}


NOT_NEGATIVE = Within(least=0)

Positive = Annotated[float, Within(above=0)]
NotNegative = Annotated[float, NOT_NEGATIVE]
Fraction = Annotated[float, Within(least=0, below=1)]
"""From 0 on, below 1."""
Flag = Annotated[bool, _flag]
Factors = Annotated[Mapping[str, float], _factors]
"""Factors by pattern of name."""
