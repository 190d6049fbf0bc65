"""The kernels of a plan as text, with how to launch them: what the emitter gives to a runner."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from chainrule.plan.linearize import Operand
from chainrule.plan.plan import Signature


@dataclass(frozen=True)
class Traits:
    """The properties of a device that the text depends on.

    Attributes:
        float64: whether it has them.
        items: the most work-items of a group.
        local: bytes of local memory that a group may have.
    """

    float64: bool
    items: int
    local: int


class Count(NamedTuple):
    """A number of elements in groups of `group`: `fixed` times the rows to a power."""

    fixed: int
    power: int
    group: int

    def groups(self, rows: int) -> int:
        """The number of groups for so many rows."""
        elements = self.fixed * math.prod([rows] * self.power)
        return -(-elements // self.group)


@dataclass(frozen=True)
class Launch:
    """A kernel of a step.

    Attributes:
        name: that of the kernel.
        function: its code, which kernels may share.
        operands: the buffers that it receives.
        counts: their groups, multiplied, are the groups of a launch.
        items: the work-items of a group.
    """

    name: str
    function: str
    operands: tuple[Operand, ...]
    counts: tuple[Count, ...]
    items: int

    def groups(self, rows: int) -> int:
        """The number of groups for so many rows."""
        return math.prod(x.groups(rows) for x in self.counts)


@dataclass(frozen=True)
class Program:
    """The text of all kernels of a plan.

    Attributes:
        text: in the dialect of emit/dialect.py.
        launches: of a step, in order.
        signature: the buffers that they work on.
        max_rows: the most rows of a minibatch.
    """

    text: str
    launches: tuple[Launch, ...]
    signature: Signature
    max_rows: int
