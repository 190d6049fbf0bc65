"""Renders the settings in the library's messages, which are Python, as options to type."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chainrule.recipe import SETTINGS

OPTIONS = {x.key: x.flag for x in SETTINGS} | {
    key: f"--{key}"
    for key in (
        "checkpoint", "device", "encoding", "keep", "memory", "output", "record", "resume", "sheet",
        "stream", "test", "threads",
    )
}  # fmt: skip
"""The option of each setting, by its name in Python."""

_QUOTED = r"(?<!\w)'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\""
_FLAT = rf"(?:{_QUOTED}|[^'\"\[\](){{}}])*"
_VALUE = rf"{_QUOTED}|\[{_FLAT}\]|\({_FLAT}\)|\{{{_FLAT}\}}|[-+]?[\w.]*\w"
_SETTING = re.compile(rf"(?P<quoted>{_QUOTED})|(?<![\w.-])(?P<key>{'|'.join(OPTIONS)})="
                      rf"(?!=)(?P<value>{_VALUE})?")  # fmt: skip
_CALL = re.compile(r"(?<![\w.])[a-z][\w.]*\((?:[\w.]+, )*(--[^()]*)\)")


def as_options(text: str) -> str:
    """A message of the library with `kinds={'zip': 'category'}` as `--kinds zip=category`.

    What stands in quotes is a value of the user, and remains.
    """

    def option(found: re.Match[str]) -> str:
        if found["key"] is None:
            return found[0]
        flag, value = OPTIONS[found["key"]], found["value"]
        return flag if value in (None, "True") else f"{flag} {_typed(value)}"

    return _CALL.sub(r"\1", _SETTING.sub(option, text))


def _typed(value: str) -> str:
    """A value in Python's notation as it is typed in a shell."""
    try:
        read = ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value
    return shlex.quote(",".join(_parts(read)) or "none")


def _parts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (_part(f"{name}={kind}") for name, kind in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from (_part(str(x)) for x in value)
    else:
        yield str(value)


def _part(text: str) -> str:
    """A part between commas; one that holds a comma is in double quotes."""
    return f'"{text}"' if "," in text else text
