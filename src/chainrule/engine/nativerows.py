"""Forward passes as machine code: any number of Python threads, all processors, one row or many."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from chainrule.backend.cpu.layout import Layout, Memory
from chainrule.backend.cpu.run.driver import Runner, state_layout
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.threads import Pool
from chainrule.engine.codecache import forward_code
from chainrule.engine.minibatch import Rows
from chainrule.errors import FeedError
from chainrule.graph.demand import turns
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node
from chainrule.system.processors import processors, usual_threads
from chainrule.types import TensorType, resolve, show, static_size

BLOCK_BYTES = 2**20
"""Bytes of the values of a block of rows: they fit a cache near the processor."""

LEAST, MOST = 64, 4096
"""Bounds of the rows of a block, where each meets every parameter once."""

FEW = 16
"""The same lower bound, where the parameters fit that cache too."""

LARGE_BYTES = 2**28
"""Bytes of the values of a block that has fewer rows than the least, down to one."""

TILE_ROWS = 4
"""The rows of a product are computed in multiples of about so many."""

SPEED = 25_000.0
"""Additions, or multiplications with an addition, in a microsecond."""

SHARED_BLOCKS, SHARED_TIME = 16, 1_000.0
"""More blocks, or more predicted microseconds, than that are shared by all processors: less is done
sooner alone, since the others have to wake up."""


Arrays: TypeAlias = Mapping[str, Array]


class NativeRows:
    """See RowwiseForward in forward.py; any number of threads may call it at once.

    Args:
        graph: contains the nodes; specialised.
        nodes: what to compute.

    Attributes:
        graph: that graph.
        types: of its inputs that have rows, by name.
        time: predicted microseconds of a row; roughly, without planning.
    """

    def __init__(self, graph: Graph, nodes: Sequence[Node]) -> None:
        self.graph, self._nodes = graph, nodes
        self._parameters = [graph.name(x) for x in graph.parameters]
        self.types = {graph.name(x): x.type for x in graph.inputs if x.batch}
        self._fixed = [graph.name(x) for x in graph.inputs if not x.batch]
        self._block = _block(graph)
        self._multiple = math.gcd(self._block, min(TILE_ROWS, _least(graph)))
        self.time = sum(float(x.op.price * turns(x)) for x in graph.operations) / SPEED
        self._code: Executable | None = None
        self._layout: Layout | None = None
        self._held: tuple[list[Array], Memory] | None = None
        self._idle: deque[Runner] = deque()
        self._pool = Pool(processors())
        self._sharing = threading.Lock()

    @property
    def most(self) -> int:
        """The most rows that one thread computes as one block."""
        if usual_threads() == 1 or self._block * self.time <= SHARED_TIME:
            return self._block
        return max(int(SHARED_TIME / self.time), 1)

    def fits(self, rows: int) -> bool:
        """Whether one thread computes so many rows as one block, and all inputs have rows."""
        return rows <= self.most and not self._fixed

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> list[Array]:
        """See RowwiseForward."""
        code = self.executable()
        state = self.state(code, values)
        rows = np.ascontiguousarray(rows, np.int64)
        least = int(rows.view(np.uint64).max()) + 1 if len(rows) else 0  # a negative one is huge
        data = {name: held(arrays[name], x, least) for name, x in self.types.items()}
        fixed = {name: arrays[name] for name in self._fixed}
        if len(rows) > self.most:
            return self._blocks(code, state, data, fixed, rows)
        native = self.take(code, state)
        results = [view.copy() for view in native.run_rows(rows, data, fixed)]
        self.put(native)
        return results

    def _blocks(
        self, code: Executable, state: Memory, data: Arrays, fixed: Arrays, rows: Rows
    ) -> list[Array]:
        """Block by block, on all processors where it is worth it and no other call has them."""
        count, threads = len(rows), min(usual_threads(), self._pool.threads)
        long = count > SHARED_BLOCKS * self._block or count * self.time > SHARED_TIME
        results = [np.empty(resolve(x.shape, count), x.dtype) for x in self._nodes]
        parts: Iterator[slice] = iter(())

        def work(_: int) -> None:
            nonlocal parts
            native = self.take(code, state)
            try:
                while (part := next(parts, None)) is not None:
                    values = native.run_rows(rows[part], data, fixed)
                    for result, view in zip(results, values, strict=True):
                        result[part] = view
            except BaseException:
                parts = iter(())  # the others stop too: Ctrl-C is heard soon
                raise
            self.put(native)

        if threads > 1 and long and self._sharing.acquire(blocking=False):
            try:
                parts = iter(self._parts(count, threads))
                self._pool.run(work, threads)
            finally:
                parts = iter(())
                self._sharing.release()
        else:
            parts = iter(self._parts(count, 1))
            work(0)
        return results

    def _parts(self, count: int, threads: int) -> list[slice]:
        """Parts of the rows, as many for each thread, the longest first."""
        share = -(-count // threads)
        size = -(-share // -(-share // self._block))
        size += -size % self._multiple
        parts = [
            slice(start, min(start + size, first + share, count))
            for first in range(0, count, share)
            for start in range(first, min(first + share, count), size)
        ]
        return sorted(parts, key=lambda x: x.start - x.stop)

    def take(self, code: Executable, state: Memory) -> Runner:
        """One that no other thread works with, until `put` gives it back."""
        try:
            native = self._idle.pop()
        except IndexError:
            return Runner(code, state=state)
        if native.state_memory is not state:
            native.attach_state(state)
        return native

    def put(self, native: Runner) -> None:
        """See `take`."""
        self._idle.append(native)

    def __reduce__(self) -> tuple[type[NativeRows], tuple[Graph, Sequence[Node]]]:
        return NativeRows, (self.graph, self._nodes)

    def executable(self) -> Executable:
        """The machine code, compiled when it is first asked for."""
        if self._code is None:
            code = forward_code(self.graph, self._nodes, self._block)
            assert isinstance(code, Executable)
            self._code = code
        return self._code

    def state(self, code: Executable, values: Mapping[str, Array]) -> Memory:
        """The parameters as the code wants them; made anew when an array is another."""
        now, held = [values[name] for name in self._parameters], self._held
        if held is not None and all(a is b for a, b in zip(now, held[0], strict=True)):
            return held[1]
        self._layout = self._layout or state_layout(code.signature)
        made = self._layout.memory()
        for buffer in made.places:
            made.view(buffer)[...] = values[buffer.name]
        self._held = now, made
        return made


def held(array: Array, type: TensorType, rows: int) -> Array:
    """The array as machine code reads it: nothing there asks again."""
    held = np.ascontiguousarray(array, type.dtype)
    if held.ndim != type.ndim or held.shape[1:] != type.shape[1:] or len(held) < rows:
        raise FeedError("data", "an array does not fit", expected=type.sizes, got=show(held.shape))
    return held


def _block(graph: Graph) -> int:
    """The number of rows to compute at a time, a power of two."""
    kept = [x for x in graph.operations if x.op.kind in ("contract", "reduce")]
    each = sum(static_size(x.shape[1:]) * np.dtype(x.dtype).itemsize for x in kept if x.shape)
    most, rows = (max(size // max(each, 1), 1) for size in (LARGE_BYTES, BLOCK_BYTES))
    least = min(_least(graph), 1 << most.bit_length() - 1)
    return min(max(1 << rows.bit_length() - 1, least), MOST)


def _least(graph: Graph) -> int:
    """The rows that are worth reading the parameters for, a power of two.

    A product whose parameters meet several vectors of a row, as those of pixels and of times do,
    needs fewer rows; what counts is how much of the work it is.
    """
    parameters = sum(static_size(x.shape) * np.dtype(x.dtype).itemsize for x in graph.parameters)
    products = [x for x in graph.operations if x.op.kind == "contract" and x.shape]
    work = [float(x.op.price * turns(x)) for x in products]
    rows = [static_size(x.shape[1:-1]) for x in products]
    needed = sum(w / max(r, 1) for w, r in zip(work, rows, strict=True)) / max(sum(work), 1.0)
    needed *= FEW if parameters <= BLOCK_BYTES else LEAST
    return 1 << (math.ceil(needed) - 1).bit_length() if products else LEAST
