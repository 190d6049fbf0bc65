"""Plans compiled for any width of vectors, ready to run."""

from __future__ import annotations

from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.machine import host, without
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.jit import Code
from chainrule.backend.cpu.run.objects import object_files
from chainrule.plan.plan import Plan


def runnable(
    plan: Plan,
    max_rows: int,
    *,
    threads: int = 1,
    width: int | None = None,
    shared: bool = True,
) -> Runner:
    """A plan as machine code with memory of its own.

    Args:
        plan: what to compile.
        max_rows: of a minibatch.
        threads: that may share each step.
        width: lanes of float32 in a vector, 4, 8 or 16; the processor's own if None.
        shared: whether threads help each other.
    """
    machine = host() if width is None else without(host(), 4 * width)
    program = build(plan, machine, max_rows)
    code = Code(object_files(program, machine), machine)
    return Runner(
        Executable(plan.signature, program, code, max_rows), threads=threads, shared=shared
    )
