"""The plan of a step: its tasks in order, cut into phases, and the buffers that they use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chainrule.ir.kernel import Buffer, Kernel
from chainrule.plan.affine import Analysis
from chainrule.plan.contraction import Contraction
from chainrule.plan.linearize import ROWS, LinearKernel, Operand

Split = Literal["rows", "first", "none", "every"]
"""The division of a kernel among threads: each runs some rows of the minibatch, or some iterations
of the first axis; or one thread runs all of it; or every thread runs all of it for itself.
"""


@dataclass(frozen=True, eq=False)
class Task:
    """A kernel with its division among threads.

    Attributes:
        kernel: the loop nest.
        operands: the arguments of `linear`.
        analysis: that of `linear`, the kernel without names.
        contraction: the sum of products of two factors that `linear` is; None for others.
        split: its division among threads.
        owner: the thread that runs a kernel with split "none", modulo the number of threads.
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
class Signature:
    """The interface of a plan to its runner: its buffers, without the kernels.

    Attributes:
        buffers: all that the kernels touch.
        updates: the states whose other side a step writes; of other states it writes nothing, or
            rows in place.
        outputs: buffers to be read after a run: the results of a prediction, or the nodes of a
            step that were requested.
        loss: the buffer of the scalar loss; None for a prediction.
        cut: the number of phases before the cut, of a step that can be cut between gradients and
            updates. They write all buffers of the space `gradient`, which the others read.
    """

    buffers: tuple[Buffer, ...]
    updates: tuple[Buffer, ...] = ()
    outputs: tuple[Buffer, ...] = ()
    loss: Buffer | None = None
    cut: int | None = None

    @property
    def gradients(self) -> tuple[Buffer, ...]:
        """The buffers between gradients and updates, of a step that can be cut there."""
        return tuple(buffer for buffer in self.buffers if buffer.space == "gradient")


@dataclass(frozen=True)
class Plan:
    """The kernels of a step in phases: the input of a backend.

    Attributes:
        phases: of one step, in order.
        buffers, updates, outputs, loss, cut: see Signature.
    """

    phases: tuple[Phase, ...]
    buffers: tuple[Buffer, ...]
    updates: tuple[Buffer, ...] = ()
    outputs: tuple[Buffer, ...] = ()
    loss: Buffer | None = None
    cut: int | None = None

    @property
    def signature(self) -> Signature:
        """The plan without its kernels."""
        return Signature(self.buffers, self.updates, self.outputs, self.loss, self.cut)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks in order."""
        return tuple(task for phase in self.phases for task in phase.tasks)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """All kernels in order."""
        return tuple(task.kernel for task in self.tasks)
