"""Defers SIGINT to the end of a critical section, and tells it in one way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
    pending: list[tuple[int, object]] = []

    def defer(number: int, frame: object) -> None:
        pending.append((number, frame))
        if stop is not None:
            if len(pending) > 1:
                pending.clear()
                previous(number, frame)  # type: ignore[arg-type]
            stop()

    if not _handled(defer):
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if pending:
            previous(*pending[0])  # type: ignore[arg-type]


def _handled(handler: Callable[[int, object], None]) -> bool:
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
