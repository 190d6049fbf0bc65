"""The entry point: runs a command, and converts results and errors to an exit code and text."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

from chainrule.cli import app
from chainrule.cli.console import Console
from chainrule.display.format import clip
from chainrule.display.screen import forget
from chainrule.errors import ChainruleError, ChainruleWarning, DataError
from chainrule.system.atomicfile import FULL
from chainrule.system.ranks.marker import write_marker
from chainrule.system.ranks.watch import FIRST
from chainrule.system.ranks.world import has_met, in_group, speaks
from chainrule.system.startup import INTERRUPTED, WRONG, leave_interrupted, spare_collector

FINE, USAGE, BUG = 0, 2, 70


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code.

    0: success; 1: an error in the data or the settings; 2: in the usage; 70: in Chainrule itself;
    130: an interruption.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    spare_collector()
    try:
        code = _run(given)
    except KeyboardInterrupt:  # while the first one was told
        code = INTERRUPTED
    if code and in_group():
        if not speaks() and not has_met():
            time.sleep(FIRST)  # until the first has told it: a launcher ends all at the end of one
        write_marker("failed", "it was interrupted" if code == INTERRUPTED else f"exit code {code}")
    if code == INTERRUPTED:
        leave_interrupted()
    spare_collector()
    return code


def _run(given: list[str]) -> int:
    debug = "--debug" in given
    given = [text for text in given if text != "--debug"]
    _prepare_streams()
    if in_group():
        os.environ.setdefault("NO_COLOR", "1")  # a launcher makes a terminal of any stream
    trouble = Console(sys.stderr if speaks() else None)
    try:
        with warnings.catch_warnings():
            _show_warnings(trouble)
            return app.run(given, trouble)
    except ChainruleError as error:
        if debug:
            traceback.print_exc()
        trouble.error(error)
        return WRONG
    except KeyboardInterrupt:
        trouble.say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        forget(sys.stdout)
        return FINE
    except OSError as error:
        return _system(error, trouble, debug)
    except MemoryError:
        trouble.say("[chainrule] there is not enough memory")
        return WRONG
    except Exception as error:  # a defect of Chainrule: a line for the user, a file for the report
        return _defect(error, trouble, debug)
    finally:
        _flush()


def _prepare_streams() -> None:
    """Replace characters that a stream cannot encode, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _show_warnings(trouble: Console) -> None:
    """Show Chainrule's warnings as notes; those of libraries are for developers."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        if issubclass(category, ChainruleWarning) or sys.warnoptions:
            trouble.say(str(message), label="note", style="cyan")

    warnings.showwarning = show


def _system(error: OSError, trouble: Console, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    place: Any = error.filename
    what = error.strerror or str(error) or type(error).__name__
    if error.errno in FULL:
        fix = "free some space on this disk, or choose another"
        at = os.fsdecode(place) if place else None
        trouble.error(DataError("chainrule", "a file cannot be written", got=what, at=at, fix=fix))
        return WRONG
    trouble.say(f"[chainrule] {what}" + (f": {clip(os.fsdecode(place), 200)}" if place else ""))
    return WRONG


def _defect(error: Exception, trouble: Console, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    trouble.say(f"[chainrule] an error in Chainrule itself: {text}")
    with contextlib.suppress(OSError):
        handle, path = tempfile.mkstemp(prefix="chainrule-error-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            traceback.print_exc(file=file)
        trouble.say(path, indent=2, label="at      ")
    trouble.say("please report it with that file; --debug shows it here", indent=2,
                label="fix     ")  # fmt: skip
    return BUG


def _flush() -> None:
    """Flush the streams; a closed pipe is not an error."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        forget(sys.stdout)
    except (OSError, ValueError):
        pass
