"""Defers SIGINT to the end of a critical section, and tells it in one way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def uninterrupted(stop: Callable[[], object] | None = None) -> Iterator[None]:
    """Defers KeyboardInterrupt to the end of the block; none is lost.

    Args:
        stop: called at the first Ctrl-C, to end the block early; a second one interrupts at once.
    """
    previous = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(previous):  # signals reach the main thread only
        yield
        return
    if isinstance(previous, _Gate) and stop is None:
        with previous:
            yield
        return
    pending: list[tuple[int, FrameType | None]] = []

    def defer(number: int, frame: FrameType | None) -> None:
        pending.append((number, frame))
        if stop is not None:
            if len(pending) > 1:
                pending.clear()
                previous(number, frame)
            stop()

    if not _handled(defer):
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if pending:
            previous(*pending[0])


class _Gate:
    """A handler of Ctrl-C that can be shut, and opened, without another call of the system."""

    def __init__(self, handler: Callable[[int, FrameType | None], object]) -> None:
        self._handler, self._depth = handler, 0
        self._pending: list[tuple[int, FrameType | None]] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._depth:
            self._pending.append((number, frame))
        else:
            self._pending.clear()  # it came up before `__exit__` told of an earlier one
            self._handler(number, frame)

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._pending and not self._depth:
            first = self._pending[0]
            self._pending.clear()
            self._handler(*first)


@contextmanager
def often_uninterrupted() -> Iterator[None]:
    """Makes `uninterrupted` quick in this block, where it is called every few microseconds."""
    previous = signal.getsignal(signal.SIGINT)
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
        if signal.getsignal(signal.SIGINT) is gate:  # else a callback has set another
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
