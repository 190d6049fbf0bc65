"""The plan of a step: its kernels in order, cut into phases, and the buffers that they use."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.ir.kernel import Buffer, Kernel


@dataclass(frozen=True)
class Phase:
    """Kernels that all threads run without waiting for each other; a barrier follows.

    Within a phase a thread only reads what it wrote itself, or what earlier phases wrote: a
    kernel whose first axis is N is split by rows, and row kernels of a phase read of each other
    only their own rows; a kernel without loops is run by every thread for itself; other kernels
    are split along their first axis, or run on one thread.
    """

    kernels: tuple[Kernel, ...]


@dataclass(frozen=True)
class Plan:
    """What a backend compiles.

    Attributes:
        phases: of one step, in order.
        buffers: all that the kernels touch.
        updates: the state buffers that a step writes.
        outputs: buffers to be read after a prediction; empty for training.
        loss: the buffer of the scalar loss; None for a prediction.
    """

    phases: tuple[Phase, ...]
    buffers: tuple[Buffer, ...]
    updates: tuple[Buffer, ...] = ()
    outputs: tuple[Buffer, ...] = ()
    loss: Buffer | None = None
