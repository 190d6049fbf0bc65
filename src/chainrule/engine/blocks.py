"""Runs steps whose minibatches are cut into blocks, which ranks share: the same bits for any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chainrule.backend.base import Calls
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.orders import Part
from chainrule.backend.cpu.run.tuned import threads_for
from chainrule.backend.statemapping import State
from chainrule.engine.buckets import (
    Bucket,
    Found,
    Made,
    by_part,
    common_buckets,
    common_bytes,
)
from chainrule.engine.commonsum import CommonSum, common_totals
from chainrule.engine.treesum import Tree, TreeSum, share
from chainrule.errors import RankLost
from chainrule.graph.node import Array
from chainrule.graph.step import FIRST_ROW
from chainrule.ir.kernel import Buffer
from chainrule.plan.schedule import BUCKET
from chainrule.system.ranks.communicator import Communicator

THREAD = "chainrule-exchange"
"""The name of the thread that exchanges sums."""

COMMON = BUCKET
"""Bytes of the sums of a part from which ranks of one machine have them in common memory."""


@dataclass(frozen=True)
class Blocks:
    """The division of minibatches.

    Attributes:
        count: the blocks of each.
        ranks: that share them.
    """

    count: int
    ranks: Communicator
    _common: dict[int, Array | None] = field(default_factory=dict, compare=False, repr=False)

    def common(self, part: int, size: int) -> Array | None:
        """Memory that all ranks have in common, for a part of a step; they ask in the first step.

        It stays for all runners: not all ranks change theirs before the same step.
        """
        if part not in self._common:
            self._common[part] = self.ranks.common(size)
        return self._common[part]

    def start(self, block: int, rows: int) -> int:
        """The place in a minibatch of so many rows at which a block begins."""
        return block * rows // self.count

    def own(self, rows: int) -> slice:
        """The places in a minibatch of so many rows that this rank computes."""
        mine = share(self.count, self.ranks.size, self.ranks.rank)
        return slice(self.start(mine.start, rows), self.start(mine.stop, rows))

    def largest(self, rows: int) -> int:
        """The rows of the largest block of a minibatch of so many."""
        return max(-(-rows // self.count), 1)


class BlockRunner:
    """A Runner, see backend/base.py, of a step whose rows programs share.

    Each block of a minibatch is computed by itself, and what is summed over rows is added in a
    fixed tree. So the bits depend on the number of blocks, and not on that of ranks. Where a step
    exchanges sums more than once, as for statistics of the minibatch, each block of this rank has
    memory of its own between the exchanges. Ranks of one machine add large sums in memory that they
    have in common. Others exchange them bucket by bucket, by a thread, while the last block of this
    rank computes the next ones.

    Args:
        code: of the step.
        blocks: the division.
        threads: the most that may share a block; None: all processors.
    """

    def __init__(self, code: Executable, blocks: Blocks, threads: int | None = None) -> None:
        self.code, self._blocks, self.done = code, blocks, 0
        usual, most = threads_for(code, threads)
        count = most if usual > 1 else 1
        self._tree = Tree(blocks.count, blocks.ranks)
        self._mine = self._tree.blocks
        first = self._first = Runner(code, threads=count)
        self._runners = [first for _ in self._mine]
        if len(code.signature.cuts) > 1:
            self._runners[1:] = [
                Runner(code, threads=count, state=first.state_memory) for _ in self._mine[1:]
            ]
        self._distinct = list(dict.fromkeys(self._runners))
        self._made: list[list[Bucket]] | None = None
        self._thread: ThreadPoolExecutor | None = None
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
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

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
        """Do a step on the rows of a minibatch; returns whether all is finite."""
        parts, at = self._parts, self._blocks.start
        starts = [at(k, len(rows)) for k in range(self._blocks.count + 1)]
        blocks = [
            Block(k, runner, rows[starts[k] : starts[k + 1]],
                  inputs | {FIRST_ROW.label: np.asarray(starts[k])})
            for k, runner in zip(self._mine, self._runners, strict=True)
        ]  # fmt: skip
        for buckets in parts:
            if (totals := self._totals(buckets, blocks)) is None:
                return False
            for runner in self._distinct:
                for x in totals:
                    x.place(runner)
        finite = blocks[0].run(len(parts))
        for runner in self._distinct:
            runner.parity = self._first.parity
        return finite

    @property
    def _parts(self) -> list[list[Bucket]]:
        """The buckets of each part of a step, made in the first step."""
        if self._made is None:
            self._made = [self._buckets(k, found) for k, found in enumerate(by_part(self.code))]
        return self._made

    def _buckets(self, part: int, found: Sequence[Found]) -> list[Bucket]:
        """The buckets of a part, in memory in common where they are large and the ranks have it."""
        tree, ranks = self._tree, self._blocks.ranks
        if ranks.size > 1 and (size := common_bytes(found, tree)) >= COMMON * (len(tree.parts) + 1):
            block = self._blocks.common(part, size)
            if block is not None:
                return common_buckets(found, tree, ranks, block)
        return [Bucket(phases, TreeSum(tree, ranks, make)) for phases, make in found]

    def _totals(self, buckets: Sequence[Bucket], blocks: Sequence[Block]) -> list[Made] | None:
        """The sums over all blocks that a part of a step makes; None where not all is finite.

        A block without rows is run too, for what later parts need of it; its sums are 0.
        """
        coming: list[Future[Made]] = []
        common = [x.sums for x in buckets if isinstance(x.sums, CommonSum)]
        beside = self._blocks.ranks.beside and len(buckets) > 1 and not common
        if beside and self._thread is None:
            self._thread = ThreadPoolExecutor(1, THREAD)
        try:
            for x in buckets:
                x.sums.begin()
            for block in blocks:
                taken = [x.sums.take(block.number) for x in buckets]
                for made in taken:
                    made.place(block.runner)
                for bucket, made in zip(buckets, taken, strict=True):
                    if not block.run(bucket.phases):
                        return None
                    if not len(block.rows):
                        made.clear()
                    bucket.sums.add(block.number, made)
                    if beside and self._thread is not None and block is blocks[-1]:
                        coming.append(self._thread.submit(bucket.sums.total))
        finally:
            wait(coming)
        if common:
            return common_totals(common)
        return [x.result() for x in coming] or [x.sums.total() for x in buckets]


class Block(NamedTuple):
    """A block of a minibatch: its number, what runs it, its rows, and what a step brings."""

    number: int
    runner: Runner
    rows: Array
    inputs: Mapping[str, Array]

    def run(self, part: int | Part) -> bool:
        """Do a part of a step; returns whether the new state is finite so far."""
        _, failed = self.runner.run(self.rows, [0, len(self.rows)], self.inputs, part)
        return failed is None
