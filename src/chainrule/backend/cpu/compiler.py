"""From a plan to what runs it."""

from __future__ import annotations

from chainrule.backend.cpu.abi import Executable
from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.machine import host, without
from chainrule.backend.cpu.run.driver import Native
from chainrule.backend.cpu.run.jit import Code, compiled
from chainrule.plan.plan import Plan


def executable(plan: Plan, max_rows: int, *, width: int | None = None) -> Executable:
    """Compile a plan.

    Args:
        plan: what to compile.
        max_rows: of a minibatch.
        width: lanes of float32 in a vector, 4, 8 or 16; the processor's own if None.
    """
    machine = host() if width is None else without(host(), 4 * width)
    program = build(plan, machine, max_rows)
    return Executable(
        plan.signature, program, Code(compiled(program.text, machine), machine), max_rows
    )


def runnable(
    plan: Plan,
    max_rows: int,
    *,
    threads: int = 1,
    width: int | None = None,
) -> Native:
    """A plan as machine code with memory of its own. The arguments are those above, and:

    Args:
        threads: that may share each step.
    """
    return Native(executable(plan, max_rows, width=width), threads=threads)
