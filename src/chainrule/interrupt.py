"""Ctrl-C in the middle of what must be whole: it is heard when that is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """No KeyboardInterrupt comes up inside, and none is lost: it comes up at the end."""
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(before):  # it comes up in the main thread only
        yield
        return
    heard: list[tuple[int, object]] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if heard:
            before(*heard[0])  # type: ignore[arg-type]
