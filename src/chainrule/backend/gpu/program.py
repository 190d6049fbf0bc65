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
        joins: whether kernels are launched together: on a processor a launch takes little, and
            some drivers of processors fail where groups of a launch do different things.
    """

    float64: bool
    items: int
    local: int
    joins: bool = True


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
class Part:
    """A kernel of a step, or one of the two that a long sum takes.

    Attributes:
        name: that of the kernel.
        function: its code, which kernels may share.
        operands: the buffers that it receives.
        counts: their groups, multiplied, are the groups that it takes.
        commit: whether it puts rows into states in place, at the end of a step.
    """

    name: str
    function: str
    operands: tuple[Operand, ...]
    counts: tuple[Count, ...]
    commit: bool = False

    def groups(self, rows: int) -> int:
        """The number of groups for so many rows."""
        return math.prod(x.groups(rows) for x in self.counts)


@dataclass(frozen=True)
class Launch:
    """Kernels of a step that are launched as one.

    Attributes:
        function: its code, which launches may share.
        levels: the parts in order; those of a level do not wait for each other. Where there are
            several levels, one group does all.
    """

    function: str
    levels: tuple[tuple[Part, ...], ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of all levels."""
        return tuple(part for level in self.levels for part in level)

    def groups(self, rows: int) -> int:
        """The number of groups for so many rows."""
        if len(self.levels) > 1:
            return 1
        return sum(x.groups(rows) for x in self.parts)


@dataclass(frozen=True)
class Program:
    """The text of all kernels of a plan.

    Attributes:
        text: in the dialect of emit/dialect.py.
        launches: of a step, in order.
        signature: the buffers that they work on.
        max_rows: the most rows of a minibatch.
        items: the work-items of a group.
        steps: the most steps of a launch, which is then the only one; 0: each step has launches.
        advance: the function at the end of a step that has launches.
        work: the operations of a step, about.
    """

    text: str
    launches: tuple[Launch, ...]
    signature: Signature
    max_rows: int
    items: int
    steps: int
    advance: str
    work: int

    @property
    def levels(self) -> tuple[tuple[Part, ...], ...]:
        """The levels of all launches."""
        return tuple(level for launch in self.launches for level in launch.levels)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of all launches, in order."""
        return tuple(part for level in self.levels for part in level)
