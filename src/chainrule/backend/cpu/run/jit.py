"""From LLVM IR text to machine code in memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chainrule.backend.cpu.machine import Machine
from chainrule.system.forklock import fork_lock
from chainrule.system.signals import uninterrupted

_lock = fork_lock()


@contextmanager
def _llvm() -> Iterator[None]:
    """While LLVM works: it has locks that a process forked meanwhile would never get, and that a
    KeyboardInterrupt in the middle of llvmlite would never give back."""
    with uninterrupted(), _lock:
        yield


EFFORT = 3
"""How hard LLVM tries, up to 3."""

KNOWN = 22
"""The newest LLVM whose options are known; an unknown one would end the process."""


def load_compiler() -> None:
    """Load LLVM, which takes a while: before processes are forked that all need it."""
    import llvmlite.binding  # noqa: F401, PLC0415  # takes 120 ms


def llvm_versions() -> tuple[object, ...]:
    """Of llvmlite and LLVM: machine code depends on both."""
    import llvmlite  # noqa: PLC0415  # takes 120 ms
    import llvmlite.binding as llvm  # noqa: PLC0415

    return llvmlite.__version__, llvm.llvm_version_info


def compiled(text: str, machine: Machine) -> bytes:
    """The object file of a module, given as IR text; it depends on nothing else."""
    import llvmlite.binding as llvm  # noqa: PLC0415  # takes 120 ms

    with _llvm(), _plain_loops(llvm):
        _start()
        target = _target(llvm, machine)
        module = llvm.parse_assembly(text, llvm.create_context())
        module.triple = machine.triple
        module.data_layout = str(target.target_data)
        _promote(llvm, module, target)
        return bytes(target.emit_object(module))


class Code:
    """An object file, linked and ready to run; it lives as long as this object."""

    def __init__(self, file: bytes, machine: Machine) -> None:
        import llvmlite.binding as llvm  # noqa: PLC0415  # takes 120 ms

        with _llvm():
            _start()
            empty = llvm.parse_assembly("")
            empty.triple = machine.triple
            self._engine = llvm.create_mcjit_compiler(empty, _target(llvm, machine))  # owns both
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(file))
            self._engine.finalize_object()
        self._addresses: dict[str, int] = {}

    def address(self, name: str) -> int:
        """Where a function lies."""
        if name not in self._addresses:
            with _llvm():
                self._addresses[name] = int(self._engine.get_function_address(name))
        return self._addresses[name]

    def function(self, name: str) -> Any:
        """A function of (ptr, i64, i64) that releases the GIL while it runs."""
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        return kind(self.address(name))


def assembly(text: str, machine: Machine) -> str:
    """What the processor will be told, to read; for any target that LLVM knows."""
    import llvmlite.binding as llvm  # noqa: PLC0415  # takes 120 ms

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = _target(llvm, machine)
    module = llvm.parse_assembly(text)
    module.verify()
    module.triple = machine.triple
    _promote(llvm, module, target)
    return str(target.emit_assembly(module))


def _start() -> None:
    import llvmlite.binding as llvm  # noqa: PLC0415  # takes 120 ms

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _target(llvm: Any, machine: Machine) -> Any:
    return llvm.Target.from_triple(machine.triple).create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=EFFORT, jit=True
    )


@contextmanager
def _plain_loops(llvm: Any) -> Iterator[None]:
    """Loops keep the counters that they have: new ones take a third of the time, and gain nothing.

    The switch is the whole process's, so it is put back; code made beside it meanwhile is right.
    """
    known = llvm.llvm_version_info[0] <= KNOWN
    if known:
        llvm.set_option("chainrule", "-disable-lsr")
    try:
        yield
    finally:
        if known:
            llvm.set_option("chainrule", "-disable-lsr=false")


def _promote(llvm: Any, module: Any, target: Any) -> None:
    """Local variables into registers; nothing else is worth its time."""
    builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(0))
    passes = llvm.create_new_function_pass_manager()
    passes.add_sroa_pass()
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)
