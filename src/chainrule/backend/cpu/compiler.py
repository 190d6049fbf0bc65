"""From a plan to what runs it."""

from __future__ import annotations

from pathlib import Path

from chainrule.backend.cpu.abi import Executable
from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.machine import host, without
from chainrule.backend.cpu.run.cache import cached
from chainrule.backend.cpu.run.driver import Native
from chainrule.backend.cpu.run.jit import Code, compiled
from chainrule.plan.plan import Plan


def executable(
    plan: Plan, max_rows: int, *, width: int | None = None, cache: Path | None = None
) -> Executable:
    """Compile a plan, or take its code from a folder.

    Args:
        plan: what to compile.
        max_rows: of a minibatch.
        width: lanes of float32 in a vector, 4, 8 or 16; the processor's own if None.
        cache: a folder that keeps machine code from run to run; None for no folder.
    """
    machine = host() if width is None else without(host(), 4 * width)
    program = build(plan, machine, max_rows)
    file = cached(cache, program.text, machine, lambda: compiled(program.text, machine))
    return Executable(plan, program, Code(file, machine), max_rows)


def runnable(
    plan: Plan,
    max_rows: int,
    *,
    threads: int = 1,
    width: int | None = None,
    cache: Path | None = None,
) -> Native:
    """A plan as machine code with memory of its own. The arguments are those above, and:

    Args:
        threads: that may share each step.
    """
    return Native(executable(plan, max_rows, width=width, cache=cache), threads=threads)
