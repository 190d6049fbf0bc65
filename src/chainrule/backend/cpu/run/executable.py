"""A plan as machine code: the input of a runner."""

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
        program: its calling convention.
        code: the loaded functions.
        max_rows: the most rows of a minibatch.
        threads: the number that is probably fastest, if available.
        most: the number that would be where cores exchange data in no time; see `Module.compile`.
    """

    signature: Signature
    program: Program
    code: Code
    max_rows: int
    threads: int = 1
    most: int = 1
