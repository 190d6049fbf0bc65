"""Ctrl-C in the middle of what must be whole: it is heard when that is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted(stop: Callable[[], object] | None = None) -> Iterator[None]:
    """No KeyboardInterrupt comes up inside, and none is lost: it comes up at the end.

    Args:
        stop: called at the first Ctrl-C, to make an end; a second one then comes up at once.
    """
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(before):  # it comes up in the main thread only
        yield
        return
    heard: list[tuple[int, object]] = []

    def hear(number: int, frame: object) -> None:
        heard.append((number, frame))
        if stop is not None:
            if len(heard) > 1:
                heard.clear()
                before(number, frame)  # type: ignore[arg-type]
            stop()

    signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if heard:
            before(*heard[0])  # type: ignore[arg-type]
