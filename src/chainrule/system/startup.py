"""Starts and ends the command line: no trace after Ctrl-C, and no search for garbage in vain."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

INTERRUPTED, WRONG = 130, 1
"""The exit codes after Ctrl-C, and where data or settings are not as they should be."""


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
    """Make Ctrl-C and SIGTERM a KeyboardInterrupt in the block, where they would end the process.

    After the block Ctrl-C has no effect: the work is done, and the exit code is known. Where it is
    ignored, as in the background of a script, it remains so.
    """
    present = signal.getsignal(signal.SIGINT)
    ignored = present is signal.SIG_IGN and STARTED
    if present is not _end and not ignored:
        yield
        return
    handler = _Ignored() if ignored else signal.default_int_handler
    signal.signal(signal.SIGINT, handler)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        terminate = handler.terminate if isinstance(handler, _Ignored) else _terminate
        signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


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


def _terminate(number: int, frame: object) -> None:
    """Makes a Ctrl-C of SIGTERM, which then waits for the end of a critical section too."""
    signal.raise_signal(signal.SIGINT)


class _Ignored:
    """A handler of Ctrl-C that ignores it, unless SIGTERM has come."""

    def __init__(self) -> None:
        self._terminated = False

    def __call__(self, number: int, frame: object) -> None:
        if self._terminated:
            raise KeyboardInterrupt

    def terminate(self, number: int, frame: object) -> None:
        self._terminated = True
        signal.raise_signal(signal.SIGINT)


STARTED = is_command()
"""Whether this process is the command line."""

if STARTED:
    end_at_interrupts()
    gc.disable()  # until all is imported: modules are many objects, and none of them is garbage
