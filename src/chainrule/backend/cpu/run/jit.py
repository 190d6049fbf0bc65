"""From LLVM IR text to machine code in memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any

from chainrule.backend.cpu.machine import Machine
from chainrule.system.forklock import fork_lock
from chainrule.system.signals import uninterrupted

_lock = fork_lock()


@contextmanager
def _llvm() -> Iterator[None]:
    """Holds off forks and KeyboardInterrupt while LLVM works: it has locks that a process forked
    meanwhile could never acquire, and that an interrupt in llvmlite would never release."""
    with uninterrupted(), _lock:
        yield


OPT_LEVEL = 3
"""The optimization level of LLVM, up to 3."""

NEWEST_LLVM = 22
"""The newest LLVM whose options are tested; an unknown option would end the process."""


def load_compiler() -> None:
    """Load LLVM, which takes a while, before a fork of processes that all need it."""
    import llvmlite.binding  # noqa: F401, PLC0415  # takes 120 ms


def llvm_versions() -> tuple[object, ...]:
    """The versions of llvmlite and LLVM, on which machine code depends."""
    import llvmlite  # noqa: PLC0415  # takes 120 ms
    import llvmlite.binding as llvm  # noqa: PLC0415

    return llvmlite.__version__, llvm.llvm_version_info


def compiled(text: str, machine: Machine) -> bytes:
    """The object file of a module, given as IR text; it depends on nothing else."""
    with compiling(machine) as made:
        return made(text)


@contextmanager
def compiling(machine: Machine) -> Iterator[Callable[[str], bytes]]:
    """Gives `compiled` for several modules, which threads may call at once in the block."""
    import llvmlite.binding as llvm  # noqa: PLC0415  # takes 120 ms

    with _llvm(), _quick(llvm):
        _start()
        yield lambda text: _object_file(llvm, text, machine)


class Code:
    """Object files, linked and ready to run; they live as long as this object.

    Args:
        files: from `compiled`; they may call each other's functions.
        machine: for which it was compiled.
        symbols: addresses of the functions of this process that it calls, by name.
    """

    def __init__(
        self,
        files: Iterable[bytes],
        machine: Machine,
        symbols: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        import llvmlite.binding as llvm  # noqa: PLC0415  # takes 120 ms

        with _llvm():
            _start()
            for name, address in symbols.items():
                llvm.add_symbol(name, address)
            empty = llvm.parse_assembly("")
            empty.triple = machine.triple
            self._engine = llvm.create_mcjit_compiler(empty, _target(llvm, machine))  # owns both
            for file in files:
                self._engine.add_object_file(llvm.ObjectFileRef.from_data(file))
            self._engine.finalize_object()
        self._addresses: dict[str, int] = {}

    def address(self, name: str) -> int:
        """The address of a function."""
        if name not in self._addresses:
            with _llvm():
                self._addresses[name] = int(self._engine.get_function_address(name))
        return self._addresses[name]

    def function(self, name: str) -> Any:
        """A function of (ptr, i64, i64) that releases the GIL while it runs."""
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        return kind(self.address(name))


def assembly(text: str, machine: Machine) -> str:
    """The assembly text of a module, for any target of LLVM."""
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
        cpu=machine.cpu, features=machine.features, opt=OPT_LEVEL, jit=True
    )


def _object_file(llvm: Any, text: str, machine: Machine) -> bytes:
    resting = _resting(machine)
    target = resting.pop() if resting else _target(llvm, machine)
    module = llvm.parse_assembly(text, llvm.create_context())
    module.triple = machine.triple
    module.data_layout = str(target.target_data)
    _promote(llvm, module, target)
    made = _emitted(target, module)
    resting.append(target)
    return made


@lru_cache(8)
def _resting(machine: Machine) -> list[Any]:
    """The targets that no thread uses now: what one works out of features serves many modules."""
    return []


def _emitted(target: Any, module: Any) -> bytes:
    """`target.emit_object(module)`, for which llvmlite would hold a lock of all threads.

    LLVM needs none for modules of different contexts with targets of their own. This is nearly
    all of the time that it takes.
    """
    from llvmlite.binding import ffi  # noqa: PLC0415  # takes 120 ms

    emit, known = _unlocked("LLVMPY_TargetMachineEmitToMemory"), ffi.lib
    with ffi.OutputString() as error:
        buffer = emit(target, module, 1, error)
        if not buffer:
            raise RuntimeError(str(error))
    try:
        size = known.LLVMPY_GetBufferSize(buffer)
        return ctypes.string_at(known.LLVMPY_GetBufferStart(buffer), size)
    finally:
        known.LLVMPY_DisposeMemoryBuffer(buffer)


@cache
def _unlocked(name: str) -> Any:
    """A function of llvmlite's library, without its lock where llvmlite tells the library."""
    from llvmlite.binding import ffi  # noqa: PLC0415  # takes 120 ms

    known = getattr(ffi.lib, name)
    try:
        function = ctypes.CDLL(ffi.lib._name, handle=ffi.lib._handle)[name]
    except AttributeError:  # names without a promise: then only one thread compiles at a time
        return known
    function.argtypes, function.restype = known.argtypes, known.restype
    return function


LEFT_OUT = ("-disable-lsr", "-disable-post-ra")
"""Passes that take time and gain nothing: strength reduction of loops, which is a third of it, and
a second scheduling, as processors reorder instructions themselves."""


@contextmanager
def _quick(llvm: Any) -> Iterator[None]:
    """Leave out the passes that are not worth their time.

    The options are global to the process, so they are restored; code compiled meanwhile is correct.
    """
    tested = llvm.llvm_version_info[0] <= NEWEST_LLVM
    for option in LEFT_OUT if tested else ():
        llvm.set_option("chainrule", option)
    try:
        yield
    finally:
        for option in LEFT_OUT if tested else ():
            llvm.set_option("chainrule", f"{option}=false")


def _promote(llvm: Any, module: Any, target: Any) -> None:
    """Promote local variables to registers; no other pass is worth its time."""
    builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(0))
    passes = llvm.create_new_function_pass_manager()
    passes.add_sroa_pass()
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)
