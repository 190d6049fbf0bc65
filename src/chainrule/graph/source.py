"""The user's line that a node or an error came from."""

from __future__ import annotations

import os
import sys
import warnings
from functools import cache
from types import FrameType

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_COMMAND_LINE = os.path.join(_PACKAGE, "cli", "main.py")
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep


def user_line() -> str:
    """The innermost line of the call stack outside this package: `train.py:41`.

    Neither do modules count through which this package calls itself: Python's, cyclopts. Where no
    line is the user's, as on the command line, it is the outermost one of this package.
    """
    return _line(_user_frame()[0])


def node_line() -> str:
    """The user's line as `user_line`; empty where no line is the user's."""
    frame, users = _user_frame()
    return _line(frame) if users else ""


def _line(frame: FrameType) -> str:
    return f"{_base(frame.f_code.co_filename)}:{frame.f_lineno}"


_base = cache(os.path.basename)


def warn_user(text: str, category: type[Warning]) -> None:
    """Warn as of the user's line: Python shows it once for each line and text."""
    frame, _ = _user_frame()
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    file = frame.f_code.co_filename
    warnings.warn_explicit(text, category, file, frame.f_lineno, registry=registry)


def called_from_user() -> bool:
    """Whether the caller of this function was called from outside this package."""
    return not _inside(sys._getframe(2).f_code.co_filename)


def _user_frame() -> tuple[FrameType, bool]:
    """The frame of the user's line, and whether there is one: else it is one of this package."""
    frame: FrameType | None = sys._getframe(2)
    last = sys._getframe(2)
    while frame:
        code = frame.f_code
        kind = _kind(code.co_filename, code.co_name)
        if kind == "user":
            break
        if kind != "between":
            last = frame
        if kind == "command":  # what calls it is a script of an installer
            return last, False
        frame = frame.f_back
    return (last, False) if frame is None else (frame, True)


@cache
def _kind(file: str, function: str) -> str:
    """The kind of a frame: of a "user", of this package, of its "command" line, or "between"."""
    if file == _COMMAND_LINE:
        return "command"
    if _inside(file) or (file == "<string>" and function == "__init__"):  # that of a dataclass
        return "package"
    return "between" if _between(file) else "user"


@cache
def _inside(file: str) -> bool:
    return file.startswith(_PACKAGE)


@cache
def _between(file: str) -> bool:
    """Whether a file is of Python itself, or of the library of the command line."""
    if "site-packages" in file or "dist-packages" in file:
        return f"{os.sep}cyclopts{os.sep}" in file
    return file.startswith(("<frozen ", _LIBRARY))
