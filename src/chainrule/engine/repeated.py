"""A forward pass over the same rows, again and again while a program trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chainrule.backend.cpu.run.driver import Runner, state_layout
from chainrule.engine.devicerows import DeviceRows
from chainrule.engine.minibatch import Rows
from chainrule.engine.nativerows import NativeRows, held
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node, Operation
from chainrule.interpret import EvalSchedule


@dataclass(frozen=True, eq=False)
class Repeated:
    """A pass after each of some epochs: the outputs have the bits of a call of `Forward` there.

    Attributes:
        rowwise: computes what treats each row by itself, in one block.
        made: the nodes that stand for its first results in `rest`.
        rest: computes what depends on several rows, without parameters.
        outputs: of the pass, nodes of `made` and `rest`.
        arrays, rows: as `Forward` takes them.
        values: of the parameters; training has newer ones of some.
    """

    rowwise: NativeRows | DeviceRows
    made: Sequence[Node]
    rest: Graph
    outputs: Sequence[Node]
    arrays: Mapping[str, Array]
    rows: Rows
    values: Mapping[str, Array]

    def finished(self, found: Sequence[Array]) -> list[Array]:
        """Of each output the values of all passes, (passes, ...); of inputs their rows once.

        found: the results of `rowwise`, (passes, ...).
        """
        known = dict[Node, Array](zip(self.made, found, strict=True))
        computed = [x for x in self.outputs if isinstance(x, Operation)]
        each = dict(known)
        for x in computed:
            if (means := _means(x, known)) is not None:
                each[x] = means
        if not each.keys() >= {*computed}:
            passes = [self._one({x: y[k] for x, y in known.items()}) for k in range(len(found[0]))]
            each |= {x: np.array([one[x] for one in passes]) for x in computed}
        return [each[x] if x in each else self._given[x] for x in self.outputs]

    def _one(self, known: dict[Node, Array]) -> dict[Node, Array]:
        """The values of all nodes after one pass."""
        return self._schedule.run(self._given | known, rows=len(self.rows))

    @cached_property
    def _given(self) -> dict[Node, Array]:
        """The inputs of `rest` that are data."""
        names = {x: self.rest.name(x) for x in self.rest.inputs if x not in self.made}
        return {
            x: self.arrays[name][self.rows] if x.batch else self.arrays[name]
            for x, name in names.items()
        }

    @cached_property
    def _schedule(self) -> EvalSchedule:
        return EvalSchedule(self.rest, self.rest.outputs)


class NativePass:
    """The part of a pass that is machine code.

    Args:
        repeated: the pass.
        native: its machine code.
    """

    def __init__(self, repeated: Repeated, native: NativeRows) -> None:
        code, arrays = native.executable(), repeated.arrays
        self._memory = state_layout(code.signature).memory()
        self._own = {x.name: self._memory.view(x) for x in self._memory.places}
        for name, view in self._own.items():
            view[...] = repeated.values[name]
        self._data = {name: held(arrays[name], x, len(arrays[name]))
                      for name, x in native.types.items()}  # fmt: skip
        self._rows = np.ascontiguousarray(repeated.rows, np.int64)
        self._runner = Runner(code, state=self._memory)
        views = list(self._runner.run_rows(self._rows, self._data, {}))
        self._views = views[: len(repeated.made)]
        self._found: list[Array] = []
        self._count = 0

    def begin(self, program: Runner, count: int) -> None:
        """Make room for so many passes, with the parameters that a program trains."""
        self._program, self._count = program, 0
        self._trained = [x for x in self._own if x in program.names]
        self._found = [np.empty((count, *x.shape), x.dtype) for x in self._views]

    def take(self) -> None:
        """Do a pass with the present parameters of the program."""
        for name in self._trained:
            self._own[name][...] = self._program.view(name)
        self._runner.again()
        for found, view in zip(self._found, self._views, strict=True):
            found[self._count] = view
        self._count += 1

    def found(self, count: int) -> list[Array]:
        """The results of the first passes, (passes, ...)."""
        return [x[:count] for x in self._found]


def _means(node: Operation, known: Mapping[Node, Array]) -> Array | None:
    """The values (passes,) of a mean over all of a node that is known; None for other nodes."""
    of = known.get(node.operands[0]) if node.operands else None
    if node.op.name != "mean" or of is None or node.shape != () or not of[0].size:
        return None
    return np.asarray(node.op.forward(of.reshape(len(of), -1), axis=(1,), keepdims=False))
