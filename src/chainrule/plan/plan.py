"""The plan of a step: its tasks in order, cut into phases, and the buffers that they use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chainrule.ir.kernel import Buffer, Kernel
from chainrule.plan.affine import Analysis
from chainrule.plan.contraction import Contraction
from chainrule.plan.linearize import ROWS, LinearKernel, Operand

Split = Literal["rows", "first", "none", "every"]
"""How threads share a kernel: each does some rows of the minibatch, or some turns of the first
axis; or one thread does all of it; or every thread does all of it for itself.
"""


@dataclass(frozen=True, eq=False)
class Task:
    """A kernel with how it runs.

    Attributes:
        kernel: what is computed.
        operands: what the arguments of `linear` stand for.
        analysis: of `linear`, the kernel without names.
        contraction: how `linear` sums products of two factors, if it does.
        split: how threads share it.
        owner: of a kernel that one thread does, that thread, modulo their number.
    """

    kernel: Kernel
    operands: tuple[Operand, ...]
    analysis: Analysis
    contraction: Contraction | None
    split: Split
    owner: int = 0

    @property
    def linear(self) -> LinearKernel:
        """The kernel without names."""
        return self.analysis.linear

    @property
    def reads(self) -> frozenset[Buffer]:
        """The buffers that are read."""
        numbers = {int(x.data or 0) for x in self.linear.instrs if x.op == "read"}
        return frozenset(self.operands[k][0] for k in numbers) - {ROWS}

    @property
    def writes(self) -> frozenset[Buffer]:
        """The buffers that are written."""
        return frozenset(write.buffer for write in self.kernel.writes)


@dataclass(frozen=True)
class Phase:
    """Tasks that all threads run without waiting for each other; a barrier follows.

    Within a phase a thread only reads what it wrote itself, or what earlier phases wrote.
    """

    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Plan:
    """What a backend compiles.

    Attributes:
        phases: of one step, in order.
        buffers: all that the kernels touch.
        updates: the states that a step writes on their other side; of others it writes nothing, or
            rows in place.
        outputs: buffers to be read after a prediction; empty for training.
        loss: the buffer of the scalar loss; None for a prediction.
    """

    phases: tuple[Phase, ...]
    buffers: tuple[Buffer, ...]
    updates: tuple[Buffer, ...] = ()
    outputs: tuple[Buffer, ...] = ()
    loss: Buffer | None = None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks in order."""
        return tuple(task for phase in self.phases for task in phase.tasks)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """All kernels in order."""
        return tuple(task.kernel for task in self.tasks)
