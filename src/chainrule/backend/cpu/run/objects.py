"""The object files of a program: its own, and those of shared code, which are compiled once."""

from __future__ import annotations

from functools import lru_cache

from chainrule.backend.cpu.abi import Program
from chainrule.backend.cpu.machine import Machine
from chainrule.backend.cpu.run.jit import compiled, llvm_versions
from chainrule.system.cachedir import code_folder
from chainrule.system.diskcache import cached, sources

FOLDER = "shared"
"""The name of the folder for shared code, in that for machine code."""


def object_files(program: Program, machine: Machine) -> list[bytes]:
    """The object files of a program, to be linked."""
    own, shared = program.modules
    return [compiled(own, machine), *(_shared(text, machine) for text in shared)]


@lru_cache(256)
def _shared(text: str, machine: Machine) -> bytes:
    """The object file of a module that many programs have, from the folder if it is there."""
    folder = code_folder()
    return cached(
        None if folder is None else folder / FOLDER,
        f"{text} {sources()}",
        repr((machine, llvm_versions())),
        lambda: compiled(text, machine),
    )
