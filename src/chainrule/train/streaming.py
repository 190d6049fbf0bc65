"""The minibatches of a stream, which threads read ahead while the program trains."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from typing import Any, NamedTuple, Self, cast

import numpy as np

from chainrule.data.streams.fields import Field
from chainrule.data.streams.stream import Stream
from chainrule.data.windows import Epoch, Held, Windows
from chainrule.engine.minibatch import Chunk, Minibatches, Rows, all_rows
from chainrule.graph.feeds import as_feed
from chainrule.graph.node import Array
from chainrule.types import TensorType, resolve, static_size

CHUNK_ROWS = 1 << 15
"""The most rows that are given to the program at a time, unless a minibatch has more."""
CHUNK_BYTES = 1 << 23
"""The most bytes of them."""
AHEAD = 2
"""Chunks that are made ahead."""


@dataclass(frozen=True)
class StreamRows:
    """The rows of a stream to train on.

    Attributes:
        stream: has the arrays.
        types: of the inputs that it feeds, by name.
        held: the rows that it does not train on.
        windows: the order of the others.
    """

    stream: Stream
    types: Mapping[str, TensorType]
    held: Held
    windows: Windows

    @property
    def rows(self) -> int:
        """Their number."""
        return self.windows.rows

    @property
    def row_bytes(self) -> int:
        """The size of a row as it is fed."""
        return feed_bytes(self.types)


def feed_bytes(types: Mapping[str, TensorType]) -> int:
    """The size of a row of inputs of these types."""
    return sum(static_size(x.shape[1:]) * np.dtype(x.dtype).itemsize for x in types.values())


class _Window:
    """The rows of a window, in memory, in the order of its minibatches.

    Args:
        rows: of the stream.
        epoch, number: which window of which epoch.
        into: arrays that take the rows: they are used again when the window is done with.
        stop: set where the rows are not needed any more.
    """

    def __init__(
        self, rows: StreamRows, epoch: Epoch, number: int, into: dict[str, Array],
        stop: threading.Event,
    ) -> None:  # fmt: skip
        stream, size = rows.stream, rows.windows.block_rows
        self.buffers, self._types, self._size = into, rows.types, size
        self._firsts = epoch.windows[number] * size
        stream.check()
        for name in rows.types:
            self._read(stream.fields[name], stream.rows, stop)
        kept = []
        for k, first in enumerate(self._firsts.tolist()):
            mine = np.flatnonzero(~rows.held.of(first, min(first + size, stream.rows)))
            kept.append((mine + k * size).astype(np.int32))
        self._places = np.concatenate(kept)[epoch.order(number)]

    def _read(self, field: Field, rows: int, stop: threading.Event) -> None:
        """Read the blocks, each to its place in the buffer."""
        size, buffer = self._size, self.buffers[field.name]
        for first in self._firsts.tolist():
            field.source.soon(first, min(size, rows - first))
        for k, first in enumerate(self._firsts.tolist()):
            if stop.is_set():
                raise InterruptedError
            field.source.read(first, buffer[k * size : k * size + min(size, rows - first)])

    def copy(self, first: int, stop: int, into: Mapping[str, Array], numbers: Rows) -> None:
        """Put some of the rows, by place in the order, into arrays of as many."""
        places = self._places[first:stop].astype(np.int64)
        block, place = np.divmod(places, self._size)
        np.add(self._firsts[block], place, out=numbers)
        for name, out in into.items():
            buffer = self.buffers[name]
            if buffer.dtype == out.dtype:
                np.take(buffer, places, axis=0, out=out, mode="clip")
            else:
                out[...] = as_feed(f"input {name!r}", buffer[places], self._types[name])


class _Loaded(NamedTuple):
    """A window with its epoch, the place of its first row there, and that after its last."""

    epoch: int
    first: int
    end: int
    window: _Window

    def has(self, epoch: int, place: int) -> bool:
        return self.epoch == epoch and self.first <= place < self.end


def _loaded(coming: deque[tuple[int, int, int, Future[_Window]]]) -> _Loaded:
    """The next window, when it has been read."""
    epoch, first, end, future = coming.popleft()
    return _Loaded(epoch, first, end, future.result())


def _spread(some: Array, rows: Rows, count: int) -> Array:
    """An array of so many rows, of which some are known."""
    found = np.empty((count, *some.shape[1:]), some.dtype)
    found[rows] = some
    return found


class _Piece(NamedTuple):
    """A chunk with its epoch, and the place of its first row there."""

    epoch: int
    first: int
    chunk: Chunk

    def has(self, epoch: int, place: int) -> bool:
        return self.epoch == epoch and self.first <= place < self.first + len(self.chunk.numbers)


class StreamFeed:
    """See Feed: a stream, which is read ahead by two threads; a context manager that ends them.

    Args:
        rows: to train on.
        size: of a minibatch.
        last: the number of the last epoch.
        fixed: arrays of the step that have no rows.
        encode: `Program.encode`, which a thread calls for each chunk.
        own: the places in a minibatch of so many rows that the program computes, where ranks share
            it: only these are encoded. None: all.

    Attributes:
        waited: the seconds that `take` waited for data.
    """

    def __init__(
        self,
        rows: StreamRows,
        size: int,
        last: int,
        fixed: Mapping[str, Array],
        encode: Callable[[Mapping[str, Array]], Mapping[str, Array]],
        own: Callable[[int], slice] | None = None,
    ) -> None:
        self._rows, self._last, self._fixed = rows, last, dict(fixed)
        self._encode, self._own, self._size = encode, own, size
        least = max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(rows.row_bytes, 1)) // size)
        self._each = least * size
        self._piece: _Piece | None = None
        self._coming: deque[Future[_Piece | None]] = deque()
        self._stop = threading.Event()
        self._threads = [ThreadPoolExecutor(1, "chainrule-stream") for _ in range(2)]
        self.waited = 0.0

    def epoch(self, number: int, size: int) -> Minibatches:
        """See Feed; rows are places in the epoch."""
        return Minibatches(cast(Rows, range(self._rows.rows)), size)

    def take(self, epoch: int, some: Minibatches) -> tuple[Mapping[str, Array], Minibatches]:
        """See Feed.

        Raises:
            DataError: rows cannot be read.
        """
        places: Any = some.rows
        first, stop = places.start, places.stop
        if self._piece is None or not self._piece.has(epoch, first):
            begun = time.perf_counter()
            self._piece = None  # its memory is free now
            self._piece = self._next(epoch, first)
            self.waited += time.perf_counter() - begun
        start, chunk = self._piece.first, self._piece.chunk
        count = len(chunk.numbers)
        return chunk, Minibatches(all_rows(count)[first - start : stop - start], some.size)

    def _next(self, epoch: int, place: int) -> _Piece:
        """The chunk with a place of an epoch: the one that comes, or one further on."""
        if self._coming:
            found = self._coming.popleft().result()
            if found is not None and found.has(epoch, place):
                self._ask()
                return found
        for future in self._coming:
            future.cancel()
        self._coming.clear()
        self._made = self._pieces(epoch, place // self._each * self._each)
        for _ in range(AHEAD):
            self._ask()
        found = self._coming.popleft().result()
        assert found is not None
        self._ask()
        return found

    def _ask(self) -> None:
        self._coming.append(self._threads[0].submit(next, self._made, None))

    def _pieces(self, epoch: int, place: int) -> Iterator[_Piece]:
        """The chunks of an epoch from a place on, and of the later epochs."""
        rows, loaded = self._rows, self._loaded(epoch, place)
        now: _Loaded | None = None
        # one that the program has, one that it takes next, those made ahead
        made = cycle([self._room(self._each) for _ in range(AHEAD + 2)])
        for number in range(epoch, self._last + 1):
            for first in range(place, rows.rows, self._each):
                stop = min(first + self._each, rows.rows)
                whole, done = next(made), first
                arrays = {name: x[: stop - first] for name, x in whole.items()}
                chunk = Chunk({**arrays, **self._fixed}, np.empty(stop - first, np.int64))
                while done < stop:
                    if now is None or not now.has(number, done):
                        now = None  # its buffers are used again
                        now = next(loaded)
                    upto = min(stop, now.end)
                    part = slice(done - first, upto - first)
                    into = {name: x[part] for name, x in arrays.items()}
                    now.window.copy(done - now.first, upto - now.first, into, chunk.numbers[part])
                    done = upto
                chunk.encoded = self._encoded(chunk)
                yield _Piece(number, first, chunk)
            place = 0

    def _encoded(self, chunk: Chunk) -> Mapping[str, Array]:
        """The chunk with its encoded arrays, of which other ranks' rows are not computed."""
        if self._own is None:
            return self._encode(chunk)
        count = len(chunk.numbers)
        starts = range(0, count, self._size)
        own = [np.arange(k, min(k + self._size, count)) for k in starts]
        rows = np.concatenate([x[self._own(len(x))] for x in own])
        if not len(rows):
            return self._encode(chunk)
        some = {name: x[rows] if name in self._rows.types else x for name, x in chunk.items()}
        return {**chunk, **{
            name: _spread(x, rows, count)
            for name, x in self._encode(some).items() if name not in chunk
        }}  # fmt: skip

    def _room(self, count: int) -> dict[str, Array]:
        """Arrays for so many rows, as the program takes them."""
        count = min(count, self._rows.rows)
        return {
            name: np.empty(resolve(x.shape, count), x.dtype) for name, x in self._rows.types.items()
        }

    def _buffers(self) -> dict[str, Array]:
        """Arrays for a window, as they are stored."""
        rows = self._rows
        size = min(rows.windows.size, len(rows.windows.counts)) * rows.windows.block_rows
        fields = (rows.stream.fields[name] for name in rows.types)
        return {x.name: np.empty((size, *x.shape), x.dtype) for x in fields}

    def _loaded(self, epoch: int, place: int) -> Iterator[_Loaded]:
        """The windows from a place of an epoch on, of which two have buffers at a time.

        Asking for the next one says that the one before is done with.
        """
        coming: deque[tuple[int, int, int, Future[_Window]]] = deque()
        free = [self._buffers(), self._buffers()]
        for number in range(epoch, self._last + 1):
            order = self._rows.windows.epoch(number)
            for k in range(order.at(place), len(order.windows)):
                first, end = int(order.ends[k]), int(order.ends[k + 1])
                if first == end:
                    continue
                future = self._threads[1].submit(
                    _Window, self._rows, order, k, free.pop(), self._stop
                )
                coming.append((number, first, end, future))
                if not free:
                    found = _loaded(coming)
                    yield found
                    free.append(found.window.buffers)
            place = 0
        while coming:
            yield _loaded(coming)

    def __enter__(self) -> Self:
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        elapsed = time.perf_counter() - self._begun
        self._rows.stream.waiting = self.waited / max(elapsed, 1e-9)
        self._stop.set()
        for pool in self._threads:
            pool.shutdown(wait=False, cancel_futures=True)
