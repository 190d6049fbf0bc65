"""Runs steps whose minibatches are cut into blocks, which ranks share: the same bits for any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import groupby
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
from chainrule.engine.treesum import Tree, TreeSum, in_tree, share
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
        return slice(self.start(self.mine.start, rows), self.start(self.mine.stop, rows))

    def most(self, rows: int) -> int:
        """The most rows of this rank in a minibatch of so many, or of fewer."""
        return max(-(-rows * len(self.mine) // self.count), 1)

    @property
    def mine(self) -> range:
        """The blocks of this rank."""
        return share(self.count, self.ranks.size, self.ranks.rank)


class BlockRunner:
    """A Runner, see backend/base.py, of a step whose rows programs share.

    What is computed row by row, a rank computes for all of its rows at once; what is summed over
    rows, for each block by itself, and the sums of blocks are added in a fixed tree. So the bits
    depend on the number of blocks, and not on that of ranks. Ranks of one machine add large sums
    in memory that they have in common. Others exchange them bucket by bucket, by a thread, while
    the last block of this rank computes the next ones.

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
        self._runner = Runner(code, threads=count)
        self._made: list[list[Bucket]] | None = None
        self._thread: ThreadPoolExecutor | None = None
        loss = code.signature.loss
        assert loss is not None
        self._loss = self._runner.memory.view(loss)
        self._step_ndim = {
            x.name: len(x.shape) for x in code.signature.buffers if x.space == "step"
        }

    @property
    def state(self) -> State:
        """See Runner."""
        return self._runner.state

    @property
    def calls(self) -> Calls:
        """See Runner; there are none."""
        return self._runner.calls

    @property
    def bytes(self) -> int:
        """See Runner."""
        return self._runner.bytes

    def release(self) -> None:
        """See Runner."""
        self._runner.release()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def reads(self, name: str) -> bool:
        """See Runner."""
        return self._runner.reads(name)

    def bind(self, name: str, array: npt.ArrayLike) -> None:
        """See Runner."""
        self._runner.bind(name, array)

    def output(self, buffer: Buffer, rows: int) -> Array:
        """See Runner."""
        return self._runner.output(buffer, rows)

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
        mine, start = self._blocks.mine, self._blocks.start
        edges = [start(k, len(rows)) for k in range(mine.start, mine.stop + 1)]
        own = Rows(self._runner, rows, edges, inputs)
        signature, before = self.code.signature, 0
        for begin, cut, buckets in zip(signature.sums, signature.cuts, self._parts, strict=True):
            if not own.run((before, begin)):
                return False
            if (totals := self._totals(buckets, own)) is None:
                return False
            for x in totals:
                x.place(self._runner)
            before = cut
        return own.run(len(self._parts))

    @property
    def _parts(self) -> list[list[Bucket]]:
        """The buckets of each part of a step, made in the first step."""
        if self._made is None:
            self._made = [
                self._buckets(k, found) for k, found in enumerate(by_part(self.code, self._tree))
            ]
        return self._made

    def _buckets(self, part: int, found: Sequence[Found]) -> list[Bucket]:
        """The buckets of a part, in memory in common where they are large and the ranks have it."""
        tree, ranks = self._tree, self._blocks.ranks
        if ranks.size > 1 and (size := common_bytes(found, tree)) >= COMMON * (len(tree.parts) + 1):
            block = self._blocks.common(part, size)
            if block is not None:
                return common_buckets(found, tree, ranks, block)
        return [Bucket(x.phases, TreeSum(tree, ranks, x.make), x.spans) for x in found]

    def _totals(self, buckets: Sequence[Bucket], own: Rows) -> list[Made] | None:
        """The sums over all blocks before an exchange; None where not all is finite.

        Args:
            buckets: to fill; sums of blocks without rows are 0.
            own: the rows of this rank.
        """
        coming: list[Future[Made]] = []
        common = [x.sums for x in buckets if isinstance(x.sums, CommonSum)]
        first = self._blocks.mine.start
        beside = self._blocks.ranks.beside and len(buckets) > 1 and not common
        if beside and self._thread is None:
            self._thread = ThreadPoolExecutor(1, THREAD)
        try:
            for x in buckets:
                x.sums.begin()
            for spans, alike in groupby(buckets, lambda x: x.spans):
                some = list(alike)
                for span in spans:
                    rows = own.of_blocks(span[0] - first, span[1] - first)
                    taken = [x.sums.take(span[0]) for x in some]
                    for made in taken:
                        made.place(self._runner)
                    self._runner.begin_at(rows.first - own.first, in_tree(rows.edges))
                    for bucket, made in zip(some, taken, strict=True):
                        if not rows.run(bucket.phases):
                            return None
                        if rows.first == rows.end:
                            made.clear()
                        bucket.sums.add(span, made)
                        if beside and self._thread is not None and span is spans[-1]:
                            coming.append(self._thread.submit(bucket.sums.total))
        finally:
            self._runner.begin_at(0)
            wait(coming)
        if common:
            return common_totals(common)
        return [x.result() for x in coming] or [x.sums.total() for x in buckets]


class Rows(NamedTuple):
    """Blocks of a minibatch: what runs them, the minibatch, their edges in it, and step inputs."""

    runner: Runner
    minibatch: Array
    edges: Sequence[int]
    inputs: Mapping[str, Array]

    @property
    def first(self) -> int:
        """The place of the first row."""
        return self.edges[0]

    @property
    def end(self) -> int:
        """The place after the last row."""
        return self.edges[-1]

    def of_blocks(self, begin: int, end: int) -> Rows:
        """Those of some of the blocks."""
        return self._replace(edges=self.edges[begin : end + 1])

    def run(self, part: int | Part) -> bool:
        """Do a part of a step; returns whether the new state is finite so far."""
        inputs = {**self.inputs, FIRST_ROW.label: np.asarray(self.first)}
        rows = self.minibatch[self.first : self.end]
        _, failed = self.runner.run(rows, [0, len(rows)], inputs, part)
        return failed is None
