"""Runs steps whose minibatches are cut into blocks, which ranks share: the same bits for any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chainrule.backend.base import Calls
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.tuned import threads_for
from chainrule.backend.statemapping import State
from chainrule.engine.treesum import Tree, TreeSum
from chainrule.errors import RankLost
from chainrule.graph.node import Array
from chainrule.graph.step import FIRST_ROW
from chainrule.ir.kernel import Buffer
from chainrule.system.ranks.communicator import Communicator


@dataclass(frozen=True)
class Blocks:
    """The division of minibatches.

    Attributes:
        count: the blocks of each.
        ranks: that share them.
    """

    count: int
    ranks: Communicator

    def largest(self, rows: int) -> int:
        """The rows of the largest block of a minibatch of so many."""
        return max(-(-rows // self.count), 1)


class BlockRunner:
    """A Runner, see backend/base.py, of a step whose rows programs share.

    Each block of a minibatch is computed by itself, and what is summed over rows is added in a
    fixed tree. So the bits depend on the number of blocks, and not on that of ranks. Where a step
    exchanges sums more than once, as for statistics of the minibatch, each block of this rank has
    memory of its own between the exchanges.

    Args:
        code: of the step.
        blocks: the division.
        threads: the most that may share a block; None: all processors.
    """

    def __init__(self, code: Executable, blocks: Blocks, threads: int | None = None) -> None:
        self.code, self._blocks, self.done = code, blocks, 0
        _, count = threads_for(code, threads)
        tree = Tree(blocks.count, blocks.ranks)
        self._mine = tree.blocks
        first = self._first = Runner(code, threads=count)
        self._runners = [first for _ in self._mine]
        if len(code.signature.cuts) > 1:
            self._runners[1:] = [
                Runner(code, threads=count, state=first.state_memory) for _ in self._mine[1:]
            ]
        self._distinct = list(dict.fromkeys(self._runners))
        self._exchanged = _by_part(code)
        self._sums = [
            TreeSum(tree, blocks.ranks, [(_sizes(x), x.dtype) for x in buffers])
            for buffers in self._exchanged
        ]
        self._views = {
            runner: [[runner.gradient(x) for x in buffers] for buffers in self._exchanged]
            for runner in self._distinct
        }
        loss = code.signature.loss
        assert loss is not None
        self._loss = first.memory.view(loss)
        self._step_ndim = {
            x.name: len(x.shape) for x in code.signature.buffers if x.space == "step"
        }

    @property
    def state(self) -> State:
        """See Runner."""
        return self._first.state

    @property
    def calls(self) -> Calls:
        """See Runner; there are none."""
        return self._first.calls

    @property
    def bytes(self) -> int:
        """See Runner."""
        return sum(x.bytes for x in self._distinct)

    def release(self) -> None:
        """See Runner."""
        for x in self._distinct:
            x.release()

    def reads(self, name: str) -> bool:
        """See Runner."""
        return self._first.reads(name)

    def bind(self, name: str, array: npt.ArrayLike) -> None:
        """See Runner."""
        for x in self._distinct:
            x.bind(name, array)

    def output(self, buffer: Buffer, rows: int) -> Array:
        """See Runner."""
        return self._first.output(buffer, rows)

    def run(
        self,
        rows: npt.ArrayLike,
        offsets: npt.ArrayLike,
        step_inputs: Mapping[str, npt.ArrayLike],
        *,
        follows: bool = False,
    ) -> tuple[npt.NDArray[np.float64], int | None]:
        """See Runner; where another rank is lost, `calls.error` says so of the step not done."""
        index, ends = np.ascontiguousarray(rows, np.int64), np.asarray(offsets, np.int64)
        steps, self.done, self.calls.error = len(ends) - 1, 0, None
        losses = np.zeros(steps, np.float64)
        inputs = {k: np.asarray(x) for k, x in step_inputs.items() if k in self._step_ndim}
        for k in range(steps):
            given = {
                name: x[k] if x.ndim > self._step_ndim[name] else x for name, x in inputs.items()
            }
            try:
                finite = self._step(index[ends[k] : ends[k + 1]], given)
            except RankLost as error:
                finite, self.calls.error = False, error
            if not finite:
                return losses[:k], k
            losses[k] = float(self._loss)
            self.done += 1
        return losses, None

    def _step(self, rows: Array, inputs: dict[str, Array]) -> bool:
        """Do a step on the rows of a minibatch; returns whether all is finite.

        A block without rows is run too, for what later parts need of it; its sums are 0.
        """
        count, parts = self._blocks.count, len(self._exchanged)
        starts = [k * len(rows) // count for k in range(count + 1)]
        blocks = [(k, rows[starts[k] : starts[k + 1]], starts[k]) for k in self._mine]
        for part, sums in enumerate(self._sums):
            sums.begin()
            for runner, (k, some, first) in zip(self._runners, blocks, strict=True):
                if not _run(runner, some, inputs | {FIRST_ROW.label: np.asarray(first)}, part):
                    return False
                sums.add(k, self._views[runner][part] if len(some) else sums.zeros)
            totals = sums.total()
            for runner in self._distinct:
                for view, x in zip(self._views[runner][part], totals, strict=True):
                    view[...] = x
        _, some, first = blocks[0]
        finite = _run(self._first, some, inputs | {FIRST_ROW.label: np.asarray(first)}, parts)
        for runner in self._distinct:
            runner.parity = self._first.parity
        return finite


def _run(runner: Runner, rows: Array, inputs: Mapping[str, Array], part: int) -> bool:
    """Do a part of a step; returns whether the new state is finite so far."""
    _, failed = runner.run(rows, [0, len(rows)], inputs, part)
    return failed is None


def _sizes(buffer: Buffer) -> tuple[int, ...]:
    return tuple(d for d in buffer.shape if isinstance(d, int))


def _by_part(code: Executable) -> list[list[Buffer]]:
    """The sums that are exchanged after each part of a step: those that it is the first to use."""
    seen = set[Buffer]()
    found: list[list[Buffer]] = []
    start = 0
    for end in code.signature.cuts:
        used = {
            buffer
            for phase in code.program.phases[start:end]
            for launch in phase
            for buffer, _ in launch.operands
            if buffer.space == "gradient"
        }
        found.append(sorted(used - seen, key=lambda x: x.name))
        seen |= used
        start = end
    return found
