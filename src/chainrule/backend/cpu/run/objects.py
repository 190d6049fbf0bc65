"""The object files of a program: its own, and those of shared code, which are compiled once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from chainrule.backend.cpu.abi import Program
from chainrule.backend.cpu.machine import Machine
from chainrule.backend.cpu.run.jit import compiling, llvm_versions
from chainrule.system.cachedir import code_folder
from chainrule.system.diskcache import cached, sources
from chainrule.system.processors import usual_threads

FOLDER = "shared"
"""The name of the folder for shared code, in that for machine code."""


def object_files(program: Program, machine: Machine) -> list[bytes]:
    """The object files of a program, to be linked; several processors compile them."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  (cached code needs none)

    own, shared = program.modules
    with compiling(machine) as made, ThreadPoolExecutor(usual_threads()) as pool:
        files = [pool.submit(made, text) for text in own]  # first what takes long
        files += [pool.submit(_shared, text, machine, made) for text in shared]
        return [file.result() for file in files]


def _shared(text: str, machine: Machine, made: Callable[[str], bytes]) -> bytes:
    """The object file of a module that many programs have, from the folder if it is there."""
    held, folder = _held(text, machine), code_folder()
    if not held:
        file = cached(
            None if folder is None else folder / FOLDER,
            f"{text} {sources()}",
            repr((machine, llvm_versions())),
            lambda: made(text),
        )
        held.append(file)
    return held[0]


@lru_cache(256)
def _held(text: str, machine: Machine) -> list[bytes]:
    """The object file of a shared module, once this process has it: the list is empty at first."""
    return []
