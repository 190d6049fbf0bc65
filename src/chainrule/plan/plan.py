"""The plan of a step: its tasks in order, cut into phases, and the buffers that they use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from chainrule.ir.kernel import Buffer, Kernel
from chainrule.plan.affine import Analysis
from chainrule.plan.contraction import Contraction
from chainrule.plan.linearize import ROWS, LinearKernel, Operand

Split = Literal["rows", "first", "none", "every"]
"""The division of a kernel among threads: each runs some rows of the minibatch, or some iterations
of the first axis; or one runs all of it; or one runs all of it at the start of the phase, before
the others go on.
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
        return frozenset(self.operands[k][0] for k in self.linear.read()) - {ROWS}

    @property
    def writes(self) -> frozenset[Buffer]:
        """The buffers that are written."""
        return frozenset(write.buffer for write in self.kernel.writes)


@dataclass(frozen=True)
class Phase:
    """Tasks that threads run without waiting for each other; then all wait until they are done.

    A task reads what earlier phases wrote. Within its phase it reads of a task by rows the same
    rows alone, of a task with an owner all where it has the same owner, and of a task at the start
    all: so some rows of the tasks by rows are one unit of work, and the tasks of an
    owner are another.
    """

    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class UserCall:
    """A call of a user's op that has no lowering, between two phases: its code is Python's.

    Attributes:
        name: that of the node.
        phase: the number of phases before it.
        operands: the buffers that it takes.
        result: the buffer of what it makes.
    """

    name: str
    phase: int
    operands: tuple[Buffer, ...]
    result: Buffer


@dataclass(frozen=True)
class Signature:
    """The interface of a plan to its runner: its buffers, without the kernels.

    Attributes:
        buffers: all that the kernels touch.
        updates: the states of which a step writes all values; of others it writes nothing, or
            rows in place.
        twice: the updates with two sides, of which a step reads one and writes the other; it
            writes new values of the others over the old ones.
        outputs: buffers to be read after a run: the results of a prediction, or the nodes of a
            step that were requested.
        loss: the buffer of the scalar loss; None for a prediction.
        cuts: the phases before each exchange, of a step whose rows programs share. Those before
            one write buffers of the space `gradient`, which later ones read.
        sums: for each exchange the phases before those that sum rows, for it alone; they may
            run for some rows at a time, after the phases before them have run for all.
        calls: of a user's ops, in order.
    """

    buffers: tuple[Buffer, ...]
    updates: tuple[Buffer, ...] = ()
    twice: tuple[Buffer, ...] = ()
    outputs: tuple[Buffer, ...] = ()
    loss: Buffer | None = None
    cuts: tuple[int, ...] = ()
    sums: tuple[int, ...] = ()
    calls: tuple[UserCall, ...] = ()

    @property
    def overwrites(self) -> bool:
        """Whether a step writes over old values before it is known that all are finite."""
        return len(self.twice) < len(self.updates)

    @property
    def gradients(self) -> tuple[Buffer, ...]:
        """The sums over rows that programs exchange which share a step."""
        return tuple(buffer for buffer in self.buffers if buffer.space == "gradient")


@dataclass(frozen=True)
class Plan:
    """The kernels of a step in phases: the input of a backend.

    Attributes:
        phases: of one step, in order.
        buffers, updates, outputs, loss, cuts, sums, calls: see Signature.
    """

    phases: tuple[Phase, ...]
    buffers: tuple[Buffer, ...]
    updates: tuple[Buffer, ...] = ()
    outputs: tuple[Buffer, ...] = ()
    loss: Buffer | None = None
    cuts: tuple[int, ...] = ()
    sums: tuple[int, ...] = ()
    calls: tuple[UserCall, ...] = ()

    @property
    def signature(self) -> Signature:
        """The plan without its kernels."""
        return Signature(
            self.buffers, self.updates, self.twice, self.outputs, self.loss, self.cuts, self.sums,
            self.calls,
        )  # fmt: skip

    @cached_property
    def twice(self) -> tuple[Buffer, ...]:
        """The updates with two sides; see Signature.

        All have, where a user's op is called: it may raise an error after some are written. So
        have those of a step whose rows programs share, which ends early where one program does.
        """
        if self.calls or self.cuts:
            return self.updates
        accesses: dict[Buffer, list[tuple[int, Task, bool]]] = {x: [] for x in self.updates}
        for number, phase in enumerate(self.phases):
            for task in phase.tasks:
                if task.kernel.commit:  # it writes rows of other states in place, at the end
                    return self.updates
                for buffer, new in task.operands:
                    if buffer in accesses:
                        accesses[buffer].append((number, task, new))
        return tuple(x for x in self.updates if not _overwritten(x, accesses[x]))

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks in order."""
        return tuple(task for phase in self.phases for task in phase.tasks)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """All kernels in order."""
        return tuple(task.kernel for task in self.tasks)


def _overwritten(buffer: Buffer, accesses: Sequence[tuple[int, Task, bool]]) -> bool:
    """Whether new values of a state may be written over the old ones: nothing reads those later.

    One task writes them, each element once, and reads no other element of the old ones; all other
    tasks that read old values are in earlier phases.
    """
    writers = [(phase, task) for phase, task, new in accesses if new]
    if len(writers) != 1 or writers[0][1].split == "every":
        return False
    ((last, writer),) = writers
    if any(phase >= last for phase, task, new in accesses if not new and task is not writer):
        return False
    number = {operand: k for k, operand in enumerate(writer.operands)}
    old, new = number.get((buffer, False)), number[buffer, True]
    stores = [store for store in writer.linear.stores if store.argument == new]
    places = {x.args for x in writer.linear.instrs if x.op == "read" and x.data == old}
    return len(stores) == 1 and not stores[0].add and places <= {stores[0].place}
