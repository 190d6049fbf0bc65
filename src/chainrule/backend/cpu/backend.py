"""The CPU as a backend: LLVM IR, compiled by llvmlite, run by several threads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chainrule.backend import base
from chainrule.backend.cpu.abi import Program
from chainrule.backend.cpu.machine import Machine, host
from chainrule.backend.cpu.run.executable import Executable
from chainrule.backend.cpu.run.jit import llvm_versions, load_compiler
from chainrule.backend.cpu.run.objects import object_files
from chainrule.backend.cpu.run.serialize import pack, unpack
from chainrule.backend.cpu.run.tuned import TunedRunner
from chainrule.backend.cpu.run.tuner import MAX_THREADS, max_threads
from chainrule.costs.speeds import Speeds
from chainrule.plan.plan import Plan
from chainrule.system.cachedir import code_folder

if TYPE_CHECKING:
    from chainrule.costs.forecast import Placed


@dataclass(frozen=True)
class Module:
    """See Module in base.py.

    Attributes:
        plan, program: what the code does, and how it is called.
        machine: for which processor.
        max_rows: the most rows of a minibatch.
    """

    plan: Plan
    program: Program
    machine: Machine
    max_rows: int

    @property
    def text(self) -> str:
        """LLVM IR."""
        return self.program.text

    def compile(self) -> bytes:
        """The object files, what their caller must know, and the likely best number of threads.

        The rate at which cores exchange data may change while a machine runs, tenfold where a
        virtual one moves to other cores. So more threads are tried unless they never pay.
        """
        from chainrule.backend.cpu.run.microbench import cached_or_default  # noqa: PLC0415
        from chainrule.costs.cost import best_threads  # noqa: PLC0415

        speeds = cached_or_default(code_folder())
        threads, most = (
            best_threads(self.plan, self.max_rows, MAX_THREADS, x)
            for x in (speeds, replace(speeds, exchange=math.inf))
        )
        files = object_files(self.program, self.machine)
        return pack(self.plan, self.program, files, (threads, most))


class CPU:
    """See Backend in base.py."""

    name = "native"

    @property
    def bfloat16(self) -> bool:
        """See Backend."""
        return host().bfloat16

    def target(self) -> str:
        """See Backend."""
        return repr((host(), llvm_versions()))

    def emit(self, plan: Plan, max_rows: int) -> Module:
        """See Backend."""
        from chainrule.backend.cpu.emit.module import build  # noqa: PLC0415

        return Module(plan, build(plan, host(), max_rows), host(), max_rows)

    def load(self, code: bytes, max_rows: int) -> Executable:
        """See Backend."""
        return unpack(code, host(), max_rows)

    def runner(self, code: base.Executable, threads: int | None = None) -> TunedRunner:
        """See Backend."""
        assert isinstance(code, Executable)
        return TunedRunner(code, threads)

    def speeds(self) -> Speeds:
        """See Backend."""
        from chainrule.backend.cpu.run.microbench import speeds  # noqa: PLC0415

        return speeds(code_folder())

    def max_threads(self, requested: int | None) -> int:
        """See Backend."""
        return max_threads(requested)

    def memory(self, plan: Plan, max_rows: int, threads: int) -> base.Memory:
        """See Backend."""
        from chainrule.backend.cpu.resources import memory  # noqa: PLC0415

        return memory(plan, max_rows, threads)

    def placed(self, plan: Plan, max_rows: int) -> tuple[Placed, ...]:
        """See Backend."""
        from chainrule.backend.cpu.resources import placed  # noqa: PLC0415

        return placed(plan, max_rows)

    def warm_up(self) -> None:
        """See Backend."""
        load_compiler()
