"""Checks of plain values that settings and arguments share."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from chainrule.errors import SettingError

NO = ("none", "no", "off", "false", "0", "")
"""Words, in small letters, that others say for False."""


def as_integer(value: Any) -> int | None:
    """`value` as an int; None where it is not an integer. True and False are not."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def integer_words(least: int) -> str:
    """The integers that `integer` takes, in words."""
    return f"an integer of at least {least}"


def integer(where: str, name: str, value: object, least: int) -> int:
    """`value` as an int of at least `least`. Raises SettingError."""
    number = as_integer(value)
    if number is None or number < least:
        raise SettingError(where, f"{name} is not {integer_words(least)}", got=repr(value))
    return number


def flag(where: str, name: str, value: object) -> bool:
    """`value` as True or False. Raises SettingError for anything else, such as a word."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise SettingError(
        where,
        f"{name} is neither True nor False",
        expected="True or False",
        got=repr(value),
        fix=f"{name}={str(value).casefold() not in NO}",
    )
