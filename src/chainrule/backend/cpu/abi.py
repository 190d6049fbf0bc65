"""How a module is called: its launches, cut by barriers, and the words of its frame."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.backend.cpu.emit.steps import FRAME
from chainrule.ir.kernel import Buffer
from chainrule.plan.linearize import Operand
from chainrule.plan.plan import Signature, Split
from chainrule.types import Dim


@dataclass(frozen=True)
class Launch:
    """A call of a kernel's function: its buffers, and how threads share it.

    Attributes:
        name: of the kernel.
        function: its code, which kernels may share.
        operands: the buffers that it gets.
        split, owner: as the task's.
        size: of the kernel's first loop; 1 where it has none.
        granule: threads split it at multiples of this.
    """

    name: str
    function: str
    operands: tuple[Operand, ...]
    split: Split
    owner: int
    size: Dim
    granule: int


@dataclass(frozen=True)
class Program:
    """The text of a module and what its caller must know.

    Attributes:
        text: LLVM IR; `@run(ptr frame, i64 thread, i64 threads)` is its way in.
        slots: the word of the frame that has a buffer's address; a state that is updated has
            that of its other side in the next word, a step's input the bytes from step to step.
        words: of the frame.
        phases: what runs between barriers.
        scratch: bytes for each thread, as (fixed, for each row).
    """

    text: str
    slots: dict[Buffer, int]
    words: int
    phases: list[list[Launch]]
    scratch: tuple[int, int]


def slots_of(signature: Signature) -> tuple[dict[Buffer, int], int]:
    """The words of the frame that the buffers have, and how many words there are."""
    slots = {b: len(FRAME) + 2 * k for k, b in enumerate(signature.buffers)}
    return slots, len(FRAME) + 2 * len(slots)
