"""Numbers as a student writes them: with the digits that were typed, and their tolerance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import FeedError
from chainrule.graph.node import Array

UNITS = 1.05
"""Units of the last digit by which a number may differ, as those before it were rounded too."""

LARGEST, SMALLEST = 0.02, 5e-4
"""Bounds of the tolerance, relative to the number."""

HALF = 0.51
"""Units of the last digit within which a number is only rounded."""

TWO_DIGITS = 0.1
"""The unit of the last of two significant digits, relative to the largest such number."""

_NUMBER = re.compile(r"[-+−]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+−]?\d+)?|[-+−]?\d+\s*/\s*\d+")


@dataclass(frozen=True)
class Answer:
    """The numbers of one line.

    Attributes:
        value: of the shape that is expected, NaN where nothing was written.
        unit: of the last digit that was typed.
    """

    value: Array
    unit: Array

    @classmethod
    def read(cls, name: str, given: Any, expected: Array) -> Answer:
        """Numbers, or texts of numbers, nested in lists; None where nothing was written.

        Raises:
            FeedError: one is not a number, or there are not as many as are expected.
        """
        alone = isinstance(given, str) and expected.size == 1
        flat = [given.strip().strip("[]")] if alone else _flat(given)
        if len(flat) != expected.size:
            raise FeedError(
                "check", f"{name!r} has another number of entries",
                expected=f"{expected.size}, of shape {expected.shape}; None for a gap",
                got=len(flat),
            )  # fmt: skip
        pairs = [_number(name, x) for x in flat]
        numbers = np.array([x for x, _ in pairs], np.float64).reshape(expected.shape)
        return cls(numbers, np.array([u for _, u in pairs], np.float64).reshape(expected.shape))

    def near(self, expected: Array) -> Array:
        """Whether each number is right within what its digits and earlier rounding allow."""
        size = np.abs(expected)
        scale = float(size.max(initial=0.0)) or 1.0
        low = np.where(size > 0, SMALLEST * size, 1e-6 * scale)
        high = np.where(size > 0, LARGEST * size, 1e-3 * scale)
        allowed = np.maximum(np.minimum(UNITS * self.unit, high), low)
        with np.errstate(invalid="ignore"):
            near = np.abs(self.value - expected) <= allowed
        rounded = self._rounded(expected) & (self.unit <= TWO_DIGITS * size)
        return np.asarray(near | rounded | np.isnan(self.value))

    def coarse(self, expected: Array) -> Array:
        """Whether each number is the right one, with too few digits."""
        return np.asarray(self._rounded(expected) & (self.unit > TWO_DIGITS * np.abs(expected)))

    def _rounded(self, expected: Array) -> Array:
        """Whether each number is the right one, rounded to the digits that were typed."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(self.value - expected) <= HALF * self.unit)

    def filled(self, expected: Array) -> Array:
        """The numbers, and what is expected where nothing was written."""
        return np.where(np.isnan(self.value), expected, self.value)

    def apart(self, one: Array, other: Array) -> bool:
        """Whether two expectations differ by more than the rounding of these numbers."""
        return bool((np.abs(one - other) > 2 * self.unit + LARGEST * np.abs(one)).any())


def _flat(given: Any) -> list[Any]:
    if isinstance(given, str):
        return _flat(_split(given)) if re.search(r"[\[,;\s]", given.strip()) else [given]
    if isinstance(given, np.ndarray):
        return [x for part in given.tolist() for x in _flat(part)] if given.ndim else [given.item()]
    if isinstance(given, Sequence):
        return [x for part in given for x in _flat(part)]
    return [given]


def _split(text: str) -> list[str]:
    """The numbers of a text such as "[0.90, 0.17]"."""
    return [x for x in re.split(r"[\[\],;\s]+", text) if x]


def _number(name: str, given: Any) -> tuple[float, float]:
    """A number, and the unit of its last digit."""
    if given is None or (isinstance(given, str) and set(given.strip()) <= {"_", "?", "-", ""}):
        return float("nan"), 0.0
    if isinstance(given, (bool, np.bool_)) or not isinstance(given, (str, int, float, np.number)):
        raise _unread(name, given)
    text = given.strip() if isinstance(given, str) else repr(_plain(given))
    if text in ("nan", "inf", "-inf"):
        raise _unread(name, given)
    if not _NUMBER.fullmatch(text):
        raise _unread(name, given)
    text = text.replace("−", "-").replace(",", ".")
    if "/" in text:
        top, bottom = text.split("/")
        if float(bottom) == 0:
            raise _unread(name, given)
        return float(top) / float(bottom), 0.0
    mantissa, _, power = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    exact = isinstance(given, (int, np.integer))
    return float(text), 0.0 if exact else 10.0 ** (int(power or 0) - decimals)


def _plain(given: Any) -> Any:
    return given.item() if isinstance(given, np.generic) else given


def _unread(name: str, given: Any) -> FeedError:
    return FeedError("check", f"this is not a number for {name!r}", got=repr(given)[:60],
                     expected='such as 0.9002 or "0.9002"')  # fmt: skip
