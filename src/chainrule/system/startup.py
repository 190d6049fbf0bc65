"""Starts and ends the command line: no trace after Ctrl-C, and no search for garbage in vain."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


def is_command() -> bool:
    """Whether this process was started as `chainrule` or `python -m chainrule`."""
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    if name == "-m":  # until the module is found
        return sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] == ["chainrule"]
    return name in ("chainrule", "chainrule.exe")


def end_at_interrupts() -> None:
    """Make Ctrl-C end the process at once, where it would raise: there is nothing to save."""
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextmanager
def raising_interrupts() -> Iterator[None]:
    """Make Ctrl-C a KeyboardInterrupt in the block, where it would end the process.

    After the block it has no effect: the work is done, and the exit code is known.
    """
    if signal.getsignal(signal.SIGINT) is not _end:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def leave_interrupted() -> None:
    """End the process with the exit code of an interruption, if it is the command line.

    An extension module that ran Python code when Ctrl-C came makes Python end by the signal
    otherwise, whatever the exit code.
    """
    if STARTED:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(INTERRUPTED)


def spare_collector() -> None:
    """Let the search for cycles of garbage pass over all objects that live now.

    After the start of the command line these are its modules. At its end they are all that is
    left, which the exit of Python would search twice: a tenth of a run on a small table.
    """
    if STARTED:
        gc.freeze()
        gc.enable()


def _end(number: int, frame: object) -> None:
    os._exit(INTERRUPTED)


STARTED = is_command()
"""Whether this process is the command line."""

if STARTED:
    end_at_interrupts()
    gc.disable()  # until all is imported: modules are many objects, and none of them is garbage
