"""The object files of a program: its own, and those of shared code, which are compiled once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from threading import Thread

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
    own, shared = program.modules
    with compiling(machine) as made:
        jobs = [partial(made, text) for text in own]  # first what takes long
        return _done([*jobs, *(partial(_shared, text, machine, made) for text in shared)])


def _done(jobs: Sequence[Callable[[], bytes]]) -> list[bytes]:
    """The results of jobs, which threads do, this one among them.

    No executor starts the threads: fork() takes the lock of all executors before that of the
    compiler, which is held here.
    """
    count = min(usual_threads(), len(jobs))
    waiting = deque([*enumerate(jobs), *[None] * count])  # a thread ends at a None
    files, errors = dict[int, bytes](), list[BaseException]()

    def work() -> None:
        for number, job in iter(waiting.popleft, None):
            try:
                files[number] = job()
            except BaseException as error:
                errors.append(error)

    threads = [Thread(target=work) for _ in range(count - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [files[k] for k in range(len(jobs))]


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
