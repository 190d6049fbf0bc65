"""The kinds of attributes: what an op declares its attributes to be, and how they are checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError, DTypeError, SettingError, ShapeError, short
from chainrule.types import DTYPES, FLOATS, N, TensorType

MAX_AXES = 32
"""Values have no more axes."""

MAX_SIZE = 2**40
"""No axis is longer."""

Types = tuple[TensorType, ...]


@dataclass(frozen=True, slots=True)
class Attribute:
    """A kind of attribute.

    Attributes:
        words: what its values are.
        fits: whether something is such a value, for operands of these types.
        error, problem: what is raised for another value, and its sentence.
    """

    words: str
    fits: Callable[[Any, Types], bool]
    error: type[ChainruleError] = SettingError
    problem: str = "an attribute does not fit"

    def or_none(self) -> Attribute:
        """The same, or None."""
        fits = self.fits
        words = f"{self.words}, or None"
        return replace(self, words=words, fits=lambda x, types: x is None or fits(x, types))


Schema = Mapping[str, Attribute]
"""The kind of each attribute of an op, by name."""


def check_attributes(where: str, schema: Schema, types: Types, given: Mapping[str, Any]) -> None:
    """Checks the attributes of an op's node.

    Args:
        where: the op's name.
        schema: what the op declares.
        types: of the operands.
        given: the attributes, by name.

    Raises:
        SettingError, ShapeError, DTypeError: one is missing, unknown, or not what it is declared
            to be.
    """
    if given.keys() != schema.keys():
        raise SettingError(
            where,
            "does not take these attributes",
            expected=", ".join(schema) or "none",
            got=", ".join(map(str, given)) or "none",
        )
    for name, kind in schema.items():
        if not kind.fits(given[name], types):
            got = f"{name}={short(given[name])}"
            raise kind.error(where, kind.problem, expected=kind.words, got=got)


# ---------------------------------------------------------------- kinds


def _integer(value: Any, least: int, below: int) -> bool:
    return type(value) is int and least <= value < below


def _integers(value: Any, least: int, below: int) -> bool:
    return isinstance(value, tuple) and all(_integer(x, least, below) for x in value)


def _dims(value: Any) -> bool:
    if not isinstance(value, tuple) or len(value) > MAX_AXES:
        return False
    return all(x is N or _integer(x, 0, MAX_SIZE + 1) for x in value)


def _ndim(types: Types) -> int:
    return types[0].ndim if types else 0


def _axes(value: Any, types: Types) -> bool:
    return _integers(value, 0, _ndim(types)) and list(value) == sorted(set(value))


def _permutation(value: Any, types: Types) -> bool:
    return isinstance(value, tuple) and set(map(type, value)) <= {int} and (
        sorted(value) == list(range(_ndim(types)))
    )  # fmt: skip


def _places(value: Any, types: Types) -> bool:
    return _integers(value, -MAX_SIZE, MAX_SIZE + 1) and len(value) == _ndim(types)


def holds(dtype: str, value: Any) -> bool:
    """Whether a Python number is one of a dtype, rounded if that is floating-point."""
    if dtype == "bool" or isinstance(value, bool):
        return dtype == "bool" and isinstance(value, bool)
    if not isinstance(value, (int, float)):
        return False
    if dtype in FLOATS:
        try:
            with np.errstate(over="ignore"):
                return bool(np.isfinite(np.dtype(dtype).type(value)) or not np.isfinite(value))
        except OverflowError:
            return False
    info = np.iinfo(dtype)
    return value == value // 1 and int(info.min) <= value <= int(info.max)


def _finite(value: Any, types: Types) -> bool:
    return bool(types) and holds(types[0].dtype, value) and bool(np.isfinite(value))


def _fill(value: Any, types: Types) -> bool:
    zero = isinstance(value, (int, float)) and value == 0
    return bool(types) and (zero or holds(types[0].dtype, value))


_EQUATION = re.compile(r"([a-zA-Z]*),([a-zA-Z]*)->([a-zA-Z]*)")


def _equation(value: Any, types: Types) -> bool:
    found = _EQUATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return False
    terms = found.groups()
    in_terms = [sum(label in term for term in terms) for label in set("".join(terms))]
    return all(len(set(term)) == len(term) for term in terms) and min(in_terms, default=2) >= 2


FLAG = Attribute("True or False", lambda x, _: isinstance(x, bool))
AXIS = Attribute(
    "an axis of the first operand", lambda x, types: _integer(x, 0, _ndim(types)), ShapeError
)
AXES = Attribute("axes of the first operand, each once, in ascending order", _axes, ShapeError)
PERMUTATION = Attribute("each axis of the operand, named once", _permutation, ShapeError)
PLACES = Attribute("an integer for each axis of the operand", _places, ShapeError)
NATURAL = Attribute("a non-negative integer", lambda x, _: _integer(x, 0, MAX_SIZE + 1), ShapeError)
NATURALS = Attribute(
    "non-negative integers", lambda x, _: _integers(x, 0, MAX_SIZE + 1), ShapeError
)
WORD = Attribute("an integer of 32 bits", lambda x, _: _integer(x, 0, 2**32))
SHAPE = Attribute(
    f"non-negative integers, or N, for at most {MAX_AXES} axes", lambda x, _: _dims(x), ShapeError
)
DTYPE = Attribute(
    "one of " + ", ".join(DTYPES),
    lambda x, _: isinstance(x, str) and x in DTYPES,
    DTypeError,
    "unknown dtype",
)
NUMBER = Attribute("a finite number of the operand's dtype", _finite)
FILL = Attribute("a number of the operand's dtype", _fill)
ARRAY = Attribute(
    "an array of numbers",
    lambda x, _: isinstance(x, np.ndarray) and str(x.dtype) in DTYPES,
    DTypeError,
)
TEXT = Attribute("text", lambda x, _: isinstance(x, str))
FRACTIONS = Attribute(
    "fractions between 0 and 1",
    lambda x, _: isinstance(x, tuple) and all(type(p) is float and 0 < p < 1 for p in x),
)
EQUATION = Attribute(
    "an equation such as 'ik,kj->ij', with each label in two terms or three", _equation
)
