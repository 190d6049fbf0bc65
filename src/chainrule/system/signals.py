"""Defers SIGINT to the end of a critical section, and tells it in one way."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from _signal import getsignal as _getsignal  # type: ignore[import-not-found]  # signal has a wrapper, of 8 us
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any, TypeAlias


@contextmanager
def uninterrupted(stop: Callable[[], object] | None = None) -> Iterator[None]:
    """Defers KeyboardInterrupt to the end of the block; none is lost.

    Args:
        stop: called at the first Ctrl-C, to end the block early; a second one interrupts at once.
    """
    previous = _getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(previous):  # signals reach the main thread only
        yield
        return
    if isinstance(previous, _Gate) and stop is None:
        with previous:
            yield
        return
    deferral = _Deferral(previous, stop)
    if not _handled(deferral):
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if deferral.pending:
            previous(*deferral.pending[0])


def interruptible() -> AbstractContextManager[object]:
    """Lets Ctrl-C interrupt a block, which is inside of one that is `uninterrupted`."""
    present = _getsignal(signal.SIGINT)
    main = threading.get_ident() == threading.main_thread().ident
    return _Opened(present) if main and isinstance(present, (_Gate, _Deferral)) else nullcontext()


def interrupt_waits() -> bool:
    """Whether Ctrl-C came up in a block of this thread that is `uninterrupted`."""
    present = _getsignal(signal.SIGINT)
    main = threading.get_ident() == threading.main_thread().ident
    return main and isinstance(present, (_Gate, _Deferral)) and bool(present.pending)


Handler: TypeAlias = Callable[[int, FrameType | None], object]


class _Deferral:
    """A handler of Ctrl-C that notes it.

    Args:
        previous: the handler in whose place it stands.
        stop: see `uninterrupted`.

    Attributes:
        open: whether it calls the previous handler for now.
    """

    def __init__(self, previous: Handler, stop: Callable[[], object] | None) -> None:
        self.previous, self._stop, self.open = previous, stop, False
        self.pending: list[tuple[int, FrameType | None]] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.open:
            self.previous(number, frame)
            return
        self.pending.append((number, frame))
        if self._stop is not None:
            if len(self.pending) > 1:
                self.pending.clear()
                self.previous(number, frame)
            self._stop()


class _Gate:
    """A handler of Ctrl-C that can be shut, and opened, without another call of the system."""

    def __init__(self, handler: Handler) -> None:
        self.previous, self._depth, self.open = handler, 0, False
        self.pending: list[tuple[int, FrameType | None]] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._depth and not self.open:
            self.pending.append((number, frame))
        else:
            self.pending.clear()  # it came up before `__exit__` told of an earlier one
            self.previous(number, frame)

    def __enter__(self) -> None:
        self._depth += 1
        self.open = False

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self.pending and not self._depth:
            first = self.pending[0]
            self.pending.clear()
            self.previous(*first)


class _Opened:
    """A block in which a handler that defers Ctrl-C lets it interrupt; at once, if it came up."""

    def __init__(self, handler: _Gate | _Deferral) -> None:
        self._handler = handler

    def __enter__(self) -> None:
        handler = self._handler
        if handler.pending:
            first = handler.pending[0]
            handler.pending.clear()
            handler.previous(*first)
        handler.open = True

    def __exit__(self, *_: object) -> None:
        self._handler.open = False


@contextmanager
def often_uninterrupted() -> Iterator[None]:
    """Makes `uninterrupted` quick in this block, where it is called every few microseconds."""
    previous = _getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(previous) or isinstance(previous, _Gate):
        yield
        return
    gate = _Gate(previous)
    if not _handled(gate):
        yield
        return
    try:
        yield
    finally:
        if _getsignal(signal.SIGINT) is gate:  # else a callback has set another
            signal.signal(signal.SIGINT, previous)


def _handled(handler: Callable[[int, FrameType | None], None]) -> bool:
    """Set the handler of Ctrl-C; False in a subinterpreter, whose main thread gets no signals."""
    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:
        return False
    return True


@contextmanager
def interrupted_queries() -> Iterator[None]:
    """Makes KeyboardInterrupt of the error by which DuckDB tells of Ctrl-C during a query."""
    try:
        yield
    except RuntimeError as error:
        if str(error) != "Query interrupted":
            raise
        raise KeyboardInterrupt from None


AGAIN = 0.02
"""Seconds after which a KeyboardInterrupt that was ignored is raised once more."""


@contextmanager
def none_ignored() -> Iterator[None]:
    """Raises KeyboardInterrupt once more, where it came up in code whose errors Python ignores.

    Such code is a finalizer (`__del__`), or the callback of a weak reference: it runs wherever the
    last reference goes, so Ctrl-C would be lost by chance.
    """
    hook = sys.unraisablehook

    def ignored(error: Any) -> None:
        if issubclass(error.exc_type, KeyboardInterrupt):
            again = threading.Timer(AGAIN, _press)
            again.daemon = True
            again.start()
        else:
            hook(error)

    sys.unraisablehook = ignored
    try:
        yield
    finally:
        sys.unraisablehook = hook


def _press() -> None:
    """Send SIGINT to the main thread, out of what it waits for."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()
