"""Whether a network trains the same way by the interpreter, the passes and machine code."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import chainrule as cr
from chainrule.backend.cpu.run.orders import Orders
from chainrule.engine.blocks import Blocks
from chainrule.engine.forward import Forward
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.program import Program, compile_step
from chainrule.engine.totals import with_means
from chainrule.errors import GraphError
from chainrule.graph import Graph, Node
from chainrule.graph.node import Parameter
from chainrule.graph.step import KEY, Step
from chainrule.interpret import initial_value
from chainrule.ops.build import constant
from chainrule.passes.specialise import specialise
from chainrule.system.ranks.communicator import Serial
from chainrule.train.optim import SGD
from networks import ROWS, Network

Array = np.ndarray[Any, Any]
State = Mapping[str, Array]
NUDGES = 3
SLACK = 16.0
"""How much more than what the last bits move may differ: sums of some 100 terms, reordered."""


def check(case: Network) -> None:
    """Every step from the same state gives the same loss and the same new state.

    A step may make much of little: a normalisation of numbers that are nearly equal, an
    optimizer that divides a gradient that is 0 but for rounding by its own size. So what may
    differ is measured: by how much the interpreter's own result moves when all numbers that go
    in, and the gradients, move by about the last bit.

    Raises:
        AssertionError: they differ by more, or machine code is not the same for any number of
            threads and cut into calls.
    """
    case = replace(case, data=with_means(Graph([*case.outputs, case.loss]), case.data))
    step, moves = case.step(), Moves(case)
    plain, passed = (
        Interpreted(step, {}, case.seed),
        compile_step(step, {}, case.seed, backend="interpreter"),
    )
    native = _assert_same_bits(case, step)
    for k, (rows, rate) in enumerate(zip(case.batches, case.rates, strict=True)):
        before = plain.read()
        moved = partial(moves.after, before, k)
        for program in (passed, native):
            program.write(before, k)
        want = after_step(plain, case.data, rows, rate)
        for name, program in (("passes", passed), ("native", native)):
            got = after_step(program, case.data, rows, rate)
            assert_near(got, want, moved, f"step {k + 1}, {name}")


def check_blocks(case: Network, blocks: int = 3) -> bool:
    """Every step on minibatches in blocks gives what the interpreter gives for whole ones.

    Returns whether it was trained: False where rows meet otherwise than by sums.

    Raises:
        AssertionError: they differ by more than rounding does, see `check`.
    """
    case = replace(case, data=with_means(Graph([*case.outputs, case.loss]), case.data))
    try:
        cut = replace(case, settings={**case.settings, "exchange": True}).step()
    except GraphError as error:
        if error.where != "fit.blocks":
            raise
        return False
    plain, moves = Interpreted(case.step(), {}, case.seed), Moves(case)
    native = compile_step(cut, {}, case.seed, blocks=Blocks(blocks, Serial()))
    for k, (rows, rate) in enumerate(zip(case.batches, case.rates, strict=True)):
        before = plain.read()
        native.write(before, k)
        want = after_step(plain, case.data, rows, rate)
        got = after_step(native, case.data, rows, rate)
        assert_near(got, want, partial(moves.after, before, k), f"step {k + 1}, blocks")
    return True


def check_prediction(case: Network) -> None:
    """Forward passes give the same outputs and the same loss, for all rows, few and one.

    Where random numbers reach them outside of training too, both backends refuse.

    Raises:
        AssertionError: they do not.
    """
    graph = Graph([*case.outputs, case.loss])
    values = {graph.name(x): initial_value(x, graph.name(x), case.seed) for x in graph.parameters}
    wanted = [*case.outputs, case.loss]
    names = [str(k) for k in range(len(wanted))]
    given = case.data
    place = specialise(graph, training=False)
    if KEY in Graph([place[x] for x in wanted]).inputs:
        for backend in ("interpreter", "native"):
            with pytest.raises(GraphError, match="no value outside"):
                Forward(graph, wanted, backend=backend)(values, given, np.arange(ROWS))
        return

    def run(backend: str, data: State, values: State, rows: Array) -> dict[str, Array]:
        forward = Forward(graph, wanted, backend=backend)
        return dict(zip(names, forward(values, data, rows), strict=True))

    for rows in (np.arange(ROWS), np.array([ROWS - 1, 0, 3]), np.array([5])):
        want = run("interpreter", given, values, rows)
        got = run("native", given, values, rows)

        def moved(rows: Array = rows) -> Iterator[dict[str, Array]]:
            for seed in range(NUDGES):
                data, start = _all_nudged((given, values), seed)
                yield run("interpreter", data, start, rows)

        assert_near(got, want, moved, f"prediction of {len(rows)} rows")


def after_step(program: Program, data: State, rows: Array, rate: float) -> dict[str, Array]:
    """The state after a step, and the loss before."""
    loss = program.run(data, [rows], [rate])
    return program.read() | {"loss": loss}


class Moves:
    """By how much the results of steps move when all that goes in moves by about its last bit.

    Args:
        case: what is trained.
    """

    def __init__(self, case: Network) -> None:
        self._case = case

    def after(self, state: State, k: int) -> Iterator[dict[str, Array]]:
        """What comes out of a step from a state, several times."""
        case = self._case
        for seed, step in enumerate(self._shaken):
            data, start = _all_nudged((case.data, state), seed)
            program = Interpreted(step, start, case.seed)
            program.write({}, k)
            yield after_step(program, data, case.batches[k], case.rates[k])

    @cached_property
    def _shaken(self) -> list[Step]:
        """The same step with a little added to all gradients, of the size of their last bits."""
        case = self._case
        plain = replace(case, rule=SGD(1.0), settings={}).step()
        program = Interpreted(plain, {}, case.seed)
        before = program.read()
        program.run(case.data, case.batches[:1], [1.0])
        after = program.read()
        steps = []
        for seed in range(NUDGES):
            numbers, loss = np.random.default_rng(seed), case.loss
            for x in plain.updates:
                name = plain.graph.name(x)
                size = np.abs(after[name] - before[name]).max(initial=0) * np.finfo(x.dtype).eps
                noise = 8 * size * numbers.uniform(-1, 1, x.shape)
                for read, own in _reads(plain.graph, x, constant(noise, x.dtype)):
                    loss = loss + cr.sum((read - cr.stop_gradient(read)) * own)  # 0; gradient: own
            steps.append(replace(case, loss=loss).step())
        return steps


def _reads(graph: Graph, x: Parameter, noise: Node) -> Iterator[tuple[Node, Node]]:
    """A parameter and its noise; of a table that is updated by rows, what is looked up of both."""
    if not x.sparse:
        yield x, noise
        return
    for node in graph.consumers(x):
        if node.op.name == "take":
            yield node, cr.take(noise, node.operands[1])


def _all_nudged(given: Iterable[State], seed: int) -> list[State]:
    """Arrays moved by about their last bits."""
    numbers = np.random.default_rng(seed)
    return [{name: _nudged(x, numbers) for name, x in some.items()} for some in given]


def _nudged(x: Array, numbers: np.random.Generator) -> Array:
    if x.dtype.kind != "f":
        return x
    bits = 2 * np.finfo(x.dtype).eps * numbers.uniform(-1, 1, x.shape)
    return np.asarray(x * (1 + bits.astype(x.dtype)))


def assert_near(got: State, want: State, moved: Callable[[], Iterable[State]], where: str) -> None:
    """Raises AssertionError where results differ by more than `moved` allows: it is asked for
    where they differ by more than their own last bits."""
    assert got.keys() == want.keys()
    others: list[State] | None = None
    for name, value in want.items():
        found = got[name]
        assert (found.shape, found.dtype) == (value.shape, value.dtype), f"{where}: {name}"
        if value.dtype.kind != "f":
            np.testing.assert_array_equal(found, value, err_msg=f"{where}: {name}")
            continue
        kind = value.dtype if name != "loss" else next(iter(want.values())).dtype
        last = np.finfo(kind).eps * np.abs(value).max(initial=0)
        if np.abs(found - value).max(initial=0) <= SLACK * last:
            continue
        others = [*moved()] if others is None else others
        spread = max(np.abs(m[name] - value).max(initial=0) for m in others)
        allowed = SLACK * (spread + last)
        np.testing.assert_allclose(
            found, value, rtol=0, atol=float(allowed), err_msg=f"{where}: {name}"
        )


def _assert_same_bits(case: Network, step: Step) -> Program:
    """For one and three threads, all steps in one call and each in one of its own, in any order."""
    data, batches, rates = case.data, case.batches, case.rates
    one = compile_step(step, {}, case.seed, threads=1)
    losses = one.run(data, batches, rates)
    many = compile_step(step, {}, case.seed)
    with patch("chainrule.backend.cpu.run.tuned.threads_for", lambda *_: (3, 3)):
        parts = [many.run(data, [b], [r]) for b, r in zip(batches, rates, strict=True)]
    shuffled = compile_step(step, {}, case.seed, threads=1)
    with patch("chainrule.backend.cpu.run.driver.Orders", Shuffled):
        mixed = shuffled.run(data, batches, rates)
    for told, got, program in (("threads", np.concatenate(parts), many),
                               ("order", mixed, shuffled)):  # fmt: skip
        assert losses.tobytes() == got.tobytes(), f"bits of the loss by {told}"
        others = program.read()
        for name, value in one.read().items():
            assert value.tobytes() == others[name].tobytes(), f"bits of {name} by {told}"
    return one


class Shuffled(Orders):
    """Orders in which the smallest units of a phase are done in a random order, one by one."""

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        numbers = random.Random(0)
        self.force(lambda units: numbers.sample(units, len(units)))
