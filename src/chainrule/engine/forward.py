"""Forward passes over data: what `predict` and `evaluate` run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np

from chainrule.engine.devicerows import DeviceRows
from chainrule.engine.direct import Direct
from chainrule.engine.minibatch import Rows, all_rows
from chainrule.engine.nativerows import NativeRows
from chainrule.engine.repeated import Repeated
from chainrule.errors import GraphError
from chainrule.graph.check import check
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation, Scope
from chainrule.graph.step import STEP_INPUTS
from chainrule.interpret import EvalSchedule
from chainrule.passes.decompose import lowers
from chainrule.passes.ranges import out_of_range
from chainrule.passes.rewrite import rewrite
from chainrule.passes.rows import rowwise
from chainrule.passes.specialise import specialise
from chainrule.system.blas import one_thread
from chainrule.types import N

BLOCK = 16_384
"""Rows that are interpreted at a time, so that memory stays bounded."""


class RowwiseForward(Protocol):
    """Computes some nodes of a graph, each row of them by itself."""

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> list[Array]:
        """The nodes' values for some rows of a data set.

        Args:
            values: of the parameters, by name; these arrays are never written to.
            arrays: of the inputs, by name, already checked.
            rows: which to compute, in this order.
        """


class Forward:
    """A compiled forward pass in its prediction form: nothing is dropped, nothing is tracked.

    What treats each row by itself is computed in blocks of rows, as machine code where `backend`
    says so. An op without a lowering is interpreted at its place, and machine code goes on after
    it. What is made of several rows, such as a mean, is interpreted, and so is what follows it.

    Args:
        graph: contains `outputs`; its names are those of inputs and values.
        outputs: what to compute.
        backend: "native" or "interpreter".
        device: that runs machine code.
        held: whether calls are given the same arrays, so that another device keeps its copies.
    """

    def __init__(
        self,
        graph: Graph,
        outputs: Sequence[Node],
        *,
        backend: str = "native",
        device: str = "cpu",
        held: bool = False,
    ) -> None:
        place = specialise(graph, training=False)
        self.graph = rest = check(Graph([place[x] for x in outputs], like=graph))
        self._stages: list[_Rowwise | _Whole] = []
        native = backend == "native"
        by_rows: _Maker = partial(_Native, device=device, held=held) if native else _Rowwise
        while True:
            rest = self._cut(rest, _parts(rest, native), by_rows)
            gaps = _gaps(rest) if native else []
            if not gaps:
                break
            rest = self._cut(rest, gaps, _Whole)
        self._outputs = rest.outputs
        self._step_inputs = [x for x in self.graph.inputs if x in STEP_INPUTS]
        made = {x for stage in self._stages for x in stage.made}
        left = [x for x in dict.fromkeys(rest.outputs) if x not in made]
        if left:
            self._stages.append(_Whole(Graph(left, like=rest), left))

    def _cut(self, rest: Graph, nodes: Sequence[Node], stage: _Maker) -> Graph:
        """The graph with inputs in the place of nodes, which a new stage computes."""
        if not nodes:
            return rest
        made = {x: Input(Scope(rest.name(x)), x.type, batch=x.shape[:1] == (N,)) for x in nodes}
        self._stages.append(stage(Graph(nodes, like=rest), list(made.values())))

        def rule(node: Operation, operands: tuple[Node, ...]) -> Node | None:
            return made.get(node)

        place = rewrite(rest, rule)
        return Graph([place[x] for x in rest.outputs], like=rest)

    @property
    def largest(self) -> Graph | None:
        """The graph of the part with the most operations that is machine code; None: there is
        none."""
        parts = [x.graph for x in self._stages if isinstance(x, _Native)]
        return max(parts, key=lambda x: len(x.operations), default=None)

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs that the outputs depend on."""
        return [self.graph.name(x) for x in self.graph.inputs]

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> list[Array]:
        """The outputs' values for some rows of a data set.

        Args:
            values: of the parameters, by name; these arrays are never written to.
            arrays: of the inputs, by name, already checked.
            rows: which to compute, in this order.

        Raises:
            GraphError: an output depends on what exists in training steps alone.
        """
        self._refuse_steps()
        known: dict[Node, Array] = {}
        for stage in self._stages:
            known.update(zip(stage.made, stage(values, arrays, rows, known), strict=True))
        found = (known[x] for x in self._outputs)
        return [
            value if x.shape[:1] == (N,) else value.copy()  # it may be a parameter's own array
            for x, value in zip(self._outputs, found, strict=True)
        ]

    def direct(self) -> Direct | None:
        """A call from arrays, in the order of `inputs`, to outputs; None where machine code does
        not compute all of them, each row by itself."""
        stage = self._stages[0]
        if len(self._stages) > 1 or self._step_inputs or not isinstance(stage, _Native):
            return None
        return stage.direct(self.inputs, self._outputs)

    def repeated(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> Repeated | None:
        """A pass over the same rows for many values of the parameters; for few rows.

        None where machine code does not compute all that treats each row by itself, or the rest
        depends on parameters.

        Args:
            values, arrays, rows: as for a call.
        """
        if self._step_inputs or len(self._stages) != 2:
            return None
        first, last = self._stages
        rowwise = first.unchecked(len(rows)) if isinstance(first, _Native) else None
        if rowwise is None or not isinstance(last, _Whole) or last.graph.parameters:
            return None
        return Repeated(rowwise, first.made, last.graph, self._outputs, arrays, rows, values)

    def _refuse_steps(self) -> None:
        """Raises GraphError where a value exists in training steps alone."""
        for x in self._step_inputs:
            reader = self.graph.consumers(x)[0] if self.graph.consumers(x) else x
            raise GraphError(
                "forward",
                "random numbers, and what else belongs to a training step, have no value outside",
                at=f"node {self.graph.name(reader)!r}, {reader.source}",
                fix="when_training(noisy, plain) takes `plain` outside of training",
            )


# ---------------------------------------------------------------- stages


def _parts(graph: Graph, native: bool) -> list[Operation]:
    """The operations by rows that are outputs, or are read by what is not by rows."""
    by_rows, _ = rowwise(graph, lowers) if native else rowwise(graph)
    outputs = set(graph.outputs)
    return [
        x
        for x in graph.operations
        if x in by_rows and (x in outputs or any(y not in by_rows for y in graph.consumers(x)))
    ]


def _gaps(graph: Graph) -> list[Operation]:
    """The operations without a lowering that can be computed now, once rows are cut out."""
    missing = [x for x in graph.operations if not lowers(x)]
    if not missing:
        return []
    _, fixed = rowwise(graph, lowers)
    return [
        x
        for x in missing
        if x.shape.count(N) == (x.shape[:1] == (N,))
        and all(y in fixed or not isinstance(y, Operation) for y in x.operands)
    ]


class _Rowwise:
    """A stage of a forward pass, each row by itself.

    Args:
        graph: its outputs are what to compute.
        made: what takes the place of the outputs in later stages.
    """

    def __init__(self, graph: Graph, made: Sequence[Node]) -> None:
        self.made, self.graph = made, graph
        self._forward = self._compiled(graph)

    def _compiled(self, graph: Graph) -> RowwiseForward:
        return InterpretedForward(graph, graph.outputs)

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows,
        known: Mapping[Node, Array],
    ) -> list[Array]:  # fmt: skip
        """The outputs; `known` are results of earlier stages, for these rows alone."""
        if known:
            arrays, rows = _feeds(self.graph, arrays, rows, known), all_rows(len(rows))
        return self._forward(values, arrays, rows)


class _Native(_Rowwise):
    """The same as machine code, on a device."""

    def __init__(
        self, graph: Graph, made: Sequence[Node], device: str = "cpu", *, held: bool = False
    ) -> None:
        self._device, self._held = device, held
        super().__init__(graph, made)

    def _compiled(self, graph: Graph) -> BoundsCheckedForward:
        self._checked = BoundsCheckedForward(graph, graph.outputs, self._device, held=self._held)
        return self._checked

    def unchecked(self, rows: int) -> NativeRows | DeviceRows | None:
        """The machine code, where a block of it holds so many rows, and whether an index is in
        range depends on the data alone, so that one call tells for all."""
        return self._checked.unchecked(rows)

    def direct(self, inputs: Sequence[str], outputs: Sequence[Node]) -> Direct | None:
        """See Forward; `outputs` are among `made`."""
        own = {self.graph.name(x) for x in self.graph.inputs if x.batch}
        if own != set(inputs) or len(own) < len(self.graph.inputs):
            return None
        return self._checked.direct(inputs, [self.made.index(x) for x in outputs])


_Maker: TypeAlias = "Callable[[Graph, Sequence[Node]], _Rowwise | _Whole]"
"""Makes a stage of its graph, and of what takes the place of the outputs."""


class _Whole:
    """A stage of a forward pass that is interpreted, all rows at once. See _Rowwise."""

    def __init__(self, graph: Graph, made: Sequence[Node]) -> None:
        self.made, self.graph = made, graph
        self._schedule = EvalSchedule(graph, graph.outputs)
        # by BLAS, whose threads are to be limited, which takes longer than a mean of some rows
        self._multiplies = any(x.op.kind == "contract" or x.op.serial for x in graph.operations)

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows,
        known: Mapping[Node, Array],
    ) -> list[Array]:  # fmt: skip
        """See _Rowwise."""
        graph = self.graph
        feeds = _feeds(graph, arrays, rows, known)
        env: dict[Node, Array] = {x: values[graph.name(x)] for x in graph.parameters}
        env |= {x: feeds[graph.name(x)] for x in graph.inputs}
        with one_thread if self._multiplies else nullcontext():
            env = self._schedule.run(env, rows=len(rows))
        return [env[x] for x in graph.outputs]


def _feeds(
    graph: Graph, arrays: Mapping[str, Array], rows: Rows, known: Mapping[Node, Array]
) -> dict[str, Array]:
    """The arrays of a graph's inputs for some rows, by name."""
    feeds = {}
    for x in graph.inputs:
        name = graph.name(x)
        array = known.get(x)
        if array is None:
            array = arrays[name][rows] if x.batch else arrays[name]
        feeds[name] = array
    return feeds


class InterpretedForward:
    """See RowwiseForward.

    Args:
        graph: contains the nodes.
        nodes: what to compute.
    """

    def __init__(self, graph: Graph, nodes: Iterable[Node]) -> None:
        self._graph, self._nodes = graph, list(nodes)
        self._schedule = EvalSchedule(graph, self._nodes)

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> list[Array]:
        """See RowwiseForward."""
        graph, parts = self._graph, []
        fixed: dict[Node, Array] = {x: values[graph.name(x)] for x in graph.parameters}
        fixed |= {x: arrays[graph.name(x)] for x in graph.inputs if not x.batch}
        batched = {x: arrays[graph.name(x)] for x in graph.inputs if x.batch}
        for start in range(0, max(len(rows), 1), BLOCK):
            block = rows[start : start + BLOCK]
            known = fixed | {x: array[block] for x, array in batched.items()}
            with one_thread:
                env = self._schedule.run(known, rows=len(block))
            parts.append([env[x] for x in self._nodes])
        return (
            parts[0] if len(parts) == 1 else [np.concatenate(x) for x in zip(*parts, strict=True)]
        )


class BoundsCheckedForward:
    """See RowwiseForward: machine code, which does not check the bounds of indices.

    Those out of range are counted; where there are some, the interpreter raises the error.

    Args:
        graph: contains the nodes.
        nodes: what to compute.
        device: that computes it.
        held: see Forward.
    """

    def __init__(
        self, graph: Graph, nodes: Sequence[Node], device: str = "cpu", *, held: bool = False
    ) -> None:
        self._out_of_range = out_of_range(graph)
        if self._out_of_range is not None:
            self._interpreted = InterpretedForward(graph, nodes)
            nodes = [*nodes, self._out_of_range]
            graph = Graph(nodes, like=graph)
        self._native: NativeRows | DeviceRows
        if device == "cpu":
            self._native = NativeRows(graph, nodes)
        else:
            self._native = DeviceRows(graph, nodes, device, held=held)

    def __call__(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], rows: Rows
    ) -> list[Array]:
        """See RowwiseForward. Raises FeedError."""
        found = self._native(values, arrays, rows)
        if self._out_of_range is not None and found.pop().any():
            self._interpreted(values, arrays, rows)  # which raises
        return found

    def unchecked(self, rows: int) -> NativeRows | DeviceRows | None:
        """See _Native; the count of indices out of range is its last result, if there is one."""
        counted = self._out_of_range
        fixed = counted is None or not Graph(counted).parameters
        native = self._native
        return native if fixed and native.fits(rows) else None

    def direct(self, inputs: Sequence[str], outputs: Sequence[int]) -> Direct | None:
        """See Forward; the outputs are those of `nodes` with these numbers."""
        if not isinstance(self._native, NativeRows):
            return None
        return Direct(self._native, inputs, outputs, self._out_of_range is not None)
