"""The calling convention of a module: launches in phases, and the words of its frame."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.backend.cpu.emit.frame import FRAME
from chainrule.backend.cpu.emit.shared import Shared, whole
from chainrule.ir.kernel import Buffer
from chainrule.plan.linearize import Operand
from chainrule.plan.plan import Signature, Split
from chainrule.types import Dim


@dataclass(frozen=True)
class Launch:
    """A call of a kernel's function: its buffers, and its division among threads.

    Attributes:
        name: that of the kernel.
        function: its code, which kernels may share.
        operands: the buffers that it receives.
        split, owner: of the task.
        size: that of the kernel's first loop; 1 without a loop.
        granule: it is split at multiples of this.
        seconds: that it takes one thread, by a rough prediction, with the most rows.
        least: a shorter range is not worth a call.
        by_blocks: whether it adds up blocks of rows in their tree.
    """

    name: str
    function: str
    operands: tuple[Operand, ...]
    split: Split
    owner: int
    size: Dim
    granule: int
    seconds: float = 0.0
    least: int = 1
    by_blocks: bool = False


@dataclass(frozen=True)
class Program:
    """The text of a module and its calling convention.

    Attributes:
        code: LLVM IR, in parts that are compiled apart and call the same shared code, of which
            `@run(ptr frame, i64 thread, i64 threads)`, the entry point, is one. Empty where it is
            loaded as machine code.
        slots: the word of the frame with a buffer's address; the next word has the address of the
            other side of an updated state, or the bytes from step to step of a step input.
        words: the number of words of the frame.
        phases: the launches in phases.
        scratch: bytes for each thread, as (fixed, for each row).
    """

    code: tuple[Shared, ...]
    slots: dict[Buffer, int]
    words: int
    phases: list[list[Launch]]
    scratch: tuple[int, int]

    @property
    def text(self) -> str:
        """The code as one module, to read."""
        return whole(self.code)

    @property
    def modules(self) -> tuple[list[str], list[str]]:
        """The code as modules that are linked: its own, and those that other programs share."""
        assert self.code, "it was loaded as machine code"
        return [x.module for x in self.code], [x.module for x in self.code[0].calls]


def slots_of(signature: Signature) -> tuple[dict[Buffer, int], int]:
    """The frame word of each buffer, and the number of words."""
    slots = {b: len(FRAME) + 2 * k for k, b in enumerate(signature.buffers)}
    return slots, len(FRAME) + 2 * len(slots)
