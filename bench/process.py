"""Worker processes: pinned to cores, and called in turn so that only one measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.features import variables
from bench.systems import OURS, OWN

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-bench"
CACHE = PEERS / "cache"
SETTINGS = (
    "OPENBLAS_", "NVPL_", "BLIS_", "MKL_", "OMP_", "GOMP_", "KMP_", "XLA_", "JAX_", "TORCH",
    "CHAINRULE_", "ATEN_", "ONEDNN_", "NPY_", "PYTHONDONTWRITEBYTECODE",
)  # fmt: skip
"""Prefixes of variables that change the speed of a system; they are removed for workers.

Among them is the one that keeps Python from storing bytecode, which installed packages have.
"""


class WorkerError(Exception):
    """A request that a system does not support."""


@dataclass(frozen=True)
class Place:
    """The environment of a worker: its cores, as many threads, and the folder of compiled code."""

    cores: tuple[int, ...]
    cache: Path = CACHE


def all_cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def place(threads: int, cache: Path = CACHE) -> Place:
    """The last cores: the first one has most of the interrupts."""
    return Place(tuple(all_cores()[-threads:]), cache)


def python(system: str) -> str:
    """The interpreter that has a system installed; ours runs this program."""
    return sys.executable if system in (OURS, *OWN) else str(PEERS / "bin" / "python")


def environment(where: Place) -> dict[str, str]:
    """The variables of a worker: without the user's settings, and as many threads as cores."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS)}
    threads = str(len(where.cores))
    own = {
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "CHAINRULE_CACHE": str(where.cache / "chainrule"),
        "TORCHINDUCTOR_CACHE_DIR": str(where.cache / "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(where.cache / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    held = variables()
    if len(where.cores) == 1:
        flags = held.get("XLA_FLAGS", ""), "--xla_cpu_multi_thread_eigen=false"
        held["XLA_FLAGS"] = " ".join(flags).strip()
    return kept | own | held


@contextmanager
def on(cores: Sequence[int]) -> Iterator[None]:
    """Pins processes that start in this block to some cores, where the system supports it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Worker:
    """One process with one system; `with` ends it."""

    def __init__(self, system: str, where: Place) -> None:
        self.system = system
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # see __exit__
        with on(where.cores):
            self._process = subprocess.Popen(
                [python(system), "-m", "bench.worker"], cwd=ROOT, env=environment(where),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def send(self, do: str, **arguments: Any) -> None:
        """Sends a request, without waiting."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `receive` tells
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()

    def receive(self) -> float:
        """The answer to the last request.

        Raises:
            WorkerError: it cannot be done, or the process has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self.system}: the worker ended: {self._last_words()}")
        answer: Mapping[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.system}: {answer['error']}")
        return float(answer["is"] or 0)

    def ask(self, do: str, **arguments: Any) -> float:
        """Sends a request and returns the answer."""
        self.send(do, **arguments)
        return self.receive()

    def _last_words(self) -> str:
        self._errors.seek(0)
        return " ".join(self._errors.read().split()[-40:]) or "it said nothing"


@contextmanager
def spinning(core: int | None) -> Iterator[None]:
    """Keeps a core busy during the block; None: no core."""
    if core is None:
        yield
        return
    with on([core]):
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()
