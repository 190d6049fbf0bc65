"""The native Program: a step as machine code; the interpreter tells where it went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from chainrule.backend import base
from chainrule.backend.base import Runner
from chainrule.backend.cpu.run import driver
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.profile import timed
from chainrule.backend.cpu.run.tuned import TunedRunner
from chainrule.backend.registry import find_backend
from chainrule.costs.timing import Timing
from chainrule.engine.codecache import forward_code, step_code
from chainrule.engine.compile import calls_of_forward, calls_of_step
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.minibatch import Chunk, Minibatches, Rows, all_rows
from chainrule.engine.nonfinite import CALMER
from chainrule.engine.usercalls import functions_of
from chainrule.errors import NotFinite
from chainrule.graph.graph import Graph
from chainrule.graph.keys import step_keys
from chainrule.graph.node import Array, Node
from chainrule.graph.step import (
    FIRST_ROW,
    KEY,
    RATE,
    ROW_COUNT,
    STEP_INDEX,
    STEP_INPUTS,
    Step,
)
from chainrule.interpret import initial_value
from chainrule.system.blas import one_thread
from chainrule.system.collector import paused_collector
from chainrule.system.signals import interruptible, uninterrupted

if TYPE_CHECKING:
    from chainrule.engine.blocks import Blocks

PART = 0.004
"""Seconds that a part of a timed run takes, at least half of it."""

MAX_RESTING_BYTES = 1 << 26
"""The most memory of a program that is kept between two runs."""

COARSE = 256
"""Rows up to which code has room for the next power of two; beyond, for an eighth more at most."""

Encode = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class NativeProgram:
    """See Program. The state lives in the machine code's own buffers.

    Args:
        step: what to run.
        state: values by name; the rest start from their initial values.
        seed: of everything random in a step.
        encode: adds to a data set the inputs that the step has in place of encoders.
        whole: the step with its encoders: it tells where a NaN came up.
        threads: how many may share a step, where that is quicker; None: all processors.
        blocks: into which each minibatch is cut; None: it is not, and no other program has a part.
        device: that does the steps.
    """

    ended = None

    def __init__(
        self,
        step: Step,
        state: Mapping[str, Array],
        seed: int,
        encode: Encode,
        whole: Step,
        threads: int | None = None,
        blocks: Blocks | None = None,
        device: str = "cpu",
    ) -> None:
        self._step, self._seed, self._steps = step, seed, 0
        self._blocks, self._device = blocks, device
        self._encode, self._whole, self._threads = encode, whole, threads
        graph = step.graph
        self._parameters = {graph.name(x): x for x in graph.parameters}
        self._start: dict[str, Array] = {}  # of what machine code does not have
        self._runner: Runner | None = None
        self.write(state)
        self._fixed = [(x, graph.name(x)) for x in graph.inputs if not x.batch]
        batched = (x for x in graph.inputs if x.batch and x not in STEP_INPUTS)
        self._batched = [graph.name(x) for x in batched]
        self._given: tuple[Mapping[str, Array], Mapping[str, Array]] = {}, {}
        self._bound: object = None

    @property
    def steps(self) -> int:
        """The number of steps done."""
        return self._steps

    @property
    def device(self) -> str:
        """The word of what does the steps."""
        return self._device

    def encode(self, data: Mapping[str, Array]) -> Mapping[str, Array]:
        """See Program."""
        return self._encode(data)

    def load(self, data: Mapping[str, Array]) -> None:
        """See Program."""
        made = data.encoded if isinstance(data, Chunk) else None
        self._given = data, self._encode(data) if made is None else made

    def run(
        self,
        data: Mapping[str, Array],
        batches: Sequence[Rows],
        rates: Sequence[float],
        into: npt.NDArray[np.float64] | None = None,
        pauses: base.Pauses | None = None,
        *,
        follows: bool = False,
    ) -> npt.NDArray[np.float64]:
        """See Program.

        pauses: steps, and what is called after so many of them; only where the runner can pause.
        """
        if not len(batches):
            return np.empty(0)
        runner = self._ready(data, _largest(batches))
        if isinstance(batches, Minibatches):
            rows, ends = batches.rows, batches.ends
        else:
            rows, ends = np.concatenate(batches), np.cumsum([0, *map(len, batches)])
        inputs = self._step_inputs(data, rates, ends)
        with _undisturbed(runner):
            if pauses is None:
                losses, failed = runner.run(rows, ends, inputs, follows=follows)
            else:
                pausing = cast("base.Pausing", runner)
                losses, failed = pausing.run(rows, ends, inputs, pauses=pauses)
            self._steps += runner.done
            if into is not None:
                into[: len(losses)] = losses
        if failed is not None:
            raise runner.calls.error or self._not_finite(batches[failed], rates[failed])
        return losses

    @property
    def pausing(self) -> TunedRunner | None:
        """The runner, where it can pause: one thread does all of a step; else None."""
        runner = self._runner
        return runner if isinstance(runner, TunedRunner) and runner.alone else None

    def _ready(self, data: Mapping[str, Array], rows: int) -> Runner:
        """The machine code, with room for so many rows and the data bound to it."""
        runner = self._runner
        rows = rows if self._blocks is None else self._blocks.most(rows)
        if runner is None or rows > runner.code.max_rows:
            self._bound = None
            runner = self._runner = self._with_room(rows)
            held = self._held()
            self._start = {name: x for name, x in self._start.items() if name not in held}
        if data is not self._given[0]:
            self.load(data)
        if self._bound is not self._given:
            self._bind(runner)
            self._bound = self._given
        return runner

    def _bind(self, runner: Runner) -> None:
        """Give machine code the data set."""
        for name in self._batched:
            if runner.reads(name):
                runner.bind(name, np.ascontiguousarray(self._given[1][name]))

    def timed(
        self, data: Mapping[str, Array], batches: Sequence[Rows], threads: int, seconds: float
    ) -> Timing:
        """Time the tasks of steps on these minibatches, on a copy of the state and at rate 0.

        Args:
            data: as for `run`.
            batches: to go through, again and again.
            threads: that share each step.
            seconds: for how long.
        """
        code = self._ready(data, _largest(batches)).code
        assert isinstance(code, Executable)
        native = driver.Runner(code, threads=threads)
        native.state.update(self.read())
        native.calls.functions = self._functions(code)
        self._bind(native)
        count, start = 1, 0

        def part() -> int:
            nonlocal count, start
            chosen = [batches[k % len(batches)] for k in range(start, start + count)]
            rows, ends = np.concatenate(chosen), np.cumsum([0, *map(len, chosen)])
            inputs = self._step_inputs(data, [0.0] * count, ends)
            begun = time.perf_counter()
            with uninterrupted():
                _, failed = native.run(rows, ends, inputs)
            if failed is not None:
                raise native.calls.error or self._not_finite(chosen[failed], 0.0)
            start += count
            done, count = count, count * (2 if time.perf_counter() - begun < PART / 2 else 1)
            return done

        return timed(native, part, seconds)

    def _with_room(self, rows: int) -> Runner:
        """Machine code for minibatches of so many rows, with the present state."""
        with paused_collector():  # as while the step was built, whose many objects it would search
            code = step_code(self._step, _room(rows), self._device)
        runner: Runner
        if self._blocks is None:
            runner = find_backend(self._device).runner(code, self._threads)
        else:
            from chainrule.engine.blocks import BlockRunner  # noqa: PLC0415  (few programs need it)

            assert isinstance(code, Executable)
            runner = BlockRunner(code, self._blocks, self._threads)
        runner.calls.functions = self._functions(code)
        for name in runner.state:
            runner.state[name] = self._runner.state[name] if self._runner else self._first(name)
        return runner

    def _functions(self, code: base.Executable) -> list[Callable[..., Array]]:
        """The functions that are called for the user's ops in a step."""
        return functions_of(calls_of_step(self._step)) if code.signature.calls else []

    def _step_inputs(
        self, data: Mapping[str, Array], rates: Sequence[float], ends: Array
    ) -> dict[str, Array]:
        """The inputs of some steps that are not rows of the data: (steps, ...), or one for all."""
        first, count = self._steps, len(rates)
        make: dict[Node, Callable[[], Array]] = {
            KEY: lambda: step_keys(self._seed, np.arange(first, first + count)),
            RATE: lambda: np.asarray(rates, np.float64),
            STEP_INDEX: lambda: np.arange(first + 1.0, first + 1 + count),
            ROW_COUNT: lambda: ends[1:] - ends[:-1],
            FIRST_ROW: lambda: np.zeros(count, np.int64),
        }
        return {name: make[x]() if x in make else data[name] for x, name in self._fixed}

    def _not_finite(self, rows: Rows, rate: float) -> NotFinite:
        """The step once more, interpreted, with the values of all nodes."""
        replay = Interpreted(self._whole, self.read(), self._seed)
        replay.write({}, self._steps)
        try:
            replay.run(self._given[0], [rows], [rate])
        except NotFinite as error:
            return error
        return NotFinite(
            "fit",
            "a value became NaN or infinite: numbers are so large that it depends on rounding",
            at=f"step {self._steps + 1}",
            fix=CALMER,
        )

    def read(self, held: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """See Program.

        held: the state that machine code had at a time; None: the one that it has.
        """
        held = self._held() if held is None else held
        return {
            name: held[name] if name in held else np.array(self._first(name))
            for name in self._parameters
        }

    def _held(self) -> MutableMapping[str, Array]:
        """The state that machine code has: all of it that a step needs."""
        return {} if self._runner is None else self._runner.state

    def _first(self, name: str) -> Array:
        """The value of a state before the first step."""
        if name in self._start:
            return self._start[name]
        return initial_value(self._parameters[name], name, self._seed)

    def rest(self) -> bool:
        """Let go of the data set; returns whether it is worth keeping for another run."""
        self._given, self._bound = ({}, {}), None
        if self._runner is None:
            return False
        self._runner.release()
        return self._runner.bytes <= MAX_RESTING_BYTES

    def continues(
        self,
        step: Step,
        state: Mapping[str, Array],
        threads: int | None,
        blocks: Blocks | None = None,
        device: str = "cpu",
    ) -> bool:
        """Whether it runs this very step, and the state has a value for all that it updates."""
        own = self._threads, self._blocks, self._device
        same = step is self._step and (threads, blocks, device) == own
        return same and self._parameters.keys() <= state.keys()

    def write(self, state: Mapping[str, Array], steps: int | None = None) -> None:
        """See Program."""
        known = {name: np.asarray(state[name]) for name in self._parameters if name in state}
        with uninterrupted():
            held = self._held()
            for name, value in known.items():
                (held if name in held else self._start)[name] = value
            self._steps = self._steps if steps is None else steps


def _largest(batches: Sequence[Rows]) -> int:
    if isinstance(batches, Minibatches):
        return min(batches.size, len(batches.rows))
    return max(map(len, batches))


def _room(rows: int) -> int:
    """The rows that code is made for: like sizes, such as those of folds, share one."""
    power = 1 << (rows - 1).bit_length()
    grain = power if rows <= COARSE else power // 16
    return -(-rows // grain) * grain


@contextmanager
def _undisturbed(runner: Runner) -> Iterator[None]:
    """Defers Ctrl-C while machine code runs, but not while it calls a user's op."""
    with uninterrupted():
        if not runner.calls.functions:
            yield
            return
        runner.calls.around = interruptible()
        with one_thread:
            yield


class NativeFunction:
    """Nodes over a whole data set, for parameters that change: what a full-batch method asks for.

    Args:
        graph: contains `outputs`; specialised.
        outputs: what to compute.
        data: for each input of the graph its array, by name, rows first.
        rows: how many there are.
        device: that computes.
    """

    def __init__(
        self,
        graph: Graph,
        outputs: Sequence[Node],
        data: Mapping[str, Array],
        rows: int,
        device: str = "cpu",
    ) -> None:
        code = forward_code(graph, outputs, _room(rows), device)
        self._runner, self._index = find_backend(device).runner(code), all_rows(rows)
        if code.signature.calls:
            self._runner.calls.functions = functions_of(calls_of_forward(graph, outputs))
        names = {x: graph.name(x) for x in graph.inputs}
        self._fixed = {name: data[name] for x, name in names.items() if not x.batch or x is KEY}
        for name in names.values():
            if name not in self._fixed and self._runner.reads(name):
                self._runner.bind(name, data[name])

    def __call__(self, values: Mapping[str, Array]) -> list[Array]:
        """The outputs, for these values of the parameters by name."""
        runner, rows = self._runner, len(self._index)
        runner.state.update({name: values[name] for name in runner.state})
        with _undisturbed(runner):
            runner.run(self._index, [0, rows], self._fixed)
        if runner.calls.error is not None:
            raise runner.calls.error
        return [runner.output(b, rows).copy() for b in runner.code.signature.outputs]
