"""The sums that ranks exchange, in buckets: which phases make them, and where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from chainrule.backend.cpu.emit.frame import TREE
from chainrule.backend.cpu.layout import Memory, layout
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.orders import Part
from chainrule.engine.commonsum import CommonSum
from chainrule.engine.treesum import Span, Tree, TreeSum
from chainrule.graph.node import Array
from chainrule.ir.kernel import Buffer
from chainrule.plan.schedule import BUCKET
from chainrule.system.ranks.communicator import Communicator

MOST = 1 << TREE - 1
"""The most blocks whose sums kernels add."""

PAGE = 4096
"""Bytes at whose multiples sums of a type begin."""


class Bucket(NamedTuple):
    """Sums that are exchanged together.

    Attributes:
        phases: after which they are there: all since those of the bucket before.
        sums: over blocks.
        spans: the blocks of this rank whose sums the phases make at a time.
    """

    phases: Part
    sums: TreeSum[Made]
    spans: Sequence[Span]


class Found(NamedTuple):
    """The phases and spans of a bucket, and what makes its sums."""

    phases: Part
    make: Making
    spans: Sequence[Span]


class Made:
    """The sums of a bucket, where machine code writes and reads them.

    Args:
        memories: with the buffers of each type.
    """

    def __init__(self, memories: Mapping[str, Memory]) -> None:
        self._memories = memories.values()
        self.flats = [x.block.view(dtype) for dtype, x in memories.items()]

    def place(self, runner: Runner) -> None:
        """Have a runner write and read them from now on."""
        for x in self._memories:
            runner.place(x)

    def clear(self) -> None:
        """Make them 0."""
        for x in self.flats:
            x[...] = 0


class Making:
    """A function that makes sums for some buffers, those of a type next to each other.

    Attributes:
        bytes: of the sums.
    """

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        types = dict.fromkeys(x.dtype for x in buffers)
        self._layouts = {
            dtype: layout((x for x in buffers if x.dtype == dtype), (), 1) for dtype in types
        }
        self._sizes = {dtype: -(-x.end // PAGE) * PAGE for dtype, x in self._layouts.items()}
        self.bytes = sum(self._sizes.values())

    def __call__(self) -> Made:
        """Sums in memory of their own."""
        return Made({dtype: x.memory() for dtype, x in self._layouts.items()})

    def at(self, block: Array) -> Made:
        """Sums in a block of so many bytes that begins on a page."""
        ends = np.cumsum([0, *self._sizes.values()])
        return Made({
            dtype: Memory(block[start : start + x.end], x.places)
            for start, (dtype, x) in zip(ends, self._layouts.items(), strict=False)
        })  # fmt: skip


def common_buckets(
    found: Sequence[Found], tree: Tree, ranks: Communicator, block: Array
) -> list[Bucket]:
    """Buckets in memory that all ranks have in common; `common_bytes` says how much it takes."""
    copies = len(tree.parts) + 1
    starts = np.cumsum([0, *(copies * x.make.bytes for x in found)])
    made = list[Bucket]()
    for (phases, make, spans), start in zip(found, starts, strict=False):
        blocks = np.split(block[start : start + copies * make.bytes], copies)
        *parts, whole = map(make.at, blocks)
        made.append(Bucket(phases, CommonSum(tree, ranks, make, parts, whole), spans))
    return made


def common_bytes(found: Sequence[Found], tree: Tree) -> int:
    """The bytes that some buckets take in memory in common."""
    return (len(tree.parts) + 1) * sum(x.make.bytes for x in found)


def by_part(code: Executable, tree: Tree) -> list[list[Found]]:
    """For each part of a step the buckets of the sums that it is the first to use."""
    seen = set[Buffer]()
    found: list[list[Found]] = []
    for start, end in zip(code.signature.sums, code.signature.cuts, strict=True):
        last: dict[Buffer, int] = {}
        for number in range(start, end):
            for launch in code.program.phases[number]:
                for buffer, _ in launch.operands:
                    if buffer.space == "gradient" and buffer not in seen:
                        last[buffer] = max(number, last.get(buffer.whole, 0))
                        last[buffer.whole] = last[buffer]
        seen |= last.keys()
        found.append(_buckets(code, tree, (start, end), {x: last[x.whole] for x in last}))
    return found


def _buckets(code: Executable, tree: Tree, part: Part, last: Mapping[Buffer, int]) -> list[Found]:
    """The buckets of a part, from the last phase that touches each sum."""
    found: list[Found] = []
    first, some = part[0], list[Buffer]()
    for number in range(*part):
        some += sorted((x for x, k in last.items() if k == number), key=lambda x: x.name)
        full = sum(x.bytes for x in some if x.part is None) >= BUCKET
        if full or number == part[1] - 1:
            phases = code.program.phases[first : number + 1]
            in_tree = all(launch.by_blocks for phase in phases for launch in phase)
            spans = tree.spans(MOST if in_tree else 1)
            found.append(Found((first, number + 1), Making(some), spans))
            first, some = number + 1, []
    return found
