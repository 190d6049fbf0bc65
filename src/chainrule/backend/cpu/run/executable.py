"""A plan as machine code: all that a runner needs."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.backend.cpu.abi import Program
from chainrule.backend.cpu.run.jit import Code
from chainrule.plan.plan import Signature


@dataclass(frozen=True, eq=False)
class Executable:
    """A plan as machine code; any number of `Runner` objects may run it at the same time.

    Attributes:
        signature: the buffers that it works on.
        program: how it is told what to work on.
        code: the functions, ready to be called.
        max_rows: the most rows of a minibatch.
        threads: how many are likely to be quickest, where there are as many.
    """

    signature: Signature
    program: Program
    code: Code
    max_rows: int
    threads: int = 1
