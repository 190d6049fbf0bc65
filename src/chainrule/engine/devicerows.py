"""Forward passes on a device, block by block."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from chainrule.backend.base import Executable, Runner
from chainrule.backend.registry import find_backend
from chainrule.engine.codecache import forward_code
from chainrule.engine.minibatch import Rows, all_rows
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node
from chainrule.system.signals import uninterrupted
from chainrule.types import resolve, static_size

BLOCK_BYTES = 2**26
"""Bytes of the values of a block of rows."""

LEAST, MOST = 64, 16_384
"""Bounds of the rows of a block."""


class DeviceRows:
    """See RowwiseForward in forward.py; threads that call it at once wait for each other.

    Args:
        graph: contains the nodes; specialised.
        nodes: what to compute.
        device: its word.
        held: whether it keeps the arrays of a call, as the next is given the same ones.
    """

    def __init__(
        self, graph: Graph, nodes: Sequence[Node], device: str, *, held: bool = False
    ) -> None:
        self._graph, self._nodes, self.device, self._keeps = graph, nodes, device, held
        self._parameters = [graph.name(x) for x in graph.parameters]
        self._batched = {graph.name(x): x.type for x in graph.inputs if x.batch}
        self._fixed = [graph.name(x) for x in graph.inputs if not x.batch]
        self._block = rows_of_block(graph)
        self._runner: Runner | None = None
        self._held: list[Array] = []
        self._bound: dict[str, Array] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[DeviceRows], tuple[Graph, Sequence[Node], str]]:
        return DeviceRows, (self._graph, self._nodes, self.device)

    def fits(self, rows: int) -> bool:
        """Whether so many rows are one block, and all inputs have rows."""
        return 0 < rows <= self._block and not self._fixed

    @property
    def result_size(self) -> int:
        """The bytes of a row of all results."""
        return sum(static_size(x.shape[1:]) * np.dtype(x.dtype).itemsize for x in self._nodes)

    def size(self, arrays: Mapping[str, Array]) -> int:
        """The bytes that a pass takes on the device, about."""
        return BLOCK_BYTES + sum(x.nbytes for x in self.data(arrays).values())

    def code(self) -> Executable:
        """The code for blocks of rows."""
        return forward_code(self._graph, self._nodes, self._block, self.device)

    def data(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of inputs by name, of the right dtype."""
        return {name: np.asarray(arrays[name], x.dtype) for name, x in self._batched.items()}

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> list[Array]:
        """See RowwiseForward. Raises KeyboardInterrupt in a block that takes long."""
        results = [np.empty(resolve(x.shape, len(rows)), x.dtype) for x in self._nodes]
        fixed = {name: arrays[name] for name in self._fixed}
        with self._lock:
            runner = self._ready(values)
            for start in range(0, max(len(rows), 1), self._block):
                part = rows[start : start + self._block]
                index = self._bind(runner, arrays, part)
                with uninterrupted():
                    runner.run(index, [0, len(part)], fixed)
                outputs = runner.code.signature.outputs
                for result, buffer in zip(results, outputs, strict=True):
                    found = runner.output(buffer, len(part))
                    result[start : start + len(part)] = found
            if not self._keeps:
                runner.release()
        return results

    def _bind(self, runner: Runner, arrays: Mapping[str, Array], rows: Rows) -> Rows:
        """Give the runner the rows, or all of arrays that it keeps; returns where those are."""
        for name, type in self._batched.items():
            array = arrays[name]
            if not runner.reads(name) or (self._keeps and self._bound.get(name) is array):
                continue
            runner.bind(name, np.asarray(array if self._keeps else array[rows], type.dtype))
            if self._keeps:
                self._bound[name] = array
        return rows if self._keeps else all_rows(len(rows))

    def _ready(self, values: Mapping[str, Array]) -> Runner:
        """The runner, with these values of the parameters."""
        if self._runner is None:
            self._runner = find_backend(self.device).runner(self.code())
        now = [values[name] for name in self._parameters]
        if len(now) != len(self._held) or any(
            a is not b for a, b in zip(now, self._held, strict=False)
        ):
            known = dict(zip(self._parameters, now, strict=True))
            for name in self._runner.state:
                self._runner.state[name] = known[name]
            self._held = now
        return self._runner


def rows_of_block(graph: Graph) -> int:
    """The number of rows to compute at a time, a power of two."""
    each = sum(
        static_size(x.shape[1:]) * np.dtype(x.dtype).itemsize for x in graph.operations if x.shape
    )
    rows = BLOCK_BYTES // max(each, 1)
    return min(max(1 << max(rows, 1).bit_length() - 1, LEAST), MOST)
